"""Paths that stay inside a folder, and files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
import fcntl
import logging
import os
from pathlib import Path
import shutil

from da3_ros.errors import ExportError
from da3_ros.export.ledger import is_linked, read_ledger, recorded_files
from da3_ros.export.staging import make_folder, remove_empty, staging_folder
from da3_ros.foreign import expanded

_SHOWN_NAMES = 3
_REPLACED = '.replaced'
"""Folder inside a staging folder: what is there until the move has succeeded."""

_LOG = logging.getLogger(__name__)


def resolve_inside(export_dir: Path, path: str) -> Path:
    """Return the folder that a request's path names inside `export_dir`.

    Args:
        export_dir: the folder that nothing may leave; `~` is expanded, it need not exist yet.
        path: relative to `export_dir`; empty for the first free `scene_0000`, `scene_0001`, ...

    Raises:
        ExportError: the path leads outside or through a symbolic link, or is no path.
    """
    root = expanded(export_dir).resolve()
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
    if Path(os.path.normpath(root / path)) != target:
        raise ExportError(
            f'path {path!r}: a symbolic link in it leads to {target}; links inside {root} are '
            'not followed, name the place itself'
        )
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
                raise ExportError(
                    f'{folder}: cannot be written: {error.strerror or error}'
                ) from error
            undo.callback(remove_empty, folder)
        yield folder


@contextmanager
def staged(
    directory: Path, names: Sequence[str], *, overwrite: bool, owned: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield a temporary folder; move the named files from it into `directory` on success.

    When the body or a move raises, `directory` is as it was before. The staging folder lies
    beside the target, so that every move is a rename within one file system; a link that has the
    name of a file is replaced, never written through. Of several that write the same files at the
    same time, in this process or others, the first to be done wins where none may overwrite;
    where they may, the files of the last are there, never a mixture.

    Args:
        directory: where the files belong; made when missing.
        names: relative file names that the body will have written.
        overwrite: whether files already there may be replaced.
        owned: globs of files that would be mistaken for part of this export if they stayed, for
            example those of an earlier and larger one. They count as being in the way. On
            `overwrite` those are removed that the folder's record proves to be ours; the others
            stay, and a warning says so.

    Raises:
        ExportError: a file is in the way, also one that came in the meantime, or the folder
            cannot be written (says why).
    """
    try:
        _check_free(directory, names, _present(directory, names, owned), overwrite=overwrite)
        with ExitStack() as undo:
            make_folder(directory, undo)
            with staging_folder(directory) as staging:
                yield staging
                move_into(staging, directory, names, overwrite=overwrite, owned=owned)
            undo.pop_all()
    except OSError as error:
        raise ExportError(f'{directory}: cannot be written: {error.strerror or error}') from error


def check_target(
    directory: Path, names: Sequence[str], *, overwrite: bool, owned: Sequence[str] = ()
) -> None:
    """Refuse a folder that `staged` would refuse now; nothing in it is changed.

    Args: as of `staged`.

    Raises:
        ExportError: a file is in the way, or the folder cannot be made or written.
    """
    try:
        _check_free(directory, names, _present(directory, names, owned), overwrite=overwrite)
        target = directory.absolute()
        there = next(path for path in (target, *target.parents) if os.path.lexists(path))
        if not there.is_dir():
            raise ExportError(f'{there}: expected a folder, it is none')
        # Only trying tells: permissions are not all that may forbid it.
        with staging_folder(there):
            pass
    except OSError as error:
        raise ExportError(f'{directory}: cannot be written: {error.strerror or error}') from error


def move_into(
    staging: Path,
    directory: Path,
    names: Sequence[str],
    *,
    overwrite: bool,
    owned: Sequence[str] = (),
) -> None:
    """Move files from a staging folder into the folder around it, all of them or none.

    Args: as of `staged`.

    Raises:
        ExportError: a file is in the way.
        OSError: one cannot be moved.
    """
    with alone_in(directory):
        present = _present(directory, names, owned)
        _check_free(directory, names, present, overwrite=overwrite)
        others = [name for name in present if name not in set(names)]
        ledger = read_ledger(directory) if others else None
        stale = [name for name in others if ledger is not None and ledger.owns(name)]
        with recorded_files(directory, staging, names, stale):
            _move_all(staging, directory, names, stale, overwrite=overwrite)
    kept = [name for name in others if name not in stale]
    if kept:
        _LOG.warning(
            '%s: %s stayed beside the new files: not known to be ours; a reader may take %s for '
            'part of them',
            directory,
            listed(kept),
            'it' if len(kept) == 1 else 'them',
        )


def listed(names: Sequence[str]) -> str:
    """Return the first of some names and how many more there are."""
    more = len(names) - _SHOWN_NAMES
    return f'{", ".join(names[:_SHOWN_NAMES])}{f" and {more} more" if more > 0 else ""}'


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Keep everyone else who uses this function out of a folder, in this process and others."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Where a file system has no locks, a file that comes at this moment stops the move.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _check_free(
    directory: Path, names: Sequence[str], present: Sequence[str], *, overwrite: bool
) -> None:
    """Refuse files in the way, folders that have the name of a file, and links to folders.

    Raises:
        ExportError: says which.
    """
    for name in (*names, *present):
        path = directory / name
        if is_linked(directory, name):
            raise ExportError(
                f'{path.parent}: expected a folder, a symbolic link is on the path; links inside '
                f'{directory} are not followed: remove it or choose another folder'
            )
        if path.is_dir() and not path.is_symlink():
            raise ExportError(f'{path}: expected a file or nothing, it is a folder')
    if present and not overwrite:
        raise ExportError(
            f'{directory}: {listed(present)} already there; ask for overwrite or another path'
        )


def _present(directory: Path, names: Sequence[str], owned: Sequence[str]) -> list[str]:
    """Return the files in the way, relative to `directory`; links count, wherever they lead."""
    found = [name for name in names if os.path.lexists(directory / name)]
    globbed = sorted(str(p.relative_to(directory)) for glob in owned for p in directory.glob(glob))
    return list(dict.fromkeys([*found, *globbed]))


def _move_all(
    staging: Path,
    directory: Path,
    names: Sequence[str],
    stale: Sequence[str],
    *,
    overwrite: bool,
) -> None:
    """Move the new files in, then stale ones out; take everything back when one move fails.

    A file is replaced by a rename over it: whenever this process is killed, it is the old or the
    new one, and whole.
    """
    with ExitStack() as undo:
        for name in names:
            target = directory / name
            make_folder(target.parent, undo)
            if overwrite and os.path.lexists(target):
                kept = _kept(target, staging / _REPLACED / name)
                (staging / name).replace(target)
                undo.callback(kept.replace, target)
            else:
                move_in(staging / name, target)
                undo.callback(target.unlink)
        for name in stale:
            old, kept = directory / name, staging / _REPLACED / name
            kept.parent.mkdir(parents=True, exist_ok=True)
            old.replace(kept)
            undo.callback(kept.replace, old)
        undo.pop_all()


def _kept(old: Path, kept: Path) -> Path:
    """Give a file a second name, under which it outlives what replaces it; return that."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The link itself where it is one, not what it leads to.
        os.link(old, kept, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(old, kept, follow_symlinks=False)
    return kept


def move_in(source: Path, target: Path) -> None:
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
