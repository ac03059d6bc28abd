"""A run that is cut anywhere and resumed gives what an uninterrupted one gives, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
import math
from typing import Any

import numpy as np
import pytest

from da3_ros.errors import StreamError
from da3_ros.geometry.sim3 import Sim3
from da3_ros.pipeline.every_frame import every_result
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import FrameIds, GivenRig, RigSource
from da3_ros.pipeline.saved_state import state_bytes, state_of
from da3_ros.stream.alignment import Anchor
from da3_ros.stream.scale.odometry import Ratio
from da3_ros.stream.scale.samples import DepthSample
from da3_ros.stream.scale.world import WorldScale
from da3_ros.stream.world import World
from da3_ros.types import (
    CameraFrame,
    FrameSet,
    PosePrior,
    RigCalibration,
    Window,
    WindowPrediction,
    WindowResult,
)
from helpers.pipelines import Wall
from helpers.stream_builders import (
    PERIOD_NS,
    THREE_CAMERAS,
    BoxEstimator,
    BoxWorld,
    as_asked,
    frame,
    with_odometry,
)
from helpers.whole_runs import bits, jittered, offline, run_of

CAMERAS = tuple(THREE_CAMERAS.base_from_camera)
WORLD = BoxWorld(THREE_CAMERAS)
BACK_NS = 3600 * 10**9
Values = dict[str, Any]


@dataclass(eq=False)
class Interrupted:
    """A run whose state was taken after every window."""

    results: list[WindowResult]
    states: list[tuple[int, bytes]]
    """How many results there were, and the state."""


def watched(pipeline: Pipeline, frames: list[CameraFrame]) -> Interrupted:
    """Return what comes of an input, with the state after every result and every failure."""
    run = Interrupted([], [])

    def note(error: object = None) -> None:
        del error
        run.states.append((len(run.results), pipeline.state()))

    for result in every_result(pipeline, frames, note):
        run.results.append(result)
        note()
    return run


def require_same_from_every_cut(make: Callable[[], Pipeline], frames: list[CameraFrame]) -> None:
    """Require that whatever comes after a cut is the same to the last bit."""
    plain = run_of(make(), frames)
    whole = watched(make(), frames)
    # To look at the state changes nothing.
    assert bits(whole.results) == bits(plain.results)
    assert len(whole.states) >= 4
    for before, state in whole.states:
        resumed = run_of(make(), frames, state)
        assert bits(resumed.results) == bits(plain.results[before:])
        assert resumed.pipeline.windows == plain.pipeline.windows
        assert resumed.pipeline.sync_report() == plain.pipeline.sync_report()
        assert resumed.pipeline.dropped_sets == plain.pipeline.dropped_sets


def odometry(frame_set: FrameSet) -> PosePrior:
    """Return exact odometry, without a rig."""
    return with_odometry([frame_set], WORLD)[0].prior or PosePrior()


def odometry_with_holes(frame_set: FrameSet) -> PosePrior:
    """Return odometry of two sets of three."""
    numbers = [index for index in range(30) if index % 3 == 1]
    return with_odometry([frame_set], WORLD, missing=numbers)[0].prior or PosePrior()


def rig_that_grows(frame_set: FrameSet) -> PosePrior:
    """Return a rig whose cameras are a half further apart from the fourth set on."""
    scale = 1.0 if frame_set.stamp_ns < 4 * PERIOD_NS else 1.5
    stretch = Sim3(scale, np.eye(3), np.zeros(3))
    rig = THREE_CAMERAS.base_from_camera
    return PosePrior({camera: stretch.apply_to_pose(pose) for camera, pose in rig.items()})


class RigOfTf:
    """Knows more of the rig with every question, and the odometry."""

    def __init__(self, *, has_odometry: bool) -> None:
        self._questions = 0
        self._has_odometry = has_odometry

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        del frame_ids
        self._questions += 1
        names = CAMERAS[: self._questions // 3]
        return RigCalibration({name: THREE_CAMERAS.base_from_camera[name] for name in names})

    def wait_for_rig(self, frame_ids: FrameIds, timeout_s: float) -> RigCalibration:
        del timeout_s
        return self.rig(frame_ids)

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        return odometry(frame_set) if self._has_odometry else None


@dataclass(eq=False)
class Fails:
    """An estimator that raises for some windows, and says nothing usable of others."""

    inner: BoxEstimator
    raises: frozenset[int]
    refused: frozenset[int]

    def estimate(self, window: Window) -> WindowPrediction:
        if window.index in self.raises:
            raise RuntimeError('on fire')
        prediction = self.inner.estimate(window)
        if window.index not in self.refused:
            return prediction
        spoiled = replace(prediction.views[0], window_from_camera=np.full((4, 4), np.nan))
        return replace(prediction, views=(spoiled, *prediction.views[1:]))


def noisy(seed: int, *, is_metric: bool = False) -> BoxEstimator:
    """Return the truth with noise, so that every measurement of the scale is a compromise."""
    return BoxEstimator(
        WORLD,
        seed,
        position_noise_m=0.03,
        rotation_noise_rad=0.01,
        depth_noise=0.05,
        is_metric=is_metric,
        spoil=of_unknown_unit,
    )


def of_unknown_unit(window: Window, prediction: WindowPrediction) -> WindowPrediction:
    """Return a prediction that does not say how well its unit is known, as networks do."""
    return replace(as_asked(window, prediction), unit_sigma=None)


SOURCES: dict[str, Callable[[], RigSource]] = {
    'nothing': lambda: GivenRig(RigCalibration()),
    'rig': lambda: GivenRig(THREE_CAMERAS),
    'odometry': lambda: GivenRig(RigCalibration(), odometry),
    'tf': lambda: RigOfTf(has_odometry=False),
    'tf and odometry': lambda: RigOfTf(has_odometry=True),
}


@pytest.mark.parametrize(('window', 'stride'), [(3, 1), (4, 3), (1, 1)])
@pytest.mark.parametrize('source', SOURCES)
def test_every_cut_goes_on_with_the_same_bits(source: str, window: int, stride: int) -> None:
    seed = 10 * window + len(source)
    frames = jittered(CAMERAS, 12, np.random.default_rng(seed))
    values: Values = {'window': window, 'stride': stride}
    require_same_from_every_cut(
        lambda: offline(noisy(seed), CAMERAS, SOURCES[source](), **values), frames
    )


@pytest.mark.parametrize('stride', [1, 2])
def test_failed_and_refused_windows_and_a_clock_that_jumps(stride: int) -> None:
    frames = [frame(c, i * PERIOD_NS) for i in range(7) for c in CAMERAS]
    frames += [frame(c, i * PERIOD_NS - BACK_NS) for i in range(7) for c in CAMERAS]
    bad = frozenset({2, 5}), frozenset({1, 6})
    require_same_from_every_cut(
        lambda: offline(
            Fails(noisy(4), *bad), CAMERAS, GivenRig(THREE_CAMERAS), window=3, stride=stride
        ),
        frames,
    )


def test_a_world_in_the_frame_of_its_odometry() -> None:
    frames = [frame('front', i * PERIOD_NS) for i in range(10)]
    values: Values = {'prior_frame': 'odom', 'odom_frame': 'odom', 'window': 2}
    source = GivenRig(THREE_CAMERAS, odometry_with_holes)
    require_same_from_every_cut(lambda: offline(noisy(2), ['front'], source, **values), frames)


def test_a_scale_that_is_disputed_until_it_is_followed() -> None:
    frames = [frame(c, i * PERIOD_NS) for i in range(12) for c in CAMERAS]
    source = GivenRig(THREE_CAMERAS, rig_that_grows)

    def make() -> Pipeline:
        return offline(BoxEstimator(WORLD, 1), CAMERAS, source, window=2)

    notes = [n.code for r in run_of(make(), frames).results for n in r.alignment.notes]
    assert {'scale_off', 'scale_followed'} <= set(notes)
    require_same_from_every_cut(make, frames)


def test_cameras_that_are_mounted_upside_down_and_come_late() -> None:
    frames = [
        frame(camera, i * PERIOD_NS, np.full((24, 32, 3), i, np.uint8))
        for i in range(10)
        for place, camera in enumerate(CAMERAS)
        if i >= 3 * place
    ]
    values: Values = {'window': 3, 'min_cameras': 1, 'sync_wait_s': 0.0}
    require_same_from_every_cut(
        lambda: offline(
            noisy(9), CAMERAS, RigOfTf(has_odometry=True), quarter_turns={'front': 2}, **values
        ),
        frames,
    )


def test_a_state_of_another_input_or_none_is_refused() -> None:
    frames = [frame('a', i * PERIOD_NS) for i in range(6)]
    pipeline = offline(Wall(), ['a'])
    whole = watched(pipeline, frames)
    _, state = whole.states[3]
    with pytest.raises(StreamError, match=r'the input is another one'):
        run_of(offline(Wall(), ['a']), [frame('a', i * PERIOD_NS + 1) for i in range(6)], state)
    with pytest.raises(StreamError, match=r'at least 4 windows'):
        run_of(offline(Wall(), ['a']), frames[:3], state)
    with pytest.raises(StreamError, match=r'damaged'):
        offline(Wall(), ['a']).restore(state[:-1])
    last = whole.states[-1][1]
    assert run_of(offline(Wall(), ['a']), frames, last).results == []
    pipeline.close()
    with pytest.raises(StreamError, match=r'closed'):
        pipeline.state()


ONES = np.ones((4, 4), np.float32)
NO_SCALE = WorldScale(math.nan, 0.0, is_metric=True, source='rig')
SPOILED: dict[str, Callable[[World], World]] = {
    'a pose': lambda w: replace(w, world_from_base=np.eye(3)),
    'a pose that is none': lambda w: replace(w, given_from_world=np.full((4, 4), np.nan)),
    'a place in the rig': lambda w: replace(w, layout=replace(w.layout, rig={'a': np.zeros(3)})),
    'a place to start from': lambda w: replace(w, start=np.zeros(2)),
    'a scale': lambda w: replace(w, scale=NO_SCALE),
    'a ratio': lambda w: replace(w, gathered=Ratio(1.0, 0.0)),
    'an anchor': lambda w: replace(w, anchors={('a', 1): Anchor(np.ones((4, 4)), None)}),
    'a sample': lambda w: replace(
        w, anchors={('a', 1): Anchor(np.eye(4), DepthSample((4, 4), ONES, ONES[:1] > 0, None))}
    ),
}


@pytest.mark.parametrize('what', SPOILED)
def test_a_state_that_no_window_can_go_on_from_is_refused(what: str) -> None:
    pipeline = offline(Wall(), ['a'])
    _, state = watched(pipeline, [frame('a', i * PERIOD_NS) for i in range(6)]).states[3]
    sound = state_of(state)
    spoiled = state_bytes(replace(sound, world=SPOILED[what](sound.world)))
    with pytest.raises(StreamError, match=r'^state: '):
        state_of(spoiled)
