"""Saved results (`results.npz`, ours or the official exporter's) as scenes.

Files of the official exporter name no pixel-centre rule: theirs is that of the network, 0.5. What
a file does not hold stays unknown: without `extrinsics` the views stand nowhere, without `image`
they are grey.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
import re
from typing import Any

import numpy as np

from da3_ros.errors import Da3Error, SourceError
from da3_ros.export.scene import ExportScene, StillImages
from da3_ros.foreign import plain_line, plain_path, reason_of
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.inference.prediction_export import assumed_camera
from da3_ros.sources.npz_file import read_arrays
from da3_ros.types import ColourImage, PosedView, ViewId

Array = np.ndarray[Any, Any]

_GREY = 128
_NS_PER_S = 1_000_000_000
_ALIASES = {'depths': 'depth', 'images': 'image', 'exts': 'extrinsics', 'ixts': 'intrinsics'}
"""Names of the upstream user interface and of the upstream documentation to those of files."""
_NUMBERS = 'fiub'
_LAST_STAMP_NS = (1 << 63) - 1
_RANKS = {'depth': 3, 'conf': 3, 'sky': 3, 'image': 4, 'extrinsics': 3, 'intrinsics': 3}


@dataclass(frozen=True, slots=True, eq=False)
class SavedResults:
    """What a file held."""

    scene: ExportScene
    has_images: bool
    """False when the views' images are plain grey."""


def read_results(path: Path) -> SavedResults:
    """Read a `results.npz`.

    Raises:
        SourceError: it cannot be read, or its arrays do not fit one another; says which.
    """
    return results_of(read_arrays(path), path)


