"""Engines built in another process, while this one computes with torch."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
import logging
import os
from pathlib import Path
import subprocess
import sys
import tempfile
from typing import IO
import weakref

from da3_ros.errors import ModelError
from da3_ros.foreign import plain_line

_LOWEST_PRIORITY = 19
_MAX_REASON = 300
_MAX_OUTPUT_BYTES = 1 << 16
_GRACE_S = 2.0
"""For the other process to clean up after itself; an engine is complete or not there anyway."""

# The same modules as here, wherever this program found them: `-m` would look into the working
# directory first, where files of any name may lie. A thread that has signals wait hands that down.
_PROGRAM = """
import sys
sys.path[:] = {path}
import signal
signal.pthread_sigmask(signal.SIG_SETMASK, ())
from da3_ros.cli.main import run
run()
"""

_logger = logging.getLogger(__name__)


class BuildBeside:
    """A run of `da3` in a process of the lowest priority, which ends with this one.

    Args:
        arguments: of `da3`.
        what: that is built, for the log.
    """

    def __init__(self, arguments: Sequence[str], what: str) -> None:
        self.what = what
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long
        self._process = subprocess.Popen(
            [sys.executable, '-c', _PROGRAM.format(path=ascii(_own_path())), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for this process, which then ends the other.
            start_new_session=True,
        )
        # It may have ended already.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, _LOWEST_PRIORITY)
        self._end = weakref.finalize(self, _end, self._process, self._output)
        self._said = ''
        _logger.warning('%s is built beside; torch computes until then', what)

    def is_done(self) -> bool:
        """Return whether it has ended well.

        Raises:
            ModelError: it has ended otherwise; says what it said last.
        """
        status = self._process.poll()
        if status is None:
            return False
        if self._end.alive:
            end = self._output.seek(0, os.SEEK_END)
            self._output.seek(max(0, end - _MAX_OUTPUT_BYTES))
            lines = self._output.read().decode('utf-8', 'replace').strip().splitlines()
            self._said = plain_line(lines[-1], _MAX_REASON) if lines else ''
            self._end()
        if status:
            raise ModelError(
                f'{self.what} could not be built: {self._said or f"exit status {status}"}'
            )
        _logger.warning('%s is built', self.what)
        return True

    def close(self) -> None:
        """End it."""
        self._end()


def _own_path() -> list[str]:
    """Return where this program finds modules; in it, the empty text is the working directory."""
    return [str(Path(place).absolute()) for place in sys.path]


def _end(process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    output.close()
