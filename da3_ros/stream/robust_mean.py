"""Means of a few rotations or positions that survive one that is wrong."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import MAD_TO_SIGMA, median
from da3_ros.geometry.rotation import nearest_rotation

# Rotations closer than this to the central one are never called wrong, rad.
_ROTATION_FLOOR_RAD = 2e-3
_OUTLIER_SIGMAS = 3.0
# Chordal distance over sqrt(2) of rotations that are a quarter apart.
_QUARTER = math.sqrt(2.0)


def mean_rotation(rotations: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the chordal mean (3, 3) of rotations (N, 3, 3), N >= 1, and which ones are in it.

    The central rotation is the one with the smallest sum of distances to the others; those
    further from it than three robust standard deviations are left out of the mean, and so are
    those further than a quarter: rotations that far apart have no mean, or one that none of them
    is near to.

    Source: Hartley et al. 2013, Rotation Averaging (chordal L2 mean).
    """
    flat = rotations.reshape(len(rotations), 9)
    # Chordal distance over sqrt(2) is the angle to second order.
    distance = np.sqrt(np.maximum(3.0 - flat @ flat.T, 0.0))
    centre = int(distance.sum(axis=1).argmin())
    inliers = _inliers(distance[centre], _ROTATION_FLOOR_RAD) & (distance[centre] < _QUARTER)
    return nearest_rotation(rotations[inliers].sum(axis=0)), inliers


def mean_position(positions: FloatArray, floor: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Return the mean (3,) of positions (N, 3), N >= 1, and the distance (N,) of each to it.

    Positions further from the median than three robust standard deviations are left out.

    Args:
        positions: the points.
        floor: distance below which none is left out.
    """
    middle = [median(axis) for axis in positions.T]
    distance = np.linalg.norm(positions - middle, axis=1)
    mean = positions[_inliers(distance, floor)].mean(axis=0)
    return mean, np.linalg.norm(positions - mean, axis=1)


def weighted_mean(
    values: FloatArray, weights: FloatArray, floor: float
) -> tuple[float, NDArray[np.bool_]]:
    """Return the weighted mean of numbers (N,), N >= 1, without outliers, and which are in it."""
    inliers = _inliers(np.abs(values - median(values)), floor)
    counted = weights[inliers]
    return float((values[inliers] * counted).sum() / counted.sum()), inliers


def rms(values: FloatArray) -> float:
    """Return the root mean square, NaN of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if len(values) else float('nan')


def _inliers(distance: FloatArray, floor: float) -> NDArray[np.bool_]:
    bound = _OUTLIER_SIGMAS * MAD_TO_SIGMA * median(distance) + floor
    # Equal distances must not fall out by rounding.
    return np.asarray(distance <= bound * (1 + 1e-9) + 1e-12)
