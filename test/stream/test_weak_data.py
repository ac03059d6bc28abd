"""Weak or broken data gives a result with a report, never an exception or a spoilt world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
import itertools

import numpy as np
import pytest

from da3_ros.errors import ModelError, StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.notes import joined
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import (
    FrameSet,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
    WindowResult,
)
from helpers.depths import depth_of
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    drive,
    frame_set,
    poses_by_stamp,
    sets_of,
    windows_of,
)

NO_RIG = RigCalibration()
CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
WORLD = BoxWorld(THREE_CAMERAS)
Spoil = Callable[[ViewPrediction], ViewPrediction]


def spoiling(
    indices: Sequence[int], view: int | None, change: Spoil
) -> Callable[[Window, WindowPrediction], WindowPrediction]:
    """Return what changes one view (None: every view) of the windows with these indices."""

    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        if window.index not in indices:
            return prediction
        views = [
            change(v) if view is None or i == view else v for i, v in enumerate(prediction.views)
        ]
        return replace(prediction, views=tuple(views))

    return spoil


def with_pose(change: Callable[[FloatArray], FloatArray]) -> Spoil:
    return lambda view: replace(view, window_from_camera=change(view.window_from_camera.copy()))


def with_depth(value: float) -> Spoil:
    return lambda view: replace(view, depth=np.full_like(view.depth, value))


def run(
    estimator: BoxEstimator,
    rig: RigCalibration = THREE_CAMERAS,
    cameras: Sequence[str] = CAMERAS,
    window: int = 3,
    count: int = 12,
) -> list[WindowResult]:
    reconstructor = Reconstructor(estimator, rig, clock=lambda: 0.0)
    return [reconstructor.process(w) for w in windows_of(sets_of(cameras, count), window, 1)]


def assert_true(results: Sequence[WindowResult], count: int = 12, atol: float = 1e-6) -> None:
    poses = poses_by_stamp(results)
    assert list(poses) == [i * PERIOD_NS for i in range(count)]
    for stamp_ns, pose in poses.items():
        np.testing.assert_allclose(pose, invert(drive(0)) @ drive(stamp_ns), atol=atol)


def nan_pose(pose: FloatArray) -> FloatArray:
    pose[0, 3] = np.nan
    return pose


@pytest.mark.parametrize(
    'change',
    [
        with_pose(nan_pose),
        with_pose(lambda pose: pose * np.inf),
        with_pose(np.zeros_like),
        with_pose(lambda pose: np.diag([1.0, 1, -1, 1])),
        lambda view: replace(view, depth=view.depth[:-1]),
        lambda view: replace(view, depth=view.depth[:0]),
        lambda view: replace(view, confidence=np.ones((2, 2), np.float32)),
        lambda view: replace(view, sky=np.zeros((2, 2), np.bool_)),
        lambda view: replace(view, image=np.zeros((2, 2, 3), np.uint8)),
    ],
)
@pytest.mark.filterwarnings('ignore:invalid value')
def test_a_broken_view_refuses_its_window_and_the_next_one_makes_up(change: Spoil) -> None:
    results = run(BoxEstimator(WORLD, spoil=spoiling([0, 5], 1, change)))
    for index in (0, 5):
        assert results[index].new_sets == ()
        assert 'view 1 (camera ' in joined(results[index].alignment.notes)
        assert [s.stamp_ns for s in results[index + 1].new_sets] == [
            index * PERIOD_NS,
            (index + 1) * PERIOD_NS,
        ]
    assert_true(results)


def test_errors_of_the_estimator_pass_and_leave_the_world_as_it_was() -> None:
    def fail(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        if window.index in {0, 4}:
            raise ModelError('out of memory')
        return prediction

    reconstructor = Reconstructor(BoxEstimator(WORLD, spoil=fail), THREE_CAMERAS, lambda: 0.0)
    results = []
    for window in windows_of(sets_of(CAMERAS, 12), 3, 1):
        if window.index in {0, 4}:
            with pytest.raises(ModelError, match='out of memory'):
                reconstructor.process(window)
        else:
            results.append(reconstructor.process(window))
    assert_true(results)


def test_another_number_of_views_is_an_error_that_says_so() -> None:
    estimator = BoxEstimator(WORLD, spoil=lambda _, p: replace(p, views=p.views[1:]))
    with pytest.raises(StreamError, match='2 views, the window has 3'):
        run(estimator, count=1)


@pytest.mark.parametrize('value', [np.nan, np.inf, 0.0, -1.0])
@pytest.mark.parametrize('rig', [THREE_CAMERAS, NO_RIG])
def test_windows_without_any_valid_depth(value: float, rig: RigCalibration) -> None:
    estimator = BoxEstimator(WORLD, spoil=spoiling(range(4, 7), None, with_depth(value)))
    results = run(estimator, rig)
    for item in results[5].new_sets:
        assert all(np.isnan(view.depth).all() for view in item.views)
    if rig is THREE_CAMERAS:
        assert_true(results)
    assert results[-1].alignment.method == 'shared_views'
    assert np.isfinite(results[-1].alignment.scale)


def test_without_depth_and_standing_the_scale_is_kept_and_said_to_be() -> None:
    world = BoxWorld(THREE_CAMERAS, lambda _: drive(0))
    estimator = BoxEstimator(world, spoil=spoiling([5], None, with_depth(np.nan)))
    results = run(estimator, NO_RIG, ['front'], window=2)
    assert results[5].alignment.scale == pytest.approx(results[4].alignment.scale)
    assert 'kept' in joined(results[5].alignment.notes)
    assert not results[5].alignment.is_metric


def test_sky_is_unknown_depth_and_measures_nothing() -> None:
    def half_sky(view: ViewPrediction) -> ViewPrediction:
        sky = np.zeros(depth_of(view).shape, np.bool_)
        sky[: len(sky) // 2] = True
        wild = np.where(sky, np.float32(1e3), depth_of(view)).astype(np.float32)
        return replace(view, depth=wild, sky=sky)

    results = run(BoxEstimator(WORLD, spoil=spoiling(range(100), None, half_sky)), NO_RIG)
    for view in results[-1].new_sets[0].views:
        assert view.sky is not None
        np.testing.assert_array_equal(np.isnan(view.depth), view.sky)
    assert results[-1].alignment.depth_residual < 1e-6


def test_one_bad_pose_among_the_shared_views_is_left_out() -> None:
    def rotated(pose: FloatArray) -> FloatArray:
        return pose @ rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [3.0, 1.0, 0.0])

    results = run(BoxEstimator(WORLD, spoil=spoiling([6], 1, with_pose(rotated))), NO_RIG)
    clean = run(BoxEstimator(WORLD), NO_RIG)
    assert 'left out' in joined(results[6].alignment.notes)
    # The rounding of float32 depth is all that differs.
    for stamp_ns, pose in poses_by_stamp(clean).items():
        np.testing.assert_allclose(poses_by_stamp(results)[stamp_ns], pose, atol=1e-5)


def test_one_view_with_depth_of_another_scale_is_outvoted() -> None:
    change: Spoil = lambda view: replace(view, depth=view.depth * np.float32(1.5))  # noqa: E731
    results = run(BoxEstimator(WORLD, spoil=spoiling([6], 2, change)), NO_RIG, CAMERAS)
    clean = run(BoxEstimator(WORLD), NO_RIG, CAMERAS)
    assert results[6].alignment.scale == pytest.approx(clean[6].alignment.scale, rel=1e-5)


def test_cameras_in_one_place_give_no_baseline_and_no_division_by_zero() -> None:
    together = RigCalibration(
        {
            name: rigid(pose[:3, :3], [0.1, 0.0, 0.5])
            for name, pose in THREE_CAMERAS.base_from_camera.items()
        }
    )
    still = BoxWorld(together, lambda _: drive(0))
    for world, rig in itertools.product([BoxWorld(together), still], [together, NO_RIG]):
        results = run(BoxEstimator(world), rig)
        assert {r.alignment.scale_source for r in results[1:]} == {'chain'}
        assert results[0].alignment.scale_source == 'none'
        assert np.isnan(results[0].alignment.scale_log_sigma)


def test_windows_that_share_nothing_are_dead_reckoned_and_say_so() -> None:
    reconstructor = Reconstructor(BoxEstimator(WORLD), THREE_CAMERAS, lambda: 0.0)
    first = [reconstructor.process(w) for w in windows_of(sets_of(CAMERAS, 6), 3, 1)]
    later = [frame_set(CAMERAS, (100 + i) * PERIOD_NS) for i in range(3)]
    result = reconstructor.process(Window(6, tuple(later), 3))
    assert result.alignment.method == 'dead_reckoning'
    assert 'no view is shared' in joined(result.alignment.notes)
    last = first[-1].new_sets[-1].world_from_base
    offset = last @ invert(drive(later[0].stamp_ns))
    for item in result.new_sets:
        np.testing.assert_allclose(item.world_from_base, offset @ drive(item.stamp_ns), atol=1e-6)


def test_a_world_without_metric_source_says_so_when_it_becomes_metric() -> None:
    sets = [frame_set(['front'], i * PERIOD_NS) for i in range(4)]
    sets += [frame_set(CAMERAS, i * PERIOD_NS) for i in range(4, 12)]
    estimator = BoxEstimator(WORLD)
    reconstructor = Reconstructor(estimator, THREE_CAMERAS, lambda: 0.0)
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 1)]
    assert not results[3].alignment.is_metric
    assert 'became metric' in joined(results[4].alignment.notes)
    for result in results[4:]:
        assert result.alignment.is_metric
        scale = result.alignment.scale * estimator.scales[result.window_index]
        assert scale == pytest.approx(1.0, abs=1e-6)
        # Nothing in the old unit is compared with what is new.
        if result is not results[4]:
            assert result.alignment.depth_residual < 1e-6
            assert result.alignment.translation_residual < 1e-6
    # From there on everything is exact against everything else.
    poses = poses_by_stamp(results[4:])
    start = poses[4 * PERIOD_NS] @ invert(drive(4 * PERIOD_NS))
    for stamp_ns, pose in poses.items():
        np.testing.assert_allclose(pose, start @ drive(stamp_ns), atol=1e-6)


def test_a_rig_that_contradicts_the_network_is_reported() -> None:
    wrong = dict(THREE_CAMERAS.base_from_camera)
    wrong['left'] = wrong['left'] @ rigid(np.eye(3), [0.0, 0.3, 0.0])
    results = run(BoxEstimator(WORLD), RigCalibration(wrong))
    assert all(
        "the cameras' calibration and the network disagree by" in joined(r.alignment.notes)
        for r in results
    )
    for item in [s for r in results for s in r.new_sets]:
        for view in item.views:
            # What is published stays consistent with the TF tree of that rig.
            pose = item.world_from_base @ wrong[view.id.camera]
            np.testing.assert_allclose(view.world_from_camera, pose, atol=1e-12)


def test_one_window_with_wild_baselines_does_not_tear_the_scale() -> None:
    def shrink(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        if window.index != 8:
            return prediction
        views = list(prediction.views)
        for start in range(0, len(views), 3):
            middle = views[start].window_from_camera[:3, 3]
            for i in (start + 1, start + 2):
                pose = views[i].window_from_camera.copy()
                pose[:3, 3] = middle + 0.3 * (pose[:3, 3] - middle)
                views[i] = replace(views[i], window_from_camera=pose)
        return replace(prediction, views=tuple(views))

    estimator = BoxEstimator(WORLD, spoil=shrink)
    results = run(estimator, count=20)
    scales = [r.alignment.scale * estimator.scales[r.window_index] for r in results]
    assert abs(np.log(scales[8])) < 0.1
    assert scales[-1] == pytest.approx(1.0, abs=0.02)


def test_sets_with_changing_cameras_stay_in_one_world() -> None:
    names = [CAMERAS, CAMERAS[:2], CAMERAS[1:], CAMERAS[:1], CAMERAS[2:], CAMERAS]
    sets: list[FrameSet] = []
    for i in range(24):
        present = names[i % 6]
        partial = frame_set(present, i * PERIOD_NS)
        missing = tuple(c for c in CAMERAS if c not in present)
        sets.append(FrameSet(partial.stamp_ns, partial.frames, missing))
    reconstructor = Reconstructor(BoxEstimator(WORLD), THREE_CAMERAS, lambda: 0.0)
    results = [reconstructor.process(w) for w in windows_of(sets, 3, 1)]
    assert_true(results, 24)


def test_rotations_that_are_nearly_orthonormal_do_not_add_up() -> None:
    def stretched(pose: FloatArray) -> FloatArray:
        pose[:3, :3] *= 1 + 2e-4
        return pose

    change = spoiling(range(100), None, with_pose(stretched))
    results = run(BoxEstimator(WORLD, spoil=change), NO_RIG, count=40)
    for view in results[-1].new_sets[0].views:
        rotation = view.world_from_camera[:3, :3]
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)


def test_a_depth_image_of_another_size_is_not_compared() -> None:
    small = replace(WORLD, camera=WORLD.camera.resized(type(WORLD.camera.size)(12, 16)))
    other = BoxEstimator(small, seed=3)

    def swap(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        return other.estimate(window) if window.index >= 6 else prediction

    results = run(BoxEstimator(WORLD, spoil=swap))
    assert np.isnan(results[6].alignment.depth_residual)
    assert_true(results)


def test_reset_makes_the_next_window_the_first() -> None:
    reconstructor = Reconstructor(BoxEstimator(WORLD), THREE_CAMERAS, lambda: 0.0)
    windows = windows_of(sets_of(CAMERAS, 6), 3, 1)
    for window in windows[:4]:
        reconstructor.process(window)
    reconstructor.reset()
    result = reconstructor.process(windows[4])
    assert result.alignment.method == 'first'
    assert len(result.new_sets) == 3
    np.testing.assert_allclose(result.new_sets[0].world_from_base, np.eye(4), atol=1e-9)


def test_the_injected_clock_times_the_estimator_alone() -> None:
    ticks = itertools.count(step=2.5)
    reconstructor = Reconstructor(BoxEstimator(WORLD), THREE_CAMERAS, lambda: next(ticks))
    assert reconstructor.process(Window(0, tuple(sets_of(CAMERAS, 1)), 1)).estimate_s == 2.5


def test_a_rig_that_is_not_rigid_is_refused_by_name() -> None:
    rig = RigCalibration({'front': 2 * np.eye(4)})
    with pytest.raises(StreamError, match='front'):
        Reconstructor(BoxEstimator(WORLD), rig, lambda: 0.0)
