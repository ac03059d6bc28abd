"""What a command says: a summary or one JSON object on stdout, everything else on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
import json
import math
from pathlib import Path
import sys
from typing import Any

import typer

from da3_ros.cli.exit_codes import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from da3_ros.errors import Da3Error
from da3_ros.foreign import plain_line, plain_path

_SHOWN_FILES = 12
MAX_LINE = 4000
"""Characters of the longest line that is printed."""

KNOWN_ERRORS = (Da3Error, OSError, MemoryError)
"""What ends a command with one line rather than with a trace."""
USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for wrong arguments of any kind: it has no name for it in all versions."""

_printed: BaseException | None = None
"""The error that was printed last."""


@dataclass(slots=True)
class Report:
    """What a command has to tell at its end."""

    content: dict[str, Any] = field(default_factory=dict)
    """Becomes the JSON object."""
    print_summary: Callable[[], None] = lambda: None
    """Prints the same for humans, on stdout."""
    exit_code: int = 0
    """Of the command, when nothing is raised."""


@contextmanager
def reporting(command: str, *, as_json: bool) -> Iterator[Report]:
    """Yield a report and print it at the end, also when the body raises.

    With `as_json`, what anybody else prints goes to stderr, and errors become JSON too; they are
    raised further in any case.

    Raises:
        Exit: the report has an exit code other than 0.
    """
    report = Report()
    if not as_json:
        yield report
        report.print_summary()
    else:
        with errors_as_json(command), redirect_stdout(sys.stderr):
            yield report
        status = 'ok' if report.exit_code == 0 else 'failed'
        _print({'command': command, 'status': status, **report.content})
    if report.exit_code:
        raise typer.Exit(report.exit_code)


def say(text: str) -> None:
    """Tell a human in front of a terminal what goes on."""
    if sys.stderr.isatty():
        print(text, file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """Tell about an error that does not end the command."""
    print(f'da3: {plain_line(text, MAX_LINE)}', file=sys.stderr, flush=True)


def one_line(error: BaseException) -> str:
    """Return the text of an error as one printable line; the name of its kind without a text."""
    return plain_line(error, MAX_LINE) or type(error).__name__


def show_files(folder: Path, names: Sequence[str]) -> None:
    """Print the paths of written files, not more than a screen takes."""
    for name in names[:_SHOWN_FILES]:
        print(f'  {plain_path(folder / name)}')
    if len(names) > _SHOWN_FILES:
        print(f'  and {len(names) - _SHOWN_FILES} more files')


def in_words(seconds: float) -> str:
    """Return a duration for humans."""
    return f'{seconds:.1f} s' if seconds < 60 else f'{int(seconds // 60)} min {seconds % 60:.0f} s'


@contextmanager
def errors_as_json(command: str, *, wanted: bool = True) -> Iterator[None]:
    """Print an error of the body as one JSON object too; it is raised further."""
    try:
        yield
    except (*KNOWN_ERRORS, typer.BadParameter, KeyboardInterrupt) as error:
        if wanted:
            print_error(command, error)
        raise


def print_error(command: str, error: BaseException) -> None:
    """Print an error on stdout as one JSON object, once however often it is asked for."""
    global _printed
    if error is _printed:
        return
    _printed = error
    if isinstance(error, KeyboardInterrupt):
        code, message = EXIT_INTERRUPTED, 'interrupted'
    elif isinstance(error, USAGE_ERROR):
        usage: Any = error
        code, message = EXIT_USAGE, str(usage.format_message())
    else:
        code, message = EXIT_FAILED, one_line(error)
    _print({'command': command, 'status': 'error', 'exit_code': code, 'error': message})


def _print(content: dict[str, Any]) -> None:
    # NaN and infinity are no JSON.
    print(json.dumps(_finite(content), indent=2, allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
