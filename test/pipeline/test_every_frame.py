"""Every frame once: in one result, or counted with the reason why it is in none."""

from __future__ import annotations

from collections import Counter
import time

import numpy as np
import pytest

from da3_ros.errors import PipelineError, StreamError
from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.options import from_flat
from da3_ros.pipeline.every_frame import FrameClock
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import FrameIds
from da3_ros.stream.drops import DropCause
from da3_ros.types import CameraFrame, RigCalibration, WindowResult
from helpers.pipelines import Rig, Wall
from helpers.stream_builders import PERIOD_NS, frame
from helpers.whole_runs import Run, bits, jittered, offline, run_of, undecodable

BACK_NS = 3600 * 10**9


def require_every_frame_once(run: Run, frames: list[CameraFrame]) -> None:
    """Require that a run without failures lost nothing unsaid, and came in order."""
    assert not run.failures
    assert set(run.used.values()) <= {1}
    came = Counter(one.camera for one in frames)
    used = Counter(camera for camera, _ in run.used)
    assert used + run.dropped == came
    assert not run.pipeline.has_work
    for result in run.results:
        stamps = [posed.stamp_ns for posed in result.new_sets]
        assert stamps == sorted(set(stamps))


@pytest.mark.parametrize('seed', range(40))
def test_every_frame_is_in_one_result_or_counted(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cameras = [f'cam{i}' for i in range(1 + seed % 6)]
    window = int(rng.integers(1, 6))
    frames = jittered(cameras, 14, rng)
    frames = [undecodable(one) if rng.random() < 0.05 else one for one in frames]
    wall = Wall()
    pipeline = offline(
        wall,
        cameras,
        window=window,
        stride=int(rng.integers(1, window + 1)),
        min_cameras=int(rng.integers(0, len(cameras) + 1)),
    )
    run = run_of(pipeline, frames)
    require_every_frame_once(run, frames)
    stamps = [posed.stamp_ns for result in run.results for posed in result.new_sets]
    assert stamps == sorted(set(stamps))
    report = pipeline.sync_report()
    assert len(stamps) + pipeline.dropped_sets == report.sets
    bad = sum(one.pending is not None for one in frames)
    causes: list[DropCause] = ['undecodable', 'incomplete', 'unmatched', 'late', 'overflow']
    assert sum(report.dropped_by(cause) for cause in causes) == run.dropped.total()
    assert report.dropped_by('undecodable') <= bad
    assert all(view.pending is None for one in wall.windows for view in one.views)


@pytest.mark.parametrize(('window', 'stride'), [(1, 1), (3, 1), (3, 2), (4, 4)])
def test_sets_that_wait_behind_one_another_give_the_same_windows(window: int, stride: int) -> None:
    """However late `step` is called: the input decides, not the speed of the estimator."""
    cameras = ['a', 'b']
    frames = [frame(c, i * PERIOD_NS) for i in range(11) for c in cameras]
    # The clock jumps back: another world, behind what waits.
    frames += [frame(c, i * PERIOD_NS - BACK_NS) for i in range(7) for c in cameras]
    at_once = offline(Wall(), cameras, window=window, stride=stride)
    prompt = run_of(offline(Wall(), cameras, window=window, stride=stride), frames)
    for one in frames:
        at_once.push(one)
    at_once.finish()
    late = Run(at_once)
    while at_once.has_work:
        result = at_once.step()
        late.results += [] if result is None else [result]
    assert at_once.dropped_sets == 0
    for run in (prompt, late):
        require_every_frame_once(run, frames)
    assert [described(result) for result in late.results] == [
        described(result) for result in prompt.results
    ]
    assert len({result.generation for result in late.results}) == 2


def described(result: WindowResult) -> tuple[int, int, int, list[int]]:
    """Return which windows of which sets came out, in which world."""
    stamps = [posed.stamp_ns for posed in result.new_sets]
    return result.window_index, result.generation, result.sets, stamps


def test_the_end_makes_a_window_of_what_is_left() -> None:
    pipeline = offline(Wall(), ['a'], window=4, stride=3)
    run = run_of(pipeline, [frame('a', i * PERIOD_NS) for i in range(8)])
    assert [len(result.new_sets) for result in run.results] == [3, 3, 2]
    assert [result.sets for result in run.results] == [3, 4, 4]
    assert pipeline.windows == 3
    assert pipeline.finish() is False
    with pytest.raises(StreamError, match=r'camera a: expected no image after finish'):
        pipeline.push(frame('a', 99 * PERIOD_NS))
    pipeline.reset()
    assert pipeline.push(frame('a', 99 * PERIOD_NS))


def test_frames_that_fit_no_set_at_the_end_are_counted() -> None:
    cameras = ['a', 'b']
    frames = [frame(c, i * PERIOD_NS) for i in range(4) for c in cameras][:-1]
    run = run_of(offline(Wall(), cameras, min_cameras=0), frames)
    require_every_frame_once(run, frames)
    assert run.pipeline.sync_report().dropped_by('unmatched') == 1
    some = run_of(offline(Wall(), cameras, min_cameras=1), frames)
    require_every_frame_once(some, frames)
    assert not some.dropped


@pytest.mark.parametrize('stride', [1, 2])
def test_a_clock_that_jumps_back_at_the_end_is_followed(stride: int) -> None:
    """The last frames are held back until it is sure that the clock has jumped."""
    frames = [frame('a', i * PERIOD_NS) for i in range(5)]
    frames += [frame('a', i * PERIOD_NS - BACK_NS) for i in range(IN_A_ROW - 1)]
    run = run_of(offline(Wall(), ['a'], window=2, stride=stride), frames)
    require_every_frame_once(run, frames)
    assert not run.dropped
    assert len({result.generation for result in run.results}) == 2


class LateTf(Rig):
    """Knows where a camera sits from the so manieth question on."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.questions, self.after = 0, after

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        self.questions += 1
        if self.questions > self.after:
            self.known = {'a': np.eye(4)}
        return super().rig(frame_ids)


@pytest.mark.parametrize('stride', [1, 3])
def test_a_world_that_starts_anew_with_the_rig_loses_nothing(stride: int) -> None:
    frames = [frame('a', i * PERIOD_NS) for i in range(11)]
    run = run_of(offline(Wall(), ['a'], LateTf(5), window=3, stride=stride), frames)
    require_every_frame_once(run, frames)
    assert not run.dropped
    assert len({result.generation for result in run.results}) == 2
    before = [r for r in run.results if r.generation == run.results[0].generation]
    assert sum(len(result.new_sets) for result in before) == 5


def test_a_set_whose_poses_cannot_be_asked_is_counted_and_said() -> None:
    def fail() -> None:
        if len(wall.windows) == 2:
            raise RuntimeError('TF is gone')

    wall = Wall()
    frames = [frame('a', i * PERIOD_NS) for i in range(3)]
    run = run_of(offline(wall, ['a'], Rig(between=fail)), frames)
    assert len(run.results) == 2
    assert ['TF is gone' in str(error) for error in run.failures] == [True]
    assert run.pipeline.sync_report().dropped_by('incomplete') == 1
    assert run.pipeline.dropped_sets == 1


def test_windows_that_fail_are_said_and_the_next_one_goes_on() -> None:
    def fail() -> None:
        if len(wall.windows) == 2:
            raise RuntimeError('the network is on fire')

    wall = Wall(between=fail)
    frames = [frame('a', i * PERIOD_NS) for i in range(5)]
    run = run_of(offline(wall, ['a'], window=2), frames)
    assert len(run.failures) == 1
    assert isinstance(run.failures[0], PipelineError)
    assert [len(result.new_sets) for result in run.results] == [1, 2, 1, 1]
    assert run.pipeline.windows == 5
    assert run.used.total() == 5


@pytest.mark.parametrize(('window', 'stride'), [(1, 1), (3, 1), (3, 2)])
def test_a_live_pipeline_that_keeps_up_gives_the_same_in_the_same_order(
    window: int, stride: int
) -> None:
    rng = np.random.default_rng(window)
    cameras = ['a', 'b', 'c']
    frames = jittered(cameras, 12, rng)
    whole = run_of(offline(Wall(), cameras, window=window, stride=stride), frames)
    options = from_flat(
        {'cameras': tuple(cameras), 'sync_tolerance_s': 0.01, 'window': window, 'stride': stride}
    )
    live = Pipeline(options, Wall(), Rig(), clock=lambda: 0.0)
    results: list[WindowResult] = []
    for one in frames:
        live.push(one)
        while live.has_work:
            results += [result] if (result := live.step()) is not None else []
    assert live.dropped_sets == 0
    assert len(results) >= 3
    # The end of a recording brings what a live one would still wait for.
    assert bits(results) == bits(whole.results[: len(results)])


def test_a_gap_in_a_recording_is_no_jump_of_its_clock(caplog: pytest.LogCaptureFixture) -> None:
    stamps = [i * PERIOD_NS for i in range(4)] + [10**11 + i * PERIOD_NS for i in range(4)]
    frames = [frame('a', stamp_ns) for stamp_ns in stamps]
    clock = FrameClock()
    run = run_of(offline(Wall(), ['a'], clock=clock), clock.following(frames))
    require_every_frame_once(run, frames)
    assert len(run.results) == 8
    assert not caplog.messages
    # Without the time of the recording nothing tells a gap from a clock that was set.
    still = run_of(offline(Wall(), ['a']), frames)
    assert len(still.results) == 8
    assert any('its clock jumped forward' in line for line in caplog.messages)


def test_nothing_depends_on_the_speed_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> float:
        raise AssertionError('a clock of this machine')

    for name in ('monotonic', 'time', 'perf_counter'):
        monkeypatch.setattr(time, name, forbidden)
    frames = [frame('a', i * PERIOD_NS) for i in range(4)]
    run = run_of(offline(Wall(), ['a']), frames)
    monkeypatch.undo()
    require_every_frame_once(run, frames)
    assert [result.estimate_s for result in run.results] == [0.0] * 4
