"""Robust means, and ratios to odometry, against numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import median_abs_deviation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.robust_mean import mean_position, mean_rotation, rms, weighted_mean
from da3_ros.stream.scale.measurements import KNOWN_SIGMA
from da3_ros.stream.scale.odometry import Ratio, ratio_to_odometry, remembered

TURN = Rotation.from_rotvec([0.4, -0.3, 1.2]).as_matrix()

# Robust means


def test_a_mean_of_rotations_leaves_out_one_that_is_wrong() -> None:
    tilts = [[0.01, 0, 0], [-0.01, 0, 0], [0, 0.01, 0], [0, -0.01, 0], [0, 0, 1.0]]
    rotations = np.stack([TURN @ Rotation.from_rotvec(tilt).as_matrix() for tilt in tilts])
    mean, used = mean_rotation(rotations)
    assert used.tolist() == [True] * 4 + [False]
    np.testing.assert_allclose(mean, TURN, atol=1e-9)
    alone, used = mean_rotation(rotations[4:])
    np.testing.assert_allclose(alone, rotations[4], atol=1e-12)
    assert used.tolist() == [True]


@pytest.mark.parametrize(('angle', 'is_used'), [(1.8e-3, True), (2.2e-3, False)])
def test_rotations_within_two_milliradians_are_never_wrong(angle: float, is_used: bool) -> None:
    rotations = np.stack([np.eye(3)] * 4 + [Rotation.from_rotvec([angle, 0, 0]).as_matrix()])
    assert mean_rotation(rotations)[1].tolist() == [True] * 4 + [is_used]


@pytest.mark.parametrize(('off', 'floor', 'is_used'), [(1.0, 0.9, False), (1.0, 1.1, True)])
def test_a_mean_of_positions_forgives_the_floor(off: float, floor: float, is_used: bool) -> None:
    positions = np.tile([1.0, 2.0, 3.0], (5, 1))
    positions[4, 1] += off
    mean, distances = mean_position(positions, floor)
    wanted = [1.0, 2.2 if is_used else 2.0, 3.0]
    np.testing.assert_allclose(mean, wanted, atol=1e-12)
    np.testing.assert_allclose(distances, np.linalg.norm(positions - wanted, axis=1), atol=1e-12)


def test_without_a_floor_a_position_off_the_others_is_left_out() -> None:
    positions = np.tile([1.0, 2.0, 3.0], (5, 1))
    positions[4, 1] += 1e-3
    mean, _ = mean_position(positions)
    np.testing.assert_allclose(mean, [1, 2, 3], atol=1e-12)


def test_a_weighted_mean_is_that_of_numbers_within_three_deviations() -> None:
    values = np.array([1.0, 2.0, 3.0, 2.5, 1.5, 50.0])
    weights = np.array([1.0, 2.0, 1.0, 1.0, 3.0, 9.0])
    mean, used = weighted_mean(values, weights, 0.0)
    assert used.tolist() == [True] * 5 + [False]
    assert mean == pytest.approx(np.average(values[:5], weights=weights[:5]))
    assert weighted_mean(values, weights, 100.0)[1].all()
    # Equal numbers are all in, whatever rounding does.
    assert weighted_mean(np.full(7, 0.1) * 3, np.ones(7), 0.0)[1].all()


@pytest.mark.parametrize(('sigmas', 'is_used'), [(2.7, True), (3.3, False)])
def test_outliers_are_beyond_three_robust_deviations(sigmas: float, is_used: bool) -> None:
    values = np.array([-1.0] * 4 + [0.0] * 3 + [1.0] * 3 + [9.0])
    values[-1] = sigmas * float(median_abs_deviation(values, scale='normal'))
    assert weighted_mean(values, np.ones(11), 0.0)[1].tolist() == [True] * 10 + [is_used]


def test_root_mean_square() -> None:
    assert rms(np.array([3.0, 4.0])) == pytest.approx(math.sqrt(12.5))
    assert math.isnan(rms(np.empty(0)))


# Odometry


def test_a_ratio_is_a_measurement_once_it_is_known() -> None:
    part = Ratio(4.0, 4.0 * 0.03).log_scale()
    assert part is not None
    assert part.value == pytest.approx(-math.log(4.0))
    # A way of odometry is itself known to a hundredth.
    assert part.sigma == pytest.approx(math.hypot(0.03, 0.01))
    assert Ratio(4.0, 4.0 * 0.99 * KNOWN_SIGMA).log_scale() is not None
    assert Ratio(4.0, 4.0 * 1.01 * KNOWN_SIGMA).log_scale() is None
    assert Ratio(0.0, 1e-9).log_scale() is None
    assert Ratio(-1.0, 0.01).log_scale() is None
    assert Ratio(4.0, 0.5).scaled(3.0) == Ratio(12.0, 1.5)


def test_ratios_contradict_beyond_four_of_their_errors_together() -> None:
    for difference, wanted in ((1.9, False), (2.1, True)):
        for sign in (1, -1):
            other = Ratio(10.0 + sign * difference, 0.3)
            assert Ratio(10.0, 0.4).contradicts(other) == wanted


def test_what_is_remembered_is_the_weighted_mean_and_ages() -> None:
    old, new = Ratio(2.0, 0.2), Ratio(2.2, 0.1)
    mean = remembered(old, new, None)
    assert mean is not None
    weights = np.array([1 / 0.2**2, 1 / 0.1**2])
    assert mean.units_per_m == pytest.approx(np.average([2.0, 2.2], weights=weights), rel=0.01)
    assert mean.sigma == pytest.approx(1 / math.sqrt(weights.sum()), rel=0.02)
    # A little less than the mean of two fresh ones, as the chain drifts.
    assert mean.sigma > 1 / math.sqrt(weights.sum())
    assert mean.units_per_m > np.average([2.0, 2.2], weights=weights)
    assert remembered(None, new, None) == new
    assert remembered(Ratio(9.0, 0.1), new, None) is None
    assert remembered(old, new, Ratio(2.1, 0.1)) == mean
    assert remembered(old, new, Ratio(9.0, 0.1)) == old
    assert remembered(None, new, Ratio(9.0, 0.1)) is None


def drive(
    scale: float, noise: float = 0.0, seed: int = 0, count: int = 6
) -> tuple[FloatArray, FloatArray]:
    """Return poses of a window and of odometry along one curve, in frames of their own."""
    angles = np.linspace(0, 1, count)
    places = np.stack([np.sin(angles), 1 - np.cos(angles), 0.1 * angles], axis=1) * 2
    turns = Rotation.from_rotvec(angles[:, None] * [0.0, 0.0, 1.0]).as_matrix()
    odometry = rigid(turns, places)
    rng = np.random.default_rng(seed)
    seen = scale * places @ TURN.T + rng.normal(0, 1, places.shape) * noise + 3.0
    return rigid(TURN @ turns, seen), odometry


@pytest.mark.parametrize('count', [2, 3, 6])
def test_the_ratio_of_a_way_is_its_scale_whatever_the_frames(count: int) -> None:
    window, odometry = drive(2.5, count=count)
    ratio = ratio_to_odometry(window, odometry, 0.01)
    assert ratio is not None
    assert ratio.units_per_m == pytest.approx(2.5)
    places = odometry[:, :3, 3] - odometry[:, :3, 3].mean(axis=0)
    # Two millimetres of the odometry, and what is assumed of the window.
    noise = math.hypot(0.01, 2.5 * 0.002)
    assert ratio.sigma == pytest.approx(noise / math.sqrt((places**2).sum()), rel=1e-6)
    shared = ratio_to_odometry(window, odometry, 0.01, overlap=4.0)
    assert shared is not None
    assert shared.sigma == pytest.approx(2 * ratio.sigma)


def test_residuals_of_a_way_widen_its_error_as_much_as_it_scatters() -> None:
    found = [ratio_to_odometry(*drive(2.0, 0.1, seed, count=3), 0.0) for seed in range(300)]
    ratios = [ratio for ratio in found if ratio is not None]
    assert len(ratios) == 300
    squares = np.mean([ratio.sigma**2 for ratio in ratios])
    assert squares == pytest.approx(np.var([ratio.units_per_m for ratio in ratios]), rel=0.25)


@pytest.mark.parametrize(
    'spoil',
    [
        lambda pose: pose @ rigid(Rotation.from_rotvec([0, 0.8, 0]).as_matrix(), np.zeros(3)),
        lambda pose: rigid(np.eye(3), [5.0, 5.0, 5.0]) @ pose,
    ],
    ids=['orientation', 'place'],
)
def test_a_view_that_contradicts_the_others_is_left_out(
    spoil: Callable[[FloatArray], FloatArray],
) -> None:
    window, odometry = drive(2.5)
    window[3] = spoil(window[3])
    ratio = ratio_to_odometry(window, odometry, 0.001)
    assert ratio is not None
    assert ratio.units_per_m == pytest.approx(2.5)
    others = np.delete(np.arange(6), 3)
    wanted = ratio_to_odometry(window[others], odometry[others], 0.001)
    assert wanted is not None
    assert ratio.sigma == pytest.approx(wanted.sigma)


def test_who_stands_or_is_alone_says_nothing() -> None:
    window, odometry = drive(2.5)
    assert ratio_to_odometry(window[:1], odometry[:1], 0.01) is None
    assert ratio_to_odometry(window[:0], odometry[:0], 0.01) is None
    standing = np.tile(odometry[:1], (6, 1, 1))
    assert ratio_to_odometry(window, standing, 0.01) is None
