"""Hand-over between threads where the newest items win."""

from __future__ import annotations

from collections import deque
import threading
from typing import Generic, TypeVar

from da3_ros.errors import StreamError

Item = TypeVar('Item')


class LatestSlot(Generic[Item]):
    """A bounded queue that never blocks the giver: when full, the oldest item is dropped.

    Args:
        capacity: items kept, at least 1.

    Raises:
        StreamError: the capacity is below 1.
    """

    def __init__(self, capacity: int = 1) -> None:
        if capacity < 1:
            raise StreamError(f'latest slot: expected a capacity of at least 1, got {capacity}')
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._condition = threading.Condition()
        self._dropped = 0
        self._is_closed = False

    def put(self, item: Item) -> int:
        """Add the newest item and return how many were dropped for it.

        After `close` the item itself is the one dropped.
        """
        with self._condition:
            dropped = 0
            if self._is_closed:
                dropped = 1
            else:
                if len(self._items) == self._capacity:
                    self._items.popleft()
                    dropped = 1
                self._items.append(item)
                self._condition.notify()
            self._dropped += dropped
            return dropped

    def get(self, timeout_s: float | None) -> Item | None:
        """Return the oldest item kept, waiting for one.

        Args:
            timeout_s: how long to wait; None for as long as it takes.

        Returns:
            None when the time is over, or when the slot is closed and empty.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._items or self._is_closed, timeout_s)
            return self._items.popleft() if self._items else None

    def clear(self) -> int:
        """Drop what is kept and return how many items that were."""
        with self._condition:
            cleared = len(self._items)
            self._items.clear()
            self._dropped += cleared
            return cleared

    def close(self) -> None:
        """Take no more items and wake everyone who waits; items kept can still be taken."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        with self._condition:
            return self._is_closed

    @property
    def dropped(self) -> int:
        """Items dropped so far."""
        with self._condition:
            return self._dropped
