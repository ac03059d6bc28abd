"""Paths that stay inside a folder, and files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
import fcntl
import os
from pathlib import Path
import shutil
import tempfile

from da3_ros.errors import ExportError

_SHOWN_NAMES = 3
STAGING_PREFIX = '.partial-'
"""Of the names of folders that something is written in before it is moved into place."""


def resolve_inside(export_dir: Path, path: str) -> Path:
    """Return the folder that a request's path names inside `export_dir`.

    Args:
        export_dir: the folder that nothing may leave; `~` is expanded, it need not exist yet.
        path: relative to `export_dir`; empty for the first free `scene_0000`, `scene_0001`, ...

    Raises:
        ExportError: the path leads outside (also through a symbolic link), or is no path.
    """
    root = export_dir.expanduser().resolve()
    if _has_no_name(path):
        taken = {p.name for p in root.glob('scene_*')} if root.is_dir() else set()
        number = 0
        while f'scene_{number:04d}' in taken:
            number += 1
        return root / f'scene_{number:04d}'
    if '\x00' in path:
        raise ExportError(f'path {path!r}: expected a file name, got one with a NUL byte')
    target = (root / path).resolve()
    if target == root or root not in target.parents:
        raise ExportError(f'path {path!r}: expected one inside {root}, it leads to {target}')
    return target


@contextmanager
def export_folder(export_dir: Path, path: str) -> Iterator[Path]:
    """Yield the folder that a request's path names inside `export_dir`, as `resolve_inside` does.

    For an empty path it is made here, so that nobody else gets the same name, in this process or
    another; it is removed again if it stays empty.

    Raises:
        ExportError: the path leads outside or is no path, or the folder cannot be made.
    """
    with ExitStack() as undo:
        folder = resolve_inside(export_dir, path)
        if _has_no_name(path):
            try:
                make_folder(folder.parent, undo)
                while not _is_made(folder):
                    folder = resolve_inside(export_dir, path)
            except OSError as error:
                raise ExportError(f'{folder}: cannot be written: {error}') from error
            undo.callback(_remove_empty, folder)
        yield folder


@contextmanager
def staged(
    directory: Path, names: Sequence[str], *, overwrite: bool, owned: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield a temporary folder; move the named files from it into `directory` on success.

    When the body or a move raises, `directory` is as it was before. The staging folder lies
    beside the target, so that every move is a rename within one file system. Of several that
    write the same files at the same time, in this process or others, the first to be done wins
    where none may overwrite; where they may, the files of the last are there, never a mixture.

    Args:
        directory: where the files belong; made when missing.
        names: relative file names that the body will have written.
        overwrite: whether files already there may be replaced.
        owned: globs of files that would be mistaken for part of this export if they stayed, for
            example those of an earlier and larger one. They count as being in the way, and are
            removed on `overwrite`.

    Raises:
        ExportError: a file is in the way, also one that came in the meantime, or the folder
            cannot be written (says why).
    """
    try:
        _check_free(directory, _present(directory, names, owned), overwrite=overwrite)
        with ExitStack() as undo:
            make_folder(directory, undo)
            with staging_folder(directory) as staging:
                yield staging
                with _locked(directory):
                    present = _present(directory, names, owned)
                    _check_free(directory, present, overwrite=overwrite)
                    _move_all(staging, directory, names, present)
            undo.pop_all()
    except OSError as error:
        raise ExportError(f'{directory}: cannot be written: {error}') from error


@contextmanager
def staging_folder(directory: Path) -> Iterator[Path]:
    """Yield a temporary folder in another one, and remove it with what is left in it.

    It is locked for as long as its process lives, so that `remove_abandoned` knows those of
    killed ones.

    Raises:
        OSError: it cannot be made.
    """
    staging, lock = _locked_folder(directory)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        os.close(lock)


