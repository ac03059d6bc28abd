"""Counters, rates and latencies for diagnostics; all times are given, none is read here."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
import threading

import numpy as np

from da3_ros.errors import StreamError


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Durations of the newest events of one kind, seconds."""

    count: int
    """Events the other numbers are taken over."""
    mean_s: float
    p50_s: float
    p95_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class StatsSnapshot:
    """All numbers at one instant."""

    counters: Mapping[str, int]
    """Totals since the start."""
    rates_hz: Mapping[str, float]
    """Events per second over the newest ones; 0 when they stopped coming."""
    latencies: Mapping[str, LatencySummary]


class StreamStats:
    """Collects numbers by name; safe to use from several threads.

    Args:
        capacity: newest events that rates and latencies are taken over, at least 2.

    Raises:
        StreamError: the capacity is below 2.
    """

    def __init__(self, capacity: int = 256) -> None:
        if capacity < 2:
            raise StreamError(f'stats: expected a capacity >= 2, got {capacity}')
        self._capacity = capacity
        self._counters: Counter[str] = Counter()
        self._times: dict[str, deque[float]] = {}
        self._durations: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to a counter."""
        with self._lock:
            self._counters[name] += amount

    def event(self, name: str, time_s: float) -> None:
        """Note that something happened at a time; gives its rate and counts it."""
        with self._lock:
            self._counters[name] += 1
            self._times.setdefault(name, deque(maxlen=self._capacity)).append(time_s)

    def latency(self, name: str, duration_s: float) -> None:
        """Note how long something took."""
        with self._lock:
            self._durations.setdefault(name, deque(maxlen=self._capacity)).append(duration_s)

    def snapshot(self, now_s: float) -> StatsSnapshot:
        """Return all numbers as of a time on the clock of `event`."""
        with self._lock:
            return StatsSnapshot(
                counters=dict(self._counters),
                rates_hz={name: _rate_hz(times, now_s) for name, times in self._times.items()},
                latencies={name: _summary(values) for name, values in self._durations.items()},
            )

    def clear(self) -> None:
        """Start again from nothing."""
        with self._lock:
            self._counters.clear()
            self._times.clear()
            self._durations.clear()


def _rate_hz(times: deque[float], now_s: float) -> float:
    if len(times) < 2:
        return 0.0
    intervals = len(times) - 1
    span = times[-1] - times[0]
    if span <= 0:
        return 0.0
    # Silence longer than two usual intervals counts as part of the span: a source that stops
    # falls towards zero instead of keeping its last rate.
    silence = now_s - times[-1]
    return intervals / (span + silence if silence > 2 * span / intervals else span)


def _summary(values: deque[float]) -> LatencySummary:
    array = np.array(values)
    p50, p95 = np.percentile(array, [50, 95])
    return LatencySummary(
        len(array), float(array.mean()), float(p50), float(p95), float(array.max())
    )
