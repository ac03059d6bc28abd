"""Sets between the synchroniser and the windows: those that wait for their turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from da3_ros.types import FrameSet


@dataclass(frozen=True, slots=True, eq=False)
class WaitingSet:
    """A set that waits."""

    frame_set: FrameSet
    begins: bool
    """Whether another world begins with it."""


class WaitingSets:
    """A queue of sets, and the count of those that never had their turn. One thread at a time.

    Args:
        most: sets that may wait, of which the oldest go first; None for all that come.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._sets: deque[WaitingSet] = deque()
        self.dropped = 0
        """Sets that had to go since the start."""

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._sets)

    @property
    def next_begins(self) -> bool:
        """Whether another world begins with the set whose turn is next."""
        return bool(self._sets) and self._sets[0].begins

    def add(self, frame_set: FrameSet, *, begins: bool = False) -> None:
        """Let a set wait behind the others."""
        if len(self._sets) == self._most:
            self._sets.popleft()
            self.dropped += 1
        self._sets.append(WaitingSet(frame_set, begins))

    def put_back(self, frame_set: FrameSet) -> None:
        """Let a set that had its turn be the next one again, and a world begin with it."""
        self._sets.appendleft(WaitingSet(frame_set, begins=True))

    def take(self) -> WaitingSet | None:
        """Return the set whose turn it is; None where none waits."""
        return self._sets.popleft() if self._sets else None

    def drop_all(self) -> None:
        """Leave out all that wait."""
        self.dropped += len(self._sets)
        self._sets.clear()
