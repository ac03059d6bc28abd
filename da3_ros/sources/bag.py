"""Reading ROS 2 bags: mcap or sqlite3, a folder or one bare file, whole or damaged.

What can be read is read, and what is missing is said: see `BagReader.notes`. Nothing is written to
the bag.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from da3_ros.errors import SourceError
from da3_ros.foreign import foreign_file, plain_line
from da3_ros.notes import Note, joined
from da3_ros.sources.bag_damage import BagDamage
from da3_ros.sources.bag_files import bag_files, is_packed, storage_suffix
from da3_ros.sources.bag_mcap import McapSplit
from da3_ros.sources.bag_pages import MAGIC as SQLITE_MAGIC
from da3_ros.sources.bag_records import MAGIC as MCAP_MAGIC
from da3_ros.sources.bag_split import MAX_STAMP_NS, Split, Stored, in_order
from da3_ros.sources.bag_sqlite import SqliteSplit
from da3_ros.sources.bag_unpack import ZSTD_MAGIC, plain_message, unpack_file

_MAX_REASONS = 2000


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """One topic of a bag."""

    name: str
    msgtype: str
    """Like `sensor_msgs/msg/Image`."""
    count: int
    """Messages on the topic."""
    is_latched: bool
    """Whether the recorded publisher was transient local: late subscribers get the last value."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """One message as it lies in the bag."""

    topic: str
    msgtype: str
    stamp_ns: int
    """When it was recorded: the bag's time, not the stamp of a header."""
    data: bytes
    """CDR with its four bytes of encapsulation, as rclpy publishes and delivers it."""


