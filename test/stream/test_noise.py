"""With noise, errors are what the noise explains, and the rig stops the drift of scale.

The laws below are derived for windows of two sets that advance by one, so that each window hangs
on exactly one set of the window before. The bounds on sample means over seeds come from the
chi-squared distribution with one error in a thousand on each side.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
import pytest
from scipy.stats import chi2

from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import invert
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import RigCalibration, WindowResult
from helpers.stream_builders import (
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    sets_of,
    stand,
    windows_of,
)

NO_RIG = RigCalibration()
CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
STEPS = 20
SEEDS = range(20)
# Standard deviation of the median of n normal values, times sqrt(n).
MEDIAN_SPREAD = math.sqrt(math.pi / 2)


def run(
    estimator: BoxEstimator, rig: RigCalibration, cameras: Sequence[str], count: int
) -> list[WindowResult]:
    reconstructor = Reconstructor(estimator, rig, clock=lambda: 0.0)
    return [reconstructor.process(w) for w in windows_of(sets_of(cameras, count), 2, 1)]


def assert_explained(squares: Sequence[float], expected: float, freedom: int) -> None:
    """The mean of squared errors agrees with its expectation, as chi-squared allows."""
    ratio = float(np.mean(squares)) / expected
    low, high = (float(chi2.ppf(p, freedom)) / freedom for p in (0.001, 0.999))
    assert low < ratio < high


def log_scale_errors(results: Sequence[WindowResult], estimator: BoxEstimator) -> list[float]:
    return [math.log(r.alignment.scale * estimator.scales[r.window_index]) for r in results]


def test_scale_by_depth_alone_walks_as_pixel_noise_says() -> None:
    # One standing camera: each step compares one view's pixels in two windows, so its log ratio
    # has sqrt(2) times the pixel noise, and the median of N pixels has that over sqrt(N).
    noise = 0.05
    world = BoxWorld(THREE_CAMERAS, stand)
    step = MEDIAN_SPREAD * math.sqrt(2) * noise / math.sqrt(24 * 32)
    squares: list[float] = []
    claimed: list[float] = []
    for seed in SEEDS:
        estimator = BoxEstimator(world, seed, depth_noise=noise)
        results = run(estimator, NO_RIG, ['front'], STEPS + 1)
        errors = log_scale_errors(results, estimator)
        squares.append((errors[-1] - errors[0]) ** 2)
        claimed.append(results[-1].alignment.scale_log_sigma)
    assert_explained(squares, step**2 * STEPS, len(SEEDS))
    # What is reported counts a hundred pixels as one, since a network's pixels err together;
    # here they do not, so it is too large, by at most the root of a hundred.
    assert step * math.sqrt(STEPS) < min(claimed)
    assert max(claimed) < math.sqrt(100) * step * math.sqrt(STEPS)


def test_position_walks_as_position_noise_says() -> None:
    # Each step adds the difference of two noisy centres of one window: variance 2 per axis.
    noise = 0.01
    world = BoxWorld(THREE_CAMERAS, stand)
    squares: list[float] = []
    for seed in SEEDS:
        estimator = BoxEstimator(world, seed, position_noise_m=noise, is_metric=True)
        results = run(estimator, NO_RIG, ['front'], STEPS + 1)
        squares.append(float((results[-1].new_sets[0].world_from_base[:3, 3] ** 2).sum()))
    assert_explained(squares, 6 * STEPS * noise**2, 3 * len(SEEDS))


def test_orientation_walks_as_rotation_noise_says() -> None:
    noise = 0.005
    world = BoxWorld(THREE_CAMERAS, stand)
    squares: list[float] = []
    for seed in SEEDS:
        estimator = BoxEstimator(world, seed, rotation_noise_rad=noise)
        results = run(estimator, NO_RIG, ['front'], STEPS + 1)
        turn = results[-1].new_sets[0].world_from_base[:3, :3]
        squares.append(float(rotation_angle_rad(turn)) ** 2)
    assert_explained(squares, 6 * STEPS * noise**2, 3 * len(SEEDS))


def test_the_rig_stops_the_drift_of_scale() -> None:
    # Each window sees the views of its new set a little too near: without an anchor the scale
    # walks away by one bias per window; with the rig it settles where both pull equally.
    bias, count = 0.01, 60
    world = BoxWorld(THREE_CAMERAS)
    for seed in range(3):
        noisy = BoxEstimator(
            world, seed, position_noise_m=0.005, depth_noise=0.05, new_set_bias=bias
        )
        chain = log_scale_errors(run(noisy, NO_RIG, ['front'], count), noisy)
        anchored = log_scale_errors(run(noisy, THREE_CAMERAS, CAMERAS, count), noisy)
        assert abs(chain[-1] - chain[0]) > 0.9 * bias * (count - 1)
        assert max(map(abs, anchored)) < 6 * bias
        # No trend is left in the second half.
        assert abs(np.mean(anchored[-15:]) - np.mean(anchored[-30:-15])) < bias


def test_scale_on_a_noisy_rig_stays_within_its_reported_sigma() -> None:
    world = BoxWorld(THREE_CAMERAS)
    ratios: list[float] = []
    for seed in range(4):
        estimator = BoxEstimator(
            world, seed, position_noise_m=0.01, rotation_noise_rad=0.003, depth_noise=0.1
        )
        results = run(estimator, THREE_CAMERAS, CAMERAS, 40)
        errors = log_scale_errors(results, estimator)
        ratios += [e / r.alignment.scale_log_sigma for e, r in zip(errors, results, strict=True)]
    assert 0.2 < np.sqrt(np.mean(np.square(ratios))) < 1.0


@pytest.mark.parametrize('noise', [1e-4, 1e-3, 1e-2])
def test_errors_shrink_with_the_noise(noise: float) -> None:
    world = BoxWorld(THREE_CAMERAS)
    estimator = BoxEstimator(
        world, 5, position_noise_m=noise, rotation_noise_rad=noise, depth_noise=noise
    )
    results = run(estimator, THREE_CAMERAS, CAMERAS, 40)
    start = invert(drive(0))
    worst = max(
        float(np.linalg.norm((start @ drive(s.stamp_ns) - s.world_from_base)[:3, 3]))
        for r in results
        for s in r.new_sets
    )
    # Positions: steps of variance 2 noise^2 / 3 cameras per axis; orientation: the same in rad,
    # over a path of at most 4 m. Five standard deviations of the end of the walk.
    walk = math.sqrt(6 / 3 * 40) * noise
    assert worst < 5 * walk * (1 + 4)
