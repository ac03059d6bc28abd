"""Voxel thinning of point clouds."""

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError


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
        key = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
        _, first = np.unique(key, return_index=True)
    else:
        _, first = np.unique(cells, axis=0, return_index=True)
    return np.sort(first)
