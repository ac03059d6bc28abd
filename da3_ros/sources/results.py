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
import zipfile

import numpy as np

from da3_ros.errors import Da3Error, SourceError
from da3_ros.export.scene import ExportScene, StillImages
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import homogeneous, invert
from da3_ros.inference.prediction_export import assumed_camera
from da3_ros.types import ColourImage, PosedView, ViewId

Array = np.ndarray[Any, Any]

_GREY = 128
_NS_PER_S = 1_000_000_000
_ALIASES = {'depths': 'depth', 'images': 'image', 'exts': 'extrinsics', 'ixts': 'intrinsics'}
"""Names of the upstream user interface and of the upstream documentation to those of files."""
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
    arrays = read_arrays(path)
    try:
        return _results(arrays)
    except (Da3Error, ValueError, TypeError) as error:
        raise SourceError(f'{path}: {error}') from error


def read_arrays(path: Path) -> dict[str, Array]:
    """Return all arrays of an `.npz`; nothing that is pickled is ever loaded.

    Raises:
        SourceError: it is no such file, or damaged.
    """
    if not path.is_file():
        raise SourceError(f'{path}: expected a results.npz, there is no such file')
    try:
        with path.open('rb') as file:
            if not zipfile.is_zipfile(file):
                raise SourceError(f'{path}: expected an npz (a zip archive), this is none')
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {_ALIASES.get(name, name): archive[name] for name in archive.files}
    except SourceError:
        raise
    # The parsers below meet arbitrary bytes: whatever they trip over means a damaged file.
    except Exception as error:
        what = str(error) or type(error).__name__
        raise SourceError(f'{path}: cannot be read as npz: {what}') from error


def _results(arrays: Mapping[str, Array]) -> SavedResults:
    corner_origin = float(arrays['pixel_centre']) == 0.5 if 'pixel_centre' in arrays else True
    is_metric = bool(arrays['is_metric']) if 'is_metric' in arrays else False
    views: list[PosedView] = []
    groups = list(_by_size(arrays))
    if not groups:
        raise SourceError(f'expected depth among its arrays, got {", ".join(arrays) or "none"}')
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
    scene = ExportScene(tuple(views), is_metric, stills=stills)
    return SavedResults(scene, all('image' in group for group in groups))


def _by_size(arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
    """Yield the arrays of each size of views, under their plain names."""
    for name in arrays:
        match = re.fullmatch(r'depth(_\d+x\d+)?', name)
        if match is not None:
            suffix = match[1] or ''
            yield {
                key.removesuffix(suffix): value
                for key, value in arrays.items()
                if (key.endswith(suffix) if suffix else not re.search(r'_\d+x\d+$', key))
            }


def _check(group: Mapping[str, Array]) -> None:
    depth = group['depth']
    for name, rank in _RANKS.items():
        if name not in group:
            continue
        array = group[name]
        if array.ndim != rank or len(array) != len(depth) or array.dtype.kind not in 'fiub':
            raise SourceError(
                f'{name}: expected numbers for {len(depth)} views, got {array.dtype} {array.shape}'
            )
        if name in ('conf', 'sky', 'image') and array.shape[1:3] != depth.shape[1:]:
            raise SourceError(f'{name}: expected the size of depth {depth.shape}, {array.shape}')
    if depth.size == 0:
        raise SourceError(f'depth: expected at least one view, got {depth.shape}')
    poses = group.get('extrinsics')
    if poses is not None and poses.shape[1:] not in ((3, 4), (4, 4)):
        raise SourceError(f'extrinsics: expected (N, 3, 4) or (N, 4, 4), got {poses.shape}')
    intrinsics = group.get('intrinsics')
    if intrinsics is not None and intrinsics.shape[1:] != (3, 3):
        raise SourceError(f'intrinsics: expected (N, 3, 3), got {intrinsics.shape}')


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
