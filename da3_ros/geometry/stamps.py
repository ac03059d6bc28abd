"""What stamps say about clocks; stamps are integer nanoseconds."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

CLOCK_RESET_NS = 1_000_000_000
"""Stamps of one sender that jump back by more than this come from a new clock (a bag that starts
again, a clock that was set), if several do so in a row; smaller steps back are messages out of
order."""
IN_A_ROW = 3
"""So many stamps in a row make a new clock; fewer are faulty stamps of the old one."""
# What is ahead by more than this, and by more than a few usual gaps, may be a faulty stamp.
_AHEAD_NS = 500_000_000
_AHEAD_GAPS = 4
# Before the usual gap is known.
_AHEAD_AT_FIRST_NS = 10_000_000_000
_LEAST_GAPS = 2
_GAPS = 9

_Item = TypeVar('_Item')


@dataclass(frozen=True, slots=True)
class Judged(Generic[_Item]):
    """What becomes of an item, and of those that were held back before it."""

    taken: tuple[_Item, ...] = ()
    """In the order of arrival."""
    left_out: tuple[tuple[int, _Item], ...] = ()
    """Items with a faulty stamp, and how far it is from the newest that was taken, ns."""
    jump_ns: int = 0
    """By how much the clock of the sender has jumped: first stamp that was taken minus newest
    before; 0 where it goes on."""


class StampFilter(Generic[_Item]):
    """Tells faulty stamps of one sender from a clock that jumped.

    An item whose stamp is far from the one before is held back. Do the next ones go on from it,
    `IN_A_ROW` in all, the clock has jumped and all of them are taken; otherwise it is left out.
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, _Item]] = []
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._arrived_ns = 0
        self.newest_ns: int | None = None
        """Of the stamps that were taken since the clock last jumped."""

    def push(
        self, stamp_ns: int, item: _Item, arrived_ns: int = 0, known_ns: int | None = None
    ) -> Judged[_Item]:
        """Judge an item.

        Args:
            stamp_ns: its stamp.
            item: to be taken, held back or left out.
            arrived_ns: when it arrived, by a steady clock; always 0 without one. A gap in the
                stamps is no jump of the clock where it is one of the arrivals, too.
            known_ns: newest stamp of senders with the same clock; None where there is none.
        """
        newest_ns = self.newest_ns
        if newest_ns is None or not self._is_odd(newest_ns, stamp_ns, arrived_ns, known_ns):
            left_out = self._release(newest_ns or 0)
            self._note(stamp_ns, arrived_ns)
            return Judged((item,), left_out)
        if self._held and stamp_ns == self._held[-1][0]:
            # The same again says nothing new of the clock.
            return Judged(left_out=((stamp_ns - newest_ns, item),))
        left_out = ()
        if self._held and stamp_ns < self._held[-1][0]:
            left_out = self._release(newest_ns)
        self._held.append((stamp_ns, item))
        if len(self._held) < IN_A_ROW:
            return Judged(left_out=left_out)
        return self._renewed(newest_ns, arrived_ns)

    def flush(self) -> Judged[_Item]:
        """Decide about what is held back, at the end of the input: two in a row are a clock."""
        if len(self._held) > 1:
            return self._renewed(self.newest_ns or 0, self._arrived_ns)
        return Judged(left_out=self._release(self.newest_ns or 0))

    @property
    def held_ns(self) -> tuple[int, ...]:
        """Stamps that are not decided about."""
        return tuple(stamp_ns for stamp_ns, _ in self._held)

    @property
    def period_ns(self) -> int | None:
        """The usual gap between two stamps; None before the second."""
        return round(median(self._gaps)) if self._gaps else None

    def _is_odd(
        self, newest_ns: int, stamp_ns: int, arrived_ns: int, known_ns: int | None
    ) -> bool:
        if newest_ns - stamp_ns > CLOCK_RESET_NS:
            return True
        limit_ns = _AHEAD_AT_FIRST_NS
        if len(self._gaps) >= _LEAST_GAPS:
            limit_ns = max(_AHEAD_NS, _AHEAD_GAPS * round(median(self._gaps)))
        expected_ns = max(newest_ns + max(0, arrived_ns - self._arrived_ns), known_ns or 0)
        return stamp_ns - expected_ns > limit_ns

    def _note(self, stamp_ns: int, arrived_ns: int) -> None:
        if self.newest_ns is None:
            self.newest_ns = stamp_ns
        elif stamp_ns > self.newest_ns:
            self._gaps.append(stamp_ns - self.newest_ns)
            self.newest_ns = stamp_ns
        else:
            return
        self._arrived_ns = arrived_ns

    def _renewed(self, newest_ns: int, arrived_ns: int) -> Judged[_Item]:
        held, self._held = self._held, []
        self.newest_ns = None
        self._gaps.clear()
        for stamp_ns, _ in held:
            self._note(stamp_ns, arrived_ns)
        return Judged(tuple(item for _, item in held), jump_ns=held[0][0] - newest_ns)

    def _release(self, newest_ns: int) -> tuple[tuple[int, _Item], ...]:
        held, self._held = self._held, []
        return tuple((stamp_ns - newest_ns, item) for stamp_ns, item in held)
