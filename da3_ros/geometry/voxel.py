"""Voxel thinning of point clouds."""

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError

# 2**64 over the golden ratio, odd.
_GOLDEN = 0x9E3779B97F4A7C15


def first_per_voxel(points: NDArray[np.float32], voxel_size_m: float) -> NDArray[np.int64]:
    """Return the ascending indices of the first point in every occupied voxel.

    Keeping an input point rather than a mean keeps its colour and confidence with it, and the
    result does not depend on anything but the order of the points.

    Args:
        points: (P, 3), finite.
        voxel_size_m: edge of the cubic voxels in the unit of the points; 0 keeps every point.

    Raises:
        GeometryError: the edge is negative or not finite.
    """
    if not (np.isfinite(voxel_size_m) and voxel_size_m >= 0):
        raise GeometryError(f'voxel size: expected a finite number >= 0, got {voxel_size_m}')
    if voxel_size_m == 0 or len(points) == 0:
        return np.arange(len(points))
    cells = np.floor(points / voxel_size_m).astype(np.int64)
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    if float(extent[0]) * float(extent[1]) * float(extent[2]) < 2**62:
        return _first_of_key((cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2])
    _, first = np.unique(cells, axis=0, return_index=True)
    return np.sort(first)


def _first_of_key(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ascending indices of the first of every distinct key.

    By a hash table instead of sorting. In every round all keys that are left write their place
    into a slot, the first one last. Where another key won the slot, a key goes into the next
    round, with all of its equals: they hash alike.

    Source of the hash: Knuth, "The Art of Computer Programming" vol. 3, section 6.4,
    multiplicative hashing.
    """
    bits = (2 * len(keys)).bit_length()
    table = np.empty(1 << bits, np.int32)
    places = np.arange(len(keys), dtype=np.int32)
    is_first = np.zeros(len(keys), np.bool_)
    left, multiplier = np.arange(len(keys)), _GOLDEN
    while len(keys):
        slots = ((keys.view(np.uint64) * np.uint64(multiplier)) >> np.uint64(64 - bits)).view(
            np.int64
        )
        own = places[: len(keys)]
        table[slots[::-1]] = own[::-1]
        winner = table[slots]
        is_first[left[winner == own]] = True
        lost = np.flatnonzero(keys[winner] != keys)
        left, keys = left[lost], keys[lost]
        # Odd, so that no key is lost in it.
        multiplier = (multiplier * _GOLDEN) % 2**64
    return np.flatnonzero(is_first)
