"""Predictions as scenes that can be exported, and export options under their API names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
import logging
import math
from os import PathLike
from os.path import commonpath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from da3_ros.errors import ExportError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.gs_options import GsPlyOptions, GsVideoOptions
from da3_ros.export.options import ExportOptions, GlbOptions
from da3_ros.export.registry import FORMATS
from da3_ros.export.scene import ExportScene, OriginalImage, StillImages
from da3_ros.export.splat_types import posed_cameras
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, nearest_rigid
from da3_ros.types import PosedView, ViewId

if TYPE_CHECKING:
    from da3_ros.inference.postprocess import Prediction
    from da3_ros.inference.preprocess import Placement

ASSUMED_FIELD_OF_VIEW_DEG = 60.0
"""Horizontal field of view of images whose intrinsics nobody knows, where points are asked for."""

NEED_CAMERAS = ('glb', 'ply', 'colmap')
"""Formats of points in space."""

GLB_LEAST_CONFIDENCE = 1.05
"""Default of `conf_thresh` in the Python API, as in the published one."""

_CAMERA = 'image'
_NS_PER_S = 1_000_000_000
_EXIF_ORIENTATION = 0x0112
_UPRIGHT = 1

_POINTS = {'conf_thresh_percentile': 'confidence_percentile', 'num_max_points': 'max_points'}
_SHARED: dict[str, dict[str, str]] = {
    'glb': _POINTS,
    'ply': _POINTS,
    'colmap': {**_POINTS, 'encoding': 'colmap_encoding'},
    'depth_vis': {'suffix': 'depth_vis_suffix'},
    'feat_vis': {'fps': 'feat_vis_fps'},
}
"""Format to names of the Python API, each with the field of `ExportOptions` that it sets."""

_OWN: dict[str, type] = {'glb': GlbOptions, 'gs_ply': GsPlyOptions, 'gs_video': GsVideoOptions}
"""Format to the dataclass in the field of `ExportOptions` with the format's name."""

_ALIASES = {'gs_views_interval': 'views_interval'}
"""Official names of options that are fields under another one."""

_logger = logging.getLogger(__name__)


def export_options(
    *,
    conf_thresh_percentile: float = 40.0,
    num_max_points: int = 1_000_000,
    show_cameras: bool = True,
    feat_vis_fps: int = 15,
    render_exts: ArrayLike | None = None,
    render_ixts: ArrayLike | None = None,
    render_hw: tuple[int, int] | None = None,
    export_kwargs: Mapping[str, Mapping[str, Any]] | None = None,
) -> ExportOptions:
    """Return the options of an export, as the Python API names them.

    Args:
        conf_thresh_percentile: Of all known confidence; points below are left out.
        num_max_points: Points that a file has at most.
        show_cameras: Whether frustums stand in the GLB.
        feat_vis_fps: Pictures per second of feature videos.
        render_exts: (M, 4, 4) or (M, 3, 4) camera_from_world of the cameras of `gs_video`.
        render_ixts: (M, 3, 3) their intrinsics in pixels of `render_hw`, first pixel centre at
            (0.5, 0.5); given with the former, or not at all.
        render_hw: Height and width of the pictures of `gs_video`.
        export_kwargs: Format to its options, which win over the ones above for that format.

    Raises:
        ExportError: A format or an option does not exist, or a value is out of bounds.
    """
    try:
        options = ExportOptions(
            confidence_percentile=conf_thresh_percentile,
            max_points=num_max_points,
            feat_vis_fps=feat_vis_fps,
            glb=GlbOptions(
                conf_thresh=GLB_LEAST_CONFIDENCE,
                show_cameras=show_cameras,
                export_depth_vis=True,
            ),
            gs_video=_video_options(render_exts, render_ixts, render_hw),
        )
        changes = {
            name: _changes(options, name, dict(values))
            for name, values in (export_kwargs or {}).items()
        }
        return replace(options, by_format=changes)
    except (TypeError, ValueError, AttributeError) as error:
        raise ExportError(f'options of the export: {error}') from error


def _video_options(
    render_exts: ArrayLike | None,
    render_ixts: ArrayLike | None,
    render_hw: tuple[int, int] | None,
) -> GsVideoOptions:
    size = None if render_hw is None else (int(render_hw[0]), int(render_hw[1]))
    if render_exts is None and render_ixts is None:
        return GsVideoOptions(out_image_hw=size)
    if render_exts is None or render_ixts is None or size is None:
        raise ExportError(
            'cameras of a video: expected render_exts, render_ixts and render_hw together, got '
            'only some of them'
        )
    extrinsics, intrinsics = np.asarray(render_exts), np.asarray(render_ixts)
    # The official signature has a leading axis of one scene.
    extrinsics, intrinsics = (
        array[0] if array.ndim == 4 and len(array) == 1 else array
        for array in (extrinsics, intrinsics)
    )
    return GsVideoOptions(
        cameras=posed_cameras(extrinsics, intrinsics, ImageSize(*size)), out_image_hw=size
    )


def _with_cameras(values: dict[str, Any]) -> dict[str, Any]:
    """Read the cameras that the official options of a video give as arrays."""
    rest = {key: v for key, v in values.items() if key not in ('extrinsics', 'intrinsics')}
    extrinsics, intrinsics = values.get('extrinsics'), values.get('intrinsics')
    if extrinsics is None and intrinsics is None:
        return rest
    given = _video_options(extrinsics, intrinsics, values.get('out_image_hw'))
    return {**rest, 'cameras': given.cameras}


