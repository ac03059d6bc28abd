"""Hand-over where the newest items win."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from da3_ros.errors import StreamError

Item = TypeVar('Item')


class LatestSlot(Generic[Item]):
    """A bounded queue that never makes the giver wait: when full, the oldest item is dropped.

    One thread at a time may use an instance.

    Args:
        capacity: items kept, at least 1.

    Raises:
        StreamError: the capacity is below 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise StreamError(f'latest slot: expected a capacity of at least 1, got {capacity}')
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._dropped = 0

    def put(self, item: Item) -> int:
        """Add the newest item and return how many were dropped for it."""
        dropped = 0
        if len(self._items) == self._capacity:
            self._items.popleft()
            dropped = 1
        self._items.append(item)
        self._dropped += dropped
        return dropped

    def take(self) -> Item | None:
        """Return the oldest item kept, None when there is none."""
        return self._items.popleft() if self._items else None

    def clear(self) -> int:
        """Drop what is kept and return how many items that were."""
        cleared = len(self._items)
        self._items.clear()
        self._dropped += cleared
        return cleared

    @property
    def dropped(self) -> int:
        """Items dropped so far."""
        return self._dropped

    def __len__(self) -> int:
        return len(self._items)
