"""The folder of the results: whether it may be used, and what of earlier results leaves it.

Nothing is removed but files that the folder's record (`export/ledger.py`) proves to be ours, and
only after the new ones are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
import logging
import os
from pathlib import Path

from da3_ros.errors import ExportError
from da3_ros.export.files import check_target, listed
from da3_ros.export.ledger import (
    LEDGER,
    Ledger,
    has_ledger,
    read_ledger,
    remove_own,
    write_ledger,
)
from da3_ros.export.staging import STAGING_PREFIX, make_folder, remove_abandoned
from da3_ros.foreign import expanded
from da3_ros.sinks.stream_part import PART_PREFIX

RECORD = 'da3.json'
"""Written last into the folder of a scene: it is done, and this is what was done."""

_COLMAP = ('cameras', 'images', 'points3D', 'rigs', 'frames')
_RESULTS = (
    RECORD, 'scene.glb', 'scene.jpg', 'points.ply',
    *(f'{part}.{suffix}' for part in _COLMAP for suffix in ('bin', 'txt')),
    'exports', 'depth_vis', 'depth_png', 'depth_image', 'feat_vis', 'gs_ply', 'gs_video', 'tum',
    'kitti', 'images', 'input_images', 'conf', 'camera_poses.txt', 'intrinsic.txt',
    'camera_poses.ply', 'stream.json', 'trajectory.tum', 'pcd', 'results_output',
)  # fmt: skip
"""Files and folders directly in a folder of results that an export may write to."""
_FOLDERS = {
    'npz': 'exports/npz', 'mini_npz': 'exports/mini_npz', 'glb': 'depth_vis', 'colmap': 'images',
}  # fmt: skip
"""Format to the folder that it writes to, where that has another name."""
_TOP_FOLDERS = 2
"""Folders with fewer parts than this below the root (`/`, `/usr`) are never cleaned up."""

_LOG = logging.getLogger(__name__)


def check_export_dir(
    folder: Path,
    inputs: Sequence[Path],
    *,
    overwrite: bool,
    auto_cleanup: bool,
    scenes: Sequence[str] = ('',),
    formats: Sequence[str] = (),
) -> None:
    """Refuse a folder of results that holds something, unless it was said what to do.

    What killed runs left half-written in it does not count; it is removed when nothing is
    refused.

    Args:
        folder: where results shall go.
        inputs: files and folders that are read, and must survive.
        overwrite: single files may be replaced.
        auto_cleanup: earlier results of ours in it may be removed.
        scenes: folders in it that results are written to; empty for itself.
        formats: of the results.

    Raises:
        ExportError: says what to do.
    """
    if '\x00' in str(folder):
        raise ExportError(f'--export-dir: expected a path, got {str(folder)!r}')
    try:
        if os.path.lexists(folder) and not folder.is_dir():
            raise ExportError(f'{folder}: expected a folder for the results, it is a file')
        is_used = folder.is_dir() and any(not _is_hidden_part(e) for e in folder.iterdir())
        if auto_cleanup:
            _check_removable(folder, inputs)
            for scene in scenes:
                check_own(folder / scene, '--auto-cleanup removes only what da3 wrote')
        elif is_used and not overwrite:
            raise ExportError(
                f'{folder} is not empty: --overwrite replaces earlier results in it, '
                '--auto-cleanup removes them, --export-dir names another one'
            )
        # Before the weights are loaded, not when the first result is there.
        check_target(folder, (), overwrite=True)
        for scene in scenes:
            read_ledger(folder / scene)
            _check_inputs(folder / scene, inputs, formats)
    except OSError as error:
        raise ExportError(f'{folder}: cannot be used: {error.strerror}') from error
    remove_abandoned(folder)


def check_own(folder: Path, rule: str) -> None:
    """Refuse files where results go that the folder's record does not prove to be ours.

    Args:
        folder: of the results of one scene.
        rule: what forbids to replace them.

    Raises:
        ExportError: names them.
    """
    ledger = read_ledger(folder)
    foreign = [name for name in _obstacles(folder) if not ledger.owns(name)]
    if foreign:
        raise ExportError(
            f'{folder}: {listed(foreign)} was not written by da3, or was changed since; {rule}: '
            'move it away, or name another folder with --export-dir'
        )


@contextmanager
def recorded_results(folder: Path) -> Iterator[None]:
    """Record which files the body writes into the folder of a scene; made when missing.

    Of a body that fails nothing is left.

    Raises:
        ExportError: the folder cannot be written.
    """
    with ExitStack() as undo:
        try:
            make_folder(folder, undo)
            if not has_ledger(folder):
                write_ledger(Ledger(folder, {}))
                undo.callback(_remove_empty_ledger, folder)
        except OSError as error:
            raise ExportError(f'{folder}: cannot be written: {error.strerror or error}') from error
        yield
        undo.pop_all()


def earlier_results(folder: Path) -> tuple[Ledger, ...]:
    """Return the records of a folder of results and of the scenes in it, as they are now.

    Raises:
        ExportError: one is damaged.
    """
    if not folder.is_dir():
        return ()
    below = [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    return tuple(read_ledger(place) for place in (folder, *below) if has_ledger(place))


def remove_earlier(folder: Path, earlier: Sequence[Ledger], kept: Sequence[Path] = ()) -> None:
    """Remove earlier results that no new ones replaced; say what else is in the folder.

    Args:
        folder: of the results.
        earlier: their records before the new results came.
        kept: folders of scenes whose earlier results stay.

    Raises:
        ExportError: one cannot be removed.
    """
    try:
        for old in earlier:
            if old.directory in kept or not has_ledger(old.directory):
                continue
            new = read_ledger(old.directory)
            remove_own(new, [n for n in old.entries if new.entries.get(n) == old.entries[n]])
            if old.directory != folder:
                _remove_if_empty(old.directory)
        foreign = sorted(entry.name for entry in folder.iterdir() if _is_foreign(entry))
    except OSError as error:
        raise ExportError(f'{folder}: cannot be cleaned up: {error}') from error
    if foreign:
        _LOG.warning('%s: %s stays, da3 did not write it', folder, listed(foreign))


def _is_foreign(entry: Path) -> bool:
    if _is_hidden_part(entry):
        return False
    if _is_plain_folder(entry):
        ledger = read_ledger(entry) if has_ledger(entry) else None
        return not any(ledger.own()) if ledger else not _holds_own(entry)
    return not read_ledger(entry.parent).owns(entry.name)


def _holds_own(folder: Path) -> bool:
    beginning = f'{folder.name}/'
    return any(name.startswith(beginning) for name in read_ledger(folder.parent).own())


def _obstacles(folder: Path) -> list[str]:
    """Return the files, relative, that stand where results of a scene may go."""
    found = []
    for entry in (folder / name for name in _RESULTS):
        if _is_plain_folder(entry):
            found += [path for path in sorted(entry.rglob('*')) if not _is_plain_folder(path)]
        elif os.path.lexists(entry):
            found.append(entry)
    return [path.relative_to(folder).as_posix() for path in found]


def _is_plain_folder(path: Path) -> bool:
    """Return whether there is a folder, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def _is_hidden_part(entry: Path) -> bool:
    """Return whether an entry is no result: unfinished ones, and the record of files."""
    return entry.name.startswith((STAGING_PREFIX, PART_PREFIX)) or entry.name == LEDGER


