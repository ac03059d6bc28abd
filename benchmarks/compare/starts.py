"""Processes that do one thing and end: start, load time and peak memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
import time
from typing import Any

from benchmarks.compare.measure import PAUSE_S
from benchmarks.compare.worker import ContenderError, Worker


@dataclass(slots=True)
class Start:
    """What fresh processes of one contender took."""

    first_depth_s: list[float] = field(default_factory=list)
    """From the start of the process to its first depth."""
    load_s: list[float] = field(default_factory=list)
    """Of it: weights or engine, and the imports that only this needs."""
    peak_mb: dict[int, float] = field(default_factory=dict)
    """Most memory of a process that computed twice, by number of views."""
    error: str | None = None


def measure_starts(
    starters: Mapping[str, Callable[[], Worker]],
    request: Mapping[str, Any],
    *,
    views: tuple[int, ...],
    rounds: int,
) -> dict[str, Start]:
    """Start every contender anew, in turns, with files in the page cache.

    Args:
        starters: What starts a contender's process.
        request: Arguments of `forward` but the number of views.
        views: Numbers of views to compute, each in a process of its own; times are taken of the
            first.
        rounds: How often times are taken.
    """
    found = {key: Start() for key in starters}
    for number in range(rounds):
        for key, starter in starters.items():
            if found[key].error is None:
                _once(starter, found[key], request, views[0], is_first=number == 0)
    for count in views[1:]:
        for key, starter in starters.items():
            if found[key].error is None:
                _once(starter, found[key], request, count, is_first=True, is_timed=False)
    return found


def _once(
    starter: Callable[[], Worker],
    start: Start,
    request: Mapping[str, Any],
    views: int,
    *,
    is_first: bool,
    is_timed: bool = True,
) -> None:
    time.sleep(PAUSE_S)
    with starter() as worker:
        try:
            load_s = worker.ask('load')['load_s']
            worker.ask('forward', **request, views=views)
            taken_s = time.perf_counter() - worker.started_s
            if is_timed:
                start.first_depth_s.append(taken_s)
                start.load_s.append(load_s)
            if is_first:
                worker.ask('forward', **request, views=views)
                start.peak_mb[views] = worker.ask('peak')['peak_mb']
        except ContenderError as error:
            start.error = str(error)
