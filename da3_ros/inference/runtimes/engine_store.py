"""Engines kept between runs: found by what they were made of, made by one process at a time.

They lie in `engines` of `$DA3_CACHE`, else of `$XDG_CACHE_HOME/da3_ros`, else of
`~/.cache/da3_ros`, each in a folder of its own. An engine is complete or not there: a new one is
moved into place, a new size of an old one counts from the moment its metadata name it. What is
damaged is never used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
import fcntl
import logging
import os
from pathlib import Path
import re
import shutil
from typing import TypeAlias

from da3_ros import __version__
from da3_ros.errors import CheckpointError
from da3_ros.export.staging import abandoned_folders, locked_folder, remove_staging
from da3_ros.foreign import plain_path, reason_of
from da3_ros.inference.runtimes.engine_files import (
    FORMAT,
    METADATA_NAME,
    PLAIN_PRECISION,
    Engine,
    GraphPrecision,
    ImageSize,
    is_engine,
    read_engine,
    size_text,
    without_size,
)
from da3_ros.inference.runtimes.engine_hashes import RememberedHashes

VARIABLE = 'DA3_CACHE'
MAX_SIZES = 4
"""Image sizes of one engine; the one that was used longest ago makes place."""

MAX_BYTES = 16 << 30
"""Of all engines together; those used longest ago make place."""

_HASHES_NAME = 'hashes.json'
_STAGING_PREFIX = '.partial-engine-'
_LOCK_PREFIX = '.lock-'
_USED_PREFIX = '.used-'

Export: TypeAlias = Callable[[Path], Engine]
"""Exports the wanted graphs into a folder."""

_logger = logging.getLogger(__name__)


def engines_root() -> Path:
    """Return the folder of engines; the environment is read at every call."""
    own = os.environ.get(VARIABLE, '').strip()
    if own:
        return Path(own).expanduser() / 'engines'
    general = os.environ.get('XDG_CACHE_HOME', '').strip()
    base = Path(general) if Path(general).is_absolute() else Path('~/.cache').expanduser()
    return base / 'da3_ros' / 'engines'


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What an engine is made of."""

    model_name: str
    """Preset name of the network."""

    weights_sha256: str
    """Hash of the weights file."""

    graph_precision: GraphPrecision = PLAIN_PRECISION
    """Format of the matrices in the graphs."""

    @property
    def folder_name(self) -> str:
        """Name of the engine's folder: another version of this package has another."""
        name = re.sub(r'[^A-Za-z0-9.-]+', '_', self.model_name)[:80].lstrip('.')
        parts = (
            name,
            self.weights_sha256[:20],
            self.graph_precision,
            f'v{__version__}',
            f'f{FORMAT}',
        )
        return '-'.join(parts)


