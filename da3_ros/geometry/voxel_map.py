"""Many point clouds as one: the mean of the points of every voxel, whatever their number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError

# Whole numbers of a voxel along one axis: three of them are one key.
_BITS = 21
_LIMIT = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1
# So many voxels of single clouds wait before they are worked in: less often costs less.
_WAITING = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FusedPoints:
    """One point for every voxel, in the order of their keys: it depends on nothing else."""

    xyz: NDArray[np.float32]
    """(P, 3), mean of the points in the voxel, unit of the clouds."""
    rgb: NDArray[np.uint8]
    """(P, 3), mean colour."""
    confidence: NDArray[np.float32]
    """(P,), mean confidence; NaN where no point had one."""
    seen: NDArray[np.uint32]
    """(P,), clouds that have points in the voxel."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    keys: NDArray[np.int64]
    """Ascending, each once."""
    values: NDArray[np.float64]
    """(P, 8): offsets in the voxel, colours, confidence, number of points."""
    seen: NDArray[np.uint32]


class VoxelMap:
    """Takes clouds and keeps one mean per occupied voxel: memory grows with the space, not time.

    Args:
        voxel_size: edge of the cubic voxels in the unit of the points.

    Raises:
        GeometryError: the edge is not a finite number > 0.
    """

    def __init__(self, voxel_size: float) -> None:
        if not (np.isfinite(voxel_size) and voxel_size > 0):
            raise GeometryError(f'voxel size: expected a finite number > 0, got {voxel_size}')
        self._size = float(voxel_size)
        self._parts: list[_Sums] = []
        self._waiting = 0

    def add(
        self,
        xyz: NDArray[np.floating],
        rgb: NDArray[np.uint8],
        confidence: NDArray[np.floating],
    ) -> None:
        """Add a cloud.

        Args:
            xyz: (P, 3), finite.
            rgb: (P, 3).
            confidence: (P,), NaN where unknown; then it is unknown for the whole voxel.

        Raises:
            GeometryError: points are farther from the origin than a million voxels.
        """
        if len(xyz) == 0:
            return
        scaled = np.asarray(xyz, np.float64) / self._size
        cells = np.floor(scaled)
        farthest = float(np.abs(cells).max())
        if not farthest < _LIMIT:
            raise GeometryError(
                f'point cloud: expected points within {_LIMIT * self._size:.6g} of the origin at '
                f'a voxel size of {self._size:g}, got one at {farthest * self._size:.6g}; choose '
                'larger voxels'
            )
        values = np.empty((len(xyz), 8))
        values[:, :3], values[:, 3:6], values[:, 6] = scaled - cells, rgb, confidence
        values[:, 7] = 1.0
        whole = cells.astype(np.int64) + _LIMIT
        keys = (whole[:, 0] << (2 * _BITS)) | (whole[:, 1] << _BITS) | whole[:, 2]
        part = _summed(keys, values, np.zeros(len(keys), np.uint32))
        part = _Sums(part.keys, part.values, np.ones(len(part.keys), np.uint32))
        self._parts.append(part)
        self._waiting += len(part.keys)
        if self._waiting > max(_WAITING, len(self._parts[0].keys)):
            self._work_in()

    def points(self, least_seen: int = 1) -> FusedPoints:
        """Return the points of all voxels that at least so many clouds have points in."""
        self._work_in()
        if not self._parts:
            none = np.empty((0, 3))
            return FusedPoints(
                none.astype(np.float32), none.astype(np.uint8),
                np.empty(0, np.float32), np.empty(0, np.uint32),
            )  # fmt: skip
        sums = self._parts[0]
        kept = sums.seen >= least_seen
        keys, values, seen = sums.keys[kept], sums.values[kept], sums.seen[kept]
        means = values[:, :7] / values[:, 7:]
        cells = np.stack([keys >> (2 * _BITS), (keys >> _BITS) & _MASK, keys & _MASK], 1) - _LIMIT
        return FusedPoints(
            ((cells + means[:, :3]) * self._size).astype(np.float32),
            np.rint(means[:, 3:6]).astype(np.uint8),
            means[:, 6].astype(np.float32),
            seen,
        )

    def _work_in(self) -> None:
        if len(self._parts) > 1:
            keys = np.concatenate([part.keys for part in self._parts])
            values = np.concatenate([part.values for part in self._parts])
            seen = np.concatenate([part.seen for part in self._parts])
            self._parts = [_summed(keys, values, seen)]
        self._waiting = 0


def _summed(
    keys: NDArray[np.int64], values: NDArray[np.float64], seen: NDArray[np.uint32]
) -> _Sums:
    """Return the sums of what has the same key, in the order of the keys."""
    order = np.argsort(keys, kind='stable')
    keys = keys[order]
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return _Sums(
        keys[first],
        np.add.reduceat(values[order], first, axis=0),
        np.add.reduceat(seen[order], first),
    )
