"""The folder of a demo: what may be replaced in it, and how results come into it.

A run works in a hidden folder inside and moves its results into place when it has succeeded.
What the folder's record (`export/ledger.py`) does not prove to be an earlier demo's stays, and is
a reason to refuse where it has one of our names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
import os
from pathlib import Path
import shutil

from da3_ros.errors import ExportError
from da3_ros.export.files import listed, move_into
from da3_ros.export.ledger import Ledger, has_ledger, read_ledger, write_ledger
from da3_ros.export.staging import (
    STAGING_PREFIX,
    locked_folder,
    make_folder,
    remove_abandoned,
    remove_staging,
)

SHEET = 'sheet.png'
FIRST_LOOK = 'first_look.png'
"""There while a run goes on, and after one that did not get to its sheet."""
INPUT = 'input.mcap'
OUTPUT = 'output.mcap'
EXPORTS = 'exports'
LOG = 'log'

_FILES = (SHEET, FIRST_LOOK, INPUT, OUTPUT)
_NAMES = (*_FILES, EXPORTS, LOG)
_HOW = 'move it away, or give the demo another folder with --out (make demo OUT=)'


class DemoFolder:
    """The folder of a demo's results.

    Args:
        out: the folder; need not exist.
        source: bag or video that is played, None for none; survives in any case.
    """

    def __init__(self, out: Path, source: Path | None) -> None:
        self.out = out
        self._source = source
        self._staging: Path | None = None

    @property
    def staging(self) -> Path:
        """Where the run that goes on writes."""
        if self._staging is None:
            raise ExportError(f'{self.out}: no run goes on here')
        return self._staging

    def check(self) -> None:
        """Refuse a folder that holds foreign files under our names; nothing is changed.

        Raises:
            ExportError: names them, and says what to do.
        """
        if '\x00' in str(self.out):
            raise ExportError(f'--out: expected a path, got {str(self.out)!r}')
        if os.path.lexists(self.out) and not self.out.is_dir():
            raise ExportError(f'{self.out}: expected a folder for the demo, it is none; {_HOW}')
        try:
            ledger = read_ledger(self.out)
            there = [name for top in _NAMES for name in _files(self.out, top)]
            there += [name for name in _FILES if (self.out / name).is_dir()]
        except OSError as error:
            raise ExportError(f'{self.out}: cannot be used: {error}') from error
        foreign = [name for name in dict.fromkeys(there) if not ledger.owns(name)]
        if foreign:
            verb = 'is' if len(foreign) == 1 else 'are'
            raise ExportError(
                f'{self.out}: {listed(foreign)} {verb} not of an earlier demo, or changed since; '
                f'{_HOW}'
            )
        self._check_source()

    @contextmanager
    def run(self) -> Iterator[Path]:
        """Yield the hidden folder of a run, with a folder for logs in it.

        When the body raises, the logs stay there until the next run; everything else goes, and
        the results of an earlier run are as they were.

        Raises:
            ExportError: the folder cannot be written.
        """
        with ExitStack() as undo:
            try:
                make_folder(self.out, undo)
                remove_abandoned(self.out)
                self._staging, lock = locked_folder(self.out, STAGING_PREFIX)
            except OSError as error:
                raise ExportError(
                    f'{self.out}: cannot be written: {error.strerror or error}'
                ) from error
            undo.callback(os.close, lock)
            try:
                (self._staging / LOG).mkdir()
                yield self._staging
            except BaseException:
                remove_staging(self._staging, kept=LOG)
                raise
            remove_staging(self._staging)

    def put(self, *names: str) -> None:
        """Move single files of the run into place now.

        Raises:
            ExportError: one of another has the name.
            OSError: it cannot be moved.
        """
        self._move([name for top in names for name in _files(self.staging, top)], [])

    def finish(self) -> None:
        """Move the results into place; those of an earlier demo that they do not replace go.

        Raises:
            ExportError: a foreign file has one of our names by now.
            OSError: a file cannot be moved.
        """
        # The node may still write its log.
        results = [top for top in _NAMES if top != FIRST_LOOK]
        made = [name for top in results for name in _files(self.staging, top)]
        for name in [name for name in made if name.startswith(f'{LOG}/')]:
            copy = self.staging / f'{name}.now'
            shutil.copyfile(self.staging / name, copy)
            copy.replace(self.staging / name)
        earlier = [name for name in read_ledger(self.out).own() if not self._is_source(name)]
        self._move(made, [name for name in earlier if name not in made])

    def _move(self, names: Sequence[str], stale: Sequence[str]) -> None:
        from glob import escape

        if not has_ledger(self.out):
            write_ledger(Ledger(self.out, {}))
        self.check()
        globs = [escape(name) for name in stale]
        move_into(self.staging, self.out, names, overwrite=True, owned=globs)
        for folder in {(self.out / name).parent for name in stale} - {self.out}:
            # Innermost first, for as long as nothing is in them.
            for place in (folder, *folder.parents):
                if place == self.out or any(place.iterdir()):
                    break
                with suppress(OSError):
                    place.rmdir()

    def _check_source(self) -> None:
        """Refuse to play what the results would replace.

        Raises:
            ExportError: says so.
        """
        if self._source is None:
            return
        source, out = self._source.resolve(), self.out.resolve()
        replaced = [out / name for name in (OUTPUT, EXPORTS, LOG)]
        # A folder that holds the results is read with them.
        is_replaced = any(source == p or p in source.parents for p in replaced) or source == out
        if is_replaced:
            raise ExportError(
                f'{self._source}: the results of the demo would replace it; give the demo '
                'another folder with --out (make demo OUT=)'
            )

    def _is_source(self, name: str) -> bool:
        with suppress(OSError):
            return self._source is not None and self._source.samefile(self.out / name)
        return False


def _files(folder: Path, top: str) -> list[str]:
    """Return the files, relative to a folder, of an entry in it: itself or those below it."""
    entry = folder / top
    if entry.is_symlink() or not entry.is_dir():
        return [top] if os.path.lexists(entry) else []
    found = [path for path in sorted(entry.rglob('*')) if path.is_symlink() or not path.is_dir()]
    return [path.relative_to(folder).as_posix() for path in found]
