"""The path from one camera pose to the next: a turn about the point that both look at.

A pose is described relative to a pivot, the point nearest to both optical axes, by where the
pivot lies in axes that follow the look direction, and by angles about fixed axes. Both are
interpolated, so that a camera circles what it looks at instead of cutting the corner.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid

_PARALLEL = 1e-4
"""Directions count as parallel when 1 - |cos| is below this: within 0.81 degrees."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pivot:
    """What both poses are described relative to."""

    point: FloatArray
    """(3,) in the world."""
    world_from_pivot: FloatArray
    """(3, 3): z is the first look direction, y is normal to both."""


def pivot_poses(first: FloatArray, second: FloatArray, shares: FloatArray) -> FloatArray:
    """Return poses on the path between two.

    Args:
        first: (4, 4) world_from_camera.
        second: (4, 4) world_from_camera.
        shares: (n,) how far along the path, 0..1.

    Returns:
        (n, 4, 4) world_from_camera; `first` and `second` themselves at 0 and 1.
    """
    pivot = _pivot_between(first, second)
    offset_a, angles_a = _described(first, pivot)
    offset_b, angles_b = _described(second, pivot)
    turn = (angles_b - angles_a + np.pi) % (2 * np.pi) - np.pi
    share = np.asarray(shares, dtype=np.float64)[:, None]
    angles = angles_a + share * turn
    offsets = offset_a + share * (offset_b - offset_a)
    rotations = pivot.world_from_pivot @ Rotation.from_euler('YXZ', angles).as_matrix()
    look_axes = _look_axes(pivot.world_from_pivot[:, 1], rotations[:, :, 2])
    return rigid(rotations, pivot.point - (look_axes @ offsets[:, :, None])[:, :, 0])


def _pivot_between(first: FloatArray, second: FloatArray) -> _Pivot:
    a, b = first[:3, 2], second[:3, 2]
    origins = np.stack([first[:3, 3], second[:3, 3]])
    if _are_parallel(a, b):
        point = origins.mean(axis=0)
        other = np.array([0.0, 0.0, 1.0])
        if _are_parallel(a, other):
            other = np.array([0.0, 1.0, 0.0])
    else:
        point = _nearest_to_lines(origins, np.stack([a, b]))
        other = b
    normal = np.cross(a, other)
    normal /= np.linalg.norm(normal)
    return _Pivot(point, np.stack([np.cross(normal, a), normal, a], axis=1))


def _are_parallel(a: FloatArray, b: FloatArray) -> bool:
    return bool(abs(abs(float(a @ b)) - 1) < _PARALLEL)


def _nearest_to_lines(origins: FloatArray, directions: FloatArray) -> FloatArray:
    """Return the point (3,) with least squared distance to lines (n, 3) + s (n, 3)."""
    projectors = directions[:, :, None] * directions[:, None, :] - np.eye(3)
    right = (projectors @ origins[:, :, None]).sum(axis=0)[:, 0]
    solution = np.linalg.lstsq(projectors.sum(axis=0), right, rcond=None)[0]
    return np.asarray(solution, dtype=np.float64)


def _described(pose: FloatArray, pivot: _Pivot) -> tuple[FloatArray, FloatArray]:
    """Return where the pivot lies (3,) in the pose's look axes, and the angles (3,) Y, X, Z.

    X is zero when the look direction is normal to the pivot's y axis: always, except between
    directions that only count as parallel, where it keeps the path free of a step at its ends.
    """
    relative = Rotation.from_matrix(pivot.world_from_pivot.T @ pose[:3, :3])
    look_axes = _look_axes(pivot.world_from_pivot[:, 1], pose[:3, 2])
    return look_axes.T @ (pivot.point - pose[:3, 3]), relative.as_euler('YXZ')


def _look_axes(normal: FloatArray, look: FloatArray) -> FloatArray:
    """Return axes (..., 3, 3) with z along `look` (..., 3) and y as near `normal` as can be."""
    x = np.cross(normal, look)
    x = x / np.linalg.norm(x, axis=-1, keepdims=True)
    return np.stack([x, np.cross(look, x), look], axis=-1)
