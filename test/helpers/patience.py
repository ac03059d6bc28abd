"""Times that tell whether something was waited for, on a machine that does much else as well."""

from collections.abc import Callable
import time

PATIENCE_S = 20.0
"""More than what takes a second or two may take where many others compute."""

BLOCKED_S = 120.0
"""What nobody must wait for: a window, or the loading of weights, takes that long."""


def wait_until(condition: Callable[[], bool], timeout_s: float = 3 * PATIENCE_S) -> None:
    """Wait until something that tells nobody becomes true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
