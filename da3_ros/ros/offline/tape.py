"""One recording of one or several bags: raw messages in order of log time.

Everything here is decided by what the bags hold, never by how fast they are read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from zlib import crc32

from da3_ros.errors import SourceError, StreamError
from da3_ros.notes import Note
from da3_ros.pipeline.read_ahead import BYTES_AHEAD, ReadAhead
from da3_ros.sources.bag import BagReader, RawMessage, TopicInfo
from da3_ros.sources.bag_split import MAX_STAMP_NS, in_order

_MOST_AHEAD_BYTES = 256 << 20

Taker = Callable[[RawMessage], object]
"""Takes a message as soon as it is read."""


@dataclass(frozen=True, slots=True)
class TapeRange:
    """Which part of a recording is read."""

    start_s: float = 0.0
    """Seconds to leave out at the beginning of the earliest bag."""
    duration_s: float | None = None
    """Seconds to read, None for all."""


_ALL = TapeRange()


@dataclass(frozen=True, slots=True)
class ReadCrc:
    """By what the beginning of a recording is known again."""

    messages: int = 0
    """How many."""
    crc: int = 0
    """CRC-32 of their bytes, one behind the other."""

    def with_message(self, message: RawMessage) -> ReadCrc:
        """Return that of one message more."""
        return ReadCrc(self.messages + 1, crc32(message.data, self.crc))


class Tape:
    """Reads bags as one recording; use as a context manager.

    Args:
        paths: bag folders or bare files; messages of one log time come in the order of the bags.
        part: which time to read.

    Raises:
        SourceError: on entering, when a path is no bag, is there twice, or two bags disagree about
            the type of a topic.
    """

    def __init__(self, paths: Sequence[Path], part: TapeRange = _ALL) -> None:
        self._paths = tuple(paths)
        self._part = part
        self._open = ExitStack()
        self._bags: tuple[BagReader, ...] = ()
        self.topics: tuple[TopicInfo, ...] = ()
        """Of all bags together, by name."""
        self.first_ns = self.stop_ns = 0
        """Log times: first of the part that is read, and that before which it ends."""
        self.now_ns = 0
        """Log time of the present message."""
        self.played_ns = 0
        """Log time up to which all was handed out in its turn, for whomever it was."""
        self.read_messages = 0
        """Messages handed out so far, those of takers among them."""
        self.read_crc = ReadCrc()
        """Of the messages that `play` yielded."""
        self._expected = ReadCrc()
        self._source: Iterator[RawMessage] = iter(())
        self._topics: frozenset[str] = frozenset()
        self._takers: Mapping[str, Taker] = {}
        self._listeners: Mapping[str, Taker] = {}
        # The next one of the source, where somebody had to look at it.
        self._seen: RawMessage | None = None
        # Read ahead of the present message, for its turn.
        self._ahead: deque[RawMessage] = deque()
        self._ahead_bytes = 0
        self._newest_ns = 0

    def __enter__(self) -> Tape:
        try:
            self._bags = tuple(self._opened(path) for path in self._paths)
            self.topics = _merged(self._bags)
        except BaseException:
            self._open.close()
            raise
        begin_ns = min((bag.start_ns for bag in self._bags if bag.message_count), default=0)
        end_ns = max((bag.end_ns for bag in self._bags), default=0)
        part = self._part
        self.first_ns = self.now_ns = self.played_ns = begin_ns + _ns(part.start_s)
        last_ns = end_ns + 1
        if part.duration_s is not None:
            last_ns = min(last_ns, self.first_ns + _ns(part.duration_s))
        self.stop_ns = max(self.first_ns, last_ns)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    @property
    def bags(self) -> tuple[BagReader, ...]:
        """The bags, open."""
        return self._bags

    @property
    def notes(self) -> tuple[tuple[Path, Note], ...]:
        """What is missing of the bags, as far as it is known; reading may find more."""
        return tuple((bag.path, note) for bag in self._bags for note in bag.notes)

    @property
    def fraction(self) -> float:
        """How much of the part was read, 0 to 1 by log time."""
        length = self.stop_ns - self.first_ns
        return min(1.0, max(0.0, (self.now_ns - self.first_ns) / length)) if length else 1.0

    # ---- before the messages

    def every(self, topic: str) -> Iterator[RawMessage]:
        """Yield every message of a topic, also of times that are not read; none without it."""
        return self._messages((topic,), 0, MAX_STAMP_NS)

    def before(self, topic: str) -> Iterator[RawMessage]:
        """Yield the messages of a topic before the part that is read."""
        return self._messages((topic,), 0, self.first_ns)

    def first(self, topic: str) -> RawMessage | None:
        """Return the first message of a topic in the part that is read.

        Where it has none there, as what was published once before, the last one before it, else
        the first one behind it.
        """
        here = self._messages((topic,), self.first_ns, MAX_STAMP_NS)
        found = next(here, None)
        if found is not None and found.stamp_ns < self.stop_ns:
            return found
        before = deque(self.before(topic), maxlen=1)
        return before[0] if before else found

    # ---- the messages

    def play(
        self,
        topics: Collection[str],
        takers: Mapping[str, Taker] | None = None,
        listeners: Mapping[str, Taker] | None = None,
    ) -> Iterator[RawMessage]:
        """Yield the messages of topics in order, read by a thread ahead.

        `now_ns` is that of the message yielded last; at the end that of the last one of all.

        Args:
            topics: to be yielded.
            takers: topics whose messages are not yielded: each is taken when its turn comes, or
                earlier by `read_ahead`.
            listeners: topics whose messages are shown when they are read, in order, whoever gets
                them besides; `now_ns` knows nothing of those that nobody else gets.

        Raises:
            SourceError: a bag cannot be read any more.
        """
        self._topics = frozenset(topics)
        self._takers, self._listeners = takers or {}, listeners or {}
        wanted = (*topics, *self._takers, *self._listeners)
        found = self._messages(wanted, self.first_ns, self.stop_ns)
        with ReadAhead(found, lambda m: len(m.data), BYTES_AHEAD, 'da3_bag_reader') as messages:
            self._source, self._seen = iter(messages), None
            while (message := self._next()) is not None:
                self.now_ns = max(self.now_ns, message.stamp_ns)
                self.read_crc = self.read_crc.with_message(message)
                self._require_expected()
                yield message
            self.now_ns = max(self.now_ns, self._newest_ns)

    def expect(self, read: ReadCrc) -> None:
        """Let `play` refuse a recording of which the first messages are others than they were."""
        self._expected = read

    def _require_expected(self) -> None:
        """Compare at the place where the interrupted run was.

        Raises:
            StreamError: the recording is another one.
        """
        if self.read_crc.messages == self._expected.messages and self.read_crc != self._expected:
            raise StreamError(
                'resume: expected the recording of the interrupted run; its first '
                f'{self._expected.messages} images and calibrations are others now; begin anew '
                '(restart)'
            )

    def read_ahead(self, until_ns: int) -> bool:
        """Let takers have their messages up to a log time already.

        What is for others waits for its turn, in bounds of memory.

        Returns:
            Whether there may be more after that time; False at the end, and where too much waits.
        """
        while (message := self._upcoming()) is not None:
            if message.stamp_ns > until_ns:
                return True
            if self._ahead_bytes > _MOST_AHEAD_BYTES:
                return False
            self._seen = None
            if not self._taken(message):
                self._ahead.append(message)
                self._ahead_bytes += len(message.data)
        return False

    def _upcoming(self) -> RawMessage | None:
        """Return the next message of the source, which stays the next."""
        if self._seen is None:
            self._seen = next(self._source, None)
        return self._seen

    def _next(self) -> RawMessage | None:
        if self._ahead:
            message = self._ahead.popleft()
            self._ahead_bytes -= len(message.data)
            self.read_messages += 1
            self.played_ns = max(self.played_ns, message.stamp_ns)
            return message
        while (upcoming := self._upcoming()) is not None:
            self._seen = None
            self.played_ns = max(self.played_ns, upcoming.stamp_ns)
            if upcoming.topic in self._takers:
                self.now_ns = max(self.now_ns, upcoming.stamp_ns)
            if not self._taken(upcoming):
                self.read_messages += 1
                return upcoming
        return None

    def _taken(self, message: RawMessage) -> bool:
        """Show a message to whoever takes it or listens; return whether nobody waits for it."""
        listen = self._listeners.get(message.topic)
        if listen is not None:
            listen(message)
        take = self._takers.get(message.topic)
        if take is None:
            return message.topic not in self._topics
        self.read_messages += 1
        self._newest_ns = max(self._newest_ns, message.stamp_ns)
        take(message)
        return True

    def _messages(
        self, topics: Collection[str], start_ns: int, stop_ns: int
    ) -> Iterator[RawMessage]:
        parts = []
        for bag in self._bags:
            here = {info.name for info in bag.topics if info.count} & set(topics)
            if here:
                start = max(start_ns, bag.start_ns)
                parts.append((start, partial(bag.messages, here, start_ns, stop_ns)))
        return in_order(parts)

    def _opened(self, path: Path) -> BagReader:
        same = [other for other in self._paths if _is_same(other, path)]
        if len(same) > 1:
            raise SourceError(f'bag {path}: named {len(same)} times')
        return self._open.enter_context(BagReader(path))


def _ns(seconds: float) -> int:
    """Return a length as nanoseconds; no recording is longer than times are, infinity neither."""
    return round(min(seconds, MAX_STAMP_NS / 1e9) * 1e9)


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _merged(bags: Sequence[BagReader]) -> tuple[TopicInfo, ...]:
    found: dict[str, TopicInfo] = {}
    owners: dict[str, Path] = {}
    for bag in bags:
        for info in bag.topics:
            known = found.get(info.name)
            if known is None:
                found[info.name], owners[info.name] = info, bag.path
                continue
            if known.msgtype != info.msgtype:
                raise SourceError(
                    f'topic {info.name}: expected one type in all bags, it is {known.msgtype} in '
                    f'{owners[info.name]} and {info.msgtype} in {bag.path}'
                )
            found[info.name] = TopicInfo(
                info.name,
                info.msgtype,
                known.count + info.count,
                known.is_latched or info.is_latched,
            )
    return tuple(found[name] for name in sorted(found))
