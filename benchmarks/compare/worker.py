"""The near end of a worker process: requests in, answers out, and why there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import json
import os
from pathlib import Path
import subprocess
import threading
import time
from types import TracebackType
from typing import Any


class ContenderError(Exception):
    """A contender cannot run; the text says why."""


class Worker:
    """A process that answers one request after another."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        limit_s: float,
        threads: int,
    ) -> None:
        """Start it.

        Args:
            command: Program and arguments.
            environment: All variables.
            log: File for what it prints.
            limit_s: Longest time of one answer.
            threads: How many cores it may use, the first ones that this process may.
        """
        self._limit_s = limit_s
        self._log = log
        self.started_s = time.perf_counter()
        with log.open('wb') as file:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
            )
        if hasattr(os, 'sched_setaffinity'):
            cores = sorted(os.sched_getaffinity(0))[:threads]
            os.sched_setaffinity(self._process.pid, cores)

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            ContenderError: It failed, ended, or took too long.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = threading.Timer(self._limit_s, self._process.kill)
        late.start()
        try:
            self._process.stdin.write(json.dumps({'do': do, **request}) + '\n')
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ''
        finally:
            is_late = not late.is_alive()
            late.cancel()
        if is_late:
            raise ContenderError(f'no answer within {self._limit_s:g} s')
        if not line:
            raise ContenderError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if 'error' in answer:
            raise ContenderError(answer['error'])
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _last_words(self) -> str:
        self._process.wait()
        lines = self._log.read_text(encoding='utf-8', errors='replace').strip().splitlines()
        return f'its process ended ({self._process.returncode}): {lines[-1] if lines else ""}'
