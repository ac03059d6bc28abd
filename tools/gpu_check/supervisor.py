"""Runs parts in worker processes: what hangs or crashes costs one part and nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
import json
import os
from pathlib import Path
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from types import TracebackType

from tools.gpu_check.part import Part, Result, Settings

ROOT = Path(__file__).resolve().parents[2]
LEAST_S = 3.0
"""Nothing is begun with less time left than this."""

_SAID_LINES = 40
_KILLED_S = 10.0


class Worker:
    """One process that runs parts one after another."""

    def __init__(self, plan: str, parts: Sequence[Part], settings: Settings) -> None:
        """Start the process.

        Args:
            plan: Module whose `PARTS` holds the parts.
            parts: What to run, in this order.
            settings: For all of them.
        """
        request = {
            'plan': plan,
            'parts': [part.name for part in parts],
            'settings': asdict(settings),
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'tools.gpu_check.worker', json.dumps(request)],
            cwd=ROOT,
            # Kept open: its end tells the worker that nobody waits any more.
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            # An interrupt from the keyboard is for the supervisor alone.
            start_new_session=True,
        )
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._collect, daemon=True).start()

    def __enter__(self) -> 'Worker':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._said.close()

    def answer(self, timeout_s: float) -> Result | None:
        """Return the result of the next part, None where the process has ended without it.

        Raises:
            TimeoutError: It did not come in time.
        """
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError from None
        return None if line is None else Result(**json.loads(line))

    def end(self) -> int:
        """End the process, if it still runs, and return its exit status."""
        if self._process.poll() is None:
            # Its session is its own: compilers that it started end with it.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        try:
            status = self._process.wait(timeout=_KILLED_S)
        except subprocess.TimeoutExpired:
            # The driver holds it; nobody can do more.
            status = -signal.SIGKILL
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return status

    def last_words(self) -> str:
        """Return the last lines that the process wrote to standard error."""
        self._said.seek(0)
        text = self._said.read().decode('utf-8', 'replace')
        return '\n'.join(text.splitlines()[-_SAID_LINES:])

    def exit_status(self) -> int:
        """Wait for a process whose output has ended, and return its exit status."""
        try:
            return self._process.wait(timeout=_KILLED_S)
        except subprocess.TimeoutExpired:
            return self.end()

    def _collect(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._lines.put(line)
        except ValueError:
            pass  # The pipe was closed while it was read.
        self._lines.put(None)


def run_parts(
    plan: str, parts: Sequence[Part], settings: Settings, budget_s: float
) -> Iterator[Result]:
    """Yield the result of every part, in order.

    Args:
        plan: Module whose `PARTS` holds the parts.
        parts: What to run; neighbours of one group share a process.
        settings: For all of them.
        budget_s: Time for all of them together.
    """
    deadline = time.monotonic() + budget_s
    for _, group in groupby(parts, key=lambda part: part.group):
        left = list(group)
        while left:
            if deadline - time.monotonic() < LEAST_S:
                yield from (Result(part.name, 'SKIP', 'no time left') for part in left)
                break
            with Worker(plan, left, settings) as worker:
                done = 0
                for result in _answers(worker, left, deadline):
                    done += 1
                    yield result
            left = left[done:]


def _answers(worker: Worker, parts: Sequence[Part], deadline: float) -> Iterator[Result]:
    """Yield results until the worker is done or cannot be used any more."""
    for place, part in enumerate(parts):
        start = time.monotonic()
        left_s = deadline - start
        if place and left_s < LEAST_S:
            return
        try:
            result = worker.answer(max(0.0, min(part.limit_s, left_s)))
        except TimeoutError:
            seconds = time.monotonic() - start
            worker.end()
            yield _late(part, seconds, worker.last_words(), has_budget=left_s >= part.limit_s)
            return
        if result is None:
            # A worker that ends between two parts said before that it should not be used; one
            # that ends before its first answer, or in a part, crashed in it.
            status = worker.exit_status()
            if place and status == 0:
                return
            seconds = time.monotonic() - start
            reason = f'the process ended with status {status} while it ran'
            yield Result(part.name, 'FAIL', reason, seconds, traceback=worker.last_words())
            return
        yield result


def _late(part: Part, seconds: float, said: str, *, has_budget: bool) -> Result:
    if has_budget:
        reason = f'not done within its limit of {part.limit_s:g} s'
        return Result(part.name, 'FAIL', reason, seconds, traceback=said)
    reason = f'no time left: cut off after {seconds:.0f} s'
    return Result(part.name, 'SKIP', reason, seconds, traceback=said)
