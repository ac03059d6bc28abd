"""Options of the stream, in seconds and by camera name, reach the part that they are for."""

from __future__ import annotations

import numpy as np
import pytest

from da3_ros.options import from_flat
from da3_ros.pipeline.pipeline import Pipeline
from helpers.pipelines import Rig, Wall
from helpers.stream_builders import frame

FIRST_NS = 10**18
MS = 1_000_000


def pipeline_of(wall: Wall, turns: dict[str, int] | None = None, **values: float) -> Pipeline:
    options = from_flat({'cameras': ('front', 'left'), 'window': 1, **values})
    return Pipeline(options, wall, Rig(), quarter_turns=turns)


@pytest.mark.parametrize(('after_ms', 'is_over'), [(490, False), (510, True)])
def test_a_camera_that_is_missing_is_waited_for_as_long_as_asked(
    after_ms: int, is_over: bool
) -> None:
    pipeline = pipeline_of(Wall(), min_cameras=1, sync_wait_s=0.5)
    for camera in ('front', 'left'):
        pipeline.push(frame(camera, FIRST_NS - 100 * MS))
    assert pipeline.step() is not None
    pipeline.push(frame('front', FIRST_NS))
    pipeline.push(frame('front', FIRST_NS + after_ms * MS))
    assert (pipeline.step() is not None) == is_over


@pytest.mark.parametrize(('min_cameras', 'sets'), [(None, True), (1, True), (0, False)])
def test_a_set_goes_out_with_the_cameras_that_came_unless_all_are_asked_for(
    min_cameras: int | None, sets: bool
) -> None:
    pipeline = pipeline_of(Wall())
    if min_cameras is not None:
        pipeline = pipeline_of(Wall(), min_cameras=min_cameras)
    for index in range(30):
        pipeline.push(frame('front', FIRST_NS + index * 100 * MS))
        assert pipeline.has_work == (sets and index > 20)


@pytest.mark.parametrize(('apart_ms', 'fits'), [(18, True), (22, False)])
def test_stamps_as_far_apart_as_allowed_are_one_set(apart_ms: int, fits: bool) -> None:
    pipeline = pipeline_of(Wall(), sync_tolerance_s=0.02)
    pipeline.push(frame('front', FIRST_NS))
    pipeline.push(frame('left', FIRST_NS + apart_ms * MS))
    assert (pipeline.step() is not None) == fits


def test_the_network_sees_rotated_cameras_upright_and_nobody_else_does() -> None:
    wall = Wall()
    pipeline = pipeline_of(wall, {'front': 1})
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    pipeline.push(frame('front', FIRST_NS, image))
    pipeline.push(frame('left', FIRST_NS, image))
    result = pipeline.step()
    assert result is not None
    front, left = (view.image for view in wall.windows[0].views)
    np.testing.assert_array_equal(front, np.rot90(image, -1))
    np.testing.assert_array_equal(left, image)
    for view in result.new_sets[0].views:
        np.testing.assert_array_equal(view.image, image)


def test_how_far_stamps_jumped_back_is_said_in_seconds(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_of(Wall())
    for stamp_ns in (FIRST_NS, *(FIRST_NS + (i - 90_250) * MS for i in range(3))):
        for camera in ('front', 'left'):
            pipeline.push(frame(camera, stamp_ns))
    assert 'back by 90.250 s' in caplog.text


@pytest.mark.parametrize(('is_metric', 'unit'), [(True, 'in metres'), (False, 'not metres')])
def test_a_world_says_once_in_which_unit_it_starts(
    caplog: pytest.LogCaptureFixture, is_metric: bool, unit: str
) -> None:
    caplog.set_level('INFO')
    pipeline = pipeline_of(Wall(is_metric))
    for stamp_ns in (FIRST_NS, FIRST_NS + 100 * MS, FIRST_NS + 200 * MS):
        for camera in ('front', 'left'):
            pipeline.push(frame(camera, stamp_ns))
        assert pipeline.step() is not None
    (line,) = (line for line in caplog.messages if line.startswith('the world starts'))
    assert unit in line
