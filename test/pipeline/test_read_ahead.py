"""Items made ahead by another thread: the same ones, no more than asked, and an end."""

from collections.abc import Iterator
import threading

import pytest

from da3_ros.pipeline.read_ahead import read_ahead


def test_they_are_the_same_in_order() -> None:
    with read_ahead(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))


def test_no_more_are_made_than_may_wait() -> None:
    made: list[int] = []
    asked = threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            if number == 4:
                asked.set()
            yield number

    with read_ahead(numbers(), 3) as items:
        assert next(items) == 0
        # One is taken, three wait, one is in the hand of the thread.
        assert asked.wait(10.0)
        assert made == [0, 1, 2, 3, 4]
    assert len(made) <= 6


def test_an_error_comes_where_the_item_would_have_come() -> None:
    def numbers() -> Iterator[int]:
        yield 0
        raise ValueError('broken')

    with read_ahead(numbers(), 3) as items:
        assert next(items) == 0
        with pytest.raises(ValueError, match='broken'):
            next(items)


def test_the_thread_ends_with_the_body() -> None:
    before = threading.active_count()
    with read_ahead(iter(range(1000)), 2) as items:
        next(items)
    assert threading.active_count() == before
