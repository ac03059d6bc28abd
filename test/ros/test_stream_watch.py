"""When the stream says that nothing comes: from counters and a clock given by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip('rclpy')
from da3_ros.options.stream import STREAM
from da3_ros.reasons import Reason
from da3_ros.ros.node.stream_watch import StreamFacts, StreamWatch
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.window_reasons import OWNER

WORKS = StreamFacts(
    is_active=True,
    is_enabled=True,
    state='active',
    is_wanted=True,
    sets=0,
    dropped_sets=0,
    is_working=False,
    finished=0,
    slowest_s=0.0,
    result=None,
    unplaced=(),
)


class Day:
    """A watch that is asked once per second."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.facts = WORKS
        self.board = ReasonBoard(self, clock=lambda: self.now_s)
        self.watch = StreamWatch(self.board, STREAM, clock=lambda: self.now_s)

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...

    def second(self, **changed: object) -> set[Reason]:
        """Let a second pass and return what holds."""
        self.now_s += 1.0
        self.facts = replace(self.facts, **changed)  # type: ignore[arg-type]
        self.watch.look(self.facts)
        self.board.tick()
        return {active.reason for active in self.board.active(OWNER)}


def test_a_window_that_takes_long_is_no_stall_while_others_took_as_long() -> None:
    day = Day()
    day.second(slowest_s=6.0, is_working=True)
    # It began at most a second before it was seen.
    assert all(not day.second() for _ in range(17))
    assert day.second() == {Reason.STALLED}
    assert day.second(finished=1) == set()


def test_the_first_window_stalls_after_ten_seconds() -> None:
    day = Day()
    day.second(sets=1)
    assert all(not day.second(is_working=True) for _ in range(10))
    assert day.second() == {Reason.STALLED}
    assert day.second(is_working=False, finished=1) == set()


def test_a_node_without_images_never_stalls() -> None:
    day = Day()
    assert all(not day.second() for _ in range(60))


@pytest.mark.parametrize('dropped_of_ten', [0, 1, 2, 3, 9])
def test_sets_that_are_left_out_are_said_within_five_seconds(dropped_of_ten: int) -> None:
    day, seconds = Day(), 0
    for seconds in range(1, 30):
        sets = 10 * seconds
        dropped = dropped_of_ten * seconds
        found = day.second(sets=sets, dropped_sets=dropped, finished=sets - dropped)
        if found:
            break
    if dropped_of_ten <= 2:
        assert not found
        return
    assert found == {Reason.OVERLOADED}
    assert seconds <= 5
    (active,) = day.board.active(OWNER)
    assert f'{10 * dropped_of_ten} % of the sets get no depth' in active.text
    assert 'sets come at 10.0 Hz' in active.text
    sets, dropped, finished = day.facts.sets, day.facts.dropped_sets, day.facts.finished
    for _ in range(12):
        sets, finished = sets + 2, finished + 2
        found = day.second(sets=sets, dropped_sets=dropped, finished=finished)
    assert found == set()


@pytest.mark.parametrize(
    ('changed', 'reason'),
    [
        ({'is_active': False, 'state': 'inactive'}, Reason.INACTIVE),
        ({'is_enabled': False}, Reason.DISABLED),
        ({'is_wanted': False}, Reason.NOT_WANTED),
    ],
)
def test_an_idle_stream_has_one_reason_and_no_stall(
    changed: dict[str, object], reason: Reason
) -> None:
    day = Day()
    day.second(is_working=True)
    for _ in range(60):
        assert day.second(**changed) == {reason}
    assert day.second(is_active=True, is_enabled=True, is_wanted=True) == set()


def test_neither_the_first_window_nor_a_pause_says_that_sets_are_left_out() -> None:
    day, sets = Day(), 0
    # The network warms up for three seconds, then keeps pace.
    for _ in range(3):
        sets += 10
        assert day.second(sets=sets, dropped_sets=sets - 2, finished=0) == set()
    dropped, finished = sets, 0
    for _ in range(15):
        sets, finished = sets + 10, finished + 10
        assert day.second(sets=sets, dropped_sets=dropped, finished=finished) == set()
    # Cameras pause, and what comes first afterwards is left out while the network wakes up.
    for _ in range(6):
        assert day.second() == set()
    sets, dropped = sets + 9, dropped + 8
    assert day.second(sets=sets, dropped_sets=dropped) == set()
    for _ in range(5):
        sets, finished = sets + 10, finished + 10
        assert day.second(sets=sets, dropped_sets=dropped, finished=finished) == set()


def test_a_load_near_the_limit_is_said_once() -> None:
    day, sets, dropped, changes, before = Day(), 0, 0, 0, set[Reason]()
    for second in range(60):
        sets, dropped = sets + 100, dropped + (25 if second // 10 % 2 == 0 else 17)
        found = day.second(sets=sets, dropped_sets=dropped, finished=sets - dropped)
        changes += found != before
        before = found
    assert (changes, before) == (1, {Reason.OVERLOADED})
