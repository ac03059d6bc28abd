"""Odometry tells the metre: exactly where it is exact, and no more than it is worth elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
import pytest

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.notes import joined
from da3_ros.options.choices import ScaleChoice
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.scale.odometry import Ratio, ratio_to_odometry, remembered
from da3_ros.types import FrameSet, RigCalibration, WindowResult
from helpers.stream_builders import (
    ODOM_FROM_WORLD,
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    rig_of,
    sets_of,
    stand,
    windows_of,
    with_odometry,
)

NO_RIG = RigCalibration()
WORLD = BoxWorld(THREE_CAMERAS)
STEREO = rig_of(left=(0.0, 0.1, 0.06, 0.4), right=(0.0, 0.1, -0.06, 0.4))
COUNT = 40
BOUND = 1e-6


def straight(stamp_ns: int) -> FloatArray:
    """All centres on one line, and no rotation at all."""
    return rigid(np.eye(3), [-2.0 + 0.1 * stamp_ns / PERIOD_NS, 0.4, -0.3])


def go_then_stand(stamp_ns: int) -> FloatArray:
    return drive(min(stamp_ns, 20 * PERIOD_NS))


def stand_then_go(stamp_ns: int) -> FloatArray:
    return drive(max(stamp_ns, 15 * PERIOD_NS))


def run(
    sets: Sequence[FrameSet],
    estimator: BoxEstimator,
    rig: RigCalibration = NO_RIG,
    choice: ScaleChoice = 'auto',
    window: int = 3,
) -> list[WindowResult]:
    reconstructor = Reconstructor(estimator, rig, lambda: 0.0, choice)
    return [reconstructor.process(w) for w in windows_of(sets, window, 1)]


def log_errors(results: Sequence[WindowResult], estimator: BoxEstimator) -> list[float]:
    """Logarithm of the world's unit in metres, window by window."""
    return [math.log(r.alignment.scale * estimator.scales[r.window_index]) for r in results]


def metric_from(results: Sequence[WindowResult]) -> int:
    """Return the window from which on the world is metric without a break."""
    first = next(r.window_index for r in results if r.alignment.is_metric)
    assert all(r.alignment.is_metric for r in results[first:])
    return first


def assert_metres(
    results: Sequence[WindowResult], world: BoxWorld, start: FloatArray, scale: float = 1.0
) -> None:
    """Poses and depth of every set are the truth's, in metres times `scale`."""
    for item in [item for result in results for item in result.new_sets]:
        for view in item.views:
            truth = world.world_from_camera(view.id.camera, item.stamp_ns)
            pose = invert(start) @ truth
            pose[:3, 3] *= scale
            np.testing.assert_allclose(view.world_from_camera, pose, atol=BOUND * scale)
            # Depth is float32: a rounding of one part in ten million.
            np.testing.assert_allclose(view.depth, scale * world.depth(truth), rtol=BOUND)


@pytest.mark.parametrize('motion', [drive, straight, stand_then_go, go_then_stand])
@pytest.mark.parametrize('window', [2, 3, 8])
def test_one_moving_camera_is_metric(motion: object, window: int) -> None:
    world = BoxWorld(THREE_CAMERAS, motion)  # type: ignore[arg-type]
    estimator = BoxEstimator(world, seed=window)
    results = run(with_odometry(sets_of(['front'], COUNT), world), estimator, window=window)
    first = metric_from(results)
    assert first < (25 if motion is stand_then_go else 12)
    assert 'became metric' in joined(results[first].alignment.notes)
    assert [r.window_index for r in results if r.alignment.is_new_unit] == [first]
    assert results[first].alignment.scale_source == 'odometry'
    start = world.world_from_camera('front', 0) @ invert(BODY_FROM_OPTICAL)
    # From there on everything is exact, also against where the robot started.
    assert_metres(results[first:], world, start)
    assert np.abs(log_errors(results[first:], estimator)).max() < BOUND
    if motion is go_then_stand:
        assert {r.alignment.scale_source for r in results[-10:]} == {'chain'}
        assert not any(joined(r.alignment.notes) for r in results[-10:])


@pytest.mark.parametrize('motion', [drive, straight, stand])
def test_stereo_is_metric_from_the_first_window(motion: object) -> None:
    world = BoxWorld(STEREO, motion)  # type: ignore[arg-type]
    estimator = BoxEstimator(world, seed=1)
    results = run(with_odometry(sets_of(['left', 'right'], COUNT), world), estimator)
    first = metric_from(results)
    start = world.world_from_camera('left', 0) @ invert(BODY_FROM_OPTICAL)
    assert_metres(results[first:], world, start)
    assert {r.alignment.scale_source for r in results[first:]} == {'odometry'}
    assert {r.alignment.odometry_views for r in results[2:]} == {6}


