"""The folder of the results: whether it may be used, and how it is emptied."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import shutil

from da3_ros.errors import ExportError
from da3_ros.export.files import STAGING_PREFIX, remove_abandoned

_TOP_FOLDERS = 2
"""Folders with fewer parts than this below the root (`/`, `/usr`) are never emptied."""


def check_export_dir(
    folder: Path, inputs: Sequence[Path], *, overwrite: bool, auto_cleanup: bool
) -> None:
    """Refuse a folder of results that holds something, unless it was said what to do.

    What killed runs left half-written in it does not count; it is removed when nothing is
    refused.

    Args:
        folder: where results shall go.
        inputs: files and folders that are read, and must survive.
        overwrite: single files may be replaced.
        auto_cleanup: everything in it may be removed.

    Raises:
        ExportError: says what to do.
    """
    if '\x00' in str(folder):
        raise ExportError(f'--export-dir: expected a path, got {str(folder)!r}')
    try:
        if folder.exists() and not folder.is_dir():
            raise ExportError(f'{folder}: expected a folder for the results, it is a file')
        is_used = folder.is_dir() and any(
            not entry.name.startswith(STAGING_PREFIX) for entry in folder.iterdir()
        )
    except OSError as error:
        raise ExportError(f'{folder}: cannot be used: {error.strerror}') from error
    if auto_cleanup:
        _check_removable(folder, inputs)
    elif is_used and not overwrite:
        raise ExportError(
            f'{folder} is not empty: --overwrite replaces earlier results in it, --auto-cleanup '
            'empties it, --export-dir names another one'
        )
    remove_abandoned(folder)


def empty(folder: Path, inputs: Sequence[Path]) -> None:
    """Remove everything in a folder, not the folder itself; links are not followed.

    Raises:
        ExportError: it is a folder that must not be emptied, or cannot be.
    """
    _check_removable(folder, inputs)
    if not folder.is_dir():
        return
    try:
        for entry in folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    except OSError as error:
        raise ExportError(f'{folder}: cannot be emptied: {error}') from error


def _check_removable(folder: Path, inputs: Sequence[Path]) -> None:
    target = folder.expanduser().resolve()
    precious = {'your home folder': Path.home().resolve(), 'the current folder': Path.cwd()}
    for path in inputs:
        precious[f'the input {path}'] = path.expanduser().resolve()
    for what, path in precious.items():
        if path.is_relative_to(target):
            raise ExportError(f'--auto-cleanup: {folder} holds {what} and is not emptied')
    if len(target.relative_to(target.anchor).parts) < _TOP_FOLDERS or target.is_mount():
        raise ExportError(f'--auto-cleanup: {folder} is a folder of the system, not emptied')
    if (target / '.git').exists():
        raise ExportError(f'--auto-cleanup: {folder} is a git repository and is not emptied')