class EngineStore:
    """Engines in a folder."""

    def __init__(
        self, root: Path | None = None, *, max_sizes: int = MAX_SIZES, max_bytes: int = MAX_BYTES
    ) -> None:
        """Name the folder.

        Args:
            root: it need not be there; None for `engines_root`.
            max_sizes: image sizes of one engine.
            max_bytes: of all engines together; the engine in use may alone be larger.
        """
        self.root = engines_root() if root is None else root
        self.hashes = RememberedHashes(self.root / _HASHES_NAME)
        self._max_sizes = max_sizes
        self._max_bytes = max_bytes

    def find(self, key: EngineKey, size: ImageSize | None = None) -> Engine | None:
        """Return an engine, marked as used now.

        Args:
            key: what it is made of.
            size: (H, W) that it must have graphs for; None for any.

        Returns:
            None where there is none, or what is there is damaged, which the log then says.
        """
        engine = self._read(key)
        if engine is None or (size is not None and size not in engine.sizes):
            return None
        self._touch(engine, size)
        return engine

    def build(self, key: EngineKey, size: ImageSize, export: Export) -> Engine:
        """Return an engine with graphs for a size; made if need be, by one process at a time.

        Another process that makes the same engine is waited for, and what it made is used.

        Args:
            key: what the engine is made of.
            size: (H, W).
            export: called with a folder that holds nothing, or the engine without this size.

        Raises:
            CheckpointError: nothing can be written here.
            Exception: whatever `export` raises; nothing is left behind then.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._locked(key):
                engine = self.find(key, size)
                if engine is None:
                    engine = self._made(key, size, export)
                    self._touch(engine, size)
        except OSError as error:
            raise CheckpointError(
                f'engine of {key.model_name}: cannot be kept in {plain_path(self.root)}: '
                f'{reason_of(error)}; name another folder by {VARIABLE}, or use runtime torch'
            ) from error
        self._remove_others(engine)
        return engine

    def folders(self) -> tuple[Path, ...]:
        """Return the folders of all engines, of other versions and damaged ones too."""
        return tuple(sorted(path.parent for path in self.root.glob(f'*/{METADATA_NAME}')))

    def remove(self, folder: Path) -> None:
        """Remove an engine.

        Args:
            folder: one of `folders`.

        Raises:
            OSError: it cannot be removed.
        """
        # No engine from here on, whatever else can be removed.
        (folder / METADATA_NAME).unlink()
        shutil.rmtree(folder, ignore_errors=True)
        (self.root / f'{_LOCK_PREFIX}{folder.name}').unlink(missing_ok=True)

    def _read(self, key: EngineKey) -> Engine | None:
        folder = self.root / key.folder_name
        if not is_engine(folder):
            return None
        try:
            engine = read_engine(folder, hash_of=self.hashes.of)
        except CheckpointError as error:
            _logger.warning('%s', error)
            return None
        is_same = (engine.weights_sha256, engine.precision) == (
            key.weights_sha256,
            key.graph_precision,
        )
        return engine if is_same and engine.config.name == key.model_name else None

    def _made(self, key: EngineKey, size: ImageSize, export: Export) -> Engine:
        folder = self.root / key.folder_name
        engine = self._read(key)
        if engine is not None:
            for old in self._oldest_sizes(engine)[: len(engine.sizes) + 1 - self._max_sizes]:
                engine = without_size(engine, old)
            return export(folder)
        shutil.rmtree(folder, ignore_errors=True)
        with abandoned_folders(self.root, _STAGING_PREFIX) as left:
            for staging in left:
                remove_staging(staging)
        staging, lock = locked_folder(self.root, _STAGING_PREFIX)
        try:
            made = export(staging / 'engine')
            (staging / 'engine').rename(folder)
        finally:
            remove_staging(staging)
            os.close(lock)
        return replace(made, folder=folder)

    @contextmanager
    def _locked(self, key: EngineKey) -> Iterator[None]:
        """Hold the lock of an engine; the kernel frees that of a process that ends."""
        path = self.root / f'{_LOCK_PREFIX}{key.folder_name}'
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Where a file system has no locks, the worst is that two make the same.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _touch(self, engine: Engine, size: ImageSize | None) -> None:
        """Remember that an engine was used now; a folder that is only read stays as it is."""
        with suppress(OSError):
            os.utime(engine.folder)
            if size is not None:
                (engine.folder / f'{_USED_PREFIX}{size_text(size)}').touch()

    def _oldest_sizes(self, engine: Engine) -> list[ImageSize]:
        def used_ns(size: ImageSize) -> int:
            return _time_ns(engine.folder / f'{_USED_PREFIX}{size_text(size)}')

        return sorted(engine.sizes, key=used_ns)

    def _remove_others(self, kept: Engine) -> None:
        """Remove engines that were used longest ago, until the rest is within the bound."""
        sizes = {folder: _bytes_in(folder) for folder in self.folders()}
        total = sum(sizes.values())
        for folder in sorted(sizes, key=_time_ns):
            if total <= self._max_bytes:
                return
            if folder != kept.folder:
                with suppress(OSError):
                    self.remove(folder)
                    total -= sizes[folder]


def _time_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _bytes_in(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        for path in folder.iterdir():
            total += path.stat().st_size
    return total
