"""The thread of the network: windows while it is active, jobs always, and never both at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
import gc
import threading
import weakref

import pytest

from da3_ros.errors import ExportCancelledError, NodeError
from da3_ros.ros.node.worker import Worker
from helpers.patience import PATIENCE_S
from helpers.pipelines import Wall


def never() -> bool:
    return False


class Bench:
    """A worker whose pieces of work wait for the test."""

    def __init__(self) -> None:
        self.pending = 0
        self.began = threading.Event()
        self.may_end = threading.Event()
        self.outcomes: list[bool] = []
        self.threads: set[int] = set()
        self.network = Wall()
        self.worker = Worker(self.network, self._work, lambda: self.pending > 0)

    def _work(self, counts: Callable[[], bool]) -> None:
        self.threads.add(threading.get_ident())
        self.pending -= 1
        self.began.set()
        assert self.may_end.wait(PATIENCE_S)
        self.outcomes.append(counts())

    def give(self) -> None:
        self.pending += 1
        self.worker.wake()

    def ident(self, cancelled: Callable[[], bool] = never) -> int:
        return self.worker.ask('a job', lambda network: threading.get_ident(), cancelled)


@pytest.fixture(name='bench')
def bench_fixture() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.may_end.set()
    assert bench.worker.close(PATIENCE_S)


def test_jobs_and_windows_use_the_network_on_one_thread(bench: Bench) -> None:
    bench.worker.activate()
    bench.give()
    assert bench.began.wait(PATIENCE_S)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(bench.ident) for _ in range(4)]
        # While a window is estimated no job begins.
        assert not any(job.done() for job in asked)
        bench.may_end.set()
        assert {job.result(PATIENCE_S) for job in asked} == bench.threads
    assert threading.get_ident() not in bench.threads
    assert bench.outcomes == [True]


def test_a_node_that_pauses_does_jobs_and_no_windows(bench: Bench) -> None:
    bench.give()
    assert bench.ident() > 0
    assert not bench.began.is_set()
    bench.worker.activate()
    assert bench.began.wait(PATIENCE_S)


def test_a_window_in_the_works_does_not_count_after_a_pause(bench: Bench) -> None:
    bench.worker.activate()
    bench.give()
    assert bench.began.wait(PATIENCE_S)
    assert not bench.worker.deactivate(0.0)
    # Nor when the node is active again before it ends.
    bench.worker.activate()
    bench.give()
    bench.may_end.set()
    while len(bench.outcomes) < 2:
        assert bench.worker.ask('a job', lambda network: True, never)
    assert bench.outcomes == [False, True]
    assert bench.worker.deactivate(PATIENCE_S)


def test_who_waits_for_the_network_can_give_up(bench: Bench) -> None:
    bench.worker.activate()
    bench.give()
    assert bench.began.wait(PATIENCE_S)
    given_up = threading.Event()
    done: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            bench.worker.ask, 'a job', lambda network: done.append('x'), given_up.is_set
        )
        given_up.set()
        with pytest.raises(ExportCancelledError):
            asked.result(PATIENCE_S)
    bench.may_end.set()
    assert bench.ident() > 0
    # What nobody waits for any more is not begun.
    assert done == []


def test_the_worker_says_what_the_network_is_used_for(bench: Bench) -> None:
    assert bench.worker.present == ''
    said = bench.worker.ask('a job', lambda network: bench.worker.present, never)
    assert said == 'a job'
    bench.worker.activate()
    bench.give()
    assert bench.began.wait(PATIENCE_S)
    assert 'window' in bench.worker.present


def test_a_job_that_fails_fails_for_who_asked_and_the_next_one_goes_on(bench: Bench) -> None:
    def fail(network: object) -> None:
        raise KeyError('no Gaussians')

    with pytest.raises(KeyError, match='no Gaussians'):
        bench.worker.ask('a job', fail, never)
    assert bench.ident() > 0


def test_closing_ends_who_waits_and_lets_go_of_the_network() -> None:
    bench = Bench()
    network = weakref.ref(bench.network)
    bench.worker.activate()
    bench.give()
    assert bench.began.wait(PATIENCE_S)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(bench.ident)
        assert not bench.worker.close(0.0)
        with pytest.raises(NodeError, match='configure the node again'):
            asked.result(PATIENCE_S)
    with pytest.raises(NodeError, match='configure the node again'):
        bench.ident()
    bench.may_end.set()
    bench.worker.join()
    assert bench.outcomes == [False]
    bench.network = Wall()
    gc.collect()
    assert network() is None
