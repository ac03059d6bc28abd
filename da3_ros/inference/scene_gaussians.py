"""Gaussians of views that stand in a world already: what the node exports as splats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from da3_ros.errors import ExportError
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.se3 import invert
from da3_ros.inference.pixel_rule import corner_matrices
from da3_ros.inference.prediction import gaussian_cloud
from da3_ros.types import PosedView

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3

MAX_VIEWS = 16
"""Views that one scene of Gaussians is made of: they go through the network together."""


def with_gaussians(
    model: DepthAnything3, scene: ExportScene, max_views: int = MAX_VIEWS
) -> ExportScene:
    """Return some views of a scene, evenly chosen, with Gaussians in the scene's world.

    The network sees the views' images once more, is given their cameras, and gives depth and
    Gaussians together; the views' depth is replaced by that one.

    Args:
        model: A network with Gaussians.
        scene: Posed views; those of the most frequent size take part.
        max_views: How many are chosen at most.

    Raises:
        ExportError: The network has no Gaussians, or the scene no views.
        MemoryExceededError: Memory ran out; tells how much was needed and available.
    """
    if not model.capabilities.gaussians:
        raise ExportError(
            f'{model.model_name} gives no Gaussians; da3-giant and da3nested-giant-large do'
        )
    views = _chosen(scene.views, max_views)
    prediction = model.inference(
        [view.image for view in views],
        np.stack([invert(view.world_from_camera) for view in views]),
        corner_matrices(view.camera for view in views),
        infer_gs=True,
        process_res=max(views[0].image.shape[:2]),
        allow_smaller=True,
    )
    assert prediction.intrinsics is not None
    assert prediction.processed_images is not None
    found = []
    for index, view in enumerate(views):
        placement = prediction.placements[index]
        found.append(
            replace(
                view,
                depth=prediction.depth[index],
                image=prediction.processed_images[index],
                camera=placement.camera(view.camera),
                confidence=None if prediction.conf is None else prediction.conf[index],
                sky=None if prediction.sky is None else prediction.sky[index],
                input=None,
            )
        )
    return replace(scene, views=tuple(found), gaussians=gaussian_cloud(prediction))


def _chosen(views: Sequence[PosedView], count: int) -> list[PosedView]:
    """Return at most so many views of equal size, the first and the last among them."""
    if not views:
        raise ExportError('the scene has no views yet; export after the first window')
    sizes = [view.depth.shape for view in views]
    common = max(sizes, key=sizes.count)
    alike = [view for view, size in zip(views, sizes, strict=True) if size == common]
    places = np.linspace(0, len(alike) - 1, min(count, len(alike)))
    return [alike[place] for place in np.rint(places).astype(int)]
