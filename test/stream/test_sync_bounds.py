"""Synchronisation at its bounds, to the nanosecond."""

from __future__ import annotations

import pytest

from da3_ros.errors import StreamError
from da3_ros.geometry.stamps import CLOCK_RESET_NS, IN_A_ROW
from da3_ros.stream.sync import Synchronizer
from helpers.stream_builders import frame

MS = 1_000_000
TOLERANCE_NS, WAIT_NS = 10 * MS, 100 * MS


def make(cameras: str = 'ab', min_cameras: int = 0, queue_size: int = 16) -> Synchronizer:
    return Synchronizer(
        list(cameras),
        TOLERANCE_NS,
        min_cameras,
        WAIT_NS,
        queue_size=queue_size,
        first_wait_ns=0,
    )


def push(sync: Synchronizer, camera: str, stamp_ns: int) -> list[tuple[int, ...]]:
    """Push a frame and return the stamps of the sets that go out."""
    return [tuple(f.stamp_ns for f in item.frames) for item in sync.push(frame(camera, stamp_ns))]


@pytest.mark.parametrize(('apart', 'fits'), [(TOLERANCE_NS, True), (TOLERANCE_NS + 1, False)])
def test_stamps_up_to_the_tolerance_apart_are_one_set(apart: int, fits: bool) -> None:
    for first, second in ('ab', 'ba'):
        sync = make()
        assert push(sync, first, 0) == []
        assert bool(push(sync, second, apart)) == fits


def test_a_camera_that_may_still_send_a_fitting_frame_is_waited_for() -> None:
    """The last stamp of b is within the tolerance of a's frame: the next may be so, too."""
    for answer, wanted in ((15 * MS, []), (15 * MS + 1, [(5 * MS,)])):
        sync = make(min_cameras=1)
        assert push(sync, 'a', 0) == []
        assert push(sync, 'b', 8 * MS) == [(0, 8 * MS)]
        assert push(sync, 'a', 5 * MS) == []
        # Beyond the tolerance it is proved that nothing will come.
        assert push(sync, 'b', answer) == wanted


@pytest.mark.parametrize(('after', 'is_over'), [(WAIT_NS, False), (WAIT_NS + 1, True)])
def test_a_partial_set_goes_out_once_an_image_is_newer_by_more_than_the_waiting_time(
    after: int, is_over: bool
) -> None:
    sync = make('abc', min_cameras=2)
    push(sync, 'a', 0)
    push(sync, 'b', 0)
    assert push(sync, 'a', after) == ([(0, 0)] if is_over else [])


@pytest.mark.parametrize(
    ('back', 'is_reset'), [(CLOCK_RESET_NS, False), (CLOCK_RESET_NS + 1, True)]
)
def test_a_clock_is_new_when_stamps_jump_back_by_more_than_a_second(
    back: int, is_reset: bool
) -> None:
    sync = make('a')
    push(sync, 'a', 5 * CLOCK_RESET_NS)
    for step in range(IN_A_ROW):
        assert sync.report().clock_resets == 0
        push(sync, 'a', 5 * CLOCK_RESET_NS - back - (IN_A_ROW - 1 - step) * MS)
    report = sync.report()
    assert report.clock_resets == is_reset
    assert report.sets == 1 + is_reset * IN_A_ROW
    # A message that is late by no more than a second is nothing odd.
    assert report.dropped_by('out_of_order') == (not is_reset)
    assert report.dropped_by('outlier') == (not is_reset) * (IN_A_ROW - 1)


@pytest.mark.parametrize(
    ('after', 'cause'),
    [(0, 'late'), (1, 'late'), (TOLERANCE_NS, 'late'), (TOLERANCE_NS + 1, None)],
)
def test_a_frame_for_a_set_that_went_out_without_it_is_late(after: int, cause: str | None) -> None:
    sync = make(min_cameras=1)
    push(sync, 'a', 1000)
    assert push(sync, 'a', 1000 + WAIT_NS + 1) == [(1000,)]
    push(sync, 'b', 1000 + after)
    assert sync.report().dropped_by('late') == (cause == 'late')


