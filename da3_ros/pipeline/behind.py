"""Work that is done behind the one who gives it: one thread, one item after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
import threading
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar('T')


class Behind(Generic[T]):
    """Consumes items in a thread of its own, in the order in which they are put.

    Whoever puts items waits only while `waiting` of them are there that nobody has begun with.
    After an error of `consume` nothing more is consumed, and every later call raises that error.

    Args:
        consume: takes an item; called by the thread only.
        waiting: most items that wait.
        name: of the thread.
    """

    def __init__(
        self, consume: Callable[[T], object], waiting: int = 2, *, name: str = 'da3_behind'
    ) -> None:
        self._consume = consume
        self._waiting = waiting
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._items: deque[T] = deque()
        self._is_busy = False
        self._is_closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Let an item be consumed; wait while too many wait already.

        Raises:
            Exception: what `consume` raised of an earlier item.
            RuntimeError: it was closed.
        """
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._raise()
            if self._is_closed:
                raise RuntimeError('expected no item after close()')
            self._items.append(item)
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until everything that was put is consumed.

        Raises:
            Exception: what `consume` raised.
        """
        with self._changed:
            self._changed.wait_for(self._is_idle)
            self._raise()

    def close(self) -> None:
        """Consume what waits, and end the thread.

        Raises:
            Exception: what `consume` raised.
        """
        self._end()
        self._raise()

    def __enter__(self) -> Behind[T]:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close; what waits is left out where an error is on its way, which goes on."""
        if error is None:
            self.close()
            return
        with self._changed:
            self._items.clear()
        self._end()

    def _end(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _has_room(self) -> bool:
        return self._is_closed or self._error is not None or len(self._items) < self._waiting

    def _is_idle(self) -> bool:
        return self._error is not None or not (self._items or self._is_busy)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    # ---- the thread

    def _run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._is_closed)
            if not self._items:
                return False
            item = self._items.popleft()
            self._is_busy = True
            self._changed.notify_all()
        try:
            self._consume(item)
        except BaseException as error:
            with self._changed:
                self._error = error
                self._items.clear()
            return False
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()
        return True