def make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and its parents; `undo` removes those that were missing, if empty then.

    Raises:
        OSError: it cannot be made, or something else than a folder has the name.
    """
    missing = [p for p in (folder, *folder.parents) if not p.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        undo.callback(_remove_empty, path)
    # Raises when something else than a folder has the name.
    folder.mkdir(exist_ok=True)


def remove_abandoned(export_dir: Path) -> int:
    """Remove what exports of killed processes left half-written; return how many there were.

    Looked for in the folder itself and in those directly below it. What a living process writes
    now, here or in another node with the same folder, is left alone.
    """
    root = export_dir.expanduser()
    count = 0
    for pattern in (f'{STAGING_PREFIX}*', f'*/{STAGING_PREFIX}*'):
        for staging in root.glob(pattern):
            with suppress(OSError):
                lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(staging)
                finally:
                    os.close(lock)
                count += 1
                if staging.parent != root:
                    _remove_empty(staging.parent)
    return count


def _locked_folder(directory: Path) -> tuple[Path, int]:
    """Make a staging folder and return it with the open descriptor that locks it."""
    while True:
        staging = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=directory))
        # Between making and locking, `remove_abandoned` of another process may take it away.
        with suppress(FileNotFoundError):
            lock = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
            # Where a file system has no locks, nobody can take the folder for abandoned either.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if staging.exists() and os.path.samestat(staging.stat(), os.fstat(lock)):
                return staging, lock
            os.close(lock)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep everyone else who uses this function out of a folder, in this process and others."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Where a file system has no locks, a file that comes at this moment stops the move.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _check_free(directory: Path, present: Sequence[str], *, overwrite: bool) -> None:
    if present and not overwrite:
        shown = ', '.join(present[:_SHOWN_NAMES])
        more = len(present) - _SHOWN_NAMES
        raise ExportError(
            f'{directory}: {shown}{f" and {more} more" if more > 0 else ""} already there; '
            'ask for overwrite or another path'
        )


def _present(directory: Path, names: Sequence[str], owned: Sequence[str]) -> list[str]:
    """Return the files in the way, relative to `directory`.

    Raises:
        ExportError: a folder is in the way of a file, or a link leads out of `directory`.
    """
    found = [name for name in names if (directory / name).exists()]
    globbed = sorted(str(p.relative_to(directory)) for glob in owned for p in directory.glob(glob))
    present = list(dict.fromkeys([*found, *globbed]))
    for name in present:
        if (directory / name).is_dir():
            raise ExportError(f'{directory / name}: expected a file or nothing, it is a folder')
    root = directory.resolve()
    for parent in {(directory / name).parent for name in (*names, *present)}:
        if not parent.resolve().is_relative_to(root):
            raise ExportError(f'{parent}: expected a folder inside {root}, it is a link out of it')
    return present


def _move_all(
    staging: Path, directory: Path, names: Sequence[str], present: Sequence[str]
) -> None:
    """Move the new files in and the old ones out; take everything back when one move fails."""
    with ExitStack() as undo:
        for name in present:
            old, kept = directory / name, staging / '.replaced' / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            old.replace(kept)
            undo.callback(kept.replace, old)
        for name in names:
            target = directory / name
            make_folder(target.parent, undo)
            _move_in(staging / name, target)
            undo.callback(target.unlink)
        undo.pop_all()


def _move_in(source: Path, target: Path) -> None:
    """Move a file to a name that nobody has.

    Raises:
        ExportError: somebody has it.
        OSError: it cannot be moved.
    """
    try:
        # Unlike a rename it never replaces.
        os.link(source, target)
    except FileExistsError as error:
        raise ExportError(
            f'{target}: came there in the meantime; ask for overwrite or another path'
        ) from error
    except OSError:
        # A file system without hard links, as on memory cards.
        source.rename(target)


def _has_no_name(path: str) -> bool:
    return not path.strip()


def _is_made(folder: Path) -> bool:
    """Make a folder; return whether it was not there before."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
