"""Arrays of a scene as one compressed `.npz`.

Keys are those of the official exporter (`image`, `depth`, `conf`, `extrinsics`, `intrinsics`)
plus what a robot needs to use them (`camera`, `frame_id`, `stamp_ns`, `is_metric`). `intrinsics`
of a stream follow OpenCV's pixel-centre rule, as `pixel_centre` = 0 says, those of the Python
API their own (0.5), and such a scene has no stamps and no keys for cameras that nobody knows.
What has to be known of the network is a text under `caution`, where there is something.
Views of different size cannot share an array: then every size has its own keys, with `_HxW`
appended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any
import zipfile

import numpy as np

from da3_ros.export.options import ExportOptions
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.se3 import invert
from da3_ros.types import PosedView

Array = np.ndarray[tuple[int, ...], np.dtype[Any]]
Columns = dict[str, Array | Sequence[Array]]
"""Key to an array, or to one array of equal size and type per view."""

OWNED: tuple[str, ...] = ()


def file_names(scene: ExportScene, options: ExportOptions) -> tuple[str, ...]:
    """Return the one file of this format."""
    return ('exports/npz/results.npz',)


def write(
    scene: ExportScene, folder: Path, options: ExportOptions, progress: Callable[[float], None]
) -> int:
    """Write the scene and return the number of pixels with known depth."""
    path = folder / 'exports' / 'npz' / 'results.npz'
    return write_arrays(scene, path, _all_columns, progress)


def write_arrays(
    scene: ExportScene,
    path: Path,
    columns_of: Callable[[ExportScene, list[PosedView]], Columns],
    progress: Callable[[float], None],
) -> int:
    """Write what `columns_of` says about the views of each size; return the known pixels.

    Views go into the archive one by one: neither is the scene in memory twice, nor does a request
    to stop wait for a whole array.
    """
    by_size: dict[tuple[int, int], list[PosedView]] = {}
    for view in scene.views:
        by_size.setdefault((view.depth.shape[0], view.depth.shape[1]), []).append(view)
    arrays: Columns = {
        'is_metric': np.array(scene.is_metric),
        'pixel_centre': np.array(0.0 if scene.stills is None else 0.5),
    }
    if scene.caution:
        arrays['caution'] = np.array(scene.caution)
    for (height, width), views in by_size.items():
        suffix = '' if len(by_size) == 1 else f'_{height}x{width}'
        arrays.update({f'{key}{suffix}': value for key, value in columns_of(scene, views).items()})
    with zipfile.ZipFile(path, 'w') as archive:
        for index, (key, column) in enumerate(arrays.items()):

            def step(share: float, index: int = index) -> None:
                progress((index + share) / len(arrays))

            # Its time of change is a constant, so that equal scenes give equal bytes.
            entry = zipfile.ZipInfo(f'{key}.npy')
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, 'w', force_zip64=True) as file:
                _write_column(file, column, step)
    return sum(int(np.isfinite(view.depth).sum()) for view in scene.views)


def geometry_columns(scene: ExportScene, views: list[PosedView]) -> Columns:
    """Return depth, known cameras and, when every view has it, confidence; nothing rounded."""
    columns: Columns = {'depth': [v.depth for v in views]}
    extrinsics = np.stack([invert(v.world_from_camera)[:3] for v in views])
    if scene.stills is None:
        columns['extrinsics'] = extrinsics
        columns['intrinsics'] = np.stack([v.camera.K for v in views])
    else:
        if scene.stills.has_poses:
            columns['extrinsics'] = extrinsics.astype(np.float32)
        if scene.stills.has_intrinsics:
            corner = np.stack([v.camera.to_corner_origin() for v in views])
            columns['intrinsics'] = corner.astype(np.float32)
    confidence = [v.confidence for v in views if v.confidence is not None]
    if len(confidence) == len(views):
        columns['conf'] = confidence
    return columns


def _all_columns(scene: ExportScene, views: list[PosedView]) -> Columns:
    columns = geometry_columns(scene, views)
    columns['image'] = [v.image for v in views]
    if scene.stills is None:
        columns['camera'] = np.array([v.id.camera for v in views])
        columns['frame_id'] = np.array([v.id.frame_id for v in views])
        columns['stamp_ns'] = np.array([v.id.stamp_ns for v in views], dtype=np.int64)
    sky = [v.sky for v in views if v.sky is not None]
    if len(sky) == len(views):
        columns['sky'] = sky
    return columns


def _write_column(
    file: IO[bytes], column: Array | Sequence[Array], progress: Callable[[float], None]
) -> None:
    """Write an array, or equal-sized ones stacked, as `.npy`."""
    if isinstance(column, np.ndarray):
        np.lib.format.write_array(file, column, allow_pickle=False)
        progress(1.0)
        return
    first = column[0]
    header = {
        'descr': np.lib.format.dtype_to_descr(first.dtype),
        'fortran_order': False,
        'shape': (len(column), *first.shape),
    }
    np.lib.format.write_array_header_1_0(file, header)
    for index, part in enumerate(column):
        file.write(part.astype(first.dtype, copy=False).tobytes())
        progress((index + 1) / len(column))
