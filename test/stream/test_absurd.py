"""Absurd predictions, odometry and rigs: no exception, no nonsense given out, no spoilt world.

Schedules of windows are drawn from seeds; `helpers.absurd_schedules` has the kinds. What is
checked of a result is what its types promise, not what the code does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
import gc
import math
import weakref

import numpy as np
import pytest

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.notes import joined
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.types import (
    FrameSet,
    PosedSet,
    RigCalibration,
    Window,
    WindowPrediction,
    WindowResult,
)
from helpers.absurd_predictions import KINDS, changed
from helpers.absurd_schedules import (
    FOUR_CAMERAS,
    AbsurdEstimator,
    NetworkFailedError,
    Schedule,
    drawn_set,
    schedule,
)
from helpers.stream_builders import (
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    sets_of,
    windows_of,
    with_odometry,
)

CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
WORLD = BoxWorld(THREE_CAMERAS)
QUICK = 300
LONG = 6000
NO_RIG_SEEDS = range(100)


def started(plan: Schedule) -> Reconstructor | None:
    """Return a reconstructor of the schedule's rig; None when that is refused as it is given."""
    try:
        return Reconstructor(
            plan.estimator,
            plan.rig,
            lambda: 0.0,
            plan.scale_source,
            in_odometry_frame=plan.in_odometry_frame,
            quarter_turns=plan.quarter_turns,
        )
    except StreamError:
        return None


def outcomes(
    plan: Schedule, without: Sequence[int] = ()
) -> Iterator[tuple[Window, WindowResult | None]]:
    """Yield windows and results, None where the estimator failed by itself.

    Args:
        plan: what happens.
        without: positions of windows that do not happen.
    """
    reconstructor = started(plan)
    if reconstructor is None:
        return
    for position, window in enumerate(plan.windows):
        if position == plan.middle and plan.later_rig is not None:
            reconstructor.extend_rig(plan.later_rig)
        if position in without:
            continue
        try:
            result = reconstructor.process(window)
        except NetworkFailedError:
            result = None
        except StreamError as error:
            # The one thing that is an error of whoever wrote the estimator.
            if 'the estimator returned' not in str(error):
                raise
            result = None
        yield window, result


def is_rigid(pose: FloatArray) -> bool:
    rotation = pose[:3, :3]
    return bool(
        pose.shape == (4, 4)
        and np.isfinite(pose).all()
        and np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-6
        and np.linalg.det(rotation) > 0
        and (pose[3] == (0, 0, 0, 1)).all()
    )


def check_sets(sets: Sequence[PosedSet]) -> None:
    for posed in sets:
        assert is_rigid(posed.world_from_base)
        for view in posed.views:
            assert is_rigid(view.world_from_camera)
            depth, K = view.depth, view.camera.K
            assert depth.dtype == np.float32
            assert (np.isnan(depth) | ((depth > 0) & np.isfinite(depth))).all()
            assert view.image.shape == (*depth.shape, 3)
            assert view.image.dtype == np.uint8
            assert (view.camera.size.height, view.camera.size.width) == depth.shape
            assert np.isfinite(K).all()
            assert K[0, 0] > 0
            assert K[1, 1] > 0
            if view.confidence is not None:
                assert view.confidence.dtype == np.float32
                assert ((view.confidence >= 1) & np.isfinite(view.confidence)).all()
            if view.sky is not None:
                assert view.sky.dtype == np.bool_
                assert np.isnan(depth[view.sky]).all()


def is_unknown_or_at_least_zero(value: float) -> bool:
    return math.isnan(value) or (value >= 0 and math.isfinite(value))


def check(result: WindowResult) -> None:
    report = result.alignment
    assert report.scale > 0
    assert math.isfinite(report.scale)
    for number in (
        report.scale_log_sigma,
        report.rotation_residual_rad,
        report.translation_residual,
        report.depth_residual,
        report.rig_rotation_residual_rad,
        report.rig_translation_residual,
    ):
        assert is_unknown_or_at_least_zero(number)
    for note in report.notes:
        assert note.text
        assert '\n' not in note.text
    if is_refused(result):
        assert result.new_sets == ()
        assert 'camera ' in joined(report.notes)
    check_sets(result.new_sets)
    assert set(result.images) == {v.id for posed in result.new_sets for v in posed.views}


def is_refused(result: WindowResult) -> bool:
    return any(note.code == 'window_refused' for note in result.alignment.notes)


@pytest.mark.parametrize('first', range(0, QUICK, 50))
def test_whatever_comes_gives_a_result_that_keeps_its_promises(first: int) -> None:
    for seed in range(first, first + 50):
        for _, result in outcomes(schedule(seed)):
            if result is not None:
                check(result)


@pytest.mark.slow
@pytest.mark.parametrize('first', range(QUICK, LONG, 300))
def test_whatever_comes_in_thousands_of_schedules(first: int) -> None:
    for seed in range(first, first + 300):
        for _, result in outcomes(schedule(seed)):
            if result is not None:
                check(result)


def test_every_kind_of_absurdity_has_its_turn_and_so_have_refusals_and_results() -> None:
    kinds: set[str] = set()
    refused = accepted = 0
    for seed in range(120):
        plan = schedule(seed)
        for window, result in outcomes(plan):
            kinds |= set(plan.estimator.done[window.index])
            if result is not None and plan.estimator.done[window.index]:
                refused += is_refused(result)
                accepted += not is_refused(result)
    assert kinds == set(KINDS)
    assert min(refused, accepted) > 50