class BagReader:
    """Reads a bag's messages in order of time; use as a context manager.

    A bag without metadata.yaml, one that is cut, damaged or compressed is read as far as its bytes
    go.

    Args:
        path: a bag folder, or a bare .mcap or .db3 file.

    Raises:
        SourceError: on entering, when there is no bag at the path, or one of which not a single
            message can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._damage = BagDamage()
        self._splits: list[Split] | None = None
        self._folder: TemporaryDirectory[str] | None = None

    def __enter__(self) -> BagReader:
        self._damage = BagDamage()
        self._splits = []
        try:
            with foreign_file(self.path, 'bag'):
                self._open_splits(self._splits)
        except SourceError as error:
            self.__exit__(None, None, None)
            raise SourceError(plain_line(error, _MAX_REASONS)) from error
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for split in self._splits or ():
            split.close()
        self._splits = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def notes(self) -> tuple[Note, ...]:
        """What is missing of the bag, as far as it is known; reading may find more."""
        notes = self._damage.notes
        if self._splits is None or not self._damage.lost or not self.message_count:
            return notes
        end = datetime.fromtimestamp(self.end_ns // 1_000_000_000, tz=timezone.utc)
        text = (
            f'it reads {self.message_count} messages in {self.duration_s:.3f} s, the last of '
            f'{end:%Y-%m-%d %H:%M:%S} UTC'
        )
        numbers = {'messages': self.message_count, 'duration_s': self.duration_s}
        return (*notes, Note('bag_damaged', text, numbers))

    @property
    def topics(self) -> tuple[TopicInfo, ...]:
        """All topics, by name."""
        counts: Counter[tuple[str, str]] = Counter()
        latched: dict[tuple[str, str], bool] = {}
        for split in self._open():
            for key, channel in split.channels.items():
                name = (channel.topic, channel.msgtype)
                counts[name] += split.counts[key]
                latched[name] = latched.get(name, False) or channel.is_latched
        return tuple(TopicInfo(*name, counts[name], latched[name]) for name in sorted(latched))

    @property
    def message_count(self) -> int:
        """Messages on all topics."""
        return sum(sum(split.counts.values()) for split in self._open())

    @property
    def start_ns(self) -> int:
        """Stamp of the first message; 0 for an empty bag."""
        return min((split.start_ns for split in self._filled()), default=0)

    @property
    def end_ns(self) -> int:
        """Stamp of the last message; 0 for an empty bag."""
        return max((split.end_ns for split in self._filled()), default=0)

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def is_packed_without_metadata(self) -> bool:
        """Whether this is a bare file that is compressed, or whose messages are."""
        if self.path.is_dir():
            return False
        firsts = (
            next(split.messages(split.channels, 0, MAX_STAMP_NS), None) for split in self._filled()
        )
        return is_packed(self.path) or any(
            first is not None and first.data.startswith(ZSTD_MAGIC) for first in firsts
        )

    def messages(
        self,
        topics: Collection[str] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[RawMessage]:
        """Yield messages in order of time; those of the same stamp in order of recording.

        Args:
            topics: names to read, None for all.
            start_ns: skip what is before this stamp.
            stop_ns: skip what is at or after this stamp.

        Raises:
            SourceError: a topic is not in the bag, or it cannot be read any more.
        """
        if topics is not None:
            missing = sorted(set(topics) - {info.name for info in self.topics})
            if missing:
                raise SourceError(
                    f'bag {self.path}: no topic {", ".join(missing)}; '
                    f'it has {", ".join(info.name for info in self.topics) or "none"}'
                )
        begin = 0 if start_ns is None else max(0, start_ns)
        stop = MAX_STAMP_NS if stop_ns is None else min(MAX_STAMP_NS, stop_ns)
        parts = []
        for split in self._filled():
            keys = {k for k, c in split.channels.items() if topics is None or c.topic in topics}
            if keys and split.start_ns < stop and split.end_ns >= begin:
                parts.append((split.start_ns, partial(_found, split, keys, begin, stop)))
        with foreign_file(self.path, 'bag'):
            for found in in_order(parts):
                message = self._message(found)
                if message is not None:
                    yield message

    def _message(self, found: _Found) -> RawMessage | None:
        split, stored = found.split, found.stored
        data = plain_message(stored.data)
        if data is None:
            reason = 'their bytes are no message of ROS 2 (CDR), nor one packed by zstd'
            self._damage.skip(split.name, stored.position, reason)
            return None
        channel = split.channels[stored.channel]
        return RawMessage(channel.topic, channel.msgtype, stored.stamp_ns, data)

    def _open_splits(self, splits: list[Split]) -> None:
        found = bag_files(self.path, self._damage)
        for file in found.files:
            split = self._open_split(file)
            if split is not None:
                splits.append(split)
        count = self.message_count
        if not count and (self._damage.lost or not splits):
            reasons = joined(self._damage.notes)
            raise SourceError(
                f'bag {self.path}: cannot be read as a ROS 2 bag (a folder with metadata.yaml, '
                f'or a .mcap or .db3 file); it may be incomplete or damaged: {reasons}'
            )
        if found.message_count is not None and count < found.message_count:
            self._damage.say(
                'bag_damaged',
                f'metadata.yaml promises {found.message_count} messages, {count} are there',
                missing_messages=found.message_count - count,
            )

    def _open_split(self, file: Path) -> Split | None:
        """Return one file, None (and a remark) where nothing of it can be read."""
        try:
            with foreign_file(file):
                return self._opened(file)
        except SourceError as error:
            self._damage.say('bag_damaged', str(error))
            return None

    def _opened(self, file: Path) -> Split:
        suffix = storage_suffix(file)
        if is_packed(file):
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix='da3_bag_')
            plain = Path(self._folder.name) / file.name.rsplit('.', 1)[0]
            unpack_file(file, plain)
            file = plain
        with file.open('rb') as stream:
            head = stream.read(16)
        if not head.strip(b'\0'):
            raise SourceError(f'{file.name}: {file.stat().st_size} bytes without content')
        if head.startswith(MCAP_MAGIC) or suffix == '.mcap':
            return McapSplit(file, self._damage)
        if head.startswith(SQLITE_MAGIC) or suffix == '.db3':
            return SqliteSplit(file, self._damage)
        raise SourceError(f'{file.name}: expected .mcap or .db3, it begins with {head[:12]!r}')

    def _open(self) -> list[Split]:
        if self._splits is None:
            raise SourceError(f'bag {self.path}: not open; use it in a with statement')
        return self._splits

    def _filled(self) -> list[Split]:
        return [split for split in self._open() if any(split.counts.values())]


@dataclass(frozen=True, slots=True)
class _Found:
    split: Split
    stored: Stored

    @property
    def stamp_ns(self) -> int:
        return self.stored.stamp_ns


def _found(split: Split, keys: Collection[int], start_ns: int, stop_ns: int) -> Iterator[_Found]:
    return (_Found(split, stored) for stored in split.messages(keys, start_ns, stop_ns))
