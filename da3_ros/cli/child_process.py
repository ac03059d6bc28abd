"""Child processes of a command: started, watched for their ready line, stopped with SIGINT.

As a program (`python -m da3_ros.cli.child_process PARENT MODULE ARGUMENTS`) it runs a module that
ends when its parent does, also when that is killed.
"""

from __future__ import annotations

from collections.abc import Sequence
import ctypes
import os
from pathlib import Path
import re
import runpy
import signal
import subprocess
import sys
import threading
from types import TracebackType

from da3_ros.errors import NodeError
from da3_ros.process import says_ready

_PR_SET_PDEATHSIG = 1
_KEPT_LINES = 200


class ChildProcess:
    """A `python -m MODULE ARGUMENTS` in a session of its own, its output in a log file.

    The session of its own keeps a Ctrl-C of the terminal from reaching it before its parent has
    decided in which order things stop.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
    ) -> None:
        """Start the process.

        Args:
            name: what to call it in errors.
            command: module and arguments.
            log: file for its output; replaced.
        """
        self.name = name
        self._log = log
        self._ready = threading.Event()
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._has_ended = False
        self._process = subprocess.Popen(
            [sys.executable, '-m', __name__, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env={**os.environ, 'PYTHONUNBUFFERED': '1'},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> ChildProcess:
        """Return the process, which ends with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the process."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.poll() is None

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until the process says that it is ready.

        Raises:
            NodeError: the process ended, or said nothing in time; quotes its last lines.
        """
        if not self._ready.wait(timeout_s) or not self.is_running:
            last = '\n  '.join(self._lines[-5:]) or '(no output)'
            state = 'did not get ready' if self.is_running else 'ended'
            raise NodeError(f'{self.name} {state}; see {self._log}; its last lines:\n  {last}')

    def wait_line(self, pattern: re.Pattern[str], timeout_s: float) -> re.Match[str]:
        """Wait until one of the last lines of the output matches, and return the match.

        Raises:
            NodeError: the process ended, or said nothing like that in time.
        """

        def found() -> re.Match[str] | None:
            return next(filter(None, map(pattern.search, self._lines)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or self._has_ended, timeout_s)
            match = found()
        if match is None:
            raise NodeError(f'{self.name} did not say {pattern.pattern!r}; see {self._log}')
        return match

    def wait(self, timeout_s: float) -> bool:
        """Return whether the process ended within the time."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the process: SIGINT, and SIGKILL for its whole session when that does not help."""
        if self.is_running:
            self._process.send_signal(signal.SIGINT)
        if not self.wait(timeout_s):
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(5.0)

    def _read(self) -> None:
        stream = self._process.stdout
        if stream is None:
            return
        with stream, self._log.open('w', encoding='utf-8') as log:
            for line in stream:
                log.write(line)
                log.flush()
                with self._changed:
                    self._lines = [*self._lines[-_KEPT_LINES:], line.rstrip()]
                    self._changed.notify_all()
                if says_ready(line):
                    self._ready.set()
        # Whoever waits shall learn at once that nothing more will come.
        self._ready.set()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()


def _end_with(parent: int) -> None:
    """Let the kernel end this process when its parent dies (Linux)."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # It may have died already.
    if os.getppid() != parent:
        sys.exit(128 + signal.SIGTERM)


if __name__ == '__main__':
    _end_with(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)
