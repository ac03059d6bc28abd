"""Reading ahead on a thread: within its bound of memory, errors in their place, an end."""

from collections.abc import Iterator
import threading

import pytest

from da3_ros.errors import SourceError
from da3_ros.pipeline.read_ahead import BYTES_AHEAD, ReadAhead


def test_no_more_is_read_ahead_than_memory_is_given() -> None:
    read = threading.Semaphore(0)

    def items() -> Iterator[bytes]:
        for number in range(20):
            read.release()
            yield bytes([number] * 100)

    with ReadAhead(items(), len, 350) as ahead:
        found = iter(ahead)
        # Three fit, the fourth is in the hand of the thread.
        for _ in range(4):
            assert read.acquire(timeout=20)
        assert not read.acquire(blocking=False)
        assert next(found) == bytes(100)
        assert read.acquire(timeout=20)
        assert [item[0] for item in found] == list(range(1, 20))


def test_an_error_of_the_reader_comes_in_its_place_and_closing_ends_the_thread() -> None:
    def items() -> Iterator[bytes]:
        yield b'first'
        raise SourceError('the disk is gone')

    with ReadAhead(items(), len, BYTES_AHEAD) as ahead:
        found = iter(ahead)
        assert next(found) == b'first'
        with pytest.raises(SourceError, match='the disk is gone'):
            next(found)
    endless = (bytes(10) for _ in range(10**9))
    before = threading.active_count()
    with ReadAhead(endless, len, 100) as ahead:
        next(iter(ahead))
    assert threading.active_count() == before
