"""Reading ROS 2 bags: mcap or sqlite3, a folder with metadata.yaml or one bare file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rosbags.interfaces import Connection, ConnectionExtRosbag2, QosDurability
from rosbags.rosbag2 import Reader

from da3_ros.errors import SourceError

_SQLITE_MAGIC = b'SQLite format 3\0'


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

    Args:
        path: a bag folder, or a bare .mcap or .db3 file.

    Raises:
        SourceError: on entering, when there is no bag at the path or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._reader: Reader | None = None

    def __enter__(self) -> BagReader:
        if not self.path.exists():
            raise SourceError(f'bag {self.path}: expected a folder or a file, there is nothing')
        try:
            _refuse_cut_pages(self.path)
            reader = Reader(self.path)
            reader.open()
        # The parsers below meet arbitrary bytes: whatever they trip over means a damaged file.
        except Exception as error:
            raise SourceError(self._damage(error)) from error
        self._reader = reader
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @property
    def topics(self) -> tuple[TopicInfo, ...]:
        """All topics, by name."""
        infos = [
            TopicInfo(c.topic, c.msgtype, c.msgcount, _is_latched(c))
            for c in self._open().connections
        ]
        return tuple(sorted(infos, key=lambda info: info.name))

    @property
    def message_count(self) -> int:
        """Messages on all topics."""
        return self._open().message_count

    @property
    def start_ns(self) -> int:
        """Stamp of the first message; 0 for an empty bag."""
        return self._open().start_time if self.message_count else 0

    @property
    def end_ns(self) -> int:
        """Stamp of the last message; 0 for an empty bag."""
        # The library names the first instant after the last message.
        return self._open().end_time - 1 if self.message_count else 0

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last message."""
        return (self.end_ns - self.start_ns) / 1e9

    def messages(
        self,
        topics: Collection[str] | None = None,
        start_ns: int | None = None,
        stop_ns: int | None = None,
    ) -> Iterator[RawMessage]:
        """Yield messages in order of time.

        Args:
            topics: names to read, None for all.
            start_ns: skip what is before this stamp.
            stop_ns: skip what is at or after this stamp.

        Raises:
            SourceError: a topic is not in the bag, or the bag is damaged.
        """
        reader = self._open()
        if topics is not None:
            missing = sorted(set(topics) - {c.topic for c in reader.connections})
            if missing:
                raise SourceError(
                    f'bag {self.path}: no topic {", ".join(missing)}; '
                    f'it has {", ".join(info.name for info in self.topics) or "none"}'
                )
        chosen = [c for c in reader.connections if topics is None or c.topic in topics]
        if not chosen:
            return
        try:
            for connection, stamp_ns, data in reader.messages(chosen, start_ns, stop_ns):
                yield RawMessage(connection.topic, connection.msgtype, stamp_ns, bytes(data))
        except Exception as error:
            raise SourceError(self._damage(error)) from error

    def _open(self) -> Reader:
        if self._reader is None:
            raise SourceError(f'bag {self.path}: not open; use it in a with statement')
        return self._reader

    def _damage(self, error: Exception) -> str:
        what = str(error) or type(error).__name__
        return (
            f'bag {self.path}: cannot be read as a ROS 2 bag (a folder with metadata.yaml, '
            f'or a .mcap or .db3 file); it may be incomplete or damaged: {what}'
        )


def _refuse_cut_pages(path: Path) -> None:
    """Raise ValueError for an SQLite file that ends within a page.

    SQLite itself refuses a file with pages missing, but fills up a last page that is cut with
    zeros, and those would be read as the end of a message.
    """
    for file in sorted(path.glob('*.db3')) if path.is_dir() else [path]:
        with file.open('rb') as stream:
            head = stream.read(18)
        if not head.startswith(_SQLITE_MAGIC):
            continue  # a bag of another kind, or one that the parser refuses
        page = int.from_bytes(head[16:18], 'big')
        page = 1 << 16 if page == 1 else page
        if page and (excess := file.stat().st_size % page):
            raise ValueError(f'{file.name} ends {excess} bytes into a page of {page}')


def _is_latched(connection: Connection) -> bool:
    assert isinstance(connection.ext, ConnectionExtRosbag2)  # of ROS 1 there are others
    profiles = connection.ext.offered_qos_profiles
    return any(p.durability is QosDurability.TRANSIENT_LOCAL for p in profiles)
