"""Work behind a thread: everything in order, few items wait, no error is lost."""

from __future__ import annotations

import threading
import time

import pytest

from da3_ros.pipeline.behind import Behind
from helpers.patience import wait_until


def test_everything_is_consumed_in_order() -> None:
    seen: list[int] = []
    threads: set[str] = set()

    def consume(item: int) -> None:
        threads.add(threading.current_thread().name)
        seen.append(item)

    with Behind(consume, name='writer') as behind:
        for item in range(500):
            behind.put(item)
        behind.drain()
        assert seen == list(range(500))
        behind.put(500)
    assert seen == list(range(501))
    assert threads == {'writer'}


def test_few_items_wait() -> None:
    let_go, seen = threading.Event(), list[int]()

    def consume(item: int) -> None:
        let_go.wait()
        seen.append(item)

    behind = Behind(consume, waiting=2)

    def put_all() -> None:
        for item in range(5):
            behind.put(item)

    putting = threading.Thread(target=put_all)
    putting.start()
    wait_until(lambda: len(behind._items) == 2)
    # One is consumed, two wait, and whoever has the next one waits, too.
    putting.join(0.05)
    assert putting.is_alive()
    assert not seen
    let_go.set()
    putting.join()
    behind.close()
    assert seen == list(range(5))


@pytest.mark.parametrize('call', ['put', 'drain', 'close'])
def test_the_error_of_an_item_is_raised_by_the_next_call(call: str) -> None:
    seen: list[int] = []

    def consume(item: int) -> None:
        if item == 2:
            raise OSError('no space left')
        seen.append(item)

    behind = Behind(consume, waiting=9)
    for item in range(2):
        behind.put(item)
    behind.drain()
    behind.put(2)

    def go_on() -> None:
        while call == 'put':
            behind.put(3)
        getattr(behind, call)()

    with pytest.raises(OSError, match='no space left'):
        go_on()
    assert seen == [0, 1]
    with pytest.raises(OSError, match='no space left'):
        behind.close()
    assert not behind._thread.is_alive()


def test_whoever_waits_for_room_hears_of_the_error() -> None:
    begun, let_go = threading.Event(), threading.Event()

    def consume(item: int) -> None:
        begun.set()
        let_go.wait()
        raise ValueError('full')

    behind = Behind(consume, waiting=1)
    behind.put(0)
    begun.wait()
    behind.put(1)
    threading.Timer(0.05, let_go.set).start()
    with pytest.raises(ValueError, match='full'):
        behind.put(2)


def test_an_error_of_the_caller_goes_on_and_what_waits_is_left_out() -> None:
    begun, let_go, seen = threading.Event(), threading.Event(), list[int]()

    def consume(item: int) -> None:
        begun.set()
        let_go.wait()
        seen.append(item)

    def fail() -> None:
        with Behind(consume) as behind:
            behind.put(0)
            begun.wait()
            behind.put(1)
            threading.Timer(0.05, let_go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert seen == [0]


def test_nothing_is_taken_after_the_end() -> None:
    behind = Behind(time.sleep)
    behind.close()
    behind.close()
    with pytest.raises(RuntimeError, match=r'after close'):
        behind.put(0)
