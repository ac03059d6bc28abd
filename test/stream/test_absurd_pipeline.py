"""The same absurdities through the pipeline: it steps on, and only a failed window is an error."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from da3_ros.errors import PipelineError, StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.notes import joined
from da3_ros.options import from_flat
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig, RigChange, RigTracker
from da3_ros.types import FrameSet, RigCalibration, WindowResult
from helpers.absurd_schedules import CAMERAS, NetworkFailedError, Schedule, schedule
from helpers.pipelines import Rig
from helpers.stream_builders import THREE_CAMERAS

NAMES = {name: f'{name}_optical_frame' for name in THREE_CAMERAS.base_from_camera}


@dataclass
class Lines:
    """A log that is read."""

    warnings: list[str] = field(default_factory=list)

    def info(self, message: str, /) -> None:
        """Leave out what is good to know."""

    def warning(self, message: str, /) -> None:
        """Keep what somebody should look at."""
        self.warnings.append(message)


def frame_sets(plan: Schedule) -> list[FrameSet]:
    """Return the sets of a schedule in their order, each once."""
    seen = {id(item): item for window in plan.windows for item in window.sets}
    return list(seen.values())


@dataclass
class Outcome:
    """What became of the steps of one schedule."""

    results: list[WindowResult] = field(default_factory=list)
    failed: int = 0

    def step(self, pipeline: Pipeline) -> None:
        """Take one step."""
        try:
            result = pipeline.step()
        except PipelineError as error:
            assert_by_the_network(error)
            self.failed += 1
        else:
            self.results += [] if result is None else [result]


def outcome(plan: Schedule) -> Outcome:
    """Return what becomes of a schedule."""
    sets = frame_sets(plan)
    cameras = [c for c in CAMERAS if any(f.camera == c for item in sets for f in item.frames)]
    options = from_flat(
        {
            'cameras': tuple(cameras),
            'min_cameras': 1,
            'window': len(plan.windows[0].sets),
            'stride': 1,
            'scale_source': plan.scale_source,
        }
    )
    priors = {item.stamp_ns: item.prior for item in sets}
    rig = GivenRig(plan.rig, lambda frame_set: priors.get(frame_set.stamp_ns))
    pipeline = Pipeline(
        options, plan.estimator, rig, quarter_turns=plan.quarter_turns, log=Lines()
    )
    found = Outcome()
    for item in sets:
        for frame in item.frames:
            pipeline.push(frame)
        while pipeline.has_work:
            found.step(pipeline)
    pipeline.close()
    return found


def assert_by_the_network(error: PipelineError) -> None:
    cause = error.__cause__
    assert isinstance(cause, (NetworkFailedError, StreamError))
    assert str(cause) in str(error)
    if isinstance(cause, StreamError):
        assert 'the estimator returned' in str(cause)


@pytest.mark.parametrize('first', range(0, 150, 50))
def test_a_step_raises_only_where_the_network_fails(first: int) -> None:
    found = [outcome(plan) for plan in map(schedule, range(first, first + 50)) if plan.windows]
    results = [result for one in found for result in one.results]
    refused = [result for result in results if not result.new_sets]
    assert all('camera ' in joined(result.alignment.notes) for result in refused)
    assert len(refused) > 5
    assert len(results) > 100
    assert sum(one.failed for one in found) > 5


def wrong(pose: FloatArray) -> FloatArray:
    return pose @ np.diag([1.0, 1, -1, 1])


def test_a_place_that_is_none_is_named_once_and_the_others_are_used() -> None:
    poses = dict(THREE_CAMERAS.base_from_camera)
    poses['left'] = wrong(poses['left'])
    source, log = Rig(poses), Lines()
    tracker = RigTracker(source, log, is_ignored=False)
    assert tracker.update(NAMES) is RigChange.BEGINS
    assert list(tracker.rig.base_from_camera) == ['front', 'right']
    assert [line for line in log.warnings if 'base_from_camera of left' in line] == [
        log.warnings[0]
    ]
    assert 'determinant -1' in log.warnings[0]
    count = len(log.warnings)
    for _ in range(5):
        assert tracker.update(NAMES) is RigChange.NONE
    assert len(log.warnings) == count
    source.known['left'] = THREE_CAMERAS.base_from_camera['left']
    assert tracker.update(NAMES) is RigChange.ANEW
    assert set(tracker.rig.base_from_camera) == set(NAMES)


def test_a_rig_of_nothing_but_nonsense_is_an_empty_one() -> None:
    poses = {name: np.full((4, 4), np.nan) for name in NAMES}
    log = Lines()
    tracker = RigTracker(GivenRig(RigCalibration(poses)), log, is_ignored=False)
    tracker.update(NAMES)
    assert dict(tracker.rig.base_from_camera) == {}
    assert all(any(name in line for line in log.warnings) for name in NAMES)
