"""Gaussians of a scene together with the views that they come from."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.export.splat_types import PosedCamera


@runtime_checkable
class SplatSource(Protocol):
    """Makes Gaussians of views: an estimator with a network that gives some."""

    def with_gaussians(self, scene: ExportScene) -> ExportScene:
        """Return views of a scene with Gaussians in its world.

        Raises:
            ExportError: there is no network that gives Gaussians.
        """
        ...

    def export_options(self) -> ExportOptions:
        """Return options with the fastest renderer that there is."""
        ...


def require_gaussians(scene: ExportScene) -> GaussianCloud:
    """Return the scene's Gaussians.

    Raises:
        ExportError: it has none, or they are not those of its views.
    """
    cloud = scene.gaussians
    if cloud is None:
        raise ExportError(
            'the scene has no Gaussians: only da3-giant and da3nested-giant-large give them, '
            'when asked with infer_gs=True'
        )
    views, height, width = cloud.grid
    if len(scene.views) != views:
        raise ExportError(f'Gaussians of {views} views: the scene has {len(scene.views)}')
    for view in scene.views:
        if view.depth.shape != (height, width):
            raise ExportError(
                f'camera {view.id.camera} at {view.id.stamp_ns}: expected depth '
                f'{(height, width)} as its Gaussians are, got {view.depth.shape}'
            )
    return cloud


def cameras_of(scene: ExportScene) -> tuple[PosedCamera, ...]:
    """Return the cameras of the views, in their order."""
    return tuple(PosedCamera(view.world_from_camera, view.camera) for view in scene.views)
