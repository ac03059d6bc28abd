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
    remove_scratch,
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
_MAX_LOCKS = 100

Export: TypeAlias = Callable[[Path], Engine]
"""Exports the wanted graphs into a folder."""

_logger = logging.getLogger(__name__)


def engines_root() -> Path:
    """Return the folder of engines, absolute; the environment is read at every call.

    Raises:
        CheckpointError: nobody knows where the home of the user is.
    """
    own = os.environ.get(VARIABLE, '').strip()
    general = os.environ.get('XDG_CACHE_HOME', '').strip()
    if not own and Path(general).is_absolute():
        return Path(general) / 'da3_ros' / 'engines'
    place = Path(own or '~/.cache/da3_ros')
    try:
        return place.expanduser().absolute() / 'engines'
    except (RuntimeError, OSError) as error:
        # Of a user whom the system does not know, as in containers; of a folder that is gone.
        raise CheckpointError(
            f'engines cannot be kept in {plain_path(place)}: {reason_of(error)}; name a folder by '
            f'{VARIABLE}'
        ) from error


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

    def is_of(self, engine: Engine) -> bool:
        """Return whether an engine is made of the same."""
        found = (engine.config.name, engine.weights_sha256, engine.precision)
        return found == (self.model_name, self.weights_sha256, self.graph_precision)


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

        Raises:
            CheckpointError: as of `engines_root`.
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
            with self._locked(key.folder_name):
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
        try:
            found = sorted(self.root.iterdir())
        except OSError:
            return ()
        return tuple(folder for folder in found if is_engine(folder))

    def remove(self, folder: Path) -> None:
        """Remove an engine; a program that computes with it makes it again when it needs more.

        Args:
            folder: one of `folders`; nothing happens where another process has removed it.

        Raises:
            CheckpointError: another process builds it now.
            OSError: it cannot be removed.
        """
        with self._locked(folder.name, waits=False):
            # No engine from here on, whatever else can be removed.
            (folder / METADATA_NAME).unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            (self.root / f'{_LOCK_PREFIX}{folder.name}').unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Remove what processes that were killed left half-made."""
        with suppress(OSError), abandoned_folders(self.root, _STAGING_PREFIX) as left:
            for staging in left:
                remove_staging(staging)

    def _read(self, key: EngineKey) -> Engine | None:
        folder = self.root / key.folder_name
        found = None
        while is_engine(folder):
            seen = _time_ns(folder / METADATA_NAME)
            try:
                found = read_engine(folder, hash_of=self.hashes.of)
            except CheckpointError as error:
                if _time_ns(folder / METADATA_NAME) != seen:
                    # Removed or changed by another process in the middle.
                    continue
                _logger.warning('%s', error)
            break
        # The name of the folder says it too, and may have been given by anybody.
        is_own = found is not None and key.is_of(found) and found.package == __version__
        return found if is_own else None

    def _made(self, key: EngineKey, size: ImageSize, export: Export) -> Engine:
        folder = self.root / key.folder_name
        engine = self._read(key)
        if engine is not None:
            remove_scratch(folder)
            made, others = export(folder), self._oldest_sizes(engine)
            for old in others[: len(made.sizes) - self._max_sizes]:
                made = without_size(made, old)
            return made
        self.remove_leftovers()
        staging, lock = locked_folder(self.root, _STAGING_PREFIX)
        try:
            made = export(staging / 'engine')
            _replace(folder, staging / 'engine')
        except OSError:
            # Where there are no locks another process may have been faster.
            found = self._read(key)
            if found is None or size not in found.sizes:
                raise
            return found
        finally:
            remove_staging(staging)
            os.close(lock)
        return replace(made, folder=folder)

    @contextmanager
    def _locked(self, name: str, *, waits: bool = True) -> Iterator[None]:
        """Hold the lock of an engine; the kernel frees that of a process that ends.

        Args:
            name: of its folder.
            waits: for the process that holds it.

        Raises:
            CheckpointError: another process holds it.
        """
        path = self.root / f'{_LOCK_PREFIX}{name}'
        for attempt in range(_MAX_LOCKS):
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                _lock(lock, name, waits=waits)
                # Who removes an engine removes its lock: the one that was waited for may be gone.
                # Some network file systems never tell that two are the same.
                if _is_same(lock, path) or attempt == _MAX_LOCKS - 1:
                    yield
                    return
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
        sizes = {folder: bytes_in(folder) for folder in self.folders()}
        total = sum(sizes.values())
        for folder in sorted(sizes, key=_time_ns):
            if total <= self._max_bytes:
                return
            if folder != kept.folder:
                with suppress(OSError, CheckpointError):
                    self.remove(folder)
                    total -= sizes[folder]


def _time_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def bytes_in(folder: Path) -> int:
    """Return the bytes of all files in a folder, as far as they can be looked at."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(Path(place) / name).st_size
    return total


def _replace(folder: Path, made: Path) -> None:
    """Move a folder to where nothing is, or something that is of no use."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)
    made.rename(folder)


def _lock(lock: int, name: str, *, waits: bool) -> None:
    """Lock an open file. Where a file system has no locks, the worst is that two make the same.

    Raises:
        CheckpointError: another process holds the lock, and nobody waits.
    """
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not waits:
            raise CheckpointError(
                f'engine {name}: another process builds it now; try again when it has ended'
            ) from None
        _logger.warning('engine %s: waiting for another process, which builds it', name)
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError:
        pass


def _is_same(opened: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except OSError:
        return False
