"""A run over any length takes the same memory: nothing of what was given out is kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
import gc
import logging
import threading
import tracemalloc
from types import FunctionType, ModuleType

import numpy as np
import pytest

from da3_ros.pipeline.every_frame import every_result
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.types import CameraFrame, Estimator, Window, WindowPrediction
from helpers.pipelines import Wall
from helpers.stream_builders import PERIOD_NS, THREE_CAMERAS, BoxEstimator, BoxWorld, frame
from helpers.whole_runs import offline, undecodable

# Of the whole process: nothing in them belongs to a pipeline.
_SHARED = (type, ModuleType, FunctionType, logging.Logger, threading.Thread)
_CONTAINERS = (list, dict, set, tuple, deque)
CAMERAS = tuple(THREE_CAMERAS.base_from_camera)


class Forgetful(BoxEstimator):
    """The truth, which does not note its scales."""

    def estimate(self, window: Window) -> WindowPrediction:
        self.scales.clear()
        return super().estimate(window)


class ForgetfulWall(Wall):
    """A wall, which does not note its windows."""

    def estimate(self, window: Window) -> WindowPrediction:
        self.windows.clear()
        return super().estimate(window)


def frames(cameras: Sequence[str], sets: int) -> Iterator[CameraFrame]:
    """Yield images, some of which cannot be decoded, are missing or come with an odd stamp."""
    for index in range(sets):
        for place, camera in enumerate(cameras):
            stamp_ns = index * PERIOD_NS + place
            one = frame(camera, stamp_ns, np.zeros((24, 32, 3), np.uint8))
            if index % 7 == place:
                continue
            if index % 11 == place:
                yield undecodable(one)
            elif index % 13 == place:
                yield frame(camera, stamp_ns + 10**12)
            else:
                yield one


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Let nobody collect lines of a log."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def elements(pipeline: Pipeline) -> int:
    """Return how much hangs on a pipeline: objects, what is in containers, bytes of arrays."""
    seen: dict[int, object] = {}
    fresh: list[object] = [pipeline]
    while fresh:
        one = fresh.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen[id(one)] = one
        fresh += gc.get_referents(one)
    arrays = sum(one.nbytes for one in seen.values() if isinstance(one, np.ndarray))
    return arrays + sum(
        1 + (len(one) if isinstance(one, _CONTAINERS) else 0) for one in seen.values()
    )


def traced_bytes(pipeline: Pipeline) -> int:
    """Return the memory of all that was made since it is traced."""
    del pipeline
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def growth(
    estimator: Estimator,
    cameras: Sequence[str],
    measure: Callable[[Pipeline], int],
    first: int,
    last: int,
) -> int:
    """Return what a measure of memory grows by between two windows of a run."""
    pipeline = offline(estimator, cameras, GivenRig(THREE_CAMERAS), window=3)
    found: list[int] = []
    for number, result in enumerate(every_result(pipeline, frames(cameras, 2 * last), print)):
        pipeline.losses(result)
        if number % 50 == 0:
            pipeline.state()
        if number in (first, last):
            del result
            found.append(measure(pipeline))
        if number == last:
            break
    assert pipeline.sync_report().dropped_by('undecodable') > last // 20
    assert pipeline.sync_report().dropped_by('outlier') > last // 20
    assert not pipeline.snapshot().trajectory.poses()
    return found[1] - found[0]


def test_three_hundred_sets_leave_nothing() -> None:
    # Behind the newest 256, by which rates are taken. A number by set would be more.
    assert growth(ForgetfulWall(), CAMERAS[:1], elements, 300, 450) < 100


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_ten_thousand_sets_leave_nothing() -> None:
    tracemalloc.start()
    try:
        estimator = Forgetful(BoxWorld(THREE_CAMERAS), 1, position_noise_m=0.01)
        assert growth(estimator, CAMERAS, traced_bytes, 500, 10_000) < 20_000
    finally:
        tracemalloc.stop()
