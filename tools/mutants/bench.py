"""A copy of the project in a temporary folder, and what the tests say to changes in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any

from tools.mutants.changes import Change

WORKER = Path(__file__).with_name('worker.py')
AT_IMPORT = ''
"""In what a first run tells: lines that are run by loading modules, see `worker`."""
_LEFT_OUT = ('.git', '.build', 'build', '.*_cache', '__pycache__', '*.egg-info')
_FIRST_LIMIT_S = 1800.0


class MutantsError(Exception):
    """What keeps the tool from working, for the user."""


class Verdict(Enum):
    """What came of a change."""

    NOTICED = 'noticed'
    TIMED_OUT = 'timed out'
    """The tests did not come to an end; whoever runs them notices that too."""
    NOT_NOTICED = 'not noticed'
    EQUIVALENT = 'equivalent'
    """Listed as one after which the code does the same; not tried."""
    FREE = 'free choice'
    """Listed as one that moves a value within what is promised of it; not tried."""


@dataclass(frozen=True)
class Outcome:
    """What came of one change."""

    room: str
    change: Change
    verdict: Verdict
    by: str
    """The test that noticed it, or why it is not counted."""
    took_s: float


@dataclass(frozen=True)
class Project:
    """Where a package and its tests lie: room X is `package/X`, its tests are `test/X`."""

    root: Path
    package: str

    def sources(self, room: str) -> list[Path]:
        """Return the modules of a room.

        Raises:
            MutantsError: there is no such room, or it has no tests.
        """
        for part in (self.package, 'test'):
            if not (self.root / part / room).is_dir():
                raise MutantsError(f'There is no folder {part}/{room} in {self.root}.')
        return sorted((self.root / self.package / room).rglob('*.py'))


@dataclass(frozen=True)
class Baseline:
    """What the tests of a room do without any change."""

    seconds: dict[str, float]
    """By test; each was watched while it ran, which makes it slower."""
    lines: dict[str, dict[str, set[int]]]
    """Lines that are run, by test (or `AT_IMPORT`) and by file, as a path in the project."""
    modules: tuple[str, ...]
    """All that was loaded."""

    def tests_for(self, change: Change) -> tuple[list[str], list[str]]:
        """Return the files of tests to run for a change, fastest first, and the tests that hit it.

        A test hits a change when it runs a line of its statement. Files with none that does are
        left out, unless the statement is run when its module is loaded, or no test hits it.
        """
        wanted = set(range(change.first_line, change.last_line + 1))
        hits = [
            test
            for test in self.seconds
            if wanted & self.lines.get(test, {}).get(change.file, set())
        ]
        cost: dict[str, float] = {}
        for test in hits:
            file = test.partition('::')[0]
            cost[file] = cost.get(file, 0.0) + self.seconds[test]
        files = sorted(cost, key=lambda file: cost[file])
        if not hits or wanted & self.lines.get(AT_IMPORT, {}).get(change.file, set()):
            files += sorted({test.partition('::')[0] for test in self.seconds} - set(files))
        return files, hits

    def limit_s(self, files: Sequence[str], least_s: float) -> float:
        """Return how long those files may take with a change."""
        usual = sum(s for test, s in self.seconds.items() if test.partition('::')[0] in files)
        return least_s + 3.0 * usual


class Bench:
    """A copy of the project, and a warm process in it that runs tests."""

    def __init__(self, project: Project, folder: Path) -> None:
        self._project = project
        self.folder = folder
        self._worker = subprocess.Popen(
            [sys.executable, str(WORKER)],
            cwd=folder,
            env=_environment(project.root, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @classmethod
    @contextmanager
    def of(cls, project: Project) -> Iterator[Bench]:
        """Copy the project, start the process; end and remove both."""
        with tempfile.TemporaryDirectory(prefix='mutants-') as parent:
            folder = Path(parent).resolve() / 'project'
            shutil.copytree(
                project.root, folder, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True
            )
            with cls(project, folder) as bench:
                yield bench

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._worker.kill()
        self._worker.communicate()

    def baseline(self, room: str) -> Baseline:
        """Run all tests of a room without a change.

        Raises:
            MutantsError: one fails, or there is none.
        """
        told = self._ask(
            {
                'tests': [f'test/{room}'],
                'first': [],
                'limit_s': _FIRST_LIMIT_S,
                'watch': str(self.folder / self._project.package / room),
            }
        )
        if told['status'] != 0:
            what = ', '.join(told['failed']) or 'none ran to its end'
            raise MutantsError(
                f'The tests of {room} fail without a change: {what}\n{told["tail"]}'
            )
        lines = {
            test: {os.path.relpath(name, self.folder): set(run) for name, run in files.items()}
            for test, files in told['lines'].items()
        }
        if not lines[AT_IMPORT]:
            raise MutantsError(f'The tests of {room} do not load the package from {self.folder}.')
        return Baseline(told['seconds'], lines, tuple(told['modules']))

    def warm(self, baseline: Baseline) -> None:
        """Load what the tests load from outside the project, so that no try has to.

        Raises:
            MutantsError: the tests do not pass afterwards.
        """
        own = {path.stem for path in self.folder.iterdir()} | {
            path.stem for path in (self.folder / 'test').iterdir()
        }
        names = [name for name in baseline.modules if name.partition('.')[0] not in own]
        self._ask({'warm': names})
        # Nothing is noticed by a process that cannot run the tests any more.
        first = min(baseline.seconds, key=lambda test: baseline.seconds[test])
        told = self._ask({'tests': [first], 'first': [], 'limit_s': _FIRST_LIMIT_S, 'watch': None})
        if told['status'] != 0:
            raise MutantsError(
                f'{first} fails in a warm process without a change:\n{told["tail"]}'
            )

    def try_out(self, room: str, change: Change, baseline: Baseline, least_s: float) -> Outcome:
        """Run the tests with a change, then take it back; they have `least_s` and a bit more."""
        files, hits = baseline.tests_for(change)
        path = self.folder / change.file
        source = path.read_text(encoding='utf-8')
        for stale in (path.parent / '__pycache__').glob(f'{path.stem}.*.pyc'):
            stale.unlink()
        path.write_text(change.apply(source), encoding='utf-8')
        try:
            limit_s = baseline.limit_s(files, least_s)
            told = self._ask({'tests': files, 'first': hits, 'limit_s': limit_s, 'watch': None})
        finally:
            path.write_text(source, encoding='utf-8')
        verdict, by = Verdict.NOTICED, (told['failed'] or ['pytest itself'])[0]
        if told['status'] is None:
            verdict, by = Verdict.TIMED_OUT, ''
        elif told['status'] == 0:
            verdict, by = Verdict.NOT_NOTICED, '' if hits else 'no test runs this statement'
        return Outcome(room, change, verdict, by, told['took_s'])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._worker.stdin is not None
        assert self._worker.stdout is not None
        self._worker.stdin.write(json.dumps(request) + '\n')
        self._worker.stdin.flush()
        answer = self._worker.stdout.readline()
        if not answer:
            raise MutantsError('The process that runs the tests has ended by itself.')
        told: dict[str, Any] = json.loads(answer)
        return told


def _environment(root: Path, folder: Path) -> dict[str, str]:
    """Return the variables of this process, with the copy in the place of the project."""
    paths = [folder, folder / 'test']
    for entry in os.environ.get('PYTHONPATH', '').split(os.pathsep):
        path = Path(entry).resolve()
        copied = folder / path.relative_to(root) if path.is_relative_to(root) else path
        if entry and copied not in paths:
            paths.append(copied if copied.exists() else path)
    return {**os.environ, 'PYTHONPATH': os.pathsep.join(str(path) for path in paths)}
