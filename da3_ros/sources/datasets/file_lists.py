"""Lists of files with stamps, one a line, and which of the files are there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from da3_ros.foreign import foreign_file, plain_line, plain_path
from da3_ros.notes import Note
from da3_ros.sources.text_rows import LeftOut


@dataclass(slots=True)
class Listed:
    """Files of a list that are there, in the order of stamps, none twice."""

    files: list[tuple[int, Path]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Names of the list that are no files."""
    doubled: int = 0
    """Lines whose stamp had come before; the first counts."""


def inside(name: str) -> str:
    """Return the name of a file that a list gives, unless it leads out of the dataset.

    Raises:
        ValueError: it does.
    """
    for pure in (PurePosixPath(name), PureWindowsPath(name)):
        if not name or pure.is_absolute() or pure.drive or '..' in pure.parts:
            shown = plain_line(name, 60)
            raise ValueError(f'expected the name of a file inside the dataset, got {shown!r}')
    return name.replace('\\', '/')


def is_there(path: Path) -> bool:
    """Return whether there is such a file; names that no file can have are of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def names_in(folder: Path) -> list[str]:
    """Return the names of all that is in a folder, sorted.

    Raises:
        SourceError: it cannot be read.
    """
    with foreign_file(folder), os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries)


def listed(folder: Path, entries: Iterable[tuple[int, str]]) -> Listed:
    """Return those files of a list that are there.

    Args:
        folder: that names are relative to.
        entries: stamp and name, in any order; names are `inside`.
    """
    found = Listed()
    taken: set[int] = set()
    for stamp_ns, name in entries:
        if stamp_ns in taken:
            found.doubled += 1
            continue
        taken.add(stamp_ns)
        path = folder / name
        if is_there(path):
            found.files.append((stamp_ns, path))
        else:
            found.missing.append(name)
    found.files.sort(key=lambda entry: entry[0])
    return found


def notes_of(found: Listed, left_out: LeftOut) -> list[Note]:
    """Return what there is to say of a list."""
    notes = []
    if left_out.count:
        numbers = {'lines': float(left_out.count)}
        notes.append(Note('dataset_lines_left_out', left_out.said(), numbers))
    if found.missing:
        text = (
            f'{plain_path(left_out.path)}: {len(found.missing)} files of the list are missing, '
            f'first {plain_line(found.missing[0], 100)}'
        )
        notes.append(Note('dataset_files_missing', text, {'files': len(found.missing)}))
    if found.doubled:
        text = f'{plain_path(left_out.path)}: {found.doubled} stamps come again; the first counts'
        notes.append(Note('dataset_stamps', text, {'lines': found.doubled}))
    return notes
