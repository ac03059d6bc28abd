"""Frames to one world: what was begun before a new beginning never enters what comes after."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from da3_ros.errors import PipelineError
from da3_ros.geometry.se3 import invert
from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.options import OptionValue, from_flat
from da3_ros.pipeline.estimators import build_estimator
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.types import FrameSet, PosePrior, RigCalibration, WindowResult
from helpers.pipelines import METRES, Rig, Wall, nothing
from helpers.stream_builders import frame

STEP_NS = 100_000_000
FIRST_NS = 10**18


class Log:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /) -> None:
        self.lines.append(message)

    def warning(self, message: str, /) -> None:
        self.lines.append(message)


class Refusing(list[dict[str, str]]):
    """Takes nothing."""

    def append(self, item: dict[str, str], /) -> None:
        raise RuntimeError('publishing the rig')


class Bench:
    """A pipeline fed by hand, with one camera unless other ones are named."""

    def __init__(self, **values: OptionValue) -> None:
        options = from_flat({'cameras': ('front',), 'window': 2, **values})
        self.cameras = options.stream.cameras
        self.wall, self.rig, self.log = Wall(), Rig(), Log()
        self.rigs: list[dict[str, str]] = []
        self.pipeline = Pipeline(
            options,
            self.wall,
            self.rig,
            log=self.log,
            on_rig=lambda frame_ids: self.rigs.append(dict(frame_ids)),
        )
        self.now_ns = FIRST_NS

    def push(self) -> int:
        self.now_ns += STEP_NS
        for camera in self.cameras:
            self.pipeline.push(frame(camera, self.now_ns))
        return self.now_ns

    def step(self) -> WindowResult | None:
        return self.pipeline.step()

    def push_and_step(self) -> WindowResult:
        self.push()
        result = self.step()
        assert result is not None
        return result

    def jump(self) -> int:
        """Push frames of a clock that went back by an hour: as many as it takes."""
        self.now_ns -= 3600 * 10**9
        return [self.push() for _ in range(IN_A_ROW)][-1]

    @property
    def stamps(self) -> list[int]:
        return [posed.stamp_ns for posed in self.pipeline.snapshot().sets]


def test_frames_pass_all_parts_with_exact_geometry() -> None:
    """Options to posed sets, offline: the parts fit together as the node uses them."""
    world = make_family_world()
    options = from_flat(
        {'model': 'truth', 'cameras': tuple(world.rig.cameras), 'window': 2, 'scene_sets': 3}
    )
    pipeline = Pipeline(options, build_estimator(options), GivenRig(world.rig.calibration))
    for index in range(5):
        stamp_ns = START_NS + index * 200_000_000
        for camera in world.rig.cameras:
            pipeline.push(world.frame(camera, stamp_ns))
        assert pipeline.step() is not None
    scene = pipeline.snapshot()
    assert [s.stamp_ns for s in scene.sets] == [START_NS + i * 200_000_000 for i in (2, 3, 4)]
    assert [p.stamp_ns for p in scene.trajectory.poses()] == [
        START_NS + i * 200_000_000 for i in range(5)
    ]
    assert scene.is_metric
    first, last = (s.world_from_base for s in (scene.sets[0], scene.sets[-1]))
    true_first, true_last = (
        world.world_from_base(s.stamp_ns) for s in (scene.sets[0], scene.sets[-1])
    )
    np.testing.assert_allclose(invert(first) @ last, invert(true_first) @ true_last, atol=1e-6)


def test_without_any_source_of_scale_the_rig_is_ignored() -> None:
    world = make_family_world()
    cameras = tuple(world.rig.cameras)
    for choice, expected in (('auto', 'rig'), ('rig', 'rig'), ('none', 'none')):
        options = from_flat({'model': 'truth', 'cameras': cameras, 'scale_source': choice})
        pipeline = Pipeline(options, build_estimator(options), GivenRig(world.rig.calibration))
        for camera in cameras:
            pipeline.push(world.frame(camera, START_NS))
        result = pipeline.step()
        assert result is not None
        report = result.alignment
        assert report.scale_source == expected
        assert report.is_metric == (expected == 'rig')
        assert np.isnan(report.rig_translation_residual) == (expected == 'none')


@pytest.mark.parametrize('begin', ['reset', 'jump'])
@pytest.mark.parametrize('where', ['while TF is waited for', 'while the network computes'])
def test_a_set_on_its_way_does_not_enter_the_world_that_begins(begin: str, where: str) -> None:
    bench = Bench()
    bench.push_and_step()
    before = bench.pipeline.snapshot()
    begins = {'reset': bench.pipeline.reset, 'jump': bench.jump}
    hooked: Rig | Wall = bench.rig if where.startswith('while TF') else bench.wall

    def between() -> None:
        hooked.between = lambda: None
        begins[begin]()

    hooked.between = between
    bench.push()
    assert bench.step() is None
    assert bench.stamps == []
    stamps = [bench.now_ns] if begin == 'jump' else []
    while bench.pipeline.has_work:
        assert bench.step() is not None
    stamps.append(bench.push())
    result = bench.step()
    assert result is not None
    after = bench.pipeline.snapshot()
    assert [posed.stamp_ns for posed in after.sets] == stamps
    assert [pose.stamp_ns for pose in after.trajectory.poses()] == stamps
    assert after.generation > before.generation
    assert {posed.generation for posed in after.sets} == {after.generation}
    # The windows of the new world had none of the old one's sets.
    assert min(s.stamp_ns for s in bench.wall.windows[-1].sets) == stamps[0]
    if begin == 'jump':
        assert sum('stamps jumped back by' in line for line in bench.log.lines) == 1


def test_sets_unit_and_trajectory_of_a_snapshot_belong_together() -> None:
    """The world becomes metric: nothing in units of its own is left, whoever looks and when."""
    bench = Bench()
    for _ in range(3):
        bench.push_and_step()
    old = bench.pipeline.snapshot()
    assert (old.is_metric, len(old.sets)) == (False, 3)
    bench.wall.is_metric = True
    seen: list[tuple[bool, int]] = []
    bench.wall.between = lambda: seen.append(
        (bench.pipeline.snapshot().is_metric, len(bench.pipeline.snapshot().sets))
    )
    result = bench.push_and_step()
    assert seen == [(False, 3)]
    new = bench.pipeline.snapshot()
    assert new.is_metric
    assert new.sets == result.new_sets
    assert new.generation == result.generation > old.generation
    assert len(new.trajectory.poses()) == 1
    np.testing.assert_allclose(new.sets[0].views[0].depth, METRES, rtol=1e-6)
    assert bench.push_and_step().generation == new.generation


def test_a_failed_window_is_named_and_its_sets_come_with_the_next() -> None:
    bench = Bench()
    bench.push_and_step()
    bench.wall.fails = True
    failed_ns = bench.push()
    text = (
        r'window 1 \(cameras front\) failed and is left out: RuntimeError: the network is on fire'
    )
    with pytest.raises(PipelineError, match=text):
        bench.step()
    bench.wall.fails = False
    result = bench.push_and_step()
    assert [posed.stamp_ns for posed in result.new_sets] == [failed_ns, bench.now_ns]


def test_windows_that_nobody_wants_are_not_estimated() -> None:
    bench = Bench()
    bench.push()
    assert bench.pipeline.step(lambda: False) is None
    assert bench.wall.windows == []
    # Their sets are there for the next one.
    assert len(bench.push_and_step().new_sets) == 2


def test_a_result_that_does_not_count_any_more_leaves_no_trace() -> None:
    """As when a node pauses within a window: what is not published is not exported either."""
    bench = Bench()
    first_ns = bench.push()
    assert bench.step() is not None
    before = bench.pipeline.last_result
    bench.push()
    assert bench.pipeline.step(counts=lambda: False) is None
    assert bench.stamps == [first_ns]
    assert len(bench.pipeline.snapshot().trajectory.poses()) == 1
    assert bench.pipeline.last_result is before
    # A change of the unit shows all the same: what was there does not fit what comes.
    bench.wall.is_metric = True
    bench.push()
    assert bench.pipeline.step(counts=lambda: False) is None
    assert bench.stamps == []
    assert bench.pipeline.last_result is None
    bench.push_and_step()
    assert bench.stamps == [bench.now_ns]
    assert bench.pipeline.snapshot().is_metric


def test_the_newest_sets_win_and_the_others_are_counted() -> None:
    bench = Bench()
    stamps = [bench.push() for _ in range(5)]
    result = bench.step()
    assert result is not None
    assert [posed.stamp_ns for posed in result.new_sets] == stamps[-1:]
    assert bench.step() is None
    losses = bench.pipeline.losses(result)
    assert (losses.dropped_sets, losses.dropped_frames, losses.late_cameras) == (4, 0, ())


def test_a_pause_keeps_the_world_and_none_of_what_waits() -> None:
    bench = Bench()
    first = bench.push_and_step()
    bench.push()
    bench.pipeline.pause()
    assert not bench.pipeline.has_work
    result = bench.push_and_step()
    assert result.generation == first.generation
    assert len(bench.stamps) == 2
    assert bench.pipeline.dropped_sets == 1


@pytest.mark.parametrize('pauses', [False, True])
def test_a_world_that_starts_anew_for_older_stamps_is_said_once(pauses: bool) -> None:
    """Also after a pause, in which the synchroniser forgets what it had seen."""
    bench = Bench()
    bench.push_and_step()
    if pauses:
        bench.pipeline.pause()
    bench.jump()
    assert bench.stamps == []
    (line,) = [line for line in bench.log.lines if 'stamps jumped back' in line]
    assert 'first set: front' in line


def test_cameras_join_the_world_or_start_it_anew() -> None:
    """Known with their first image they join; known after they had been seen, all starts anew."""
    bench = Bench(cameras=('front', 'left', 'right'), min_cameras=1, sync_wait_s=0.0)

    def see(*cameras: str) -> WindowResult:
        """Return the result when all windows of some images of these cameras are done."""
        bench.cameras = cameras
        newest = None
        # The first sets wait for two seconds.
        for _ in range(25):
            bench.push()
            while bench.pipeline.has_work:
                newest = bench.step() or newest
        assert newest is not None
        return newest

    bench.rig.known = {'front': np.eye(4)}
    begun = see('front')
    assert set(bench.pipeline.rig.base_from_camera) == {'front'}
    bench.rig.known['left'] = np.eye(4)
    joined = see('front', 'left')
    assert set(bench.pipeline.rig.base_from_camera) == {'front', 'left'}
    assert joined.generation == begun.generation
    see('front', 'left', 'right')
    bench.rig.known['right'] = np.eye(4)
    anew = see('front', 'left', 'right')
    assert anew.generation > begun.generation
    assert [sorted(frame_ids) for frame_ids in bench.rigs] == [
        ['front'],
        ['front', 'left'],
        ['front', 'left', 'right'],
    ]
    assert any('left joined the rig' in line for line in bench.log.lines)
    assert any('now connects right to the base frame' in line for line in bench.log.lines)


def test_a_rig_that_gets_known_while_the_clock_jumps_is_in_the_world_after_it() -> None:
    bench = Bench()
    bench.rig.known = {'front': np.eye(4)}

    def between() -> None:
        bench.rig.between = nothing
        bench.jump()

    bench.rig.between = between
    bench.push()
    assert bench.step() is None
    result = bench.step()
    assert result is not None
    # The camera stands where the rig says, not where a body without a rig would have it.
    (posed,) = result.new_sets
    np.testing.assert_allclose(posed.views[0].world_from_camera, posed.world_from_base)


@pytest.mark.parametrize('what', ['a look into TF', 'publishing the rig'])
def test_a_rig_that_gets_known_with_a_set_that_fails_is_used_from_then_on(what: str) -> None:
    bench = Bench()
    bench.rig.known = {'front': np.eye(4)}

    def fail(frame_set: FrameSet) -> PosePrior | None:
        del frame_set
        raise RuntimeError(what)

    if what == 'a look into TF':
        bench.rig.prior = fail  # type: ignore[method-assign]
    else:
        bench.rigs = Refusing()
    bench.push()
    with pytest.raises(PipelineError, match=what):
        bench.step()
    bench.rig.prior = Rig().prior  # type: ignore[method-assign]
    (posed,) = bench.push_and_step().new_sets
    # The camera stands where the rig says, not where a body without a rig would have it.
    np.testing.assert_allclose(posed.views[0].world_from_camera, posed.world_from_base)


def test_a_closed_pipeline_keeps_nothing_and_does_nothing() -> None:
    bench = Bench()
    bench.push_and_step()
    bench.push()
    bench.wall.between = bench.pipeline.close
    assert bench.step() is None
    assert bench.pipeline.snapshot().sets == ()
    bench.push()
    assert bench.step() is None
    assert len(bench.wall.windows) == 2


def test_every_set_is_taken_or_counted_as_dropped_with_callbacks_on_other_threads() -> None:
    bench = Bench(cameras=('a', 'b', 'c'), min_cameras=1, sync_wait_s=0.0, sync_tolerance_s=0.0)
    per_camera = 300
    taken = 0
    done = threading.Event()

    def work() -> None:
        nonlocal taken
        while not (done.is_set() and not bench.pipeline.has_work):
            before = len(bench.wall.windows)
            bench.pipeline.step()
            taken += len(bench.wall.windows) - before

    def give(number: int) -> None:
        for index in range(per_camera):
            bench.pipeline.push(frame('abc'[number], FIRST_NS + 3 * index + number))

    worker = threading.Thread(target=work)
    givers = [threading.Thread(target=give, args=(number,)) for number in range(3)]
    for thread in (worker, *givers):
        thread.start()
    for thread in givers:
        thread.join(60)
    done.set()
    worker.join(60)
    assert not worker.is_alive()
    report = bench.pipeline.sync_report()
    assert taken + bench.pipeline.dropped_sets == report.sets


def test_a_given_rig_knows_at_once() -> None:
    rig = RigCalibration({'front': np.eye(4)})
    source = GivenRig(rig)
    assert source.rig({}) is source.wait_for_rig({}, 99.0) is rig
