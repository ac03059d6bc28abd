"""Exports one after the other on a thread of their own; the rest waits, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
import threading


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What service and action ask for alike."""

    formats: str
    path: str
    overwrite: bool


@dataclass(frozen=True, slots=True)
class ExportAnswer:
    """What service and action answer alike."""

    is_success: bool
    message: str
    """What was written, or why nothing was."""
    files: tuple[str, ...] = ()
    """Relative to the export folder."""
    views: int = 0
    points: int = 0


class ExportJob:
    """One request, from the question to its answer.

    Args:
        request: what is asked for.
        progress: takes the share done in 0..1 and what is being done, in words; from any thread.
        is_withdrawn: whether nobody wants the answer any more; asked from any thread.
        on_answer: called once the answer is there, from any thread.
    """

    def __init__(
        self,
        request: ExportRequest,
        progress: Callable[[float, str], None] = lambda share, stage: None,
        is_withdrawn: Callable[[], bool] = lambda: False,
        on_answer: Callable[[], None] = lambda: None,
    ) -> None:
        self.request = request
        self.progress = progress
        self.is_withdrawn = is_withdrawn
        self._on_answer = on_answer
        self._lock = threading.Lock()
        self.answer: ExportAnswer | None = None
        """None until the request is done, refused or given up."""

    def settle(self, answer: ExportAnswer) -> None:
        """Give the answer; a later one does not count."""
        with self._lock:
            if self.answer is not None:
                return
            self.answer = answer
        self._on_answer()


class ExportQueue:
    """Runs one export at a time; `put`, `drop_withdrawn` and `end` never wait for it.

    Args:
        run: does one, on the thread of the queue; is given the job and what says that it shall
            stop, and does not raise.
        waiting: how many may wait while another one runs.
    """

    def __init__(
        self, run: Callable[[ExportJob, Callable[[], bool]], ExportAnswer], waiting: int
    ) -> None:
        self._run = run
        self._waiting = waiting
        self._changed = threading.Condition()
        # All below is guarded by the condition. The first job is the one that runs.
        self._jobs: list[ExportJob] = []
        self._ended = ''
        self._thread = threading.Thread(target=self._serve, name='da3_export', daemon=True)
        self._thread.start()

    def put(self, job: ExportJob) -> None:
        """Let a job wait for its turn, or refuse it at once with the reason."""
        with self._changed:
            reason = self._ended
            if not reason and len(self._jobs) > self._waiting:
                reason = (
                    f'{self._waiting} exports wait already, as many as export_queue allows: ask '
                    'again when one has ended, or raise export_queue'
                )
            if not reason:
                self._jobs.append(job)
                self._say_place(len(self._jobs) - 1)
                self._changed.notify_all()
        if reason:
            job.settle(ExportAnswer(False, reason))

    def drop_withdrawn(self, job: ExportJob) -> None:
        """Take a job out that still waits and that nobody wants any more."""
        if not job.is_withdrawn():
            return
        with self._changed:
            if job not in self._jobs[1:]:
                return
            self._jobs.remove(job)
            self._say_places()
        job.settle(ExportAnswer(False, 'the export was cancelled before it began'))

    def end(self, reason: str) -> None:
        """Answer all that wait with the reason, and stop the one that runs at its next step."""
        with self._changed:
            if self._ended:
                return
            self._ended = reason
            waiting = self._jobs[1:]
            del self._jobs[1:]
            self._changed.notify_all()
        for job in waiting:
            job.settle(ExportAnswer(False, reason))

    def join(self, timeout_s: float) -> bool:
        """Wait, after `end`, for the export that runs; return whether it ended in time.

        One that did not is answered with the reason; what it writes it still takes back.
        """
        self._thread.join(timeout_s)
        with self._changed:
            running = self._jobs[:1]
        for job in running:
            job.settle(ExportAnswer(False, self._ended))
        return not self._thread.is_alive()

    # ---- the thread

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            answer = self._run(job, partial(self._is_over, job))
            if self._ended and not answer.is_success:
                answer = ExportAnswer(False, self._ended)
            with self._changed:
                self._jobs.remove(job)
                self._say_places()
            job.settle(answer)

    def _is_over(self, job: ExportJob) -> bool:
        return bool(self._ended) or job.is_withdrawn()

    def _next(self) -> ExportJob | None:
        """Wait for a job and return it; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._ended)
            return None if self._ended else self._jobs[0]

    def _say_places(self) -> None:
        """Say to all that wait how many are before them; hold the condition."""
        for place in range(1, len(self._jobs)):
            self._say_place(place)

    def _say_place(self, place: int) -> None:
        if place:
            self._jobs[place].progress(0.0, f'queued, {place} before it')
