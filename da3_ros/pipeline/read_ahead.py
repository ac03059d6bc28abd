"""Items that another thread makes while those before them are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Full, Queue
import threading
from typing import Generic, TypeVar

T = TypeVar('T')

_POLL_S = 0.1


class _End:
    """Comes behind the last item, with what ended them where that was an error."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Ahead(Generic[T]):
    """One thread that fills a queue until somebody has enough."""

    def __init__(self, items: Iterable[T], most: int) -> None:
        self._items = items
        self._queue: Queue[T | _End] = Queue(most)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name='da3_ahead', daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item

    def close(self) -> None:
        """End the thread, whatever it has not made yet."""
        self._is_over.set()
        # It never waits longer than that for room in the queue.
        self._thread.join()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as raised:
            error = raised
        self._put(_End(error))

    def _put(self, item: T | _End) -> bool:
        while not self._is_over.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except Full:
                continue
            return True
        return False


@contextmanager
def read_ahead(items: Iterable[T], most: int) -> Iterator[Iterator[T]]:
    """Yield the same items; a thread makes at most so many of them ahead of their use.

    An error of theirs is raised where the item would have come. The thread ends with the body.

    Args:
        items: iterated over by that thread only.
        most: items that wait.
    """
    ahead = _Ahead(items, most)
    try:
        yield iter(ahead)
    finally:
        ahead.close()
