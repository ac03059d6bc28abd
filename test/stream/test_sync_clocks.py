"""One camera whose clock is wrong does not take the others with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from da3_ros.stream.sync import Synchronizer
from da3_ros.types import CameraFrame
from helpers.stream_builders import PERIOD_NS, frame

MS = 1_000_000
HOUR_NS = 3_600_000_000_000
CAMERAS = ('a', 'b', 'c')
Sets = list[tuple[tuple[str, int], ...]]


def make(min_cameras: int) -> Synchronizer:
    return Synchronizer(CAMERAS, 10 * MS, min_cameras, 20 * MS)


def push(sync: Synchronizer, frames: Iterator[CameraFrame]) -> Sets:
    ready = [item for pushed in frames for item in sync.push(pushed)]
    return [tuple((f.camera, f.stamp_ns) for f in item.frames) for item in ready]


def instants(first: int, last: int, ahead: str = '', by_ns: int = 0) -> Iterator[CameraFrame]:
    for i in range(first, last):
        for camera in CAMERAS:
            yield frame(camera, i * PERIOD_NS + (by_ns if camera == ahead else 0))


def whole(first: int, last: int) -> Sets:
    return [tuple((c, i * PERIOD_NS) for c in CAMERAS) for i in range(first, last)]


@pytest.mark.parametrize('camera', CAMERAS)
@pytest.mark.parametrize('min_cameras', [1, 2])
def test_the_others_go_on_without_the_one_that_is_ahead_and_it_comes_back(
    camera: str, min_cameras: int
) -> None:
    sync = make(min_cameras)
    assert push(sync, instants(0, 5)) == whole(0, 5)
    others = [c for c in CAMERAS if c != camera]
    sets = push(sync, instants(5, 105, camera, HOUR_NS))
    # The set of the instant of the jump may go out in parts; each one after it is as expected,
    # but for the last, which waits for the one that is missing.
    expected = [tuple((c, i * PERIOD_NS) for c in others) for i in range(7, 104)]
    assert sets[-len(expected) :] == expected
    assert len(sets) <= len(expected) + 4
    assert all(stamp_ns < HOUR_NS for item in sets for _, stamp_ns in item)
    report = sync.report()
    assert report.dropped_by('wrong_clock') == 100
    assert report.late_cameras == (camera,)
    assert push(sync, instants(105, 110))[-5:] == whole(105, 110)
    report = sync.report()
    assert (report.late_cameras, report.clock_resets) == ((), 0)


@pytest.mark.parametrize('min_cameras', [0, 1, 2])
def test_a_gap_that_all_cameras_have_costs_nothing(min_cameras: int) -> None:
    sync = make(min_cameras)
    late = HOUR_NS // PERIOD_NS
    assert push(sync, instants(0, 5)) == whole(0, 5)
    assert push(sync, instants(late, late + 5))[-5:] == whole(late, late + 5)
    assert sync.report().dropped == ()


def test_the_only_camera_that_sends_is_never_ahead() -> None:
    sync = make(1)
    push(sync, instants(0, 5))
    alone = [frame('b', HOUR_NS + i * PERIOD_NS) for i in range(10)]
    # The newest waits for cameras that may be late.
    assert push(sync, iter(alone)) == [(('b', item.stamp_ns),) for item in alone[:-1]]
    assert sync.report().dropped_by('wrong_clock') == 0


def test_a_camera_that_is_behind_stops_nobody() -> None:
    sync = make(2)
    push(sync, instants(0, 5))
    sets = push(
        sync, instants(HOUR_NS // PERIOD_NS, HOUR_NS // PERIOD_NS + 20, 'c', -HOUR_NS // 2)
    )
    assert all([c for c, _ in item] == ['a', 'b'] for item in sets[1:])
    assert len(sets) >= 18
