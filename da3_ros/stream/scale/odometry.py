"""The unit of lengths by the motion that odometry measures, over one window or several.

A slow robot moves less within a window than the network's positions are uncertain. A window
therefore gives a ratio with its error. Ratios average without bias, however uncertain they are;
one becomes a measurement of log(scale) only when it is known well.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.stream.robust_mean import mean_rotation
from da3_ros.stream.scale.measurements import (
    FUSED_FLOOR,
    KNOWN_SIGMA,
    LogScale,
    agreeing,
    regression,
)

ODOMETRY_SIGMA = 0.01
"""Assumed standard deviation of log(length) of a motion by odometry."""

# Jitter of one pose of the odometry, and what its stamp is off by at walking speed.
_ODOMETRY_NOISE_M = 2e-3
_GATE_SIGMAS = 4.0
# The variance of what is remembered grows by this per window: the chain drifts meanwhile.
_AGING = 1.04
# What is known better in (units per metre)^2 would be known without any length in the window.
_LEAST_VARIANCE = 1e-100


@dataclass(frozen=True, slots=True)
class Ratio:
    """Units of predicted lengths in a metre of the odometry; may be anything while uncertain."""

    units_per_m: float
    sigma: float
    """Standard deviation; > 0."""

    def scaled(self, factor: float) -> Ratio:
        """Return the ratio with predicted lengths in another unit, `factor` new ones per old."""
        return Ratio(self.units_per_m * factor, self.sigma * factor)

    def contradicts(self, other: Ratio) -> bool:
        """Return whether two ratios differ by more than their errors explain."""
        difference = abs(self.units_per_m - other.units_per_m)
        return difference > _GATE_SIGMAS * math.hypot(self.sigma, other.sigma)

    def log_scale(self) -> LogScale | None:
        """Return log(metres per unit), None while it is not known well enough."""
        if self.units_per_m <= 0 or self.sigma > KNOWN_SIGMA * self.units_per_m:
            return None
        relative = math.hypot(self.sigma / self.units_per_m, ODOMETRY_SIGMA)
        return LogScale(-math.log(self.units_per_m), max(relative, FUSED_FLOOR))


def ratio_to_odometry(
    window: FloatArray, odometry: FloatArray, position_noise: float, overlap: float = 1.0
) -> Ratio | None:
    """Return the units of a window in a metre of the odometry.

    The orientations give the rotation between the two frames, whatever the shape of the path: a
    straight line and two views will do. The predicted centres are then regressed on the
    odometry's. Views whose orientation or place contradicts the others are left out; what cannot
    be found out so (few views) shows in the residuals and widens the variance.

    Args:
        window: (N, 4, 4) predicted poses.
        odometry: (N, 4, 4) poses of the same views in the odometry's frame, metres.
        position_noise: error of a centre that is assumed at least, window units.
        overlap: in how many windows each motion is measured.

    Returns:
        None when the views stand too close to each other to say anything, in the odometry or,
        without any depth, in the window.
    """
    if len(window) < 2:
        return None
    rotation, inliers = mean_rotation(window[:, :3, :3] @ np.swapaxes(odometry[:, :3, :3], 1, 2))
    centres, template = window[inliers, :3, 3], odometry[inliers, :3, 3] @ rotation.T
    keep = agreeing(template, centres, position_noise)
    if keep.sum() < 2:
        return None
    fit = regression(centres[keep], template[keep])
    if fit is None or not math.isfinite(fit.units_per_m):
        return None
    noise = math.hypot(position_noise, fit.units_per_m * _ODOMETRY_NOISE_M)
    variance = (fit.squares / fit.freedom + noise**2) / fit.weight
    if variance < _LEAST_VARIANCE:
        return None  # the window has no length at all to compare with
    return Ratio(fit.units_per_m, math.sqrt(overlap * variance))


def remembered(before: Ratio | None, new: Ratio, expected: Ratio | None) -> Ratio | None:
    """Return what several windows say together.

    Args:
        before: what was remembered, in world units.
        new: by the newest window, in world units.
        expected: by the world's scale when it is metric; what contradicts it is not remembered.

    Returns:
        None when the windows contradict each other: it begins anew.
    """
    if expected is not None and new.contradicts(expected):
        return before
    if before is None:
        return new
    if new.contradicts(before):
        return None
    old_variance, new_variance = _AGING * before.sigma**2, new.sigma**2
    total = old_variance + new_variance
    mean = (before.units_per_m * new_variance + new.units_per_m * old_variance) / total
    return Ratio(mean, math.sqrt(old_variance * new_variance / total))