def _changes(options: ExportOptions, name: str, values: dict[str, Any]) -> dict[str, object]:
    """Return the fields of `ExportOptions` that the options of one format change."""
    if name == 'gs_video':
        values = _with_cameras(values)
    if name not in FORMATS:
        raise ExportError(
            f'export_kwargs: no format {name!r}; expected one of {", ".join(FORMATS)}'
        )
    shared = _SHARED.get(name, {})
    group = _OWN.get(name)
    known = [*shared, *(field.name for field in fields(group))] if group else [*shared]
    unknown = [key for key in values if _ALIASES.get(key, key) not in known]
    if unknown:
        raise ExportError(
            f'export_kwargs of {name}: no option {", ".join(map(repr, unknown))}; expected '
            f'{", ".join(known) or "none"}'
        )
    own = {_ALIASES.get(key, key): value for key, value in values.items() if key not in shared}
    result: dict[str, object] = {shared[k]: v for k, v in values.items() if k in shared}
    if own:
        result[name] = replace(getattr(options, name), **own)
    return result


def scene_of(prediction: Prediction) -> ExportScene:
    """Return the views of a prediction.

    A network that predicts no intrinsics has those of a common lens assumed for points, see
    `ASSUMED_FIELD_OF_VIEW_DEG`.

    Raises:
        ExportError: The prediction does not hold the processed images.
    """
    images = prediction.processed_images
    if images is None:
        raise ExportError('expected a prediction with processed_images, got one without')
    cameras = _cameras(prediction)
    poses = [np.eye(4)] * len(cameras)
    if prediction.extrinsics is not None:
        # Exactly rigid, whatever was given or rounded.
        poses = [invert(nearest_rigid(extrinsics)) for extrinsics in prediction.extrinsics]
    views = tuple(
        PosedView(
            id=ViewId(_CAMERA, index * _NS_PER_S, ''),
            depth=prediction.depth[index],
            image=images[index],
            camera=camera,
            is_calibrated=False,
            world_from_camera=pose,
            confidence=None if prediction.conf is None else prediction.conf[index],
            sky=None if prediction.sky is None else prediction.sky[index],
        )
        for index, (camera, pose) in enumerate(zip(cameras, poses, strict=True))
    )
    stills = StillImages(
        has_intrinsics=prediction.intrinsics is not None,
        has_poses=prediction.extrinsics is not None,
        originals=_originals(prediction, cameras),
        features=prediction.aux,
    )
    return ExportScene(
        views, prediction.is_metric, stills=stills, gaussians=gaussian_cloud(prediction)
    )


def warn_of_assumptions(scene: ExportScene, formats: Sequence[str]) -> None:
    """Say so when points will stand on a lens that is a guess."""
    needing = [name for name in formats if name in NEED_CAMERAS]
    if needing and scene.stills is not None and not scene.stills.has_intrinsics:
        _logger.warning(
            '%s: the intrinsics are not known, a horizontal field of view of %g degrees is '
            'assumed; give intrinsics for true shapes',
            ', '.join(needing),
            ASSUMED_FIELD_OF_VIEW_DEG,
        )


def readable_path(image: object) -> str | None:
    """Return the path of an image that other programs read as it was read here.

    That is a file without a rotation in its EXIF data: not every program applies it.
    """
    if not isinstance(image, (str, PathLike)):
        return None
    with Image.open(image) as opened:
        orientation = opened.getexif().get(_EXIF_ORIENTATION, _UPRIGHT)
    return str(image) if orientation == _UPRIGHT else None


def _cameras(prediction: Prediction) -> list[PinholeCamera]:
    count, height, width = prediction.depth.shape
    size = ImageSize(height, width)
    if prediction.intrinsics is not None:
        return [PinholeCamera.from_corner_origin(K, size) for K in prediction.intrinsics]
    focal = width / 2 / math.tan(math.radians(ASSUMED_FIELD_OF_VIEW_DEG) / 2)
    centre = (width - 1) / 2, (height - 1) / 2
    return [PinholeCamera.from_focal(focal, focal, *centre, size)] * count


def _originals(
    prediction: Prediction, cameras: Sequence[PinholeCamera]
) -> tuple[OriginalImage, ...] | None:
    paths = [name for name in prediction.image_paths if name is not None]
    if not paths or len(paths) != len(prediction.placements):
        return None
    names = _relative_names(paths)
    return tuple(
        _original(name, placement, camera)
        for name, placement, camera in zip(names, prediction.placements, cameras, strict=True)
    )


def _relative_names(paths: Sequence[str]) -> list[str]:
    """Return base names; paths from the folder they share when two base names are equal."""
    names = [Path(name).name for name in paths]
    if len(set(names)) == len(names):
        return names
    absolute = [Path.cwd() / name for name in paths]
    root = Path(commonpath([name.parent for name in absolute]))
    return [name.relative_to(root).as_posix() for name in absolute]


def _original(name: str, placement: Placement, camera: PinholeCamera) -> OriginalImage:
    """Undo crop and resize for the intrinsics of a view."""
    whole = camera.to_corner_origin()
    whole[:2, 2] += (placement.left_px, placement.top_px)
    at_view = PinholeCamera.from_corner_origin(whole, placement.resized)
    return OriginalImage(
        name,
        placement.resized,
        placement.left_px,
        placement.top_px,
        at_view.resized(placement.original),
    )


def gaussian_cloud(prediction: Prediction) -> GaussianCloud | None:
    """Return the Gaussians of a prediction on the host, None when it has none."""
    found = prediction.gaussians
    if found is None:
        return None
    means, scales, rotations, harmonics, opacities = (
        tensor[0].detach().float().cpu().numpy()
        for tensor in (
            found.means,
            found.scales,
            found.rotations,
            found.harmonics,
            found.opacities,
        )
    )
    count, height, width = prediction.depth.shape
    return GaussianCloud(means, scales, rotations, harmonics, opacities, (count, height, width))
