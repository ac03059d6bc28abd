"""The place of a bag that is to be made: what may be there before, and how it gets its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import os
from pathlib import Path

from da3_ros.errors import SinkError
from da3_ros.export.files import listed, move_in
from da3_ros.options.choices import BAG_STORAGES, BagStorage

METADATA = 'metadata.yaml'
"""Name of the file of a bag folder that says what it holds."""

_SUFFIXES: dict[str, BagStorage] = {'.mcap': 'mcap', '.db3': 'sqlite3'}


@dataclass(frozen=True, slots=True)
class BagPlace:
    """Where a bag will be."""

    path: Path
    storage: BagStorage
    is_single_file: bool
    """Whether the bag is one file, else a folder with metadata.yaml."""
    overwrite: bool

    @staticmethod
    def of(path: Path, storage: BagStorage | None, *, overwrite: bool) -> BagPlace:
        """Return the place that a path means, where a bag may be made.

        Args:
            path: one that ends in `.mcap` or `.db3` means a file, any other a folder.
            storage: None takes it from the suffix, else mcap.
            overwrite: whether the files of a bag that is there may be replaced.

        Raises:
            SinkError: see `check`, or the suffix contradicts the storage.
        """
        implied = _SUFFIXES.get(path.suffix)
        if storage is not None and storage not in BAG_STORAGES:
            raise SinkError(f'bag storage: expected mcap or sqlite3, got {storage}')
        if storage and implied and storage != implied:
            raise SinkError(
                f'bag {path}: a {path.suffix} file holds {implied}, not {storage}; '
                'change the name or the storage'
            )
        place = BagPlace(path, storage or implied or 'mcap', implied is not None, overwrite)
        if path.name in ('', '..'):
            raise SinkError(f'bag {path}: expected the name of a file or folder to make')
        return place

    @property
    def file_name(self) -> str:
        """Of the file that holds the messages."""
        if self.is_single_file:
            return self.path.name
        return f'{self.path.name}.{"mcap" if self.storage == "mcap" else "db3"}'

    def keep_out_of(self, inputs: Sequence[Path]) -> None:
        """Refuse a place in bags that are read.

        Raises:
            SinkError: names the bag.
        """
        own = self.path.resolve()
        for given in inputs:
            other = given.resolve()
            is_same = own.exists() and other.exists() and own.samefile(other)
            if is_same or other in own.parents or own in other.parents:
                raise SinkError(
                    f'bag {self.path}: expected a name outside of what is read, which is {given}'
                )

    def check(self) -> None:
        """Refuse what would have to be removed for the bag.

        Raises:
            SinkError: says what is there.
        """
        path = self.path
        if not os.path.lexists(path):
            return
        if not self.overwrite:
            raise SinkError(f'bag {path}: exists already; choose another name or overwrite')
        if self.is_single_file:
            if path.is_dir() and not path.is_symlink():
                raise SinkError(f'bag {path}: expected a file or nothing, it is a folder')
            return
        if path.is_symlink() or not path.is_dir():
            kind = 'link' if path.is_symlink() else 'file'
            raise SinkError(f'bag {path}: expected a bag folder or nothing, it is a {kind}')
        others = sorted(
            entry.name
            for entry in path.iterdir()
            if entry.name not in (METADATA, self.file_name)
            or (entry.is_dir() and not entry.is_symlink())
        )
        if others:
            raise SinkError(
                f'bag {path}: holds {listed(others)}, which no new bag would replace; choose '
                'another name or move it away'
            )

    def take(self, made: Path) -> None:
        """Move a bag folder that is complete into its place; of a single file that file alone.

        Raises:
            SinkError: something is there that may not be replaced.
            ExportError: it came there in the meantime.
            OSError: it cannot be moved.
        """
        self.check()
        if self.is_single_file:
            file = made / self.file_name
            if self.overwrite:
                file.replace(self.path)
            else:
                move_in(file, self.path)
        elif self.path.is_dir():
            # Metadata last: until then the messages alone are a bag, too.
            for file in sorted(made.iterdir(), key=lambda file: file.name == METADATA):
                file.replace(self.path / file.name)
        else:
            made.rename(self.path)
