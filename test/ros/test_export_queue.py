"""The queue of exports: one at a time, in order, and every request gets exactly one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import threading

import pytest

pytest.importorskip('rclpy')
from da3_ros.ros.node.export_queue import ExportAnswer, ExportJob, ExportQueue, ExportRequest
from helpers.patience import PATIENCE_S, wait_until

WAITING = 4


class Asker:
    """A request with what its asker hears of it."""

    def __init__(self, name: str) -> None:
        self.heard: list[str] = []
        self.answers: list[ExportAnswer] = []
        self.is_withdrawn = False
        self.job = ExportJob(
            ExportRequest('npz', name, overwrite=False),
            progress=lambda share, stage: self.heard.append(stage),
            is_withdrawn=lambda: self.is_withdrawn,
            on_answer=lambda: self.answers.append(self.job.answer),  # type: ignore[arg-type]
        )

    @property
    def answer(self) -> ExportAnswer:
        """The only one, waited for."""
        wait_until(lambda: bool(self.answers), PATIENCE_S)
        assert len(self.answers) == 1
        return self.answers[0]


class Bench:
    """A queue whose exports wait for the test."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.running: list[str] = []
        self.may_go = threading.Semaphore(0)
        self.stops = True
        self.queue = ExportQueue(self._run, WAITING)

    def _run(self, job: ExportJob, is_over: Callable[[], bool]) -> ExportAnswer:
        name = job.request.path
        self.order.append(name)
        self.running.append(name)
        assert self.running == [name], 'two at a time'
        while not self.may_go.acquire(timeout=0.01):
            if self.stops and is_over():
                self.running.remove(name)
                return ExportAnswer(False, 'stopped at a step')
        self.running.remove(name)
        return ExportAnswer(True, name)

    def ask(self, count: int) -> list[Asker]:
        """Ask so many times, after which the first one runs."""
        askers = [Asker(str(number)) for number in range(count)]
        for asker in askers:
            self.queue.put(asker.job)
        wait_until(lambda: self.order == ['0'])
        return askers


@pytest.fixture(name='bench')
def bench_fixture() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.stops = True
    bench.queue.end('the test ends')
    assert bench.queue.join(PATIENCE_S)


def test_of_twenty_one_runs_four_wait_and_the_rest_hears_why(bench: Bench) -> None:
    askers = bench.ask(20)
    for asker in askers[1 + WAITING :]:
        assert not asker.answer.is_success
        assert 'export_queue' in asker.answer.message
        assert str(WAITING) in asker.answer.message
    for number in range(1, 1 + WAITING):
        assert askers[number].heard == [f'queued, {number} before it']
    for _ in range(1 + WAITING):
        bench.may_go.release()
    assert [a.answer.message for a in askers[: 1 + WAITING]] == list('01234')
    assert bench.order == list('01234')
    assert askers[4].heard == [f'queued, {n} before it' for n in (4, 3, 2, 1)]
    # There is room again.
    again = Asker('again')
    bench.queue.put(again.job)
    bench.may_go.release()
    assert again.answer.is_success


def test_one_that_waits_is_withdrawn_at_once_and_those_behind_it_move_up(bench: Bench) -> None:
    askers = bench.ask(4)
    for number in (0, 2):
        askers[number].is_withdrawn = number == 2
        bench.queue.drop_withdrawn(askers[number].job)
    assert 'cancelled' in askers[2].answer.message
    assert askers[3].heard[-1] == 'queued, 2 before it'
    askers[0].is_withdrawn = True
    bench.queue.drop_withdrawn(askers[0].job)
    # The one that runs stops at its next step.
    assert askers[0].answer.message == 'stopped at a step'
    for _ in range(2):
        bench.may_go.release()
    assert [askers[n].answer.message for n in (1, 3)] == ['1', '3']
    assert bench.order == list('013')


def test_the_end_answers_all_with_its_reason(bench: Bench) -> None:
    askers = bench.ask(3)
    bench.queue.end('the node was cleaned up')
    assert [a.answer.message for a in askers] == 3 * ['the node was cleaned up']
    assert bench.queue.join(PATIENCE_S)
    late = Asker('late')
    bench.queue.put(late.job)
    assert late.answer == ExportAnswer(False, 'the node was cleaned up')
    assert bench.order == ['0']


def test_the_end_does_not_wait_for_a_step_that_hangs_nor_deny_what_was_written(
    bench: Bench,
) -> None:
    bench.stops = False
    askers = bench.ask(2)
    bench.queue.end('the node shuts down')
    assert not bench.queue.join(0.05)
    assert [a.answer.message for a in askers] == 2 * ['the node shuts down']
    bench.may_go.release()
    assert bench.queue.join(PATIENCE_S)
    assert askers[0].answer.message == 'the node shuts down'
    other = Bench()
    other.stops = False
    [asker] = other.ask(1)
    other.queue.end('the node shuts down')
    other.may_go.release()
    assert asker.answer.is_success
    assert other.queue.join(PATIENCE_S)
