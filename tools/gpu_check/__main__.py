"""Command line: `python -m tools.gpu_check --out DIR [--goldens DIR] [--official DIR]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import json
from pathlib import Path
import subprocess
import sys
import time
from typing import Any

from tools.gpu_check.environment import headline
from tools.gpu_check.part import PACKAGE, Part, Result, Settings, official_root
from tools.gpu_check.plan import BUDGET_S, PARTS
from tools.gpu_check.report import JSON_NAME, TABLES_NAME, Report, code_key, source_folders
from tools.gpu_check.supervisor import ROOT, run_parts

GOLDENS = ROOT / 'test' / 'data' / 'golden'
DESCRIBE_S = 120.0
"""The first import of torch on a fresh machine reads gigabytes."""
PLAN = 'tools.gpu_check.plan'

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that were asked for and return the exit status.

    0 when nothing failed, 1 when something did, 2 for a wrong call, 130 after an interrupt.
    """
    start = time.monotonic()
    options = _parser().parse_args(arguments)
    unknown = _unknown(options.only)
    if unknown:
        names = sorted({part.topic for part in PARTS}) + [part.name for part in PARTS]
        return _refuse(f'--only {unknown}: there is no such part; there are {", ".join(names)}')
    goldens: Path = options.goldens.resolve()
    if not any(goldens.glob('*.npz')):
        return _refuse(
            f'--goldens {goldens}: expected a folder with stored cases (*.npz), found none; copy '
            'test/data/golden beside tools, or name another folder'
        )
    official: Path | None = options.official
    if official is not None and official_root(official) is None:
        return _refuse(f'--official {official}: expected a folder with {PACKAGE}, found none')
    try:
        environment = _environment(options.device)
        if environment is None:
            return FAILED
        return _run(options, environment, goldens, start)
    except KeyboardInterrupt:
        print('\ninterrupted; what was done is kept, the same command goes on from there')
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m tools.gpu_check',
        description='Check and measure on a CUDA device all that a CPU cannot tell.',
    )
    parser.add_argument('--out', type=Path, required=True, help='folder of the report')
    parser.add_argument('--goldens', type=Path, default=GOLDENS, help='folder of the stored cases')
    parser.add_argument(
        '--official',
        type=Path,
        metavar='DIR',
        help='checkout or installation of the official code, whose windows are timed beside ours',
    )
    parser.add_argument(
        '--only',
        action='append',
        metavar='NAME',
        help='a part, or a topic with all its parts; may be given several times',
    )
    parser.add_argument('--device', choices=('auto', 'cuda', 'cpu'), default='auto')
    parser.add_argument(
        '--budget', type=float, default=BUDGET_S, metavar='S', help='seconds for all together'
    )
    return parser


def _run(
    options: argparse.Namespace, environment: dict[str, Any], goldens: Path, start: float
) -> int:
    code, data = code_key(source_folders()), code_key([goldens])
    key = f'code {code}, goldens {data}, {environment["name"]}, torch {environment["torch"]}'
    if options.official is not None:
        key += f', official code in {options.official.resolve()}'
    for line in (*headline(environment), f'code: {code}; goldens: {goldens} ({data})'):
        print(line)
    report = Report(options.out, key, environment)
    for note in report.notes:
        print(note)
    results = []
    to_run = []
    for part in _chosen(options.only):
        before = report.passed_before(part.name)
        if before is not None:
            print(f'{before.line()} (of an earlier run)', flush=True)
            results.append(before)
        elif _needs_what_is_not_here(part, environment, options.only):
            results.append(_told(report, Result(part.name, 'SKIP', 'no CUDA device')))
        else:
            to_run.append(part)
    official = '' if options.official is None else str(options.official.resolve())
    settings = Settings(environment['device'], str(goldens), official)
    budget_s = options.budget - (time.monotonic() - start)
    results += [_told(report, one) for one in run_parts(PLAN, to_run, settings, budget_s)]
    print(f'written: {options.out / JSON_NAME}, {options.out / TABLES_NAME}')
    counts = {status: sum(one.status == status for one in results) for status in _STATUSES}
    print(', '.join(f'{counts[status]} {word}' for status, word in _STATUSES.items()))
    return FAILED if counts['FAIL'] else 0


_STATUSES = {'PASS': 'passed', 'FAIL': 'failed', 'SKIP': 'skipped'}


def _told(report: Report, result: Result) -> Result:
    print(result.line(), flush=True)
    report.add(result)
    return result


def _environment(device: str) -> dict[str, Any] | None:
    """Return what the machine is; None, with the reason printed, where it does not tell."""
    ask = [sys.executable, '-m', 'tools.gpu_check.environment', device]
    try:
        done = subprocess.run(
            ask, cwd=ROOT, capture_output=True, text=True, timeout=DESCRIBE_S, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        print(f'torch and the driver did not answer within {DESCRIBE_S:g} s', file=sys.stderr)
        return None
    except subprocess.CalledProcessError as error:
        print(f'torch cannot be asked for its device:\n{error.stderr}', file=sys.stderr)
        return None
    if device == 'cuda' and found['device'] != 'cuda':
        print('--device cuda: torch finds no CUDA device here', file=sys.stderr)
        return None
    return found


def _chosen(only: Sequence[str] | None) -> list[Part]:
    if only is None:
        return list(PARTS)
    return [part for part in PARTS if part.name in only or part.topic in only]


def _unknown(only: Sequence[str] | None) -> str | None:
    known = {name for part in PARTS for name in (part.name, part.topic)}
    return next((name for name in only or () if name not in known), None)


def _needs_what_is_not_here(
    part: Part, environment: dict[str, Any], only: Sequence[str] | None
) -> bool:
    """Return whether a part is left out for want of CUDA; on a CPU it runs when it is named."""
    named = only is not None and part.name in only
    return environment['device'] == 'cpu' and not part.on_cpu and not named


def _refuse(message: str) -> int:
    print(message, file=sys.stderr)
    return WRONG_USE


if __name__ == '__main__':
    sys.exit(main())
