"""How much work a set makes on its way to a place in the world: counted, not timed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

import da3_ros
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options import NodeOptions, StreamOptions
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.types import (
    CameraFrame,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
    WindowResult,
)
from helpers.allocations import most_memory

CAMERAS = ('front', 'left', 'right')
SIZE = ImageSize(240, 320)
DEPTH_BYTES = 4 * SIZE.height * SIZE.width
PERIOD_NS = 100_000_000
OWN_FILES = str(Path(da3_ros.__file__).parent)
STEADY = 6
"""Sets after which windows of three are full."""


class Wall:
    """Says of every view that it sees a wall; depth is of those that were asked for."""

    def __init__(self) -> None:
        camera = PinholeCamera.from_focal(200.0, 200.0, 159.5, 119.5, SIZE)
        shape = (SIZE.height, SIZE.width)
        rows = np.linspace(2, 5, SIZE.height, dtype=np.float32)[:, None]
        self._depth = np.repeat(rows, SIZE.width, axis=1)
        self._confidence = np.full(shape, 5.0, np.float32)
        self._image = np.full((*shape, 3), 120, np.uint8)
        self._camera = camera

    def estimate(self, window: Window) -> WindowPrediction:
        wanted = [window.needs_depth(frame.id) for frame in window.views]
        return WindowPrediction(
            tuple(
                ViewPrediction(
                    depth=self._depth if is_wanted else None,
                    image=self._image,
                    window_from_camera=np.eye(4),
                    camera=self._camera,
                    calibrated_camera=None,
                    confidence=self._confidence if is_wanted else None,
                )
                for is_wanted in wanted
            )
        )


class Stream:
    """A pipeline that gets one set after the other."""

    def __init__(self, window: int) -> None:
        stream = StreamOptions(cameras=CAMERAS, window=window)
        rig = GivenRig(RigCalibration())
        self._pipeline = Pipeline(NodeOptions(stream=stream), Wall(), rig)
        self._image = np.zeros((240, 320, 3), np.uint8)
        self._sets = 0
        for _ in range(STEADY + window):
            self.step()

    def step(self) -> WindowResult:
        self._sets += 1
        for camera in CAMERAS:
            stamp_ns = self._sets * PERIOD_NS
            self._pipeline.push(CameraFrame(camera, stamp_ns, f'{camera}_optical', self._image))
        result = self._pipeline.step()
        assert result is not None
        assert len(result.new_sets) == 1
        return result


def own_calls(work: Callable[[], object]) -> int:
    """Return how many functions of this package are called; comprehensions are none."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        code = frame.f_code
        is_own = code.co_filename.startswith(OWN_FILES) and not code.co_name.startswith('<')
        count += event == 'call' and is_own

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.fixture(scope='module', name='stream')
def stream_fixture() -> Stream:
    return Stream(window=3)


def test_a_set_is_allocated_once_and_nothing_of_those_before(stream: Stream) -> None:
    """Depth of the three new views in world units; the rest is samples and small things."""
    stream.step()
    used = most_memory(stream.step)
    assert 3 * DEPTH_BYTES <= used < 4.5 * DEPTH_BYTES


def test_few_functions_are_called_for_a_set(stream: Stream) -> None:
    """819 while every view was looked at by itself."""
    stream.step()
    assert own_calls(stream.step) < 700


def test_a_longer_window_costs_little_more(stream: Stream) -> None:
    """What is new is the same; of known views a few numbers are looked at."""
    longer = Stream(window=9)
    added = own_calls(longer.step) - own_calls(stream.step)
    assert added / (6 * len(CAMERAS)) < 25
    assert most_memory(longer.step) < most_memory(stream.step) + DEPTH_BYTES
