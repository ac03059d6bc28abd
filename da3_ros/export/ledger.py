"""Which files of a folder are ours: the record that decides what may be removed.

A folder that a command of ours keeps for its results has a hidden file that names every file we
wrote there, with its size and its time. What is not in it, or has changed since, is somebody
else's and is never removed. Folders without that file hold nothing of ours that may be removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import json
import os
from pathlib import Path, PurePosixPath
import stat
from typing import Any

from da3_ros.errors import ExportError
from da3_ros.export.staging import MARKER, STAGING_PREFIX, locked_folder, remove_empty

LEDGER = '.da3_files.json'
"""Name of the file."""

_VERSION = 1
_MAX_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Ledger:
    """The files that we wrote into one folder."""

    directory: Path
    entries: Mapping[str, tuple[tuple[int, int], ...]]
    """Relative name to size (bytes) and time of change (ns). Two while a file is being replaced:
    either may be there."""

    def owns(self, name: str) -> bool:
        """Return whether the file of a name is ours and unchanged; links never are."""
        known = self.entries.get(name)
        return known is not None and _size_and_time(self.directory, name) in known

    def own(self) -> tuple[str, ...]:
        """Return the names of all files that are ours and unchanged."""
        return tuple(name for name in self.entries if self.owns(name))


def has_ledger(directory: Path) -> bool:
    """Return whether files that we write into a folder are recorded there."""
    return os.path.lexists(directory / LEDGER)


def read_ledger(directory: Path) -> Ledger:
    """Return the record of a folder, an empty one where there is none.

    Raises:
        ExportError: the file is not one of ours, or damaged.
    """
    path = directory / LEDGER
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return Ledger(directory, {})
    except OSError as error:
        raise _foreign(path, str(error)) from error
    with os.fdopen(descriptor, 'rb') as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_size > _MAX_BYTES:
            raise _foreign(path, 'no file of that kind')
        content = file.read()
    try:
        return Ledger(directory, _entries(json.loads(content)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _foreign(path, str(error)) from error


def write_ledger(ledger: Ledger) -> None:
    """Write the record of a folder, whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    files = {name: [list(pair) for pair in pairs] for name, pairs in ledger.entries.items()}
    content = json.dumps({'da3_ros': _VERSION, 'files': files}, indent=0, sort_keys=True)
    staging, lock = locked_folder(ledger.directory, STAGING_PREFIX)
    try:
        (staging / LEDGER).write_text(content, encoding='utf-8')
        (staging / LEDGER).replace(ledger.directory / LEDGER)
    finally:
        with suppress(OSError):
            (staging / LEDGER).unlink(missing_ok=True)
            (staging / MARKER).unlink()
            staging.rmdir()
        os.close(lock)


@contextmanager
def recorded_files(
    directory: Path, staging: Path, names: Sequence[str], leaving: Sequence[str]
) -> Iterator[None]:
    """Record files that the body moves from one folder into another; nothing without a record.

    The record is written before, so that also of a process that is killed meanwhile every file is
    known, and again when the body is done.

    Args:
        directory: where they go.
        staging: where they are.
        names: relative to both.
        leaving: names of files of ours that the body removes.

    Raises:
        ExportError: what is in the place of the record is not one of ours.
        OSError: it cannot be written.
    """
    if not has_ledger(directory):
        yield
        return
    before = read_ledger(directory)
    new = {name: _size_and_time(staging, name) for name in names}
    added = {name: (pair,) for name, pair in new.items() if pair is not None}
    both = {name: (*before.entries.get(name, ()), *pairs) for name, pairs in added.items()}
    write_ledger(Ledger(directory, {**before.entries, **both}))
    try:
        yield
    except BaseException:
        # Names too many in it do no harm.
        with suppress(OSError):
            write_ledger(before)
        raise
    kept = {name: pairs for name, pairs in before.entries.items() if name not in leaving}
    write_ledger(Ledger(directory, {**kept, **added}))


def remove_own(ledger: Ledger, names: Iterable[str]) -> None:
    """Remove files that the record proves to be ours, and folders that hold nothing then.

    Raises:
        OSError: one cannot be removed.
    """
    gone = [name for name in names if ledger.owns(name)]
    folders = set()
    for name in gone:
        (ledger.directory / name).unlink()
        folders |= set(PurePosixPath(name).parents) - {PurePosixPath('.')}
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        remove_empty(ledger.directory / folder)
    left = {name: pairs for name, pairs in ledger.entries.items() if name not in gone}
    if left:
        write_ledger(Ledger(ledger.directory, left))
    else:
        (ledger.directory / LEDGER).unlink(missing_ok=True)


def is_linked(directory: Path, name: str) -> bool:
    """Return whether a folder on the path from `directory` to a name is a symbolic link."""
    folders = list(PurePosixPath(name).parents)[:-1]
    return any((directory / folder).is_symlink() for folder in folders)


def _size_and_time(directory: Path, name: str) -> tuple[int, int] | None:
    """Return size (bytes) and time (ns) of a regular file, None where there is none."""
    try:
        state = (directory / name).lstat()
    except OSError:
        return None
    if not stat.S_ISREG(state.st_mode) or is_linked(directory, name):
        return None
    return state.st_size, state.st_mtime_ns


def _entries(content: Any) -> dict[str, tuple[tuple[int, int], ...]]:
    if content['da3_ros'] != _VERSION:
        raise ValueError(f'version {content["da3_ros"]!r}')
    entries = {}
    for name, pairs in content['files'].items():
        path = PurePosixPath(name)
        # Nothing may lead out of the folder.
        if path.is_absolute() or not path.parts or '..' in path.parts or '\x00' in name:
            raise ValueError(f'file {name!r}')
        entries[name] = tuple((int(size), int(time_ns)) for size, time_ns in pairs)
    return entries


def _foreign(path: Path, reason: str) -> ExportError:
    return ExportError(
        f'{path}: expected the record of files that da3 writes, got something else ({reason}); '
        'move it away or choose another folder'
    )
