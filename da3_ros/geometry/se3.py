"""Rigid transforms as homogeneous matrices (..., 4, 4); composition is the matrix product."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.rotation import (
    are_rotations,
    matrix_from_quaternion_xyzw,
    nearest_rotation,
    require_rotation,
)

_ROW_TOLERANCE = 1e-9


def rigid(rotation: ArrayLike, translation: ArrayLike) -> FloatArray:
    """Return the transform (..., 4, 4) with rotation (..., 3, 3) and translation (..., 3)."""
    r = np.asarray(rotation, dtype=np.float64)
    t = np.asarray(translation, dtype=np.float64)
    matrix = np.zeros((*r.shape[:-2], 4, 4))
    matrix[..., :3, :3] = r
    matrix[..., :3, 3] = t
    matrix[..., 3, 3] = 1.0
    return matrix


def homogeneous(matrix: ArrayLike) -> FloatArray:
    """Return (..., 4, 4) from (..., 3, 4) or (..., 4, 4) in float64.

    Raises:
        GeometryError: the trailing shape is neither.
    """
    array = np.asarray(matrix, dtype=np.float64)
    if array.shape[-2:] not in {(3, 4), (4, 4)}:
        raise GeometryError(f'transform: expected (..., 3, 4) or (..., 4, 4), got {array.shape}')
    return rigid(array[..., :3, :3], array[..., :3, 3])


def nearest_rigid(matrix: ArrayLike) -> FloatArray:
    """Return transforms (..., 3, 4) or (..., 4, 4), rotations made exact, as (..., 4, 4) float64.

    Raises:
        GeometryError: another shape, or a rotation part of rank below 2.
    """
    array = homogeneous(matrix)
    return rigid(nearest_rotation(array[..., :3, :3]), array[..., :3, 3])


def invert(a_from_b: ArrayLike) -> FloatArray:
    """Return b_from_a (..., 4, 4) of a rigid a_from_b (..., 4, 4): [R^T | -R^T t]."""
    matrix = np.asarray(a_from_b, dtype=np.float64)
    rotation = np.swapaxes(matrix[..., :3, :3], -1, -2)
    return rigid(rotation, -(rotation @ matrix[..., :3, 3:])[..., 0])


def transform_points(a_from_b: ArrayLike, points_b: ArrayLike) -> FloatArray:
    """Return points (..., 3) moved from frame b to frame a by one transform (4, 4)."""
    matrix = np.asarray(a_from_b, dtype=np.float64)
    points = np.asarray(points_b, dtype=np.float64)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def rigid_from_xyz_xyzw(values: ArrayLike) -> FloatArray:
    """Return the transform of seven numbers: translation x y z, quaternion x y z w.

    Raises:
        GeometryError: not seven finite numbers, or a zero quaternion.
    """
    seven = as_float('x y z qx qy qz qw', values, (7,))
    return rigid(matrix_from_quaternion_xyzw(seven[3:]), seven[:3])


def are_rigid(matrices: FloatArray) -> NDArray[np.bool_]:
    """Return which matrices (..., 4, 4) are finite and rigid within 1e-3, as `require_rigid`."""
    finite = np.isfinite(matrices).all(axis=(-2, -1))
    return np.asarray(finite & are_rotations(matrices[..., :3, :3]) & _ends_right(matrices))


def require_rigid(name: str, matrix: ArrayLike) -> FloatArray:
    """Return `matrix` as (4, 4) when it is a rigid transform within 1e-3.

    Raises:
        GeometryError: wrong shape, numbers not finite, or no proper rotation.
    """
    transform = as_float(name, matrix, (4, 4))
    require_rotation(f'{name} (rotation part)', transform[:3, :3])
    if not _ends_right(transform):
        raise GeometryError(f'{name}: expected bottom row 0 0 0 1, got {transform[3].tolist()}')
    return transform


def _ends_right(matrices: FloatArray) -> NDArray[np.bool_]:
    """Return which matrices (..., 4, 4) have the bottom row 0 0 0 1."""
    rest = np.abs(matrices[..., 3, :] - (0.0, 0.0, 0.0, 1.0))
    return np.asarray(rest.max(axis=-1) <= _ROW_TOLERANCE)
