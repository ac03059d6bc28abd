"""The covariance of odometry follows the rule that its docstring states."""

from __future__ import annotations

import math

import numpy as np
import pytest

from da3_ros.pipeline.pose_uncertainty import (
    UNKNOWN_VARIANCE,
    PoseUncertainty,
    Variances,
    covariance,
)
from da3_ros.types import AlignmentMethod, AlignmentReport


def report(
    method: AlignmentMethod = 'shared_views',
    residual_m: float = 0.0,
    residual_rad: float = 0.0,
    *,
    sigma: float = math.nan,
    is_metric: bool = True,
) -> AlignmentReport:
    return AlignmentReport(
        method=method,
        shared_views=0,
        scale=1.0,
        scale_source='rig',
        scale_log_sigma=sigma,
        is_metric=is_metric,
        rotation_residual_rad=residual_rad,
        translation_residual=residual_m,
        depth_residual=math.nan,
    )


def test_covariance_is_row_major_x_y_z_roll_pitch_yaw() -> None:
    matrix = covariance(Variances(2.0, 3.0)).reshape(6, 6)
    np.testing.assert_array_equal(matrix, np.diag([2.0, 2.0, 2.0, 3.0, 3.0, 3.0]))


def test_residuals_add_up_as_in_a_random_walk() -> None:
    walk = PoseUncertainty()
    walk.add_window(report('first', math.nan, math.nan))
    for _ in range(4):
        walk.add_window(report(residual_m=0.1, residual_rad=0.02))
    found = walk.pose(report(), distance=0.0)
    assert found.position == pytest.approx(4 * 0.1**2 + 1e-6)
    assert found.rotation == pytest.approx(4 * 0.02**2 + 1e-6)


def test_it_is_never_zero_and_never_shrinks() -> None:
    walk = PoseUncertainty()
    last = 0.0
    for method in ('first', 'shared_views', 'shared_views'):
        walk.add_window(report(method))
        now = walk.pose(report(), 0.0).position
        assert now > last
        last = now


def test_an_uncertain_scale_grows_with_the_distance() -> None:
    walk = PoseUncertainty()
    walk.add_window(report('first'))
    near = walk.pose(report(sigma=0.05), distance=1.0).position
    far = walk.pose(report(sigma=0.05), distance=10.0).position
    assert far - near == pytest.approx(0.05**2 * (100 - 1))


def test_dead_reckoning_and_unknown_units_are_unknown() -> None:
    walk = PoseUncertainty()
    walk.add_window(report('first'))
    unknown = Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)
    assert walk.pose(report(is_metric=False), 0.0) == unknown
    assert walk.twist(report(is_metric=False), 0.1) == unknown
    assert walk.twist(report(), None) == unknown
    walk.add_window(report('dead_reckoning'))
    assert walk.pose(report('dead_reckoning'), 0.0) == unknown
    # Later windows are certain among themselves, but not about the gap.
    walk.add_window(report())
    assert 1.0 <= walk.pose(report(), 0.0).position < 1.1


def test_a_new_world_is_certain_again() -> None:
    walk = PoseUncertainty()
    walk.add_window(report('dead_reckoning'))
    walk.add_window(report('first'))
    assert walk.pose(report(), 0.0).position == pytest.approx(1e-6)


def test_odometry_alone_adds_two_centimetres_per_window() -> None:
    walk = PoseUncertainty()
    walk.add_window(report('first'))
    before = walk.pose(report('odometry'), 0.0).position
    for _ in range(4):
        walk.add_window(report('odometry'))
    assert walk.pose(report('odometry'), 0.0).position == pytest.approx(before + 4 * 0.02**2)
    assert walk.twist(report('odometry'), 0.1).position == pytest.approx(2 * 0.02**2 / 0.1**2)
