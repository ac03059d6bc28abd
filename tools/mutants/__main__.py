"""Make random changes in the rooms and tell which the tests notice.

Exit status: 0 when in every room the share that was asked for is noticed, 1 when not, 2 when the
tests fail without a change.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
import random
import sys

from tools.mutants.bench import Baseline, Bench, MutantsError, Outcome, Project, Verdict
from tools.mutants.changes import Change, changes_of
from tools.mutants.equivalent import FREE, LIST, Equivalents
from tools.mutants.report import line_of, share, table, write_json

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ('geometry', 'metrics', 'export', 'sources', 'stream', 'pipeline')


def draw(groups: Sequence[Sequence[Change]], number: int, seed: int) -> list[Change]:
    """Return so many changes, each at another place, in the order of the files."""
    generator = random.Random(seed)
    places = sorted(generator.sample(range(len(groups)), min(number, len(groups))))
    return [generator.choice(groups[place]) for place in places]


def draw_all(
    groups: Sequence[Sequence[Change]], number: int, seeds: Sequence[int]
) -> list[Change]:
    """Return what each of the seeds draws, every change once."""
    return list(dict.fromkeys(c for seed in seeds for c in draw(groups, number, seed)))


def changes_in(project: Project, room: str) -> list[list[Change]]:
    """Return all changes of a room, by place."""
    return [
        group
        for path in project.sources(room)
        for group in changes_of(
            path.read_text(encoding='utf-8'), path.relative_to(project.root).as_posix()
        )
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog='mutants', description=__doc__.splitlines()[0])
    parser.add_argument('--rooms', nargs='+', default=list(ROOMS), help='parts of the package')
    parser.add_argument('--number', type=int, default=20, help='changes per room (default 20)')
    parser.add_argument(
        '--seed', type=int, nargs='+', default=[1], help='other seeds, other changes, N of each'
    )
    parser.add_argument(
        '--only',
        action='append',
        default=[],
        metavar='FILE:LINE',
        help='all changes of a line instead of random ones; may be given several times',
    )
    parser.add_argument('--jobs', type=int, default=1, help='changes tried at once')
    parser.add_argument(
        '--least-s',
        type=float,
        default=20.0,
        help='seconds for the tests, beside three times usual',
    )
    parser.add_argument('--share', type=float, default=0.9, help='what has to be noticed')
    parser.add_argument('--json', type=Path, help='write all outcomes here')
    parser.add_argument('--list', action='store_true', help='show the changes, try none')
    parser.add_argument('--equivalent', type=Path, default=LIST, help='list of those not counted')
    parser.add_argument('--root', type=Path, default=ROOT, help='folder of the project')
    parser.add_argument('--package', default='da3_ros', help='name of the package in it')
    return parser.parse_args(arguments)


def chosen(project: Project, options: argparse.Namespace) -> dict[str, list[Change]]:
    """Return the changes to try, by room.

    Raises:
        MutantsError: a room or a line has none.
    """
    if not options.only:
        return {
            room: draw_all(changes_in(project, room), options.number, options.seed)
            for room in options.rooms
        }
    wanted: dict[str, list[Change]] = {}
    for place in options.only:
        file, _, line = place.rpartition(':')
        inside = file.removeprefix(f'{project.package}/')
        room = inside.partition('/')[0]
        name = f'{project.package}/{inside}'
        found = [
            change
            for group in changes_in(project, room)
            for change in group
            if change.file == name and str(change.line) == line
        ]
        if not found:
            raise MutantsError(f'There is nothing to change in line {line or "?"} of {name}.')
        wanted.setdefault(room, []).extend(found)
    return wanted


def try_all(
    benches: Sequence[Bench],
    room: str,
    changes: Sequence[Change],
    equivalents: Equivalents,
    least_s: float,
) -> list[Outcome]:
    """Try changes on all benches at once and print what comes of them."""
    free: SimpleQueue[Bench] = SimpleQueue()
    baseline: Baseline | None = None
    for bench in benches:
        baseline = baseline or bench.baseline(room)
        bench.warm(baseline)
        free.put(bench)

    def outcome_of(change: Change) -> Outcome:
        why = equivalents.reason(change)
        if why is not None:
            verdict = Verdict.FREE if why.startswith(FREE) else Verdict.EQUIVALENT
            outcome = Outcome(room, change, verdict, why, 0.0)
        else:
            bench = free.get()
            assert baseline is not None
            try:
                outcome = bench.try_out(room, change, baseline, least_s)
            finally:
                free.put(bench)
        print(line_of(outcome), flush=True)
        return outcome

    with ThreadPoolExecutor(len(benches)) as pool:
        return list(pool.map(outcome_of, changes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the changes and print what the tests noticed."""
    options = parse(arguments)
    project = Project(options.root.resolve(), options.package)
    equivalents = Equivalents.read(options.equivalent)
    outcomes: list[Outcome] = []
    try:
        wanted = chosen(project, options)
        if options.list:
            for change in [change for changes in wanted.values() for change in changes]:
                print(f'{change.file}:{change.line}: {change.name}\n    {change.text}')
            return 0
        with ExitStack() as stack:
            benches = [stack.enter_context(Bench.of(project)) for _ in range(options.jobs)]
            for room, changes in wanted.items():
                outcomes += try_all(benches, room, changes, equivalents, options.least_s)
    except MutantsError as error:
        print(error, file=sys.stderr)
        return 2
    print(f'\nseed {" ".join(map(str, options.seed))}\n{table(outcomes)}')
    for room in wanted:
        groups = changes_in(project, room)
        files = {path.relative_to(project.root).as_posix() for path in project.sources(room)}
        everything = [change for group in groups for change in group]
        for file, text, name in equivalents.stale(files, everything):
            print(f'{options.equivalent.name}: {file} has no such line any more: {text} ({name})')
    if options.json is not None:
        write_json(options.json, options.seed, outcomes)
    parts = [share([o for o in outcomes if o.room == room]) for room in wanted]
    return int(any(part is not None and part < options.share for part in parts))


if __name__ == '__main__':
    sys.exit(main())
