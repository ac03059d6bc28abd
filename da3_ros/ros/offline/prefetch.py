"""Messages that another thread reads ahead, within a bound of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
import threading
from types import TracebackType

from da3_ros.sources.bag import RawMessage

MOST_BYTES = 64 << 20
"""Of messages that wait, unless a single one is larger."""


class Prefetch:
    """Reads messages on a thread of its own; use as a context manager, and iterate once.

    An error of the reading is raised where its message would have come.

    Args:
        messages: in their order; used by the thread only.
        most_bytes: of the messages that wait.
    """

    def __init__(self, messages: Iterable[RawMessage], most_bytes: int = MOST_BYTES) -> None:
        self._messages = messages
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._waiting: deque[RawMessage] = deque()
        self._bytes = 0
        self._error: BaseException | None = None
        self._is_done = self._is_closed = False
        self._thread = threading.Thread(target=self._read, name='da3_bag_reader', daemon=True)

    def __enter__(self) -> Prefetch:
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
        # Whoever closes the bag next must not meet its reader in it.
        self._thread.join()

    def __iter__(self) -> Iterator[RawMessage]:
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> RawMessage | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_done)
            if self._waiting:
                message = self._waiting.popleft()
                self._bytes -= len(message.data)
                self._changed.notify_all()
                return message
            if self._error is not None:
                raise self._error
            return None

    def _read(self) -> None:
        try:
            for message in self._messages:
                if not self._put(message):
                    break
        except BaseException as error:  # raised by who iterates
            self._error = error
        with self._changed:
            self._is_done = True
            self._changed.notify_all()

    def _put(self, message: RawMessage) -> bool:
        """Let a message wait once there is room; return whether more are wanted."""
        size = len(message.data)
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._is_closed or not self._waiting or self._bytes + size <= self._most_bytes
                )
            )
            if self._is_closed:
                return False
            self._waiting.append(message)
            self._bytes += size
            self._changed.notify_all()
            return True
