"""The folder in which a bag lies that is being made, and from which an interrupted run goes on.

Beside the file it holds a checkpoint: how much of the file counts, and what the writer of the bag
has to remember. It is locked for as long as its process lives. Files in it that are not ours stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
import fcntl
import logging
import os
from pathlib import Path
from struct import Struct
from zlib import crc32

from da3_ros.errors import SinkError, StreamError
from da3_ros.export.files import listed
from da3_ros.export.staging import MARKER
from da3_ros.foreign import read_bounded
from da3_ros.sinks.bag_place import METADATA, BagPlace
from da3_ros.stream.state import StateCodec

_SUFFIX = '.part'
_CHECKPOINT, _NEXT_CHECKPOINT = 'checkpoint', 'checkpoint.next'
_BAG = 'bag'
_LARGEST_CHECKPOINT = 1 << 30
_CRC = Struct('<I')
_MARKER_TEXT = 'da3_ros: not complete\n'

_LOG = logging.getLogger(__name__)


class DamagedPartError(SinkError):
    """Raised when what an interrupted run left cannot be gone on from; says why."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What counts of an unfinished bag."""

    length: int
    """Bytes of the file."""
    crc: int
    """CRC-32 of these bytes."""
    settings: dict[str, str]
    """What made them."""
    state: bytes
    """What the writer of the bag remembers."""


_CODEC = StateCodec(Checkpoint)


class PartFolder:
    """The folder of one bag, locked until `release`.

    Args:
        place: where the bag will be; its folder exists.

    Raises:
        SinkError: another process has it, or what is there is not ours.
        OSError: it cannot be made.
    """

    def __init__(self, place: BagPlace) -> None:
        self._place = place
        self.folder = place.path.with_name(f'{place.path.name}{_SUFFIX}')
        self.file = self.folder / place.file_name
        self._lock = self._locked()
        try:
            self._claim()
            self._recover()
        except BaseException:
            self.release()
            raise

    # ---- lock

    def _locked(self) -> int:
        while True:
            with suppress(FileExistsError):
                self.folder.mkdir()
            try:
                lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            except NotADirectoryError as error:
                raise SinkError(
                    f'bag {self._place.path}: expected a folder or nothing at {self.folder}, '
                    'it is a file or a link; move it away or choose another name'
                ) from error
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(lock)
                raise SinkError(
                    f'bag {self._place.path}: another process is making it ({self.folder}); wait '
                    'until it is done or choose another name'
                ) from error
            except OSError:
                pass  # a file system without locks
            # Whoever had it may have removed it between opening and locking.
            with suppress(FileNotFoundError):
                if os.path.samestat(self.folder.stat(), os.fstat(lock)):
                    return lock
            os.close(lock)

    def release(self) -> None:
        """Let another process have the folder."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _claim(self) -> None:
        marker = self.folder / MARKER
        if marker.is_file() and not marker.is_symlink():
            return
        others = sorted(entry.name for entry in self.folder.iterdir())
        if others:
            raise SinkError(
                f'bag {self._place.path}: {self.folder} is not of an interrupted run, it holds '
                f'{listed(others)}; move it away or choose another name'
            )
        marker.write_text(_MARKER_TEXT, encoding='utf-8')

    # ---- what an interrupted run left

    def _recover(self) -> None:
        """Undo or finish what a killed process was about when it gave the bag its name."""
        made, place = self.folder / _BAG, self._place
        if made.is_dir() and not made.is_symlink():
            if (made / place.file_name).is_file():
                (made / place.file_name).rename(self.file)
            elif (made / METADATA).is_file() and (place.path / place.file_name).is_file():
                # Of a bag that was replaced, the messages were moved already.
                (made / METADATA).replace(place.path / METADATA)
            (made / METADATA).unlink(missing_ok=True)
            with suppress(OSError):
                made.rmdir()
        if self._is_done():
            self.clear()

    def _is_done(self) -> bool:
        """Return whether the bag has its name already."""
        if not self.file.is_file():
            return True
        with suppress(OSError):
            return self._place.is_single_file and self.file.samefile(self._place.path)
        return False

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is something to go on from."""
        return (self.folder / _CHECKPOINT).is_file()

    def checkpoint(self) -> Checkpoint | None:
        """Return the last checkpoint; None where there is none.

        Raises:
            DamagedPartError: it is damaged.
            OSError: it cannot be read.
        """
        path = self.folder / _CHECKPOINT
        if not path.is_file() or path.is_symlink():
            return None
        try:
            return _CODEC.decode(_checked(read_bounded(path, _LARGEST_CHECKPOINT)), Checkpoint)
        except (StreamError, ValueError) as error:
            raise DamagedPartError(f'its checkpoint {path} is damaged ({error})') from error

    def write_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace the checkpoint: whenever this process ends, it is the old or the new one.

        Raises:
            OSError: it cannot be written.
        """
        path = self.folder / _NEXT_CHECKPOINT
        with suppress(FileNotFoundError):
            path.unlink()
        content = _CODEC.encode(checkpoint)
        with path.open('xb') as stream:
            stream.write(content)
            stream.write(_CRC.pack(crc32(content)))
            stream.flush()
            os.fsync(stream.fileno())
        path.replace(self.folder / _CHECKPOINT)
        os.fsync(self._lock)

    # ---- end

    def finish(self, metadata: str | None) -> None:
        """Give the bag its name, and remove what is left of the folder.

        Args:
            metadata: content of metadata.yaml; None for a single file, which does without.

        Raises:
            SinkError: something is there that may not be replaced.
            ExportError: it came there in the meantime.
            OSError: the disk refuses.
        """
        made = self.folder
        if metadata is not None:
            made = self.folder / _BAG
            made.mkdir(exist_ok=True)
            with (made / METADATA).open('w', encoding='utf-8') as stream:
                stream.write(metadata)
                stream.flush()
                os.fsync(stream.fileno())
            self.file.rename(made / self._place.file_name)
        try:
            self._place.take(made)
        except BaseException:
            if made != self.folder and not self.file.exists():
                (made / self._place.file_name).rename(self.file)
            raise
        with _opened(self._place.path.parent) as parent:
            os.fsync(parent)
        self.remove()

    def clear(self) -> None:
        """Remove what an interrupted run left, and nothing else.

        Raises:
            OSError: it cannot be removed.
        """
        # The checkpoint first: without it the file counts for nothing.
        for name in (_CHECKPOINT, _NEXT_CHECKPOINT, self.file.name):
            with suppress(FileNotFoundError):
                (self.folder / name).unlink()

    def remove(self) -> None:
        """Remove the folder with what is ours in it, as far as that is possible; release it."""
        if self._lock < 0:
            return  # by now it may be another process's
        with suppress(OSError):
            self.clear()
            with suppress(OSError):
                (self.folder / _BAG).rmdir()
            others = sorted(e.name for e in self.folder.iterdir() if e.name != MARKER)
            if others:
                _LOG.warning(
                    'bag %s: %s stays, it holds %s', self._place.path, self.folder, listed(others)
                )
            (self.folder / MARKER).unlink(missing_ok=True)
            if not others:
                self.folder.rmdir()
        self.release()


def _checked(data: bytes) -> bytes:
    """Return the content of a checkpoint file.

    Raises:
        ValueError: it is not what was written.
    """
    content, crc = data[: -_CRC.size], data[-_CRC.size :]
    if crc != _CRC.pack(crc32(content)):
        raise ValueError('its checksum is another one')
    return content


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
