"""Turns of contenders, one after another, and what they took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
import statistics
import time
from typing import Any

import numpy as np

from benchmarks.compare.agreement import agreement
from benchmarks.compare.machine import cpu_time
from benchmarks.compare.worker import ContenderError, Worker

PAUSE_S = 0.02
"""Between turns, so that no thread of the one before still waits busily."""

FEWEST_ROUNDS = 3


@dataclass(slots=True)
class Turns:
    """What one contender took in one case."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """Share of the cores that other programs held during each turn."""
    gflop: float | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    error: str | None = None


def measure(
    workers: Mapping[str, Worker],
    do: str,
    request: Mapping[str, Any],
    *,
    rounds: int,
    budget_s: float,
    folder: Path,
) -> dict[str, Turns]:
    """Let all contenders compute a case in turns.

    The first turn of each is not counted; its answer is compared with the first contender's.

    Args:
        workers: Contenders by key, the reference first.
        do: Request of a worker: `forward` or `step`.
        request: Its arguments.
        rounds: Most rounds.
        budget_s: After this time no other round begins, once there are the fewest.
        folder: For the answers.
    """
    found = {key: Turns() for key in workers}
    answers = _first_turns(workers, found, do, request, folder)
    for key, answer in answers.items():
        found[key].agreement = agreement(answer, next(iter(answers.values())))
    start = time.monotonic()
    for number in range(rounds):
        if number >= FEWEST_ROUNDS and time.monotonic() - start > budget_s:
            break
        for key, worker in workers.items():
            if found[key].error is None:
                _turn(worker, found[key], do, request)
    for key, worker in workers.items():
        if found[key].error is None:
            try:
                found[key].gflop = worker.ask('count', **request)['gflop']
            except ContenderError as error:
                found[key].error = str(error)
    return found


def _first_turns(
    workers: Mapping[str, Worker],
    found: Mapping[str, Turns],
    do: str,
    request: Mapping[str, Any],
    folder: Path,
) -> dict[str, dict[str, Any]]:
    answers = {}
    for key, worker in workers.items():
        path = folder / f'{key}.npz'
        try:
            worker.ask(do, **request, save=str(path))
            # A window that nothing is known of is not the steady state: the second is.
            if do == 'step':
                worker.ask(do, **request, save=str(path))
        except ContenderError as error:
            found[key].error = str(error)
            continue
        with np.load(path) as arrays:
            answers[key] = dict(arrays)
        path.unlink()
    return answers


def _turn(worker: Worker, turns: Turns, do: str, request: Mapping[str, Any]) -> None:
    time.sleep(PAUSE_S)
    before = cpu_time()
    try:
        taken = worker.ask(do, **request)
    except ContenderError as error:
        turns.error = str(error)
        return
    others = cpu_time().others_since(before, taken['cpu_s'])
    turns.wall_s.append(taken['wall_s'])
    turns.cpu_s.append(taken['cpu_s'])
    if others is not None:
        turns.others.append(others)


def spread(values: list[float]) -> tuple[float, float, float]:
    """Return median and quartiles."""
    if len(values) < 2:
        return (values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method='inclusive')
    return middle, low, high


def factor(reference_s: list[float], taken_s: list[float]) -> float:
    """Return how many times faster: the median over the rounds, each against its own."""
    pairs = zip(reference_s, taken_s, strict=False)
    return statistics.median(reference / taken for reference, taken in pairs)
