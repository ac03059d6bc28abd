"""Which frame hangs below which, by what others publish; no poses, no middleware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import math
import time

GONE_AFTER_S = 5.0
"""A moving frame that nobody has published for this long has no parent any more."""
_FORGOTTEN_AFTER_S = 60.0


@dataclass(slots=True)
class _Above:
    """What is above one frame."""

    parent: str
    is_fixed: bool
    last_s: float
    rival: str = ''
    """Another parent that it had or has."""
    rival_s: float = -math.inf
    contested_s: float = -math.inf
    """When both were last known to be there."""


class FrameTree:
    """Parents of frames as others publish them on /tf and /tf_static.

    A frame on /tf_static keeps its place, as in tf2, and of several places the newest counts. A
    frame on /tf has a parent for as long as somebody publishes it.

    Args:
        clock: monotonic seconds.
        patience_s: how much longer than `GONE_AFTER_S` a frame on /tf keeps its parent. Nodes
            that all give way to one another take over one by one when theirs differ.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, patience_s: float = 0.0
    ) -> None:
        self._clock = clock
        self._gone_after_s = GONE_AFTER_S + patience_s
        self._above: dict[str, _Above] = {}

    def seen(self, parent: str, child: str, *, is_fixed: bool = False) -> bool:
        """Take a joint that another node published; return whether it is another than before."""
        now, entry = self._clock(), self._above.get(child)
        if entry is None:
            self._above[child] = _Above(parent, is_fixed, now)
            return True
        if entry.parent == parent and entry.is_fixed >= is_fixed:
            entry.last_s = now
            return False
        if entry.parent == parent:
            entry.is_fixed, entry.last_s = True, now
            return True
        if entry.is_fixed and not is_fixed:
            # What is fixed stays.
            entry.rival, entry.rival_s, entry.contested_s = parent, now, now
            return True
        if entry.is_fixed:
            entry.contested_s = math.inf
        elif is_fixed or (parent == entry.rival and now - entry.rival_s <= GONE_AFTER_S):
            # The one before has come back: two take turns.
            entry.contested_s = now
        entry.rival, entry.rival_s = entry.parent, entry.last_s
        entry.parent, entry.is_fixed, entry.last_s = parent, is_fixed, now
        return True

    def parent_of(self, child: str) -> str | None:
        """Return the parent that others give a frame now; None without one."""
        entry = self._above.get(child)
        return entry.parent if entry is not None and self._holds(entry) else None

    def is_fixed(self, child: str) -> bool:
        """Return whether the joint above a frame is on /tf_static."""
        entry = self._above.get(child)
        return entry is not None and entry.is_fixed

    def two_parents(self, child: str) -> tuple[str, str] | None:
        """Return the parents of a frame that has two now, the one that counts first."""
        entry = self._above.get(child)
        if entry is None or self._clock() - entry.contested_s > GONE_AFTER_S:
            return None
        return entry.parent, entry.rival

    def settle(self, child: str) -> None:
        """Forget that a frame had another parent."""
        if child in self._above:
            self._above[child].contested_s = -math.inf

    def loop(self, frame: str) -> tuple[str, ...] | None:
        """Return the frames from one up to itself; None when no joints lead there."""
        above = self.ancestors(frame)
        return above if self.parent_of(above[-1]) == frame else None

    def ancestors(self, frame: str) -> tuple[str, ...]:
        """Return a frame and all above it, nearest first; stops before a frame comes again."""
        found = [frame]
        while (parent := self.parent_of(found[-1])) is not None and parent not in found:
            found.append(parent)
        return tuple(found)

    def fixed_chain(self, frame: str) -> tuple[str, ...] | None:
        """Return a frame and those above it as far as all joints are fixed; None at a loop."""
        found = [frame]
        while self.is_fixed(found[-1]):
            parent = self._above[found[-1]].parent
            if parent in found:
                return None
            found.append(parent)
        return tuple(found)

    def connects(self, a: str, b: str) -> bool:
        """Return whether joints of any kind connect two frames."""
        return not set(self.ancestors(a)).isdisjoint(self.ancestors(b))

    def optical_below(self, frame: str) -> str:
        """Return a frame fixed to another one and optical by its name; empty without one."""
        return next(
            (
                child
                for child, entry in tuple(self._above.items())
                if entry.parent == frame and entry.is_fixed and 'optical' in child
            ),
            '',
        )

    def forget_old(self) -> None:
        """Forget frames on /tf that have not come for a minute."""
        oldest_s = self._clock() - _FORGOTTEN_AFTER_S
        for child, entry in tuple(self._above.items()):
            if not entry.is_fixed and entry.last_s < oldest_s:
                del self._above[child]

    def _holds(self, entry: _Above) -> bool:
        return entry.is_fixed or self._clock() - entry.last_s <= self._gone_after_s
