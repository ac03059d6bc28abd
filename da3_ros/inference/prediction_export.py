"""Export options under the names of the Python API, and what is assumed of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
import logging
import math
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import ExportError
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import FORMAT_ALIASES, FORMATS, parse_formats
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.images.opening import UPRIGHT, opened, orientation_of
from da3_ros.inference.pixel_rule import posed_cameras
from da3_ros.options.export import CONTENT, GLB, GlbOptions, GsPlyOptions
from da3_ros.options.table import Entrance, defaults_at, specs_of

ASSUMED_FIELD_OF_VIEW_DEG = 60.0
"""Horizontal field of view of images whose intrinsics nobody knows, where points are asked for."""

NEED_CAMERAS = ('glb', 'ply', 'colmap')
"""Formats of points in space."""

_POINTS = {name: name for name in ('conf_thresh_percentile', 'num_max_points')}
_SHARED: dict[str, dict[str, str]] = {
    'glb': _POINTS,
    'ply': _POINTS,
    'colmap': {**_POINTS, 'encoding': 'colmap_encoding'},
    'depth_vis': {'suffix': 'depth_vis_suffix', 'plain': 'depth_vis_plain'},
    'feat_vis': {'fps': 'feat_vis_fps'},
}
"""Format to names of the Python API, each with the field of `ExportOptions` that it sets."""

_OWN: dict[str, type] = {'glb': GlbOptions, 'gs_ply': GsPlyOptions, 'gs_video': GsVideoOptions}
"""Format to the dataclass in the field of `ExportOptions` with the format's name."""

_ALIASES = {
    alias: spec.name
    for group in _OWN.values()
    for spec in specs_of(group, Entrance.PREDICTION)
    for alias in spec.aliases
}
"""Other names of options to their own."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ExportPlan:
    """Which files are to be written of a prediction."""

    folder: Path
    formats: tuple[str, ...]
    """Names of `export.registry.FORMATS`."""
    options: ExportOptions
    overwrite: bool
    """Whether files of an earlier export may be replaced."""


def export_plan(
    export_dir: str | PathLike[str] | None, export_format: str, *, overwrite: bool, **options: Any
) -> ExportPlan | None:
    """Return the plan of an export, None where there is no folder for one.

    Args:
        export_dir: Folder of the files.
        export_format: Formats joined by '-'.
        overwrite: Whether files of an earlier export may be replaced.
        **options: As `export_options`.

    Raises:
        ExportError: A format or an option does not exist, or a value is out of bounds.
    """
    if export_dir is None:
        return None
    formats = parse_formats(export_format)
    return ExportPlan(Path(export_dir), formats, export_options(**options), overwrite)


def export_options(
    *,
    conf_thresh_percentile: float = CONTENT.conf_thresh_percentile,
    num_max_points: int = CONTENT.num_max_points,
    show_cameras: bool = GLB.show_cameras,
    feat_vis_fps: int = CONTENT.feat_vis_fps,
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
            conf_thresh_percentile=conf_thresh_percentile,
            num_max_points=num_max_points,
            feat_vis_fps=feat_vis_fps,
            glb=replace(defaults_at(GlbOptions, Entrance.PREDICTION), show_cameras=show_cameras),
            gs_video=_video_options(render_exts, render_ixts, render_hw),
        )
        changes = {
            FORMAT_ALIASES.get(name, name): _changes(
                options, FORMAT_ALIASES.get(name, name), values
            )
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


def _with_cameras(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the cameras that the official options of a video give as arrays."""
    rest = {key: v for key, v in values.items() if key not in ('extrinsics', 'intrinsics')}
    extrinsics, intrinsics = values.get('extrinsics'), values.get('intrinsics')
    if extrinsics is None and intrinsics is None:
        return rest
    given = _video_options(extrinsics, intrinsics, values.get('out_image_hw'))
    return {**rest, 'cameras': given.cameras}


def _changes(options: ExportOptions, name: str, values: Mapping[str, Any]) -> dict[str, object]:
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
    for alias in values.keys() & _ALIASES:
        _logger.info('export_kwargs of %s: %s is another name of %s', name, alias, _ALIASES[alias])
    own = {_ALIASES.get(key, key): value for key, value in values.items() if key not in shared}
    result: dict[str, object] = {shared[k]: v for k, v in values.items() if k in shared}
    if own:
        result[name] = replace(getattr(options, name), **own)
    return result


def assumed_camera(size: ImageSize) -> PinholeCamera:
    """Return the camera that an image is taken for whose intrinsics nobody knows."""
    focal = size.width / 2 / math.tan(math.radians(ASSUMED_FIELD_OF_VIEW_DEG) / 2)
    centre = (size.width - 1) / 2, (size.height - 1) / 2
    return PinholeCamera.from_focal(focal, focal, *centre, size)


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
    try:
        with opened(image) as found:
            is_upright = orientation_of(found) == UPRIGHT
    except Exception:
        # What reads the pixels says why; of a file that is gone by now they are known already.
        return None
    return str(image) if is_upright else None
