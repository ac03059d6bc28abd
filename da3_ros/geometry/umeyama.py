"""Closed-form similarity between two point sets."""

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray, as_float
from da3_ros.geometry.sim3 import Sim3

POINT_TOLERANCE = 1e-6
"""Spread of points that counts as none, as a fraction of how far they are from the origin."""


def spread(points: FloatArray) -> float:
    """Return the root mean square distance of points (N, 3) from their middle."""
    return float(np.linalg.norm(points - points.mean(axis=0)) / np.sqrt(len(points)))


def clear_spread(points: FloatArray) -> float:
    """Return the spread of points (N, 3), zero when it is only rounding."""
    distance = spread(points)
    reach = float(np.abs(points).max())
    return distance if distance > POINT_TOLERANCE * max(reach, 1e-3) else 0.0


def similarity_from_points(
    source: ArrayLike, target: ArrayLike, weights: ArrayLike | None = None
) -> Sim3:
    """Return target_from_source that minimises sum w |target - (s R source + t)|^2.

    Args:
        source: (N, 3).
        target: (N, 3), the same points in the other frame.
        weights: (N,) >= 0, or None for equal ones.

    Raises:
        GeometryError: fewer than three points, or all on one line or in one place, so that the
            rotation is not determined.

    Source: Umeyama 1991, equations 34 to 43; weights enter the means and the covariance.
    """
    x = as_float('source points', source, (None, 3))
    y = as_float('target points', target, (x.shape[0], 3))
    n = x.shape[0]
    w = np.full(n, 1.0) if weights is None else as_float('weights', weights, (n,))
    if n < 3 or (w < 0).any() or w.sum() <= 0:
        raise GeometryError(f'similarity: expected 3 or more weighted points, got {n}')
    w = w / w.sum()
    mean_x, mean_y = w @ x, w @ y
    x_centred, y_centred = x - mean_x, y - mean_y
    variance_x = float(w @ (x_centred**2).sum(axis=1))
    covariance = (y_centred * w[:, None]).T @ x_centred
    u, d, vt = np.linalg.svd(covariance)
    # Rank below 2: all points on a line. The bound is relative, so that it knows no unit.
    if not d[0] > 0 or d[1] <= 1e-10 * d[0] or variance_x <= 0:
        raise GeometryError(
            'similarity: the points lie on one line or in one place '
            f'(singular values {d.tolist()}), so the rotation is not determined'
        )
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = float(d @ signs) / variance_x
    return Sim3(scale, rotation, mean_y - scale * (rotation @ mean_x))
