"""Folders that something is written in before it is moved into place.

Each is locked for as long as its process lives and holds a marker. What a killed process left is
known by both: a folder of that name without the marker is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
import fcntl
from glob import escape
import os
from pathlib import Path
import re
import shutil
import stat
import tempfile

from da3_ros.foreign import expanded

STAGING_PREFIX = '.partial-da3_ros-'
"""Of the names of staging folders."""
MARKER = '.da3_ros_staging'
"""Name of the file that makes a folder one of ours."""
KEEP_MARKER = '.da3_ros_keep'
"""Name of the file that says: what lies here cannot be had again, never throw it away."""

_MARKER_TEXT = 'da3_ros: not complete\n'
_MADE_MODE = 0o700
"""Of folders that `tempfile` makes."""
_RANDOM_PART = re.compile(r'[a-z0-9_]{8}')


@contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder in another one, and remove it with what is left in it.

    Raises:
        OSError: it cannot be made.
    """
    staging, lock = locked_folder(directory, STAGING_PREFIX)
    try:
        yield staging
    finally:
        remove_staging(staging)
        os.close(lock)


def locked_folder(directory: Path, prefix: str) -> tuple[Path, int]:
    """Make a marked folder and return it with the open descriptor that locks it.

    Args:
        directory: where; it exists.
        prefix: of its name.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=directory))
        # Between making and locking, `remove_abandoned` of another process may take it away.
        with suppress(FileNotFoundError):
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            # Where a file system has no locks, nobody can take the folder for abandoned either.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if staging.exists() and os.path.samestat(staging.stat(), os.fstat(lock)):
                _mark(staging, lock)
                return staging, lock
            os.close(lock)


@contextmanager
def abandoned_folders(directory: Path, prefix: str) -> Iterator[list[Path]]:
    """Yield the folders of killed processes in a folder, locked against everybody else.

    What a living process writes now, and what bears such a name but is not ours, is not among
    them.

    Args:
        directory: where to look.
        prefix: of their names.
    """
    with ExitStack() as locks:
        found = []
        # A folder that nobody may read has nothing of ours to remove.
        candidates = sorted(directory.glob(f'{escape(prefix)}*'))
        for folder in candidates:
            with suppress(OSError):
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                locks.callback(os.close, lock)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_ours(folder, prefix):
                    found.append(folder)
        yield found


def remove_abandoned(export_dir: Path) -> int:
    """Remove what exports of killed processes left half-written; return how many there were.

    Looked for in the folder itself and in those directly below it; links are not followed.
    """
    root = expanded(export_dir)
    count = 0
    with suppress(OSError):
        below = [folder for folder in root.iterdir() if folder.is_dir()]
        for place in (root, *(folder for folder in below if not folder.is_symlink())):
            with abandoned_folders(place, STAGING_PREFIX) as found:
                for staging in found:
                    with suppress(OSError):
                        remove_staging(staging)
                        count += not staging.exists()
                        if place != root:
                            remove_empty(place)
    return count


def remove_staging(staging: Path, kept: str = '') -> None:
    """Remove a folder of ours as far as that is possible; the marker goes last.

    Of a process that is killed meanwhile, the rest is known to be ours.

    Args:
        staging: the folder.
        kept: name of an entry that stays, and the folder with it; empty for none.
    """
    with suppress(OSError):
        # What says that the rest is precious goes first: the rest is to go.
        (staging / KEEP_MARKER).unlink(missing_ok=True)
        for entry in staging.iterdir():
            if entry.name in (MARKER, kept):
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
        if not kept:
            (staging / MARKER).unlink(missing_ok=True)
            staging.rmdir()


def make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and its parents; `undo` removes those that were missing, if empty then.

    Raises:
        OSError: it cannot be made, or something else than a folder has the name.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        undo.callback(remove_empty, path)
    # Raises when something else than a folder has the name.
    folder.mkdir(exist_ok=True)


def remove_empty(folder: Path) -> None:
    """Remove a folder if nothing is in it."""
    with suppress(OSError):
        folder.rmdir()


def _mark(staging: Path, lock: int) -> None:
    try:
        (staging / MARKER).write_text(_MARKER_TEXT, encoding='utf-8')
    except OSError:
        # A full disk.
        shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)
        raise


def _is_ours(folder: Path, prefix: str) -> bool:
    marker = folder / MARKER
    if marker.is_file() and not marker.is_symlink():
        return marker.read_text(encoding='utf-8', errors='replace') == _MARKER_TEXT
    # Killed between making and marking it: only name and mode speak, so nothing may be in it.
    is_named = _RANDOM_PART.fullmatch(folder.name.removeprefix(prefix)) is not None
    is_private = stat.S_IMODE(folder.stat().st_mode) == _MADE_MODE
    return is_named and is_private and not any(folder.iterdir())
