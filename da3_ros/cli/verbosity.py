"""How much a command says: `-v` and `-q`, before the name of the command or after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import wraps
import logging
import os
from pathlib import Path
import sys
from typing import Annotated, Any, TextIO, cast
import warnings

import typer

Verbose = Annotated[
    bool, typer.Option('--verbose', '-v', help='Print what happens in between, too.')
]
Quiet = Annotated[bool, typer.Option('--quiet', '-q', help='Print warnings and errors only.')]

_ANSWERS = ('info', 'models', 'doctor', 'traj', 'depth')
"""Commands whose output is what they are called for: it stays."""
_VERBOSE, _QUIET = 'verbose', 'quiet'
_before_command = {_VERBOSE: False, _QUIET: False}
"""What was given before the name of the command, of the call that is under way."""


def begin(*, verbose: bool, quiet: bool) -> None:
    """Settle what is said until the command begins, and remember what was asked for."""
    _before_command.update({_VERBOSE: verbose, _QUIET: quiet})
    logging.basicConfig(format='%(levelname)s: %(message)s')
    if not verbose:
        # Of tags that cost nothing but themselves; what costs pixels is an error, in one line.
        warnings.filterwarnings('ignore', module=r'PIL\.')
    _set_level(verbose=verbose)


def add_to(name: str, command: Any) -> None:
    """Let a command of typer take `-v` and `-q` too.

    Args:
        name: of the command.
        command: what typer made of a function.
    """
    command.params.extend(_options())
    inner: Callable[..., Any] = command.callback

    @wraps(inner)
    def run(**given: Any) -> Any:
        asked = {n: given.pop(n) or _before_command[n] for n in (_VERBOSE, _QUIET)}
        if all(asked.values()):
            raise typer.BadParameter('expected --verbose or --quiet, got both')
        _set_level(verbose=asked[_VERBOSE])
        if not asked[_QUIET]:
            return inner(**given)
        with _quietly(keeps_stdout=name in _ANSWERS or bool(given.get('as_json'))):
            return inner(**given)

    command.callback = run


def _options() -> list[Any]:
    """Return the two options as typer makes them."""
    maker = typer.Typer(add_completion=False)

    def nothing(verbose: Verbose = False, quiet: Quiet = False) -> None:
        """Has only the options."""

    maker.command()(nothing)
    return [p for p in typer.main.get_command(maker).params if p.name in (_VERBOSE, _QUIET)]


def _set_level(*, verbose: bool) -> None:
    logging.getLogger().setLevel(logging.INFO if verbose else logging.WARNING)


@contextmanager
def _quietly(*, keeps_stdout: bool) -> Iterator[None]:
    """Let summaries go nowhere and progress be as where no terminal is."""
    with redirect_stderr(cast('TextIO', _NoTerminal(sys.stderr))):
        if keeps_stdout:
            yield
            return
        with Path(os.devnull).open('w', encoding='utf-8') as nowhere, redirect_stdout(nowhere):
            yield


class _NoTerminal:
    """A stream that is no terminal, whatever is behind it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def isatty(self) -> bool:
        """Return False."""
        return False

    def __getattr__(self, name: str) -> Any:
        """Return what the stream has."""
        return getattr(self._stream, name)