def _remove_empty_ledger(folder: Path) -> None:
    if not read_ledger(folder).own():
        (folder / LEDGER).unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()


def _check_inputs(folder: Path, inputs: Sequence[Path], formats: Sequence[str]) -> None:
    """Refuse inputs that results would replace.

    Raises:
        ExportError: names one.
    """
    places = {(folder / _FOLDERS.get(name, name)).resolve() for name in formats}
    for path in inputs:
        if places & {path.resolve(), *path.resolve().parents}:
            raise ExportError(
                f'{path}: is an input and lies where results go; name another folder with '
                '--export-dir'
            )


def _check_removable(folder: Path, inputs: Sequence[Path]) -> None:
    target = expanded(folder).resolve()
    precious = {'your home folder': Path.home().resolve(), 'the current folder': Path.cwd()}
    for path in inputs:
        precious[f'the input {path}'] = expanded(path).resolve()
    for what, path in precious.items():
        if path.is_relative_to(target):
            raise ExportError(f'--auto-cleanup: {folder} holds {what} and is not cleaned up')
    if len(target.relative_to(target.anchor).parts) < _TOP_FOLDERS or target.is_mount():
        raise ExportError(f'--auto-cleanup: {folder} is a folder of the system, not cleaned up')
    if (target / '.git').exists():
        raise ExportError(f'--auto-cleanup: {folder} is a git repository and is not cleaned up')