def results_of(arrays: Mapping[str, Array], path: Path) -> SavedResults:
    """Return what the arrays of a file say.

    Args:
        arrays: by name.
        path: the file, for messages.

    Raises:
        SourceError: they do not fit one another; says which.
    """
    try:
        return _results({_ALIASES.get(name, name): value for name, value in arrays.items()})
    except (Da3Error, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        reason = plain_line(error) if isinstance(error, Da3Error) else reason_of(error)
        raise SourceError(f'{plain_path(path)}: {reason}') from error


def _results(arrays: Mapping[str, Array]) -> SavedResults:
    corner_origin = _number(arrays, 'pixel_centre', 0.5) == 0.5
    is_metric = bool(_number(arrays, 'is_metric', 0))
    views: list[PosedView] = []
    groups = _by_size(arrays)
    if not groups:
        names = ', '.join(map(plain_line, arrays))
        raise SourceError(f'expected depth among its arrays, got {names or "none"}')
    for group in groups:
        _check(group)
        views += _views(group, corner_origin=corner_origin, first=len(views))
    stills = None
    if corner_origin:
        stills = StillImages(
            has_intrinsics=all('intrinsics' in group for group in groups),
            has_poses=all('extrinsics' in group for group in groups),
        )
    views.sort(key=lambda view: view.id.stamp_ns)
    scene = ExportScene(tuple(views), is_metric, stills=stills, caution=_caution(arrays))
    return SavedResults(scene, all('image' in group for group in groups))


def _caution(arrays: Mapping[str, Array]) -> str:
    """Return what has to be known of the network that made the file; empty for nothing."""
    array = arrays.get('caution')
    if array is None:
        return ''
    if array.size != 1 or array.dtype.kind != 'U':
        raise SourceError(f'caution: expected one text, got {array.dtype} {array.shape}')
    return plain_line(str(array.reshape(())))


def _number(arrays: Mapping[str, Array], name: str, default: float) -> float:
    """Return an array of one number as that."""
    array = arrays.get(name)
    if array is None:
        return default
    if array.size != 1 or array.dtype.kind not in _NUMBERS:
        raise SourceError(f'{name}: expected one number, got {array.dtype} {array.shape}')
    return float(array.reshape(()))


def _by_size(arrays: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Return the arrays of each size of views that has depth, under their plain names."""
    groups: dict[str, dict[str, Array]] = {}
    for name, array in arrays.items():
        match = re.search(r'_\d+x\d+\Z', name)
        suffix = match[0] if match else ''
        groups.setdefault(suffix, {})[name.removesuffix(suffix)] = array
    return [group for group in groups.values() if 'depth' in group]


def _check(group: Mapping[str, Array]) -> None:
    depth = group['depth']
    if depth.ndim != _RANKS['depth']:
        raise SourceError(f'depth: expected numbers (views, height, width), got {depth.shape}')
    if depth.size == 0:
        raise SourceError(f'depth: expected at least one view, got {depth.shape}')
    for name, rank in _RANKS.items():
        if name not in group:
            continue
        array = group[name]
        if array.ndim != rank or len(array) != len(depth) or array.dtype.kind not in _NUMBERS:
            raise SourceError(
                f'{name}: expected numbers for {len(depth)} views, got {array.dtype} {array.shape}'
            )
        if name in ('conf', 'sky', 'image') and array.shape[1:3] != depth.shape[1:]:
            raise SourceError(f'{name}: expected the size of depth {depth.shape}, {array.shape}')
    image = group.get('image')
    if image is not None and image.shape[3] != 3:
        raise SourceError(f'image: expected RGB (N, height, width, 3), got {image.shape}')
    _check_names(group)
    poses = group.get('extrinsics')
    if poses is not None and poses.shape[1:] not in ((3, 4), (4, 4)):
        raise SourceError(f'extrinsics: expected (N, 3, 4) or (N, 4, 4), got {poses.shape}')
    intrinsics = group.get('intrinsics')
    if intrinsics is not None and intrinsics.shape[1:] != (3, 3):
        raise SourceError(f'intrinsics: expected (N, 3, 3), got {intrinsics.shape}')


def _check_names(group: Mapping[str, Array]) -> None:
    """Refuse stamps and names that are none, or not one for each view."""
    count = len(group['depth'])
    for name, kinds in (('stamp_ns', _NUMBERS), ('camera', 'US'), ('frame_id', 'US')):
        array = group.get(name)
        if array is not None and (array.shape != (count,) or array.dtype.kind not in kinds):
            raise SourceError(
                f'{name}: expected one for each of {count} views, got {array.dtype} {array.shape}'
            )
    stamps = group.get('stamp_ns')
    if stamps is not None and not all(0 <= stamp <= _LAST_STAMP_NS for stamp in stamps.tolist()):
        raise SourceError(f'stamp_ns: expected nanoseconds from 0 up, got {stamps.min()}')


def _views(group: Mapping[str, Array], *, corner_origin: bool, first: int) -> Iterator[PosedView]:
    depth = group['depth'].astype(np.float32, copy=False)
    count, height, width = depth.shape
    size = ImageSize(height, width)
    stamps = group.get('stamp_ns', (first + np.arange(count)) * _NS_PER_S)
    sky = group.get('sky')
    confidence = group.get('conf')
    for index in range(count):
        image = _image(group, index, size)
        camera = _camera(group, index, size, corner_origin=corner_origin)
        name = str(group['camera'][index]) if 'camera' in group else 'image'
        frame_id = str(group['frame_id'][index]) if 'frame_id' in group else ''
        yield PosedView(
            id=ViewId(name, int(stamps[index]), frame_id),
            depth=depth[index],
            image=image,
            camera=camera,
            is_calibrated=False,
            world_from_camera=_pose(group, index),
            confidence=None if confidence is None else confidence[index].astype(np.float32),
            sky=None if sky is None else sky[index].astype(np.bool_),
        )


def _pose(group: Mapping[str, Array], index: int) -> Array:
    if 'extrinsics' not in group:
        return np.eye(4)
    return invert(homogeneous(group['extrinsics'][index, :3].astype(np.float64)))


def _image(group: Mapping[str, Array], index: int, size: ImageSize) -> ColourImage:
    if 'image' not in group:
        return np.full((size.height, size.width, 3), _GREY, np.uint8)
    return np.ascontiguousarray(group['image'][index], dtype=np.uint8)


def _camera(
    group: Mapping[str, Array], index: int, size: ImageSize, *, corner_origin: bool
) -> PinholeCamera:
    if 'intrinsics' not in group:
        return assumed_camera(size)
    matrix = group['intrinsics'][index].astype(np.float64)
    if corner_origin:
        return PinholeCamera.from_corner_origin(matrix, size)
    return PinholeCamera(matrix, size)
