"""How sure a pose is, by how the windows up to it were placed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.types import AlignmentReport

UNKNOWN_VARIANCE = 1e6
"""What stands for "do not use this" in a covariance that must be invertible."""

_FLOOR_M = 1e-3
_FLOOR_RAD = 1e-3
# What a window that shares nothing with the one before may have moved unseen.
_DEAD_RECKONING_M = 1.0
_DEAD_RECKONING_RAD = 0.3
# What an odometry that is followed alone may be wrong by from one window to the next.
_ODOMETRY_M = 0.02
_ODOMETRY_RAD = 0.01


@dataclass(frozen=True, slots=True)
class Variances:
    """Variance of each axis of the position and of the rotation."""

    position: float
    """World units squared."""
    rotation: float
    """rad^2."""


@dataclass(frozen=True, slots=True)
class UncertaintyState:
    """What a `PoseUncertainty` remembers."""

    walk: Variances
    """Sum of the steps so far."""
    last: Variances
    """The last step."""


class PoseUncertainty:
    """How the variance of the pose grows from window to window.

    Every window adds the squares of its alignment residuals (at least 1 mm and 1 mrad), as in a
    random walk. An uncertain scale adds (sigma of log scale * distance from the start)^2. A window
    that shares no view with the one before adds 1 m and 0.3 rad, and is itself unknown (1e6), as
    is every pose whose unit is not the metre. A window that is placed by odometry alone adds 2 cm
    and 0.01 rad.
    """

    def __init__(self) -> None:
        self._walk = Variances(0.0, 0.0)
        self._last = Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)

    def add_window(self, report: AlignmentReport) -> None:
        """Take how one more window was placed."""
        if report.method == 'first':
            step = self._walk = Variances(_FLOOR_M**2, _FLOOR_RAD**2)
        else:
            if report.method == 'dead_reckoning':
                step = Variances(_DEAD_RECKONING_M**2, _DEAD_RECKONING_RAD**2)
            elif report.method == 'odometry':
                step = Variances(_ODOMETRY_M**2, _ODOMETRY_RAD**2)
            else:
                step = Variances(
                    _at_least(report.translation_residual, _FLOOR_M) ** 2,
                    _at_least(report.rotation_residual_rad, _FLOOR_RAD) ** 2,
                )
            self._walk = Variances(
                self._walk.position + step.position, self._walk.rotation + step.rotation
            )
        self._last = step

    def pose(self, report: AlignmentReport, distance: float) -> Variances:
        """Return the variances of a pose of the last window, `distance` from the start."""
        if not report.is_metric or report.method == 'dead_reckoning':
            return Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)
        scale = (_at_least(report.scale_log_sigma, 0.0) * distance) ** 2
        return Variances(
            min(self._walk.position + scale, UNKNOWN_VARIANCE),
            min(self._walk.rotation, UNKNOWN_VARIANCE),
        )

    def twist(self, report: AlignmentReport, seconds: float | None) -> Variances:
        """Return the variances of a velocity over some seconds; None when there is none."""
        moved = report.method in ('shared_views', 'odometry')
        if seconds is None or not report.is_metric or not moved:
            return Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)
        return Variances(
            min(2 * self._last.position / seconds**2, UNKNOWN_VARIANCE),
            min(2 * self._last.rotation / seconds**2, UNKNOWN_VARIANCE),
        )

    def state(self) -> UncertaintyState:
        """Return all that there is to remember."""
        return UncertaintyState(self._walk, self._last)

    def restore(self, state: UncertaintyState) -> None:
        """Go on from a state."""
        self._walk, self._last = state.walk, state.last


def _at_least(value: float, floor: float) -> float:
    return max(value, floor) if np.isfinite(value) else floor


def covariance(variances: Variances) -> FloatArray:
    """Return the (36,) row-major covariance x y z roll pitch yaw of independent equal axes."""
    diagonal = [variances.position] * 3 + [variances.rotation] * 3
    return np.asarray(np.diag(diagonal).reshape(-1))