def test_a_frame_that_is_newer_than_the_last_set_at_all_is_not_late() -> None:
    sync = make('a')
    assert [push(sync, 'a', 100 + after) for after in range(3)] == [[(100,)], [(101,)], [(102,)]]
    assert sync.report().dropped == ()


def test_a_camera_that_was_in_the_last_set_may_start_the_next_at_once() -> None:
    sync = make(min_cameras=1)
    push(sync, 'a', 0)
    assert push(sync, 'b', 5) == [(0, 5)]
    push(sync, 'a', 6)
    assert sync.report().dropped == ()
    push(sync, 'b', 5)
    assert sync.report().dropped_by('duplicate') == 1


@pytest.mark.parametrize(('misses', 'is_late'), [(2, False), (3, True)])
def test_a_camera_is_late_that_misses_three_sets(misses: int, is_late: bool) -> None:
    sync = make(min_cameras=1)
    for camera in 'ab':
        push(sync, camera, -2 * WAIT_NS)
    for index in range(misses + 1):
        push(sync, 'a', index * (WAIT_NS + 1))
        # Not so far behind that this alone would make it late.
        push(sync, 'b', index * (WAIT_NS + 1) - WAIT_NS)
    report = sync.report()
    assert {item.camera: item.missed_sets for item in report.cameras} == {'a': 0, 'b': misses}
    assert ('b' in report.late_cameras) == is_late


@pytest.mark.parametrize(
    ('behind', 'is_late'),
    [(WAIT_NS + TOLERANCE_NS, False), (WAIT_NS + TOLERANCE_NS + 1, True)],
)
def test_a_camera_is_late_that_is_further_behind_than_waiting_helps(
    behind: int, is_late: bool
) -> None:
    for silent in (True, False):
        sync = make()
        assert sync.report().late_cameras == ()
        push(sync, 'a', 7)
        if not silent:
            push(sync, 'b', 7 + TOLERANCE_NS + 1)
        push(sync, 'a', 7 + behind + (0 if silent else TOLERANCE_NS + 1))
        assert (sync.report().late_cameras == ('b',)) == is_late
    assert {item.camera: item.lag_ns for item in sync.report().cameras} == {'a': 0, 'b': behind}


def test_a_queue_keeps_its_newest_frames() -> None:
    sync = make(queue_size=3)
    for index in range(5):
        push(sync, 'a', index * 20 * MS)
    assert sync.report().dropped_by('overflow') == 2
    # The third is the oldest one left.
    assert push(sync, 'b', 40 * MS) == [(40 * MS, 40 * MS)]
    # Those before b's frame were of no use any more; nothing else was lost.
    assert sum(drop.count for drop in sync.report().dropped) == 2


def test_unknown_cameras_are_named_up_to_thirty_two() -> None:
    sync = make()
    for index in range(40):
        for _ in range(2):
            push(sync, f'x{index}', 0)
    counts = {drop.camera: drop.count for drop in sync.report().dropped}
    assert len(counts) == 33
    assert counts['x31'] == 2
    assert counts['(others)'] == 16


@pytest.mark.parametrize(
    ('tolerance', 'least', 'wait', 'size', 'fits'),
    [
        (0, 0, 0, 2, True),
        (0, 2, 0, 2, True),
        (-1, 0, 0, 2, False),
        (0, -1, 0, 2, False),
        (0, 3, 0, 2, False),
        (0, 0, -1, 2, False),
        (0, 0, 0, 1, False),
    ],
)
def test_settings_up_to_their_bounds_are_taken(
    tolerance: int, least: int, wait: int, size: int, fits: bool
) -> None:
    if fits:
        Synchronizer(['a', 'b'], tolerance, least, wait, queue_size=size)
        return
    with pytest.raises(StreamError, match='sync: expected'):
        Synchronizer(['a', 'b'], tolerance, least, wait, queue_size=size)


def test_one_full_queue_is_enough_to_send_a_partial_set() -> None:
    sync = make('abc', min_cameras=2, queue_size=3)
    push(sync, 'b', 0)
    push(sync, 'a', 0)
    assert push(sync, 'a', 20 * MS) == []
    assert push(sync, 'a', 40 * MS) == [(0, 0)]
