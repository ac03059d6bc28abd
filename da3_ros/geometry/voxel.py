"""Voxel thinning of point clouds."""

import numpy as np
from numpy.lib import NumpyVersion
from numpy.typing import NDArray

from da3_ros.errors import GeometryError

# 2**64 over the golden ratio, odd.
_GOLDEN = 0x9E3779B97F4A7C15
# From this version on NumPy sorts by vector instructions: faster than a table, which is out of the
# cache. Before, sorting is several times as slow.
_SORTS_FAST = NumpyVersion(np.__version__) >= '2.0.0'


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
    _check(voxel_size_m)
    if voxel_size_m == 0 or len(points) == 0:
        return np.arange(len(points))
    # Axis by axis: whole columns are faster than rows of three.
    cells = _cells(np.ascontiguousarray(points.T), voxel_size_m).astype(np.int64)
    cells -= cells.min(axis=1)[:, None]
    x, y, z = (cells.max(axis=1) + 1).tolist()
    if x * y * z >= 2**62:
        _, first = np.unique(cells, axis=1, return_index=True)
        return np.sort(first)
    keys = (cells[0] * y + cells[1]) * z + cells[2]
    if _SORTS_FAST and x * y * z <= 2**62 >> len(keys).bit_length():
        return _first_by_sorting(keys)
    return _first_by_hashing(keys)


def voxel_borders(planes: NDArray[np.float32], voxel_size_m: float) -> NDArray[np.int64]:
    """Return where in an image of points another voxel begins, as ascending flat indices.

    These are the pixels with a point whose voxel is neither that of the pixel before, in the same
    row, nor that of the pixel above. The first point of every voxel is among them, and on surfaces
    few others are: what remains to be compared is a small part of the image.

    Args:
        planes: (3, H, W), x, y and z of every pixel; not finite where there is no point.
        voxel_size_m: as for `first_per_voxel`; 0 gives all pixels with a point.

    Raises:
        GeometryError: the edge is negative or not finite.
    """
    _check(voxel_size_m)
    width = planes.shape[2]
    begins: NDArray[np.bool_] = np.isfinite(planes[2])
    if voxel_size_m > 0:
        cells = _cells(planes, voxel_size_m).reshape(3, -1)
        # Flat, without regard to where rows end: that is looked at by itself.
        differs_from_left = _differ(cells[:, 1:], cells[:, :-1])
        differs_from_left[width - 1 :: width] = True
        begins.reshape(-1)[1:] &= differs_from_left
        begins.reshape(-1)[width:] &= _differ(cells[:, width:], cells[:, :-width])
    return np.flatnonzero(begins)


def _check(voxel_size_m: float) -> None:
    if not (np.isfinite(voxel_size_m) and voxel_size_m >= 0):
        raise GeometryError(f'voxel size: expected a finite number >= 0, got {voxel_size_m}')


def _cells(planes: NDArray[np.float32], voxel_size_m: float) -> NDArray[np.float32]:
    """Return the whole numbers of the voxels of coordinates, of any shape."""
    cells = np.divide(planes, np.float32(voxel_size_m), dtype=np.float32)
    return np.asarray(np.floor(cells, out=cells))


def _differ(cells: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return whether voxels (3, P) are others; so is every one that is not known."""
    differ = cells != others
    differ[0] |= differ[1]
    differ[0] |= differ[2]
    return np.asarray(differ[0])


def _first_by_sorting(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the ascending indices of the first of every distinct key.

    Key and index fit into 62 bits together.
    """
    bits = len(keys).bit_length()
    placed = (keys << bits) | np.arange(len(keys))
    placed.sort()
    sorted_keys = placed >> bits
    differs = np.ones(len(keys), np.bool_)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=differs[1:])
    placed &= (1 << bits) - 1
    is_first = np.empty(len(keys), np.bool_)
    is_first[placed] = differs
    return np.flatnonzero(is_first)


def _first_by_hashing(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the same by a hash table.

    In every round all keys that are left write their place
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
