"""Clocks that jump, differ or are wrong for one image: what becomes of the sets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.sync_report import StampFault
from da3_ros.types import CameraFrame
from helpers.stream_builders import PERIOD_NS, frame

MS = 1_000_000
S = 1000 * MS
HOUR_NS = 3600 * S
CAMERAS = ('a', 'b', 'c')
Sets = list[tuple[tuple[str, int], ...]]


def make(min_cameras: int, cameras: str = 'abc') -> Synchronizer:
    return Synchronizer(tuple(cameras), 10 * MS, min_cameras, 20 * MS)


def push(sync: Synchronizer, frames: Iterator[CameraFrame]) -> Sets:
    """Push frames that arrive when a right clock would have stamped them."""
    ready = [item for pushed in frames for item in sync.push(pushed)]
    return [tuple((f.camera, f.stamp_ns) for f in item.frames) for item in ready]


def instants(first: int, last: int, odd: str = '', by_ns: int = 0) -> Iterator[CameraFrame]:
    for i in range(first, last):
        for camera in CAMERAS:
            yield frame(camera, i * PERIOD_NS + (by_ns if camera in odd else 0))


def whole(first: int, last: int, by_ns: int = 0) -> Sets:
    return [tuple((c, i * PERIOD_NS + by_ns) for c in CAMERAS) for i in range(first, last)]


@pytest.mark.parametrize('by_ns', [HOUR_NS, -HOUR_NS, 400 * MS, -400 * MS])
@pytest.mark.parametrize('camera', CAMERAS)
@pytest.mark.parametrize('min_cameras', [1, 2])
def test_the_others_go_on_without_the_one_whose_clock_jumps_and_it_comes_back(
    camera: str, min_cameras: int, by_ns: int
) -> None:
    sync = make(min_cameras)
    assert push(sync, instants(0, 5)) == whole(0, 5)
    others = [c for c in CAMERAS if c != camera]
    sets = push(sync, instants(5, 205, camera, by_ns))
    in_sets = {stamp_ns for item in sets for c, stamp_ns in item if c in others}
    # A jump that could be a gap is found out only when they have not met for a while; the last
    # ones may wait still for the one that is missing.
    first = 5 if abs(by_ns) == HOUR_NS else 3500 * MS // PERIOD_NS
    assert in_sets >= {i * PERIOD_NS for i in range(first, 203)}
    late = [item for item in sets if item[0][1] > 100 * PERIOD_NS]
    assert all([c for c, _ in item] == others for item in late)
    report = sync.report()
    assert [item.camera for item in report.apart] == [camera]
    assert report.apart[0].clock_ns == pytest.approx(by_ns, abs=PERIOD_NS)
    assert report.late_cameras == (camera,)
    assert report.clock_resets == 0
    assert push(sync, instants(205, 225))[-5:] == whole(220, 225)
    report = sync.report()
    assert (report.late_cameras, report.apart, report.clock_resets) == ((), (), 0)


@pytest.mark.parametrize('by_ns', [HOUR_NS, -HOUR_NS, 400 * MS])
@pytest.mark.parametrize('camera', CAMERAS)
def test_a_camera_with_a_wrong_clock_from_the_start_costs_the_others_nothing(
    camera: str, by_ns: int
) -> None:
    sync = make(1)
    # Stamps of robots are never near zero.
    shift = 10 * HOUR_NS // PERIOD_NS
    sets = push(sync, instants(shift, shift + 200, camera, by_ns))
    others = [c for c in CAMERAS if c != camera]
    expected = [tuple((c, i * PERIOD_NS) for c in others) for i in range(shift, shift + 200)]
    assert sets == expected[: len(sets)]
    assert len(sets) >= 198


@pytest.mark.parametrize('min_cameras', [0, 1, 2])
@pytest.mark.parametrize('by_ns', [HOUR_NS, 0, -HOUR_NS])
def test_a_gap_or_a_jump_that_all_cameras_have_costs_nothing(min_cameras: int, by_ns: int) -> None:
    sync = make(min_cameras)
    assert push(sync, instants(0, 5)) == whole(0, 5)
    sets = push(sync, instants(7, 20, 'abc', by_ns))
    assert sets == whole(7, 20, by_ns)
    report = sync.report()
    assert report.dropped == ()
    assert report.clock_resets == (by_ns < 0)
    jumps = [e for e in sync.take_events() if e.fault is StampFault.JUMP]
    assert sorted(e.camera for e in jumps) == list(CAMERAS if by_ns else ())
    assert all(e.offset_ns == by_ns + 3 * PERIOD_NS for e in jumps)


@pytest.mark.parametrize('by_ns', [HOUR_NS, 3 * S, -3 * S, -HOUR_NS])
@pytest.mark.parametrize('cameras', ['a', 'c', 'ab', 'abc'])
@pytest.mark.parametrize('min_cameras', [0, 1])
@pytest.mark.parametrize('length', range(1, IN_A_ROW))
def test_few_odd_stamps_are_left_out_and_nothing_else_is(
    by_ns: int, cameras: str, min_cameras: int, length: int
) -> None:
    sync = make(min_cameras)
    frames = [*instants(0, 5), *instants(5, 5 + length, cameras, by_ns)]
    sets = push(sync, iter([*frames, *instants(5 + length, 20)]))
    odd = length * len(cameras)
    assert sync.report().dropped_by('outlier') == odd
    assert sync.report().clock_resets == 0
    given = {(c, i * PERIOD_NS) for i in range(20) for c in CAMERAS}
    given -= {(c, i * PERIOD_NS) for i in range(5, 5 + length) for c in cameras}
    found = [pair for item in sets for pair in item]
    if min_cameras:
        assert sorted(found) == sorted(given)
    assert set(found) <= given
    assert sets[-10:] == whole(10, 20)
    events = sync.take_events()
    assert {(e.fault, e.camera) for e in events} == {(StampFault.OUTLIER, c) for c in cameras}
    assert len(events) == odd


def test_the_only_camera_that_sends_is_never_apart() -> None:
    sync = make(1)
    push(sync, instants(0, 5))
    alone = [frame('b', HOUR_NS + i * PERIOD_NS) for i in range(100)]
    # Until it shows that it is the only one; the newest waits for cameras that may be late.
    quiet = 2 * S // PERIOD_NS + 1
    assert push(sync, iter(alone))[-(99 - quiet) :] == [
        (('b', item.stamp_ns),) for item in alone[quiet:-1]
    ]
    assert sync.report().apart == ()
    status = {item.camera: item for item in sync.report().cameras}
    assert [status[c].is_sending for c in CAMERAS] == [False, True, False]


def test_a_right_pair_takes_over_from_one_that_was_first_and_an_hour_ahead() -> None:
    sync = make(1)
    first = push(sync, (frame('c', HOUR_NS + i * PERIOD_NS) for i in range(100)))
    assert first
    sets = push(sync, instants(100, 200, 'c', HOUR_NS))
    assert sync.report().clock_resets == 1
    assert [c for c, _ in sets[-1]] == ['a', 'b']
    assert len(sets) > 95


def two(
    count: int, offset_ns: int, period_ns: int = 100 * MS, late_ns: int = 0
) -> Iterator[tuple[CameraFrame, int]]:
    """Yield frames of a, and of b with an offset of the stamps and of the arrivals."""
    frames = []
    for i in range(count):
        now = 10 * HOUR_NS + i * period_ns
        frames += [(frame('a', now), now), (frame('b', now + offset_ns), now + late_ns)]
    # Until one of them ends.
    return iter(sorted((f for f in frames if f[1] <= now), key=lambda item: item[1]))


@pytest.mark.parametrize(
    ('offset_ns', 'late_ns', 'clock_ns'),
    [
        (50 * MS, 50 * MS, 0),
        (50 * MS, 0, 50 * MS),
        (400 * MS, 0, 400 * MS),
        (-400 * MS, 0, -400 * MS),
        (0, 400 * MS, -400 * MS),
        (7200 * S, 30 * MS, 7200 * S - 30 * MS),
        (-9 * HOUR_NS, 0, -9 * HOUR_NS),
    ],
)
@pytest.mark.parametrize('min_cameras', [0, 1])
def test_cameras_that_never_meet_give_no_sets_and_are_measured(
    offset_ns: int, late_ns: int, clock_ns: int, min_cameras: int
) -> None:
    sync = make(min_cameras, 'ab')
    sets = [item for given in two(50, offset_ns, late_ns=late_ns) for item in sync.push(*given)]
    report = sync.report()
    # Whoever waits for all cameras waits as long as it takes: the queues are long enough.
    if min_cameras == 0 and abs(clock_ns) == 400 * MS:
        assert sets
        assert report.apart == ()
        return
    assert sets == []
    assert [(item.camera, item.other) for item in report.apart] == [('a', 'b'), ('b', 'a')]
    b = report.apart[1]
    assert b.clock_ns == clock_ns
    if abs(offset_ns) == 50 * MS:
        assert (b.distance_ns, b.largest_ns) == (50 * MS, 50 * MS)


def test_cameras_that_never_meet_are_known_after_a_few_seconds() -> None:
    sync = make(1, 'ab')
    for given in two(50, 50 * MS, late_ns=50 * MS):
        sync.push(*given)
        if sync.report().apart:
            assert given[1] - 10 * HOUR_NS <= 3 * S
            return
    raise AssertionError('never')


def test_two_pairs_of_cameras_are_no_majority() -> None:
    sync = make(1, 'abcd')
    frames = [
        frame(c, i * 100 * MS + (50 * MS if c in 'cd' else 0)) for i in range(60) for c in 'abcd'
    ]
    sets = push(sync, iter(frames))
    assert len(sets) <= 1
    assert [item.camera for item in sync.report().apart] == list('abcd')


@pytest.mark.parametrize('fast', [30, 10])
def test_a_slow_camera_in_step_with_a_fast_one_is_neither_late_nor_apart(fast: int) -> None:
    sync = make(1, 'ab')
    frames = []
    for i in range(10 * fast):
        frames.append(frame('a', i * S // fast))
        if i % 5 == 0:
            frames.append(frame('b', i * S // fast + MS))
    sets = push(sync, iter(frames))
    report = sync.report()
    assert (report.apart, report.late_cameras) == ((), ())
    assert sum(len(item) == 2 for item in sets) >= 2 * fast - 1
    assert len(sets) >= 10 * fast - 3


def test_cameras_that_meet_now_and_then_give_partial_sets_between() -> None:
    """10 Hz and 9 Hz: every second their stamps come together."""
    sync = make(1, 'ab')
    frames = [frame('a', i * 100 * MS) for i in range(300)]
    frames += [frame('b', i * S // 9) for i in range(270)]
    sets = push(sync, iter(sorted(frames, key=lambda item: item.stamp_ns)))
    assert sync.report().apart == ()
    assert len({stamp_ns for item in sets for _, stamp_ns in item}) > 500


@pytest.mark.parametrize('min_cameras', [1, 2])
def test_the_first_sets_wait_two_seconds_for_a_camera_that_never_came(min_cameras: int) -> None:
    sync = make(min_cameras)
    came: list[int] = []
    for i in range(60):
        sets = push(sync, iter([frame(c, i * 100 * MS) for c in 'ab']))
        came += [i] * bool(sets)
        if i < 20:
            assert sync.report().awaited_ns == 2 * S - i * 100 * MS
    assert came[0] == 21
    assert sync.report().awaited_ns == 0
    # Once only.
    sync.reset()
    assert push(sync, iter([frame(c, HOUR_NS + i * 100 * MS) for i in range(5) for c in 'ab']))
    sync.reopen()
    frames = [frame(c, 2 * HOUR_NS + i * 100 * MS) for i in range(15) for c in 'ab']
    assert push(sync, iter(frames)) == []
    # They wait no longer than until it comes.
    assert push(sync, iter([frame(c, 2 * HOUR_NS + 1500 * MS) for c in CAMERAS]))


@pytest.mark.parametrize(('doubted', 'who'), [('a', 'b'), ('b', 'a'), ('', ''), ('ab', '')])
def test_of_two_cameras_with_two_clocks_the_one_that_nobody_doubts_goes_on(
    doubted: str, who: str
) -> None:
    sync = make(1, 'ab')
    sync.doubt(doubted)
    sets = [item for given in two(60, 2 * HOUR_NS) for item in sync.push(*given)]
    assert {frame.camera for item in sets for frame in item.frames} == set(who)
    assert {item.camera for item in sync.report().apart} == set('ab') - set(who)
