"""What is found before anything is computed: formats a network cannot serve, files in the way."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.errors import ExportError
from da3_ros.export.registry import GAUSSIAN_FORMATS, check_export
from da3_ros.export.scene import WORLD_FORMATS, ExportScene, OriginalImage, StillImages
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.prediction_export import ExportPlan, readable_path
from da3_ros.model.config import NetworkConfig
from da3_ros.model.forward import ForwardOptions, require_gaussians
from da3_ros.model.outputs import feature_name
from da3_ros.types import PosedView, ViewId

_ONE_PIXEL = ImageSize(1, 1)


def check_before_computing(
    config: NetworkConfig,
    images: Any,
    options: ForwardOptions,
    plan: ExportPlan | None,
    *,
    has_poses: bool,
) -> None:
    """Refuse what would fail later, before anything is computed.

    Args:
        config: of the network.
        images: as they are given; what is no list is left to whoever reads them.
        options: what is computed.
        plan: of the export; None for none.
        has_poses: whether extrinsics are given.

    Raises:
        ExportError: the export cannot be made of that, or not written.
        ModelError: the network cannot compute what is asked.
    """
    check_formats(config, () if plan is None else plan.formats, options)
    is_list = isinstance(images, (Sequence, np.ndarray)) and not isinstance(images, str)
    if plan is None or not is_list or not len(images):
        return
    check_views(config, plan.formats, options, len(images), has_poses=has_poses)
    check_target(plan, images, options.export_layers)


def check_formats(config: NetworkConfig, formats: Sequence[str], options: ForwardOptions) -> None:
    """Refuse what a network cannot give, whatever the images are.

    Args:
        config: of the network.
        formats: of the export; empty for none.
        options: what is computed.

    Raises:
        ExportError: what a format needs is not computed.
        ModelError: the network cannot compute what is asked.
    """
    needing = [name for name in formats if name in GAUSSIAN_FORMATS]
    if needing and not options.infer_gs:
        raise ExportError(f'{", ".join(needing)}: expected infer_gs=True, got False')
    if 'feat_vis' in formats and not options.export_layers:
        raise ExportError('feat_vis: expected export_feat_layers, the blocks to show; got none')
    require_gaussians(config, options)
    part = config.any_view or config.single_view
    assert part is not None
    part.backbone.require_layers(options.export_layers)


def check_views(
    config: NetworkConfig,
    formats: Sequence[str],
    options: ForwardOptions,
    count: int,
    *,
    has_poses: bool,
) -> None:
    """Refuse formats of one world of images whose poses nobody will know.

    Args:
        config: of the network.
        formats: of the export.
        options: what is computed.
        count: images of the scene.
        has_poses: whether extrinsics are given.

    Raises:
        ExportError: names the formats.
    """
    needing = needs_poses(config, formats, options)
    if needing and count > 1 and not has_poses:
        raise ExportError(
            f'{", ".join(needing)}: expected views in one world, got {count} images of '
            f'{config.name}, which predicts no poses; export them one by one, or give extrinsics'
        )


def needs_poses(
    config: NetworkConfig, formats: Sequence[str], options: ForwardOptions
) -> tuple[str, ...]:
    """Return the formats of one world, where the network will not say where its views stand."""
    any_view = config.any_view
    if any_view is not None and (any_view.camera is not None or options.use_ray_pose):
        return ()
    return tuple(name for name in formats if name in WORLD_FORMATS)


def check_target(plan: ExportPlan, images: Sequence[object], layers: Sequence[int]) -> None:
    """Refuse a folder that the files cannot be written to.

    Args:
        plan: of the export.
        images: of the scene, as they are given.
        layers: whose features are computed.

    Raises:
        ExportError: a file is in the way and may not be replaced, an image is, or the folder
            cannot be written.
    """
    scene = _blank_scene(images, layers)
    check_export(
        scene,
        plan.formats,
        plan.folder,
        overwrite=plan.overwrite,
        options=plan.options,
        inputs=[Path(image) for image in images if isinstance(image, (str, PathLike))],
    )


def _blank_scene(images: Sequence[object], layers: Sequence[int]) -> ExportScene:
    """Return a scene of black pixels that has the files of the real one."""
    camera = PinholeCamera.from_focal(1.0, 1.0, 0.0, 0.0, _ONE_PIXEL)
    view = PosedView(
        id=ViewId('image', 0, ''),
        depth=np.ones((1, 1), np.float32),
        image=np.zeros((1, 1, 3), np.uint8),
        camera=camera,
        is_calibrated=False,
        world_from_camera=np.eye(4),
        confidence=None,
        sky=None,
    )
    paths = [readable_path(image) for image in images]
    originals = None
    if all(path is not None for path in paths):
        originals = tuple(
            OriginalImage(Path(str(path)).name, _ONE_PIXEL, 0, 0, camera) for path in paths
        )
    features = {feature_name(layer): np.zeros((1, 1, 1, 1), np.float32) for layer in layers}
    stills = StillImages(originals=originals, features=features)
    return ExportScene((view,) * len(paths), is_metric=False, stills=stills)
