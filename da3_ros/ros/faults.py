"""Faults counted by where they come from, and logged at most every few seconds each."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time


class FaultLog:
    """Counts every fault and logs each kind once per period, with the number left out.

    Args:
        log: where lines go, for example a ROS logger's `error`.
        period_s: shortest time between two lines about one kind.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        log: Callable[[str], object],
        period_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._period_s = period_s
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}

    def report(self, owner: str, field: str, text: str) -> None:
        """Count a fault of `owner` (a camera, the worker) in `field`, and log it when due."""
        key = (owner, field)
        now = self._clock()
        with self._lock:
            count = self._counts[key] = self._counts.get(key, 0) + 1
            last = self._logged.get(key)
            if last is not None and now - last[0] < self._period_s:
                return
            unsaid = count - 1 - last[1] if last else 0
            self._logged[key] = (now, count)
        self._log(text if not unsaid else f'{text} ({unsaid} more since the last report)')

    def counts(self, owner: str) -> dict[str, int]:
        """Return field to number of faults of one owner."""
        with self._lock:
            return {field: n for (who, field), n in self._counts.items() if who == owner}