MULTIPLYING = (
    'stretched_poses', 'no_depth_and_same_poses', 'scaled_depth', 'constant_depth', 'same_poses',
)  # fmt: skip


@pytest.mark.slow
def test_units_without_sense_do_not_multiply_for_hours() -> None:
    """The metre is lost and found again hundreds of times, each time another one."""
    seed = 10
    rng = np.random.default_rng((seed, 9))
    world, cameras = BoxWorld(FOUR_CAMERAS), tuple(FOUR_CAMERAS.base_from_camera)[:3]
    sets = [drawn_set(rng, world, cameras, i, 'both', 0.5) for i in range(3000)]
    estimator = AbsurdEstimator(
        BoxEstimator(world, seed), seed, 0.8, {'unit_sigma': 0.0}, MULTIPLYING
    )
    reconstructor = Reconstructor(estimator, RigCalibration(), lambda: 0.0)
    found = 0
    for window in windows_of(sets, 2, 1):
        result = reconstructor.process(window)
        check(result)
        found += any(note.code == 'became_metric' for note in result.alignment.notes)
        for posed in result.new_sets:
            assert np.abs(posed.world_from_base[:3, 3]).max() < 1e30
    assert found > 100


def same(one: WindowResult, other: WindowResult) -> None:
    assert repr(one.alignment) == repr(other.alignment)
    assert len(one.new_sets) == len(other.new_sets)
    for a, b in zip(one.new_sets, other.new_sets, strict=True):
        np.testing.assert_array_equal(a.world_from_base, b.world_from_base)
        for v, w in zip(a.views, b.views, strict=True):
            np.testing.assert_array_equal(v.depth, w.depth)
            np.testing.assert_array_equal(v.world_from_camera, w.world_from_camera)


@pytest.mark.parametrize('first', range(0, 150, 50))
def test_refused_and_failed_windows_leave_the_world_as_it_was(first: int) -> None:
    """Without them everything else is the same to the last bit."""
    compared = 0
    for seed in range(first, first + 50):
        found = list(outcomes(schedule(seed)))
        bad = [i for i, (_, r) in enumerate(found) if r is None or is_refused(r)]
        good = [r for _, r in found if r is not None and not is_refused(r)]
        if not bad:
            continue
        for one, (_, other) in zip(good, outcomes(schedule(seed), bad), strict=True):
            assert other is not None
            same(one, other)
            compared += 1
    assert compared > 20


STEADY = [kind for kind in KINDS if kind not in {'failing', 'another_number_of_views'}]


@pytest.mark.parametrize('by_odometry', [True, False])
@pytest.mark.parametrize('kind', STEADY)
def test_a_metric_world_has_its_metre_again_after_absurd_windows(
    kind: str, by_odometry: bool
) -> None:
    """Two windows of every kind, also of those that nobody can tell from true ones."""

    def spoil(window: Window, said: WindowPrediction) -> WindowPrediction:
        if window.index not in {7, 8}:
            return said
        with np.errstate(all='ignore'):
            return changed(kind, said, np.random.default_rng(window.index))

    sets = sets_of(CAMERAS, 20)
    sets = with_odometry(sets, WORLD) if by_odometry else sets
    rig = RigCalibration() if by_odometry else THREE_CAMERAS
    estimator = BoxEstimator(WORLD, position_noise_m=0.003, depth_noise=0.02, spoil=spoil)
    reconstructor = Reconstructor(estimator, rig, lambda: 0.0)
    results = []
    for window in windows_of(sets, 3, 1):
        with suppress(GeometryError):  # an impossible camera: the estimator fails
            results.append(reconstructor.process(window))
    stamps = [posed.stamp_ns for result in results for posed in result.new_sets]
    assert stamps == [item.stamp_ns for item in sets]
    # One world, from the first window to the last.
    assert [r.window_index for r in results if r.alignment.method == 'first'] == [0]
    last = results[-1]
    assert last.alignment.is_metric
    scale = last.alignment.scale * estimator.scales[last.window_index]
    assert scale == pytest.approx(1.0, rel=0.02)


def own_images(item: FrameSet) -> FrameSet:
    return replace(item, frames=tuple(replace(f, image=f.image.copy()) for f in item.frames))


def test_refused_windows_are_not_kept() -> None:
    """After hundreds of them nothing of any is in memory but what the last one had."""
    said: list[weakref.ref[object]] = []

    def spoil(window: Window, prediction: WindowPrediction) -> WindowPrediction:
        broken = replace(prediction.views[-1], window_from_camera=np.zeros((4, 4)))
        said.extend(weakref.ref(view.depth) for view in prediction.views)
        return replace(prediction, views=(*prediction.views[:-1], broken))

    estimator = BoxEstimator(WORLD, spoil=spoil)
    reconstructor = Reconstructor(estimator, THREE_CAMERAS, lambda: 0.0, quarter_turns={'left': 2})
    windows = windows_of([own_images(item) for item in sets_of(CAMERAS, 100)], 3, 1)
    frames = [weakref.ref(frame.image) for frame in windows[0].views]
    for _ in range(len(windows) - 1):
        assert is_refused(reconstructor.process(windows.pop(0)))
    gc.collect()
    assert [ref for ref in said if ref() is not None] == []
    assert [ref for ref in frames if ref() is not None] == []
