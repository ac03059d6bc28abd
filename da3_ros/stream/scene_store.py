"""The newest part of the scene, for export and for the merged cloud."""

from __future__ import annotations

from collections import deque
import threading

from da3_ros.errors import StreamError
from da3_ros.types import PosedSet


class SceneStore:
    """Keeps the newest posed sets; safe to use from several threads.

    Args:
        capacity_sets: sets kept; 0 for none.

    Raises:
        StreamError: the capacity is negative.
    """

    def __init__(self, capacity_sets: int) -> None:
        if capacity_sets < 0:
            raise StreamError(f'scene store: expected a capacity >= 0, got {capacity_sets}')
        self._sets: deque[PosedSet] = deque(maxlen=capacity_sets)
        self._lock = threading.Lock()

    def add(self, posed_set: PosedSet) -> None:
        """Add a set; the oldest goes when the store is full."""
        with self._lock:
            self._sets.append(posed_set)

    def snapshot(self) -> tuple[PosedSet, ...]:
        """Return what is kept, oldest first; later changes do not touch it."""
        with self._lock:
            return tuple(self._sets)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._sets.clear()

    def __len__(self) -> int:
        with self._lock:
            return len(self._sets)
