"""A warm process in a copy of the project: it runs tests in a fork of itself, again and again.

Started by `bench` as a program of its own, without the rest of the tool, so that the tests find
nothing in it that they would not find otherwise. It reads requests and writes answers, one JSON
object a line:

    {"warm": [module, ...]}                       imports what the tests load from outside
    {"tests": [file, ...], "first": [test, ...], "limit_s": x, "watch": folder or null}

A fork runs the tests and stops at the first that fails. With `watch` it runs all of them and
tells which lines of the files in the folder every test has run, and which modules were loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from importlib import import_module
from importlib.metadata import distributions
import json
import os
from pathlib import Path
import re
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from types import FrameType
from typing import Any

import pytest

# A library that tests load may bring a plugin of pytest along, which a warm process then has.
_QUIET = ('-W', 'ignore:Module already imported:pytest.PytestAssertRewriteWarning')

AT_IMPORT = ''
"""Stands for a test where lines are run by loading modules."""


class Watch:
    """Notes which lines below a folder are run."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            str(path): set[int]() for path in folder.rglob('*.py') if path.name != '__init__.py'
        }
        self._tracers = {name: self._tracer_of(name, lines) for name, lines in self._files.items()}

    def start(self) -> None:
        """Watch all threads."""
        threading.settrace(self._trace)
        sys.settrace(self._trace)

    def take(self) -> dict[str, list[int]]:
        """Return the lines since the last call, by file."""
        found = {name: sorted(lines) for name, lines in self._files.items() if lines}
        for lines in self._files.values():
            lines.clear()
        return found

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        return self._tracers.get(frame.f_code.co_filename)

    @staticmethod
    def _tracer_of(name: str, lines: set[int]) -> Callable[[FrameType, str, object], Any]:
        def note(frame: FrameType, event: str, _: object) -> Any:
            lines.add(frame.f_lineno)
            return note

        return note


class Plugin:
    """Orders the tests and keeps what they told."""

    def __init__(self, first: list[str], watch: Watch | None) -> None:
        self._first = frozenset(first)
        self._watch = watch
        self.failed: list[str] = []
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, dict[str, list[int]]] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Run what is likely to fail first, without mixing the files."""
        files = list(dict.fromkeys(item.nodeid.partition('::')[0] for item in items))
        items.sort(
            key=lambda item: (
                item.nodeid not in self._first,
                files.index(item.nodeid.partition('::')[0]),
            )
        )
        if self._watch is not None:
            self.lines[AT_IMPORT] = self._watch.take()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note how long a test takes, and the lines that it runs."""
        began = time.perf_counter()
        result = yield
        self.seconds[item.nodeid] = time.perf_counter() - began
        if self._watch is not None:
            self.lines[item.nodeid] = self._watch.take()
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what failed."""
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what could not be loaded."""
        if report.failed:
            self.failed.append(report.nodeid)


def run_tests(request: dict[str, Any], answer: Path, log: Path) -> None:
    """Run tests in this process, which ends with it."""
    with log.open('w', encoding='utf-8') as stream, Path(os.devnull).open('rb') as nothing:
        os.dup2(nothing.fileno(), 0)
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    watch = Watch(Path(request['watch'])) if request['watch'] else None
    # What did not change is compiled once, by the first run.
    sys.dont_write_bytecode = watch is None
    plugin = Plugin(request['first'], watch)
    options = ['-q', '-p', 'no:cacheprovider', *_QUIET, *(() if watch else ('-x',))]
    if watch is not None:
        watch.start()
    status = int(pytest.main([*options, *request['tests']], plugins=[plugin]))
    sys.settrace(None)
    told: dict[str, Any] = {'status': status, 'failed': plugin.failed}
    if watch is not None:
        told |= {'seconds': plugin.seconds, 'lines': plugin.lines, 'modules': sorted(sys.modules)}
    answer.write_text(json.dumps(told), encoding='utf-8')


def forked(request: dict[str, Any]) -> dict[str, Any]:
    """Run tests in a fork of this process, ended with all that it started by its time limit."""
    with tempfile.TemporaryDirectory() as folder:
        answer, log = Path(folder, 'answer'), Path(folder, 'log')
        began = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                run_tests(request, answer, log)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        ended = _wait(child, request['limit_s'])
        told: dict[str, Any] = {'status': None, 'failed': []}
        if ended and answer.exists():
            told = json.loads(answer.read_text(encoding='utf-8'))
        elif ended:
            told = {'status': -1, 'failed': ['the process of the tests']}
        seconds = time.monotonic() - began
        tail = log.read_text(encoding='utf-8', errors='replace')[-3000:] if log.exists() else ''
        return {**told, 'took_s': seconds, 'tail': tail}


def _wait(child: int, limit_s: float) -> bool:
    """Wait for a child; return whether it ended by itself."""
    handle = os.pidfd_open(child)
    try:
        ended = bool(select.select([handle], [], [], limit_s)[0])
    finally:
        os.close(handle)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # what the tests left running, too
    os.waitpid(child, 0)
    return ended


def warm(names: list[str]) -> None:
    """Import modules that the tests load; those of pytest's plugins it loads itself."""
    # Pytest rewrites the modules of packages that bring plugins, and complains when it is late.
    plugins = {
        re.split('[./]', str(file))[0]
        for package in distributions()
        if any(point.group == 'pytest11' for point in package.entry_points)
        for file in package.files or ()
    }
    for name in names:
        top = name.partition('.')[0]
        if top in plugins or top.startswith(('_pytest', '__')):
            continue
        with suppress(Exception):  # a part of a library that only its other parts can load
            import_module(name)


def main() -> None:
    """Answer requests until there are no more."""
    own = str(Path(__file__).resolve().parent)
    sys.path[:] = [str(Path.cwd()), *(path for path in sys.path if path not in (own, ''))]
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        if 'warm' in request:
            warm(request['warm'])
            answer: dict[str, Any] = {}
        else:
            answer = forked(request)
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


if __name__ == '__main__':
    main()
