"""A whole comparison: networks one after another, contenders in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
import subprocess
import time
from typing import Any

import numpy as np

from benchmarks.compare.cases import Case, Size, budget_s
from benchmarks.compare.contenders import ROOT, TITLES, Entry, Setting, start
from benchmarks.compare.machine import describe
from benchmarks.compare.measure import Turns, measure
from benchmarks.compare.pictures import pictures
from benchmarks.compare.starts import Start, measure_starts
from benchmarks.compare.worker import ContenderError, Worker

MOST_VIEWS = 16
_START_SHARE = 0.2
"""Of the time, for fresh processes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    entries: tuple[Entry, ...]
    """Contenders, the reference first."""
    cases: tuple[Case, ...]
    rounds: int
    start_rounds: int
    """Fresh processes of each contender; 0 for none."""
    minutes: float


def compare(
    plan: Plan,
    setting: Setting,
    folders: Mapping[str, Path],
    scratch: Path,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure everything.

    Args:
        plan: What to measure.
        setting: What contenders have in common.
        folders: Checkpoints by network.
        scratch: Folder for images, answers and logs.
        say: Takes lines about the progress.

    Returns:
        The results as they are written to a file.
    """
    until_s = time.monotonic() + 60 * plan.minutes
    machine = describe(setting.threads)
    images = {case.size: _write_images(case.size, scratch) for case in plan.cases}
    records: list[dict[str, Any]] = []
    starts: list[dict[str, Any]] = []
    versions: dict[str, dict[str, str]] = {}
    left = list(plan.cases)
    for preset in dict.fromkeys(case.preset for case in plan.cases):
        of_preset = [case for case in plan.cases if case.preset == preset]
        starters = {
            entry.key: partial(
                start, entry, setting, preset, folders[preset], scratch / f'{entry.key}.log'
            )
            for entry in plan.entries
        }
        with ExitStack() as stack:
            workers, errors = _loaded(starters, stack, versions, say)
            for case in of_preset:
                time_s = (1 - _START_SHARE) * max(0.0, until_s - time.monotonic())
                found = measure(
                    workers,
                    case.do,
                    {**case.request, 'images': str(images[case.size])},
                    rounds=plan.rounds,
                    budget_s=budget_s(case, left, time_s),
                    folder=scratch,
                )
                left.remove(case)
                found |= {key: Turns(error=text) for key, text in errors.items()}
                records.append({**case.record, 'turns': {k: asdict(t) for k, t in found.items()}})
                say(_line(case, found))
        if plan.start_rounds:
            running = {key: starter for key, starter in starters.items() if key not in errors}
            starts.append(_starts(plan, preset, of_preset, running, images))
            say(f'{preset}: starts measured')
    return {
        'when': time.strftime('%Y-%m-%d'),
        'machine': machine,
        'load_after': describe(setting.threads)['load'],
        'ours': revision(ROOT),
        'revision': revision(Path(setting.official)) if setting.official else '',
        'reference': plan.entries[0].key,
        'titles': {entry.key: TITLES[entry.key] for entry in plan.entries},
        'versions': versions,
        'cases': records,
        'starts': starts,
    }


def _loaded(
    starters: Mapping[str, Callable[[], Worker]],
    stack: ExitStack,
    versions: dict[str, dict[str, str]],
    say: Callable[[str], None],
) -> tuple[dict[str, Worker], dict[str, str]]:
    """Return contenders that are ready, and why others are not; note versions of the former."""
    workers, errors = {}, {}
    for key, starter in starters.items():
        worker = starter()
        try:
            answer = worker.ask('load')
        except ContenderError as error:
            errors[key] = str(error)
            worker.close()
            say(f'{TITLES[key]}: {error}')
            continue
        workers[key] = stack.enter_context(worker)
        versions[key] = answer['versions']
        say(f'{TITLES[key]}: loaded in {answer["load_s"]:.2f} s')
    return workers, errors


def _starts(
    plan: Plan,
    preset: str,
    cases: list[Case],
    starters: Mapping[str, Callable[[], Worker]],
    images: Mapping[Size, Path],
) -> dict[str, Any]:
    size = max(case.size for case in cases)
    views = sorted({case.views for case in cases if not case.stride}) or [1]
    found: dict[str, Start] = measure_starts(
        starters,
        {'images': str(images[size])},
        views=tuple(dict.fromkeys((views[0], views[-1]))),
        rounds=plan.start_rounds,
    )
    records = {key: asdict(value) for key, value in found.items()}
    for record in records.values():
        record['peak_mb'] = {str(count): peak for count, peak in record['peak_mb'].items()}
    return {'preset': preset, 'size': list(size), 'starts': records}


def _write_images(size: Size, folder: Path) -> Path:
    path = folder / f'{size[0]}x{size[1]}.npy'
    np.save(path, pictures(MOST_VIEWS, size))
    return path


def _line(case: Case, found: Mapping[str, Turns]) -> str:
    medians = [
        f'{key} {1000 * float(np.median(turns.wall_s)):.0f}'
        for key, turns in found.items()
        if turns.wall_s
    ]
    rounds = max((len(turns.wall_s) for turns in found.values()), default=0)
    return f'{case}: {", ".join(medians)} ms ({rounds} rounds)'


def revision(folder: Path) -> str:
    """Return the commit of a folder; empty where there is no git."""
    command = ['git', '-C', str(folder), 'rev-parse', '--short', 'HEAD']
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ''
    return done.stdout.strip()
