"""What another thread reads ahead, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
import threading
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar('T')

BYTES_AHEAD = 64 << 20
"""Of what waits, where one has no reason for another bound."""


class ReadAhead(Generic[T]):
    """Reads items on a thread of its own; use as a context manager, and iterate once.

    An error of the reading is raised where its item would have come.

    Args:
        items: in their order; used by the thread only.
        size_of: returns the bytes of one.
        most_bytes: of the items that wait, unless a single one is larger.
        name: of the thread.
    """

    def __init__(
        self,
        items: Iterable[T],
        size_of: Callable[[T], int],
        most_bytes: int,
        name: str = 'da3_reader',
    ) -> None:
        self._items = items
        self._size_of = size_of
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._waiting: deque[T] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._is_done = self._is_closed = False
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        # Whoever closes the input next must not meet its reader in it.
        self._thread.join()

    def __iter__(self) -> Iterator[T]:
        while (found := self._next()) is not None:
            yield from found

    def _next(self) -> tuple[T] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_done)
            if self._waiting:
                item = self._waiting.popleft()
                self._bytes -= self._size_of(item)
                self._changed.notify_all()
                return (item,)
            if self._error is not None:
                raise self._error
            return None

    def _read(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as error:  # raised by who iterates
            self._error = error
        with self._changed:
            self._is_done = True
            self._changed.notify_all()

    def _put(self, item: T) -> bool:
        """Let an item wait once there is room; return whether more are wanted."""
        size = self._size_of(item)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._is_closed or not self._waiting or self._bytes + size <= self._most_bytes
                )
            )
            if self._is_closed:
                return False
            self._waiting.append(item)
            self._bytes += size
            self._changed.notify_all()
            return True
