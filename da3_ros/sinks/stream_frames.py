"""Frames of a stream on disk: an archive for each, and one record of fixed size.

The archive `results_output/frame_N.npz` has the keys of DA3-Streaming (`image`, `depth`, `conf`,
`intrinsics`); `conf` is the confidence less 1, and 0 where depth is not known (NaN). `intrinsics`
follow its rule, first pixel centre at (0.5, 0.5). Where the frame stood is in the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload
import zipfile

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.foreign import foreign_file
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import homogeneous
from da3_ros.types import PosedView, ViewId

FRAMES = 'results_output'
"""Folder of the archives."""

RECORD = np.dtype(
    [
        ('stamp_ns', '<i8'),
        ('number', '<i8'),
        ('camera', '<i4'),
        ('is_calibrated', '<i4'),
        ('height', '<i4'),
        ('width', '<i4'),
        ('pose', '<f8', (3, 4)),
        ('intrinsics', '<f8', (4,)),
        ('skew', '<f8'),
    ]
)
"""What is kept of a frame: its stamp, its number in the source, its camera's number, its pose
(world_from_camera) and its intrinsics fx, fy, cx, cy (first pixel centre at (0, 0))."""

Records = NDArray[np.void]

# Pixels hardly become smaller by more work, which would wait for this thread.
_LEVEL = 1
_NONE = np.float32(0)


def frame_name(index: int) -> str:
    """Return the name of the archive of a frame, relative to the folder of the results."""
    return f'{FRAMES}/frame_{index}.npz'


def record_of(view: PosedView, camera: int, number: int) -> Records:
    """Return the record of a view.

    Args:
        view: in the world.
        camera: number of its camera.
        number: of the frame in its source.
    """
    record = np.zeros(1, RECORD)
    k = view.camera.K
    record['stamp_ns'], record['number'], record['camera'] = view.id.stamp_ns, number, camera
    record['is_calibrated'] = view.is_calibrated
    record['height'], record['width'] = view.depth.shape
    record['pose'] = view.world_from_camera[:3]
    record['intrinsics'] = k[0, 0], k[1, 1], k[0, 2], k[1, 2]
    record['skew'] = k[0, 1]
    return record


def camera_of(record: np.void) -> PinholeCamera:
    """Return the intrinsics of a record."""
    fx, fy, cx, cy = record['intrinsics'].tolist()
    k = np.array([[fx, float(record['skew']), cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
    return PinholeCamera(k, ImageSize(int(record['height']), int(record['width'])))


def network_intrinsics(record: np.void) -> tuple[float, float, float, float]:
    """Return fx, fy, cx, cy of a record; the first pixel centre is at (0.5, 0.5), as there."""
    k = camera_of(record).to_corner_origin()
    return float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2])


def write_frame(path: Path, view: PosedView) -> None:
    """Write the archive of a view; equal views give equal bytes.

    Raises:
        OSError: it cannot be written.
    """
    arrays: dict[str, NDArray[Any]] = {
        'image': view.image,
        'depth': view.depth,
        'conf': positive_confidence(view),
        'intrinsics': view.camera.to_corner_origin().astype(np.float32),
    }
    _write_arrays(path, arrays)


def positive_confidence(view: PosedView) -> NDArray[np.float32]:
    """Return the confidence less 1, (h, w): 0 without depth, and 1 where a network gives none."""
    known = np.isfinite(view.depth) & (view.depth > 0)
    if view.sky is not None:
        known &= ~view.sky
    conf = np.float32(1) if view.confidence is None else view.confidence - np.float32(1)
    return np.where(known & np.isfinite(conf), np.maximum(conf, 0), 0).astype(np.float32)


def rescale_frame(source: Path, target: Path, factor: float) -> None:
    """Write the archive of a frame with depth in another unit.

    Args:
        source: the archive.
        target: where to.
        factor: new units per old one.

    Raises:
        OSError: it cannot be written.
    """
    with np.load(source, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays['depth'] = (arrays['depth'] * np.float32(factor)).astype(np.float32)
    _write_arrays(target, arrays)


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    with zipfile.ZipFile(path, 'w', compresslevel=_LEVEL) as archive:
        for key, array in arrays.items():
            # Its time of change is a constant, so that equal frames give equal bytes.
            entry = zipfile.ZipInfo(f'{key}.npy')
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, 'w', force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


@dataclass(frozen=True, eq=False)
class StoredViews(Sequence[PosedView]):
    """Views of a stream, each read from its archive when it is asked for and then forgotten."""

    folder: Path
    """Of the results, with the archives in it."""
    records: Records
    """(N,) of `RECORD`, poses in the unit of the archives."""
    indices: Sequence[int]
    """Numbers of the archives, one for each record."""
    cameras: tuple[str, ...]
    """Names, by their numbers."""
    has_pixels: bool = True
    """False for views that only say where they stand: nothing is read."""

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.records)

    @overload
    def __getitem__(self, place: int) -> PosedView: ...

    @overload
    def __getitem__(self, place: slice) -> StoredViews: ...

    def __getitem__(self, place: int | slice) -> PosedView | StoredViews:
        """Return one view, read now; or a part of them, not read."""
        if isinstance(place, slice):
            return replace(self, records=self.records[place], indices=self.indices[place])
        return self._read(self.records[place], self.indices[place])

    def __iter__(self) -> Iterator[PosedView]:
        """Yield the views, one in memory at a time."""
        for record, index in zip(self.records, self.indices, strict=True):
            yield self._read(record, index)

    def _read(self, record: np.void, index: int) -> PosedView:
        shape = (int(record['height']), int(record['width']))
        depth = np.broadcast_to(np.float32(np.nan), shape)
        image, conf = np.broadcast_to(np.uint8(0), (*shape, 3)), np.broadcast_to(_NONE, shape)
        if self.has_pixels:
            path = self.folder / frame_name(index)
            with (
                foreign_file(path, 'frame', ExportError),
                np.load(path, allow_pickle=False) as archive,
            ):
                image, depth, conf = archive['image'], archive['depth'], archive['conf']
        name = self.cameras[int(record['camera'])]
        return PosedView(
            id=ViewId(name, int(record['stamp_ns']), f'{name}_optical_frame'),
            depth=depth,
            image=image,
            camera=camera_of(record),
            is_calibrated=bool(record['is_calibrated']),
            world_from_camera=homogeneous(record['pose']),
            confidence=conf + np.float32(1),
            sky=None,
        )
