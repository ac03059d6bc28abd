"""Run Python programs with ROS 2 in processes of their own, and end them without traces.

A child gets its own ROS_DOMAIN_ID, is watched line by line, is stopped with SIGINT first and with
SIGKILL when that does not help, and then leaves no shared-memory segment behind.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
import fcntl
import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from types import TracebackType

from helpers.one_process_dds import of_programs

ROOT = Path(__file__).resolve().parent.parent.parent
_SHARED_MEMORY = Path('/dev/shm')
_LOCK_ATTEMPTS = 20
_LOCK_PAUSE_S = 0.05


class ProcessFailedError(AssertionError):
    """A child ended, or stayed silent, where the test expected something of it."""


@contextmanager
def reserved_domain_id() -> Iterator[int]:
    """Reserve a ROS_DOMAIN_ID from 1 to 100 that no other test on this machine uses now."""
    folder = Path(tempfile.gettempdir())
    first = os.getpid() % 100
    for offset in range(100):
        domain_id = (first + offset) % 100 + 1
        with (folder / f'da3_ros_test_domain_{domain_id}.lock').open('w') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield domain_id
            return
    raise ProcessFailedError('all ROS domain ids from 1 to 100 are in use by other tests')


class RosProcess:
    """A Python program in a process of its own; a context manager that ends it."""

    def __init__(
        self,
        program: str | Path,
        *arguments: str | Path,
        domain_id: int,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program.

        Args:
            program: Path of a Python file, or dotted name of a module.
            arguments: Its command line.
            domain_id: Its ROS_DOMAIN_ID.
            variables: Further environment variables; an empty value removes the variable.
        """
        start = [str(program)] if str(program).endswith('.py') else ['-m', str(program)]
        self.name = Path(program).name
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, *start, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env=_environment(domain_id, variables or {}),
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> 'RosProcess':
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until the process has ended."""
        return self._process.poll() is None

    @property
    def output(self) -> str:
        """Standard output and standard error so far, in the order they were written."""
        with self._changed:
            return '\n'.join(self.lines)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self.running:
            self._process.send_signal(number)

    def wait_for_line(self, pattern: str, timeout_s: float = 30.0) -> re.Match[str]:
        """Wait until a line of the output matches.

        Args:
            pattern: Regular expression, searched in each line, earlier ones included.
            timeout_s: Longest wait.

        Returns:
            The first match.

        Raises:
            ProcessFailedError: The process ended or the time was over before such a line.
        """
        deadline = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if match := re.search(pattern, line):
                        return match
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if self._ended or left <= 0:
                    reason = 'ended' if self._ended else f'ran {timeout_s} s'
                    text = '\n'.join(self.lines)
                    raise ProcessFailedError(
                        f'{self.name} {reason} without a line matching {pattern!r}:\n{text}'
                    )
                self._changed.wait(left)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait until the process ends by itself.

        Args:
            timeout_s: Longest wait.

        Returns:
            Its exit status.

        Raises:
            ProcessFailedError: The time was over first.
        """
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessFailedError(
                f'{self.name} still ran after {timeout_s} s:\n{self.output}'
            ) from None
        self._reader.join(5.0)
        return status

    def stop(self, timeout_s: float = 10.0) -> int:
        """End the process: SIGINT, then SIGKILL for it and its children.

        Args:
            timeout_s: How long SIGINT may take.

        Returns:
            Its exit status; -9 when it had to be killed.
        """
        self.send(signal.SIGINT)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join(5.0)
        return self._process.returncode

    def kill(self) -> None:
        """Kill the process and its children at once and remove the segments they leave."""
        locks = shared_memory_locks(self.pid)
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait(10.0)
        for lock in locks:
            _remove_if_abandoned(lock)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._changed:
                    self.lines.append(line.rstrip('\n'))
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def _environment(domain_id: int, variables: Mapping[str, str]) -> dict[str, str]:
    path = [str(ROOT), str(ROOT / 'test'), os.environ.get('PYTHONPATH', '')]
    merged = {
        **os.environ,
        **of_programs(),
        'PYTHONPATH': os.pathsep.join(part for part in path if part),
        'PYTHONUNBUFFERED': '1',
        'ROS_DOMAIN_ID': str(domain_id),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        **variables,
    }
    return {name: value for name, value in merged.items() if value}


def shared_memory_locks(pid: int) -> Sequence[Path]:
    """List the lock files of the shared-memory segments that a process holds open."""
    held = set()
    for descriptor in Path(f'/proc/{pid}/fd').glob('*'):
        try:
            target = descriptor.readlink()
        except OSError:
            continue
        if target.parent == _SHARED_MEMORY and re.fullmatch(
            r'fast(dds|rtps)_\w+_[es]l', target.name
        ):
            held.add(target)
    return sorted(held)


def abandoned(lock: Path, inode: int) -> bool:
    """Return whether a lock file is still that very file, and no process holds it.

    The names of ports (`fastrtps_port7000_el`) are the same in all domains: once free, the next
    process on the machine takes them.
    """
    try:
        with lock.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(file.fileno()).st_ino == inode
    except OSError:
        return False


def _remove_if_abandoned(lock: Path) -> None:
    """Remove a segment and its lock file unless a living process still holds the lock.

    Another process of Fast DDS that starts at this moment looks for abandoned segments too, and
    holds the lock meanwhile.
    """
    for _ in range(_LOCK_ATTEMPTS):
        if _is_settled(lock):
            return
        time.sleep(_LOCK_PAUSE_S)


def _is_settled(lock: Path) -> bool:
    """Remove a segment nobody holds; return whether trying again would make no difference."""
    try:
        with lock.open('rb') as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.with_name(lock.name[:-3]).unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
