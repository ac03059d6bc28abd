"""Reasons on the board: when they are said, for how long they hold, when they end."""

from __future__ import annotations

from dataclasses import replace
from string import Formatter

import pytest

from da3_ros.errors import StreamError
from da3_ros.reasons import Reason, Severity
from da3_ros.ros.reason_board import ReasonBoard

OWNER = 'front'
LATE: dict[str, object] = {'missed_sets': 4, 'problem': 'it is late'}


class Desk:
    """A board with a clock that stands still and a log that is kept."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[tuple[str, str]] = []
        self.board = ReasonBoard(self, clock=lambda: self.now_s)

    def info(self, message: str) -> None:
        self.lines.append(('info', message))

    def warning(self, message: str) -> None:
        self.lines.append(('warn', message))

    def error(self, message: str) -> None:
        self.lines.append(('error', message))

    def run(self, seconds: float) -> list[tuple[str, str]]:
        """Let time pass, tick by tick; return the new lines."""
        before = len(self.lines)
        for _ in range(round(seconds)):
            self.now_s += 1.0
            self.board.tick()
        return self.lines[before:]


def test_a_reason_is_said_at_once_every_thirty_seconds_and_when_it_ends() -> None:
    desk = Desk()
    desk.board.hold(Reason.CAMERA_LATE, OWNER, **LATE)
    assert [level for level, _ in desk.lines] == ['warn']
    assert 'camera front: 4 sets in a row' in desk.lines[0][1]
    assert desk.run(29) == []
    for _ in range(3):
        ((level, text),) = desk.run(30)
        assert level == 'warn'
        assert 's now)' in text
    desk.board.end(Reason.CAMERA_LATE, OWNER)
    assert desk.lines[-1] == ('info', f'over after 119.0 s: {desk.lines[0][1]}')
    assert desk.board.active() == ()
    assert desk.run(100) == []


def test_what_was_found_holds_for_five_seconds_after_the_last_time() -> None:
    desk = Desk()
    for _ in range(3):
        desk.board.happened(Reason.TF_BAD, 'tf', 'map', problem='zero stamp')
        assert desk.run(4) == []
        assert [a.count for a in desk.board.active('tf')] == [
            desk.board.counts('tf')['tf_bad: map']
        ]
    ((level, text),) = desk.run(2)
    assert level == 'info'
    assert text.startswith('over after')
    assert desk.board.active('tf') == ()
    assert desk.board.counts('tf') == {'tf_bad: map': 3}


def test_a_reason_that_comes_and_goes_does_not_flood_the_log() -> None:
    desk = Desk()
    for _ in range(120):
        desk.board.hold(Reason.CAMERA_LATE, OWNER, **LATE)
        desk.run(1)
        desk.board.end(Reason.CAMERA_LATE, OWNER)
    begun = [text for level, text in desk.lines if level == 'warn']
    assert 3 <= len(begun) <= 3 * (120 // 30 + 1)


def test_owners_and_kinds_hold_and_end_by_themselves_the_worst_first() -> None:
    desk = Desk()
    desk.board.hold(Reason.CAMERA_LATE, 'left', **LATE)
    desk.board.hold(Reason.WINDOW_FAILED, OWNER, 'data', problem='too short')
    desk.board.hold(Reason.WINDOW_FAILED, OWNER, 'step', problem='too small')
    assert [a.text for a in desk.board.active(OWNER)] == ['too short', 'too small']
    assert [a.reason.severity for a in desk.board.active()][-1] is Severity.WARN
    desk.board.end(Reason.WINDOW_FAILED, OWNER, 'data')
    assert [a.text for a in desk.board.active(OWNER)] == ['too small']
    desk.board.end(Reason.WINDOW_FAILED, OWNER)
    assert desk.board.active(OWNER) == ()
    desk.board.end_all()
    assert desk.board.active() == ()


def test_all_that_was_found_is_listed_when_it_is_over_too() -> None:
    desk = Desk()
    for missed_sets in (4, 5, 6):
        desk.board.hold(Reason.CAMERA_LATE, OWNER, missed_sets=missed_sets, problem='it is late')
        desk.board.end(Reason.CAMERA_LATE, OWNER)
    desk.board.hold(Reason.INACTIVE, 'stream', state='inactive')
    desk.board.happened(Reason.WINDOW_FAILED, OWNER, 'data', problem='too short')
    desk.board.end_all()
    found = [(f.reason, f.owner, f.count) for f in desk.board.found()]
    # The worst first.
    assert sorted(found, key=lambda f: list(Severity).index(f[0].severity), reverse=True) == found
    assert set(found) == {
        (Reason.CAMERA_LATE, OWNER, 3),
        (Reason.INACTIVE, 'stream', 1),
        (Reason.WINDOW_FAILED, OWNER, 1),
    }
    (late,) = [f for f in desk.board.found() if f.reason is Reason.CAMERA_LATE]
    assert '6 sets in a row' in late.text


def test_another_board_goes_on_with_what_was_found() -> None:
    first, other, whole = Desk(), Desk(), Desk()

    def half(desk: Desk, number: int) -> None:
        desk.board.hold(Reason.INACTIVE, 'stream', state='inactive')
        desk.board.happened(Reason.TF_BAD, 'tf', 'map', problem=f'problem {number}')
        if number:
            desk.board.hold(Reason.CAMERA_LATE, OWNER, **LATE)
            desk.board.end(Reason.CAMERA_LATE, OWNER)

    for desk in (first, whole):
        half(desk, 1)
    # What it found itself is forgotten.
    half(other, 0)
    other.board.recall(first.board.remembered())
    for number in (2, 0):
        half(other, number)
        half(whole, number)
    assert other.board.found() == whole.board.found()
    with pytest.raises(StreamError, match='no reason LOST'):
        other.board.recall([replace(first.board.remembered()[0], name='LOST')])


def test_what_only_happens_has_no_end() -> None:
    desk = Desk()
    desk.board.happened(Reason.WORLD_RESTARTED, 'stream', problem='the bag starts again')
    assert desk.run(60) == []
    assert desk.board.active() == ()


@pytest.mark.parametrize('reason', list(Reason), ids=lambda reason: reason.name)
def test_every_row_names_what_it_is_about(reason: Reason) -> None:
    row = reason.value
    assert row.cause.endswith('.')
    assert row.remedy.endswith('.')
    names = {name for _, name, _, _ in Formatter().parse(row.text) if name}
    assert names or row.severity is Severity.INFO or reason is Reason.TF_CLOCK


def test_rows_differ() -> None:
    assert len({reason.value.text + reason.value.cause for reason in Reason}) == len(Reason)
    assert len(Reason) == len(Reason.__members__)
