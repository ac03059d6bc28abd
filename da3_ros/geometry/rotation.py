"""Rotation matrices, quaternions (order in the name) and the distance between rotations."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float

_ORTHONORMAL_TOLERANCE = 1e-3
_WANTED = f'expected a rotation (orthonormal within {_ORTHONORMAL_TOLERANCE}, determinant +1)'


def quaternion_xyzw_from_matrix(rotation: ArrayLike) -> FloatArray:
    """Return the unit quaternion (..., 4) in x, y, z, w order with w >= 0 of (..., 3, 3).

    Of a half turn, where w is 0, the first number that is not 0 is positive.

    Source: Shepperd 1978, Quaternion from Rotation Matrix.
    """
    r = np.asarray(rotation, dtype=np.float64)
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    xy, xz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0]
    yz, wx = r[..., 1, 2] + r[..., 2, 1], r[..., 2, 1] - r[..., 1, 2]
    wy, wz = r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    # Row i is the quaternion times four times its number i: the longest is the most exact.
    rows = np.empty((*r.shape[:-2], 4, 4))
    rows[..., 0, 0], rows[..., 1, 1] = 1 + xx - yy - zz, 1 - xx + yy - zz
    rows[..., 2, 2], rows[..., 3, 3] = 1 - xx - yy + zz, 1 + xx + yy + zz
    rows[..., 0, 1] = rows[..., 1, 0] = xy
    rows[..., 0, 2] = rows[..., 2, 0] = xz
    rows[..., 1, 2] = rows[..., 2, 1] = yz
    rows[..., 0, 3] = rows[..., 3, 0] = wx
    rows[..., 1, 3] = rows[..., 3, 1] = wy
    rows[..., 2, 3] = rows[..., 3, 2] = wz
    best = np.diagonal(rows, axis1=-2, axis2=-1).argmax(axis=-1)[..., None, None]
    longest = np.take_along_axis(rows, best, axis=-2)[..., 0, :]
    quaternion = longest / np.linalg.norm(longest, axis=-1, keepdims=True)
    first = (quaternion[..., [3, 0, 1, 2]] != 0).argmax(axis=-1)[..., None]
    sign = np.take_along_axis(quaternion[..., [3, 0, 1, 2]], first, axis=-1)
    return np.asarray(np.where(sign < 0, -quaternion, quaternion))


def matrix_from_quaternion_xyzw(quaternion_xyzw: ArrayLike) -> FloatArray:
    """Return the rotation (..., 3, 3) of quaternions (..., 4) of any non-zero length.

    Raises:
        GeometryError: a quaternion is zero or not finite, so that it names no rotation.
    """
    quaternion = np.asarray(quaternion_xyzw, dtype=np.float64)
    norm = np.linalg.norm(quaternion, axis=-1)
    if not np.isfinite(norm).all() or (norm < 1e-9).any():
        raise GeometryError(
            f'quaternion (x, y, z, w): expected a finite, non-zero one, got {quaternion.tolist()}'
        )
    x, y, z, w = np.moveaxis(quaternion / norm[..., None], -1, 0)
    return _matrices(
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )


def rotation_from_rpy(rpy_rad: ArrayLike) -> FloatArray:
    """Return the rotation (..., 3, 3) of roll, pitch, yaw (..., 3) about fixed x, y, z, in order.

    Source: REP 103, the fixed-axis form, as in a URDF's origin.
    """
    roll, pitch, yaw = np.moveaxis(np.asarray(rpy_rad, dtype=np.float64), -1, 0)
    a, b, c = np.cos(roll), np.cos(pitch), np.cos(yaw)
    sa, sb, sc = np.sin(roll), np.sin(pitch), np.sin(yaw)
    return _matrices(
        *(c * b, c * sb * sa - sc * a, c * sb * a + sc * sa),
        *(sc * b, sc * sb * sa + c * a, sc * sb * a - c * sa),
        *(-sb, b * sa, b * a),
    )


def rotation_angle_rad(rotation: ArrayLike) -> FloatArray:
    """Return the angle in [0, pi] of rotations (..., 3, 3), accurate also near 0 and pi."""
    quaternion = quaternion_xyzw_from_matrix(rotation)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1)
    return np.asarray(2 * np.arctan2(sine, quaternion[..., 3]))


def rotation_vector_rad(rotation: ArrayLike) -> FloatArray:
    """Return axis times angle (..., 3), at most pi long, of rotations (..., 3, 3)."""
    quaternion = quaternion_xyzw_from_matrix(rotation)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., 3:])
    # The quaternion of no rotation has no axis: 2 is the limit there.
    factor = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 0)
    return np.asarray(factor * quaternion[..., :3])


def nearest_rotation(matrix: ArrayLike) -> FloatArray:
    """Return the rotation (3, 3) closest to a matrix in the Frobenius norm.

    The sum of several rotations gives their chordal mean this way.

    Raises:
        GeometryError: the matrix has rank below 2, so that no closest rotation is defined.

    Source: orthogonal Procrustes problem, Umeyama 1991, lemma of section II.
    """
    u, d, vt = np.linalg.svd(as_float('matrix', matrix, (3, 3)))
    if d[1] <= 1e-12 * max(d[0], 1e-300):
        raise GeometryError(f'nearest rotation: the matrix has rank below 2, singular values {d}')
    sign = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    return np.asarray(u @ np.diag([1.0, 1.0, sign]) @ vt)


def require_rotation(name: str, matrix: ArrayLike) -> FloatArray:
    """Return `matrix` (3, 3) when it is a proper rotation within 1e-3.

    Raises:
        GeometryError: it is not orthonormal with determinant +1.
    """
    rotation = as_float(name, matrix, (3, 3))
    largest = float(np.abs(rotation).max())
    if largest > 2.0:  # far from it, and its products may be beyond all numbers
        raise GeometryError(f'{name}: {_WANTED}, got entries up to {largest:.3g}')
    error = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
    if error > _ORTHONORMAL_TOLERANCE or np.linalg.det(rotation) < 0:
        raise GeometryError(
            f'{name}: {_WANTED}, got deviation {error:.2g}, '
            f'determinant {np.linalg.det(rotation):.3g}'
        )
    return rotation


def _matrices(*entries: FloatArray) -> FloatArray:
    """Return matrices (..., 3, 3) of nine entries (...), row by row."""
    stacked = np.stack(entries, axis=-1)
    return np.asarray(stacked.reshape(*stacked.shape[:-1], 3, 3))
