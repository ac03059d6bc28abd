"""Which files make a bag, with metadata.yaml and without."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
import re
from typing import Any

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line
from da3_ros.options.choices import UNFINISHED
from da3_ros.plain_data import read_yaml
from da3_ros.sources.bag_damage import BagDamage

METADATA = 'metadata.yaml'
_STORAGES = ('.mcap', '.db3')
_PACKED = ('.zstd', '.zst')
_NEWEST_VERSION = 9
_NUMBER = re.compile(r'(\d+)')
_SPLIT = re.compile(r'_\d+$')


@dataclass(frozen=True, slots=True)
class BagFiles:
    """The files of a bag."""

    files: tuple[Path, ...]
    """In the order in which they were recorded."""
    message_count: int | None
    """Messages that metadata.yaml promises; None without it."""


def storage_suffix(path: Path) -> str:
    """Return `.mcap` or `.db3` for a file of a bag, also a packed one; empty for others."""
    name = path.name.lower()
    for packed in _PACKED:
        name = name.removesuffix(packed)
    return next((suffix for suffix in _STORAGES if name.endswith(suffix)), '')


def is_packed(path: Path) -> bool:
    """Return whether a file is compressed as a whole."""
    return path.name.lower().endswith(_PACKED)


def looks_like_bag(path: Path) -> bool:
    """Return whether a path is a bag by its name, or a folder that holds one."""
    if path.is_dir():
        return (path / METADATA).is_file() or bool(_in_folder(path))
    return bool(storage_suffix(path))


def bag_files(path: Path, damage: BagDamage) -> BagFiles:
    """Return the files of a bag.

    Args:
        path: a file or a folder.
        damage: takes what is missing.

    Raises:
        SourceError: there is none, or those of several bags.
    """
    if not path.exists():
        raise SourceError(
            f'bag {path}: expected a folder or a file, there is nothing{_left(path)}'
        )
    if not path.is_dir():
        return BagFiles((path,), None)
    metadata = path / METADATA
    if not metadata.is_file():
        files = _of_one_bag(path, _in_folder(path))
        names = ', '.join(file.name for file in files)
        damage.say(
            'bag_index_rebuilt',
            f'{METADATA} is missing (its recorder did not finish): read from {names}',
        )
        return BagFiles(files, None)
    try:
        return _by_metadata(path, _read_metadata(metadata), damage)
    except (OSError, ValueError, _MetadataError) as error:
        files = _of_one_bag(path, _in_folder(path))
        reason = plain_line(error, 200) or type(error).__name__
        names = ', '.join(file.name for file in files)
        damage.say('bag_index_rebuilt', f'{METADATA} is damaged ({reason}): read from {names}')
        return BagFiles(files, None)


class _MetadataError(Exception):
    """What metadata.yaml says is not what rosbag2 writes."""


def _read_metadata(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    information = content.get('rosbag2_bagfile_information') if isinstance(content, dict) else None
    if not isinstance(information, dict):
        raise _MetadataError('expected rosbag2_bagfile_information')
    return information


def _by_metadata(path: Path, metadata: dict[str, Any], damage: BagDamage) -> BagFiles:
    version = metadata.get('version')
    if isinstance(version, int) and version > _NEWEST_VERSION:
        damage.say(
            'bag_index_rebuilt',
            f'{METADATA} has version {version}, newer than {_NEWEST_VERSION}: read as that',
        )
    compression = str(metadata.get('compression_format') or '')[:20]
    if str(metadata.get('compression_mode') or '').lower() not in ('', 'none') and (
        compression != 'zstd'
    ):
        raise SourceError(
            f'bag {path}: expected compression zstd, its {METADATA} says {compression!r}; '
            'convert it by `ros2 bag convert`'
        )
    listed = metadata.get('relative_file_paths')
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise _MetadataError('expected relative_file_paths')
    # Older recorders wrote the folder's name before the file's.
    names = [PurePath(name).name for name in listed]
    there = [path / name for name in names if name and (path / name).is_file()]
    gone = sorted(set(names) - {file.name for file in there})
    # A recorder that was killed had listed only the splits before its last.
    stems = {_stem(file) for file in there}
    others = [f for f in _in_folder(path) if f.name not in names and _stem(f) in stems]
    if gone and not there and not others:
        raise SourceError(f'bag {path}: files are missing: {", ".join(gone)}; it has no others')
    if gone:
        damage.say('bag_damaged', f'files are missing: {", ".join(gone)}')
    if others:
        damage.say(
            'bag_index_rebuilt',
            f'{METADATA} does not list {", ".join(file.name for file in others)}: read as well',
        )
    count = metadata.get('message_count')
    return BagFiles((*there, *others), count if isinstance(count, int) else None)


def _in_folder(path: Path) -> list[Path]:
    """Return the files of bags in a folder by name, numbers by their value."""
    try:
        files = [f for f in path.iterdir() if storage_suffix(f) and f.is_file()]
    except OSError:
        return []
    # A recorder removes the plain file only once its packed one is complete.
    plain = {file.name for file in files if not is_packed(file)}
    files = [f for f in files if not is_packed(f) or f.name.rsplit('.', 1)[0] not in plain]
    return sorted(files, key=lambda file: _by_number(file.name))


def _by_number(name: str) -> list[tuple[int, str]]:
    parts = _NUMBER.split(name)
    return [(int(p), '') if n % 2 else (0, p) for n, p in enumerate(parts)]


def _stem(file: Path) -> str:
    """Return what the splits of one bag have in common."""
    suffix = storage_suffix(file)
    return _SPLIT.sub('', file.name[: file.name.lower().find(suffix)]) + suffix


def _of_one_bag(path: Path, files: list[Path]) -> tuple[Path, ...]:
    if not files:
        raise SourceError(
            f'bag {path}: expected .mcap or .db3 files, with {METADATA} or without; the folder '
            'has none'
            f'{_left(path)}'
        )
    stems = {_stem(file) for file in files}
    if len(stems) > 1:
        raise SourceError(
            f'bag {path}: expected {METADATA}, or the files of one bag; there are '
            f'{", ".join(file.name for file in files)}: name one of them'
        )
    return tuple(files)


def _left(path: Path) -> str:
    """Return where a recorder that was killed left what it had, as the end of a sentence."""
    folder = path if path.is_dir() else path.parent
    beginning = '*' if path.is_dir() else f'{path.name}{UNFINISHED}'
    left = sorted(f for f in folder.glob('*') if UNFINISHED in f.name)
    found = [
        inner
        for outer in left
        if beginning == '*' or outer.name.startswith(beginning)
        for inner in sorted(outer.glob('*'))
        if inner.is_dir()
    ]
    return f'; {", ".join(map(str, found))} is what a recorder left unfinished' if found else ''
