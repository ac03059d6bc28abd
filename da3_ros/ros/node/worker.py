"""The one thread that uses the network: windows one after the other, and jobs between them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
import threading
from typing import TypeVar

from da3_ros.errors import ExportCancelledError, NodeError
from da3_ros.types import Estimator

_Answer = TypeVar('_Answer')

# How often whoever waits for a job looks whether it is still wanted.
_POLL_S = 0.1
_WINDOW = 'a window is still being estimated'


@dataclass(frozen=True, slots=True)
class _Job:
    what: str
    done: Future[None]
    work: Callable[[Estimator], None]


class Worker:
    """Owns the network's thread, from the start to `close`.

    While it is active it does the work that comes; jobs it does always, so that what was seen can
    be exported from a node that pauses.

    Args:
        network: given to jobs; nobody else uses it at the same time.
        work: does one piece of work; is given whether its outcome still counts.
        has_work: whether there is some.
    """

    def __init__(
        self,
        network: Estimator,
        work: Callable[[Callable[[], bool]], None],
        has_work: Callable[[], bool],
    ) -> None:
        self._network: Estimator | None = network
        self._work = work
        self._has_work = has_work
        self._changed = threading.Condition()
        # All below is guarded by the condition.
        self._jobs: deque[_Job] = deque()
        self._present_job = ''
        self._is_active = False
        self._session = 0
        self._is_working = False
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name='da3_worker', daemon=True)
        self._thread.start()

    def activate(self) -> None:
        """Do the work that comes from now on."""
        with self._changed:
            self._is_active = True
            self._changed.notify_all()

    def deactivate(self, timeout_s: float) -> bool:
        """Begin no more work and return whether the present piece ended within the time.

        An estimator cannot be interrupted: one in the middle of a window goes on, and its outcome
        does not count.
        """
        with self._changed:
            self._is_active = False
            self._session += 1
            return self._changed.wait_for(lambda: not self._is_working, timeout_s)

    @property
    def is_working(self) -> bool:
        """Whether a piece of work is being done."""
        with self._changed:
            return self._is_working

    @property
    def present(self) -> str:
        """What the network is used for now, as a sentence; empty while it rests."""
        with self._changed:
            return _WINDOW if self._is_working else self._present_job

    def wake(self) -> None:
        """Look for work again: there may be some now."""
        with self._changed:
            self._changed.notify_all()

    def ask(
        self, what: str, job: Callable[[Estimator], _Answer], cancelled: Callable[[], bool]
    ) -> _Answer:
        """Have a job done with the network as soon as nothing else uses it; return its answer.

        Args:
            what: what `present` says meanwhile.
            job: what to do; whatever it raises goes to the caller.
            cancelled: asked now and then; a job that has begun goes on, for nobody.

        Raises:
            ExportCancelledError: `cancelled` said so.
            NodeError: the worker was closed.
        """
        answers: list[_Answer] = []
        done: Future[None] = Future()
        with self._changed:
            if not self._is_closed:
                self._jobs.append(_Job(what, done, lambda network: answers.append(job(network))))
            self._changed.notify_all()
        while not done.done():
            if cancelled():
                done.cancel()
                raise ExportCancelledError('cancelled while the network was in use')
            with self._changed:
                if self._is_closed:
                    done.cancel()
                    raise NodeError('the network was released; configure the node again')
            wait([done], _POLL_S)
        done.result()
        return answers[0]

    def close(self, timeout_s: float) -> bool:
        """End the thread, let go of the network, and return whether it ended within the time."""
        with self._changed:
            self._is_active = False
            self._session += 1
            self._is_closed = True
            self._network = None
            self._jobs.clear()
            self._changed.notify_all()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait until the thread has ended, however long its window takes."""
        self._thread.join()

    # ---- the thread

    def _run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        """Wait for something to do and do it; return False when there is nothing more to come."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_closed or self._jobs or (self._is_active and self._has_work())
            )
            network, session = self._network, self._session
            if network is None:
                return False
            job = self._jobs.popleft() if self._jobs else None
            self._is_working = job is None
            self._present_job = '' if job is None else job.what
        try:
            if job is None:
                self._work(lambda: self._session == session)
            else:
                _do(job, network)
        finally:
            with self._changed:
                self._is_working = False
                self._present_job = ''
                self._changed.notify_all()
        return True


def _do(job: _Job, network: Estimator) -> None:
    """Do a job that is still wanted; its error belongs to whoever asked for it."""
    if not job.done.set_running_or_notify_cancel():
        return
    try:
        job.work(network)
    except BaseException as error:
        job.done.set_exception(error)
    else:
        job.done.set_result(None)
