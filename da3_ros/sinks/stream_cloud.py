"""Point clouds of a stream as DA3-Streaming writes them: one for each window, and all in one.

Binary little-endian PLY with x y z (float) and red green blue (uchar) in the world of frame 0. Of
the pixels whose confidence (less 1) is at least a multiple of its mean, a share is kept: chosen at
random from a seed that is the number of the cloud. Unlike there, every frame is in one cloud only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.ply import header, vertex_layout, vertices
from da3_ros.export.scene import ViewPoints
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import transform_points
from da3_ros.geometry.unproject import unproject_pixels
from da3_ros.sinks.stream_frames import positive_confidence
from da3_ros.types import PosedView

CLOUDS = 'pcd'
COMBINED = f'{CLOUDS}/combined_pcd.ply'

VERTEX = vertex_layout(with_confidence=False)
"""One point of a file."""

_SEED = 0
# Zero is what has no depth.
_LEAST_CONFIDENCE = 1e-5
_BLOCK_POINTS = 1 << 20


def cloud_name(number: int) -> str:
    """Return the name of the cloud of a window, relative to the folder of the results."""
    return f'{CLOUDS}/{number}_pcd.ply'


def sampled_points(
    views: Sequence[PosedView],
    base_from_world: FloatArray,
    number: int,
    *,
    threshold_coef: float,
    ratio: float,
) -> NDArray[np.void]:
    """Return some points of views, as many as the share of those with enough confidence.

    Args:
        views: of one window.
        base_from_world: (4, 4) the frame that points are given in.
        number: of the cloud, which seeds the choice.
        threshold_coef: least confidence (less 1) as a multiple of the mean over all pixels.
        ratio: share of the points that is kept.

    Returns:
        (P,) of `VERTEX`, in the order of views and pixels.
    """
    confidences = [positive_confidence(view) for view in views]
    pixels = sum(conf.size for conf in confidences)
    mean = sum(float(conf.sum(dtype=np.float64)) for conf in confidences) / max(pixels, 1)
    least = max(threshold_coef * mean, _LEAST_CONFIDENCE)
    kept = [np.flatnonzero(conf >= least) for conf in confidences]
    ends = np.cumsum([0, *map(len, kept)])
    rng = np.random.default_rng((_SEED, number))
    chosen = rng.choice(int(ends[-1]), int(ends[-1] * ratio), replace=False, shuffle=False)
    chosen.sort()
    places = np.searchsorted(chosen, ends)
    parts = [
        _vertices(view, flat[chosen[first:last] - end], base_from_world)
        for view, flat, first, last, end in zip(
            views, kept, places[:-1], places[1:], ends[:-1], strict=True
        )
    ]
    return np.concatenate(parts) if parts else np.empty(0, VERTEX)


def _vertices(
    view: PosedView, flat: NDArray[np.intp], base_from_world: FloatArray
) -> NDArray[np.void]:
    v, u = np.divmod(flat.astype(np.int64), view.depth.shape[1])
    uv = np.stack([u, v], axis=1)
    in_camera = unproject_pixels(uv, view.depth[v, u], view.camera.K)
    xyz = transform_points(base_from_world @ view.world_from_camera, in_camera)
    return vertices(ViewPoints(xyz, view.image[v, u], uv, None), VERTEX)


def rescale_cloud(source: Path, target: Path, factor: float) -> None:
    """Write a cloud of ours with its points in another unit.

    Raises:
        OSError: it cannot be read or written.
        ExportError: it is none of ours.
    """
    count, _ = _opened_count(source)
    with target.open('wb') as file:
        file.write(header(VERTEX, count, ()))
        for block in _blocks(source):
            for name in 'xyz':
                block[name] *= np.float32(factor)
            file.write(block.tobytes())


def combine_clouds(clouds: Sequence[Path], target: Path, comments: Sequence[str] = ()) -> int:
    """Write the points of several clouds of ours as one and return their number.

    Raises:
        OSError: one cannot be read or written.
        ExportError: one is none of ours.
    """
    total = sum(_opened_count(path)[0] for path in clouds)
    with target.open('wb') as file:
        file.write(header(VERTEX, total, comments))
        for path in clouds:
            for block in _blocks(path):
                file.write(block.tobytes())
    return total


def _opened_count(path: Path) -> tuple[int, int]:
    """Return how many points a cloud has, and where they begin."""
    count = -1
    with path.open('rb') as file:
        for line in file:
            if line.startswith(b'element vertex '):
                count = int(line.split()[-1])
            if line == b'end_header\n':
                begin = file.tell()
                if path.stat().st_size == begin + count * VERTEX.itemsize:
                    return count, begin
                break
    raise ExportError(f'{path}: expected a cloud of {count} points, its size is another one')


def _blocks(path: Path) -> Iterator[NDArray[np.void]]:
    count, begin = _opened_count(path)
    with path.open('rb') as file:
        file.seek(begin)
        for first in range(0, count, _BLOCK_POINTS):
            yield np.fromfile(file, VERTEX, min(_BLOCK_POINTS, count - first))
