"""Paths that stay inside a folder, and files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
import shutil
import tempfile

from da3_ros.errors import ExportError


def resolve_inside(export_dir: Path, path: str) -> Path:
    """Return the folder that a request's path names inside `export_dir`.

    Args:
        export_dir: the folder that nothing may leave; `~` is expanded, it need not exist yet.
        path: relative to `export_dir`; empty for the first free `scene_0000`, `scene_0001`, ...

    Raises:
        ExportError: the path leads outside (also through a symbolic link), or is no path.
    """
    root = export_dir.expanduser().resolve()
    if not path.strip():
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
def staged(directory: Path, names: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder; move the named files from it into `directory` on success.

    Nothing appears in `directory` when the body raises. The staging folder lies beside the
    target, so that every move is a rename within one file system.

    Args:
        directory: where the files belong; made when missing.
        names: relative file names that the body will have written.
        overwrite: whether files already there may be replaced.

    Raises:
        ExportError: a file is in the way, or the folder cannot be written (says why).
    """
    present = [name for name in names if (directory / name).exists()]
    if present and not overwrite:
        raise ExportError(
            f'{directory}: {", ".join(present)} already there; ask for overwrite or another path'
        )
    staging: Path | None = None
    made: list[Path] = []
    moved: list[Path] = []
    try:
        made = _make_parents(directory)
        staging = Path(tempfile.mkdtemp(prefix='.partial-', dir=directory))
        yield staging
        for name in names:
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            is_new = not target.exists()
            (staging / name).replace(target)
            if is_new:
                moved.append(target)
        made, moved = [], []
    except OSError as error:
        raise ExportError(f'{directory}: cannot be written: {error}') from error
    finally:
        for target in moved:
            target.unlink(missing_ok=True)
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        _remove_empty(made)


def _make_parents(directory: Path) -> list[Path]:
    """Make the folder and return the folders that were made, deepest first."""
    missing = [p for p in (directory, *directory.parents) if not p.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()
