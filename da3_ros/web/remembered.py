"""What the viewer remembers of a run of any length, in bounded memory: path and map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.types import ColourImage

# A voxel index of 21 bits per axis: three of them fill one integer key.
_AXIS_BITS = 21
_HALF_RANGE = 1 << (_AXIS_BITS - 1)


class Trail:
    """The path of the robot as a line of limited length: coarser the longer it gets.

    Args:
        capacity: positions kept at most, at least 4.
    """

    def __init__(self, capacity: int = 2000) -> None:
        self._capacity = capacity
        self._spacing = 0.0
        self._kept: list[FloatArray] = []
        self._tip: FloatArray | None = None

    def add(self, position: FloatArray) -> None:
        """Go on to a position (3,)."""
        self._tip = position
        if self._kept and np.linalg.norm(position - self._kept[-1]) <= self._spacing:
            return
        self._kept.append(position)
        if len(self._kept) >= self._capacity:
            steps = np.linalg.norm(np.diff(np.stack(self._kept), axis=0), axis=1)
            self._spacing = 2 * max(self._spacing, float(np.median(steps)))
            self._kept = self._kept[::2]

    def line(self) -> FloatArray:
        """Return the positions (P, 3), the first and the newest always among them."""
        kept = list(self._kept)
        if self._tip is not None and not np.array_equal(self._tip, kept[-1]):
            kept.append(self._tip)
        return np.array(kept, float).reshape(-1, 3)


@dataclass(frozen=True, slots=True, eq=False)
class MapChunk:
    """A part of the map that is sent as one."""

    points: NDArray[np.float32]
    """(P, 3), world."""
    colours: ColourImage
    """(P, 3) uint8 RGB."""
    height: NDArray[np.float32]
    """(P,), above the base of the robot that saw the point, world units."""
    keys: NDArray[np.int64]
    """(P,), the voxels taken."""


_NO_POINTS = MapChunk(
    np.zeros((0, 3), np.float32),
    np.zeros((0, 3), np.uint8),
    np.zeros(0, np.float32),
    np.zeros(0, np.int64),
)


class VoxelMap:
    """One point for every voxel ever seen; when full, what was seen first is forgotten.

    The map lies in chunks. Only chunks that changed have to be sent again, and the oldest one is
    forgotten as a whole.

    Args:
        voxel_size: edge of the voxels, world units, > 0.
        chunk_points: points of a chunk at most.
        chunks: number of chunks, at least 2.
    """

    def __init__(self, voxel_size: float, chunk_points: int = 10_000, chunks: int = 60) -> None:
        self._voxel_size = voxel_size
        self._chunk_points = chunk_points
        self._chunks = [_NO_POINTS] * chunks
        self._current = 0
        self._known = _NO_POINTS.keys

    def __len__(self) -> int:
        return len(self._known)

    def chunk(self, index: int) -> MapChunk:
        """Return a chunk by its index; empty when nothing is in it."""
        return self._chunks[index]

    def add(
        self,
        points: NDArray[np.float32],
        colours: ColourImage,
        height: NDArray[np.float32],
    ) -> list[int]:
        """Take the points whose voxels are new and return the indices of chunks that changed."""
        keys, first = np.unique(self._keys(points), return_index=True)
        is_new = ~_in_sorted(keys, self._known)
        chosen = np.sort(first[is_new])
        if len(chosen) == 0:
            return []
        rest = MapChunk(
            points[chosen], colours[chosen], height[chosen], self._keys(points[chosen])
        )
        changed = []
        while len(rest.keys):
            room = self._chunk_points - len(self._chunks[self._current].keys)
            if room == 0:
                self._current = (self._current + 1) % len(self._chunks)
                self._forget(self._current)
                continue
            self._append(_part(rest, slice(None, room)))
            changed.append(self._current)
            rest = _part(rest, slice(room, None))
        return sorted(set(changed))

    def _append(self, part: MapChunk) -> None:
        old = self._chunks[self._current]
        self._chunks[self._current] = MapChunk(
            np.concatenate([old.points, part.points]),
            np.concatenate([old.colours, part.colours]),
            np.concatenate([old.height, part.height]),
            np.concatenate([old.keys, part.keys]),
        )
        keys = np.sort(part.keys)
        self._known = np.insert(self._known, np.searchsorted(self._known, keys), keys)

    def _forget(self, index: int) -> None:
        self._known = np.setdiff1d(self._known, self._chunks[index].keys, assume_unique=True)
        self._chunks[index] = _NO_POINTS

    def _keys(self, points: NDArray[np.float32]) -> NDArray[np.int64]:
        cells = np.floor(points.astype(np.float64) / self._voxel_size)
        cells = np.clip(cells, -_HALF_RANGE, _HALF_RANGE - 1).astype(np.int64) + _HALF_RANGE
        return np.asarray(
            cells[:, 0] << 2 * _AXIS_BITS | cells[:, 1] << _AXIS_BITS | cells[:, 2], np.int64
        )


def _part(chunk: MapChunk, part: slice) -> MapChunk:
    return MapChunk(chunk.points[part], chunk.colours[part], chunk.height[part], chunk.keys[part])


def _in_sorted(values: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which values are among sorted ones."""
    if len(known) == 0:
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.asarray(known[at] == values)
