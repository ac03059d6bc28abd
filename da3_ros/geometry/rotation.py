"""Rotation matrices, quaternions (order in the name) and the distance between rotations."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float

_ORTHONORMAL_TOLERANCE = 1e-3
_LARGEST_ENTRY = 2.0
# Below this angle (cosine of its half) the arc is its chord.
_STRAIGHT = 1.0 - 1e-9
_WANTED = f'expected a rotation (orthonormal within {_ORTHONORMAL_TOLERANCE}, determinant +1)'


def quaternion_xyzw_from_matrix(rotation: ArrayLike) -> FloatArray:
    """Return the unit quaternion (..., 4) in x, y, z, w order with w >= 0 of (..., 3, 3).

    Of a matrix that is a rotation but for rounding. Where w is 0 the first of x, y and z that is
    not is positive.

    Source: Shepperd 1978, "Quaternion from rotation matrix": from the largest component on.
    """
    matrix = np.asarray(rotation, dtype=np.float64)
    # One by one: for the few that a set has, arrays cost ten times as much.
    flat = [_quaternion_xyzw(entries) for entries in matrix.reshape(-1, 9).tolist()]
    return np.array(flat, dtype=np.float64).reshape(*matrix.shape[:-2], 4)


def _quaternion_xyzw(entries: Sequence[float]) -> tuple[float, float, float, float]:
    """Return the quaternion of a rotation's nine entries, row by row."""
    a, b, c, d, e, f, g, h, i = entries
    largest = max(a + e + i, a, e, i)
    if largest == a + e + i:
        x, y, z, w = h - f, c - g, d - b, 1 + a + e + i
    elif largest == a:
        x, y, z, w = 1 + a - e - i, b + d, c + g, h - f
    elif largest == e:
        x, y, z, w = b + d, 1 - a + e - i, f + h, c - g
    else:
        x, y, z, w = c + g, f + h, 1 - a - e + i, d - b
    length = math.hypot(x, y, z, w)
    if next((value for value in (w, x, y, z) if value != 0), 1.0) < 0:
        length = -length
    return x / length, y / length, z / length, w / length


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


def slerp_xyzw(before: FloatArray, after: FloatArray, share: float) -> FloatArray:
    """Return the unit quaternion at a share of the way between two, by the shorter way.

    Source: Shoemake 1985, Animating Rotation with Quaternion Curves (slerp).
    """
    cosine = float(before @ after)
    if cosine < 0:  # the other sign of the same rotation is the shorter way
        after, cosine = -after, -cosine
    weights = (1.0 - share, share)
    if cosine < _STRAIGHT:
        angle = math.acos(min(cosine, 1.0))
        weights = (math.sin((1.0 - share) * angle), math.sin(share * angle))
    # The common factor 1 / sin(angle) falls out when the quaternion is normalised.
    quaternion_xyzw = weights[0] * before + weights[1] * after
    return np.asarray(quaternion_xyzw / math.sqrt(float(quaternion_xyzw @ quaternion_xyzw)))


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
    quaternion_xyzw = quaternion_xyzw_from_matrix(rotation)
    sine = np.linalg.norm(quaternion_xyzw[..., :3], axis=-1)
    return np.asarray(2 * np.arctan2(sine, quaternion_xyzw[..., 3]), dtype=np.float64)


def rotation_vector_rad(rotation: ArrayLike) -> FloatArray:
    """Return axis times angle (..., 3), at most pi long, of rotations (..., 3, 3)."""
    quaternion = quaternion_xyzw_from_matrix(rotation)
    sine = np.linalg.norm(quaternion[..., :3], axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, quaternion[..., 3:])
    # The quaternion of no rotation has no axis: 2 is the limit there.
    factor = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 0)
    return np.asarray(factor * quaternion[..., :3])


def nearest_rotation(matrix: ArrayLike) -> FloatArray:
    """Return the rotations (..., 3, 3) closest to matrices (..., 3, 3) in the Frobenius norm.

    The sum of several rotations gives their chordal mean this way.

    Raises:
        GeometryError: a matrix has rank below 2, so that no closest rotation is defined.

    Source: orthogonal Procrustes problem, Umeyama 1991, lemma of section II.
    """
    leading = (None,) * max(np.ndim(matrix) - 2, 0)
    u, d, vt = np.linalg.svd(as_float('matrix', matrix, (*leading, 3, 3)))
    if (d[..., 1] <= 1e-12 * np.maximum(d[..., 0], 1e-300)).any():
        raise GeometryError(f'nearest rotation: the matrix has rank below 2, singular values {d}')
    u[..., 2] *= np.sign(np.linalg.det(u @ vt))[..., None]
    return np.asarray(u @ vt)


def are_rotations(matrices: FloatArray) -> NDArray[np.bool_]:
    """Return which matrices (..., 3, 3) are proper rotations within 1e-3; NaN is in none."""
    # Far from it, products may be beyond all numbers.
    near = np.abs(matrices).max(axis=(-2, -1)) <= _LARGEST_ENTRY
    if not near.all():
        matrices = np.where(near[..., None, None], matrices, 0.0)
    return np.asarray(
        near & (_deviation(matrices) <= _ORTHONORMAL_TOLERANCE) & (np.linalg.det(matrices) >= 0)
    )


def require_rotation(name: str, matrix: ArrayLike) -> FloatArray:
    """Return `matrix` (3, 3) when it is a proper rotation within 1e-3.

    Raises:
        GeometryError: it is not orthonormal with determinant +1.
    """
    rotation = as_float(name, matrix, (3, 3))
    if not are_rotations(rotation):
        largest = float(np.abs(rotation).max())
        if largest > _LARGEST_ENTRY:
            raise GeometryError(f'{name}: {_WANTED}, got entries up to {largest:.3g}')
        raise GeometryError(
            f'{name}: {_WANTED}, got deviation {float(_deviation(rotation)):.2g}, '
            f'determinant {np.linalg.det(rotation):.3g}'
        )
    return rotation


def _deviation(matrices: FloatArray) -> FloatArray:
    """Return how far matrices (..., 3, 3) are from orthonormal, by their largest entry."""
    products = matrices @ np.swapaxes(matrices, -1, -2)
    return np.asarray(np.abs(products - np.eye(3)).max(axis=(-2, -1)))


def _matrices(*entries: FloatArray) -> FloatArray:
    """Return matrices (..., 3, 3) of nine entries (...), row by row."""
    stacked = np.stack(entries, axis=-1)
    return np.asarray(stacked.reshape(*stacked.shape[:-1], 3, 3))