def test_a_robot_that_never_moves_keeps_its_unit() -> None:
    world = BoxWorld(THREE_CAMERAS, stand)
    estimator = BoxEstimator(world)
    results = run(with_odometry(sets_of(['front'], COUNT), world), estimator, choice='odometry')
    errors = log_errors(results, estimator)
    assert np.ptp(errors) < BOUND
    assert not any(r.alignment.is_metric for r in results)
    assert 'scale_source is odometry' in joined(results[5].alignment.notes)
    for result in results:
        for item in result.new_sets:
            assert np.isfinite(item.world_from_base).all()
            assert np.isfinite(item.views[0].depth).all()


def test_a_hole_in_the_odometry_is_bridged_by_the_chain_and_said() -> None:
    estimator = BoxEstimator(WORLD)
    sets = with_odometry(sets_of(['front'], COUNT), WORLD, missing=range(20, 27))
    results = run(sets, estimator, choice='odometry')
    first = metric_from(results)
    start = WORLD.world_from_camera('front', 0) @ invert(BODY_FROM_OPTICAL)
    assert_metres(results[first:], WORLD, start)
    inside = results[24].alignment
    assert inside.scale_source == 'chain'
    assert (inside.views, inside.odometry_views) == (3, 0)
    assert 'a hole' in joined(inside.notes)
    assert results[20].alignment.odometry_views == 2
    assert 'no odometry for 1 of 3 views' in joined(results[20].alignment.notes)
    assert results[30].alignment.scale_source == 'odometry'


@pytest.mark.parametrize('scale', [0.1, 0.7, 3.0])
def test_scaling_the_odometry_scales_the_world(scale: float) -> None:
    estimator = BoxEstimator(WORLD)
    results = run(with_odometry(sets_of(['front'], COUNT), WORLD, scale=scale), estimator)
    start = WORLD.world_from_camera('front', 0) @ invert(BODY_FROM_OPTICAL)
    assert_metres(results[metric_from(results) :], WORLD, start, scale)


@pytest.mark.parametrize('window', [2, 3, 8])
@pytest.mark.parametrize('shift', [[0.3, 0.0, 0.0], [0.0, 0.02, 0.05], [50.0, 80.0, 0.0]])
def test_one_bad_pose_moves_the_scale_no_more_than_its_variance(
    window: int, shift: list[float]
) -> None:
    def jump(number: int, pose: FloatArray) -> FloatArray:
        return pose if number != 25 else rigid(pose[:3, :3], pose[:3, 3] + shift)

    estimator = BoxEstimator(WORLD)
    sets = with_odometry(sets_of(['front'], 45), WORLD, change=jump)
    results = run(sets, estimator, window=window)
    first = metric_from(results)
    before = results[24].alignment.scale_log_sigma
    errors = np.abs(log_errors(results[first:], estimator))
    assert errors.max() < 3 * before
    assert errors[-1] < 0.01


def test_poses_that_are_none_count_as_missing() -> None:
    def broken(number: int, pose: FloatArray) -> FloatArray:
        return pose if number % 3 else np.full((4, 4), np.nan)

    estimator = BoxEstimator(WORLD)
    results = run(with_odometry(sets_of(['front'], COUNT), WORLD, change=broken), estimator)
    start = WORLD.world_from_camera('front', 0) @ invert(BODY_FROM_OPTICAL)
    assert_metres(results[metric_from(results) :], WORLD, start)
    assert {r.alignment.odometry_views for r in results[2:]} == {2}


def test_noise_stays_within_the_reported_sigma() -> None:
    ratios: list[float] = []
    for seed in range(3):
        rng = np.random.default_rng(seed)

        def jitter(number: int, pose: FloatArray, rng: np.random.Generator = rng) -> FloatArray:
            del number
            return rigid(pose[:3, :3], pose[:3, 3] + 1e-3 * rng.normal(size=3))

        estimator = BoxEstimator(
            WORLD, seed, position_noise_m=0.012, rotation_noise_rad=0.003, depth_noise=0.1
        )
        sets = with_odometry(sets_of(['front'], 60), WORLD, change=jitter)
        results = run(sets, estimator)
        first = metric_from(results)
        pairs = zip(log_errors(results[first:], estimator), results[first:], strict=True)
        ratios += [error / result.alignment.scale_log_sigma for error, result in pairs]
    assert 0.2 < np.sqrt(np.mean(np.square(ratios))) < 1.2


def test_odometry_stops_the_drift_of_scale() -> None:
    bias, count = 0.01, 90
    noisy = BoxEstimator(WORLD, 0, position_noise_m=0.003, depth_noise=0.05, new_set_bias=bias)
    chain = log_errors(run(sets_of(['front'], count), noisy), noisy)
    held = run(with_odometry(sets_of(['front'], count), WORLD), noisy)
    errors = log_errors(held, noisy)[metric_from(held) :]
    assert abs(chain[-1] - chain[0]) > 4 * max(map(abs, errors))
    # In the second half it no longer walks away, as the chain alone does.
    walked = abs(np.mean(errors[-20:]) - np.mean(errors[-40:-20]))
    assert walked < abs(np.mean(chain[-20:]) - np.mean(chain[-40:-20])) / 4


def test_the_ratio_is_measured_whatever_the_two_frames_are() -> None:
    poses = np.array([drive(i * PERIOD_NS) for i in (0, 4, 8, 12)])
    told = ODOM_FROM_WORLD @ poses
    window = invert(ODOM_FROM_WORLD) @ poses
    window[:, :3, 3] *= 4.0
    ratio = ratio_to_odometry(window, told, position_noise=0.01)
    assert ratio is not None
    part = ratio.log_scale()
    assert part is not None
    assert part.value == pytest.approx(-math.log(4.0), abs=1e-12)
    vague = ratio_to_odometry(window, told, position_noise=1.0)
    assert vague is not None
    assert vague.units_per_m == pytest.approx(4.0)
    assert vague.log_scale() is None
    assert ratio_to_odometry(window[:1], told[:1], 0.01) is None
    assert ratio_to_odometry(window, np.repeat(told[:1], 4, axis=0), 0.01) is None
    mirrored = told.copy()
    mirrored[:, :3, 3] *= -1
    backwards = ratio_to_odometry(window, mirrored, 0.01)
    assert backwards is None or backwards.log_scale() is None


def test_uncertain_ratios_average_without_bias() -> None:
    rng = np.random.default_rng(0)
    ends: list[float] = []
    for _ in range(300):
        way: Ratio | None = None
        for value in rng.normal(1.0, 0.5, 60):
            way = remembered(way, Ratio(float(value), 0.5), None)
        assert way is not None
        ends.append(way.units_per_m)
    # Half a unit of noise each: single logarithms would be off by an eighth, or not exist.
    assert abs(np.mean(ends) - 1.0) < 3 * np.std(ends) / math.sqrt(len(ends))
    assert np.std(ends) < 0.12


def test_what_contradicts_is_not_remembered() -> None:
    before, wild = Ratio(1.0, 0.2), Ratio(1e-3, 2e-3)
    assert remembered(before, wild, Ratio(1.0, 0.01)) is before
    # Without metres nobody knows which of the two is wrong.
    assert remembered(before, wild, None) is None
    assert remembered(None, wild, Ratio(1.0, 0.01)) is None


@pytest.mark.parametrize('cameras', [('front',), ('left', 'front')])
def test_windows_that_share_nothing_move_on_as_the_odometry_says(cameras: Sequence[str]) -> None:
    """One set per window: a network without motion, or one that knows metres, on wheels."""
    estimator = BoxEstimator(WORLD, is_metric=True)
    sets = with_odometry(sets_of(cameras, 12), WORLD, missing=[6])
    results = run(sets, estimator, window=1)
    methods = [r.alignment.method for r in results]
    assert methods == [
        'first',
        *['odometry'] * 5,
        'dead_reckoning',
        'dead_reckoning',
        *['odometry'] * 4,
    ]
    start = WORLD.world_from_camera(cameras[0], 0) @ invert(BODY_FROM_OPTICAL)
    assert_metres(results[:6], WORLD, start)
    assert 'by odometry alone' in joined(results[3].alignment.notes)
    again = WORLD.world_from_camera(cameras[0], 7 * PERIOD_NS) @ invert(BODY_FROM_OPTICAL)
    jumped = results[7].new_sets[0].world_from_base
    for result in results[8:]:
        (item,) = result.new_sets
        body = WORLD.world_from_camera(cameras[0], item.stamp_ns) @ invert(BODY_FROM_OPTICAL)
        np.testing.assert_allclose(item.world_from_base, jumped @ invert(again) @ body, atol=BOUND)


def test_rounding_does_not_grow_over_a_hundred_windows_that_share_nothing() -> None:
    estimator = BoxEstimator(WORLD, is_metric=True)
    results = run(with_odometry(sets_of(['front'], 100), WORLD), estimator, window=1)
    assert_metres(results, WORLD, WORLD.world_from_camera('front', 0) @ invert(BODY_FROM_OPTICAL))


def test_in_the_odometrys_frame_every_base_stands_where_the_odometry_has_it() -> None:
    def pulled(number: int, pose: FloatArray) -> FloatArray:
        """Return odometry that drifts away to the side."""
        return rigid(np.eye(3), [0.0, 0.003 * number, 0.0]) @ pose

    sets = with_odometry(sets_of(['front'], COUNT), WORLD, change=pulled, missing=[30])
    reconstructor = Reconstructor(BoxEstimator(WORLD), NO_RIG, lambda: 0.0, in_odometry_frame=True)
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 1)]
    assert metric_from(results) < 15
    bases = {s.stamp_ns // PERIOD_NS: s for r in results for s in r.new_sets}
    for number, item in bases.items():
        camera = ODOM_FROM_WORLD @ WORLD.world_from_camera('front', item.stamp_ns)
        told = pulled(number if number != 30 else 29, camera)
        np.testing.assert_allclose(item.views[0].world_from_camera, told, atol=2e-3)
        if number != 30:
            base = told @ invert(BODY_FROM_OPTICAL)
            np.testing.assert_allclose(item.world_from_base, base, atol=BOUND)
