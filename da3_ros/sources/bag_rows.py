"""Topics and messages among the rows of an SQLite file that SQLite refuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

from da3_ros.sources.bag_damage import BagDamage
from da3_ros.sources.bag_pages import Pages, Row, Span
from da3_ros.sources.bag_split import MAX_STAMP_NS, Channel, Stored, channel_of

_FORMAT = b'cdr'


class _Message(NamedTuple):
    stamp_ns: int
    rowid: int
    topic: int
    row: Row
    data: Span


class RecoveredRows:
    """What the pages of a bag hold, by time.

    Rows are told apart by what rosbag2 writes: a message is (id, topic, time, blob), a topic is
    (id, name, type, `cdr`, ...), the id of both being the number of the row.

    Args:
        pages: of the file.
        name: of the file.
        damage: takes what is missing.
    """

    def __init__(self, pages: Pages, name: str, damage: BagDamage) -> None:
        self.declared: dict[int, Channel | None] = {}
        self._pages = pages
        self._name = name
        self._damage = damage
        found: dict[int, _Message] = {}
        for row in pages.rows():
            if message := _message(row):
                found.setdefault(row.rowid, message)
            elif _may_be_topic(row):
                self._take_topic(row)
        self._messages = sorted(found.values(), key=lambda message: message[:2])
        self.counts = Counter(message.topic for message in self._messages)
        # Recorders number the messages from one on.
        gone = max(found, default=0) - len(found)
        if gone > 0 and min(found, default=1) >= 1:
            damage.skip(name, 'gone', 'their pages are damaged or missing', gone)

    def close(self) -> None:
        """Close the file."""
        self._pages.close()

    def span_ns(self, channels: Collection[int]) -> tuple[int, int]:
        """Return the stamps of the first and the last message of some topics."""
        stamps = [m.stamp_ns for m in self._messages if m.topic in channels]
        return (stamps[0], stamps[-1]) if stamps else (0, 0)

    def messages(self, channels: Collection[int], start_ns: int, stop_ns: int) -> Iterator[Stored]:
        """Yield messages in order of time, of stamps from start to before stop."""
        for message in self._messages:
            if message.topic not in channels or not start_ns <= message.stamp_ns < stop_ns:
                continue
            payload = self._pages.payload(message.row)
            if payload is None:
                reason = 'their last bytes are missing'
                self._damage.skip(self._name, message.rowid, reason)
                continue
            data = payload[message.data.start : message.data.start + message.data.length]
            yield Stored(message.stamp_ns, message.topic, message.rowid, data)

    def _take_topic(self, row: Row) -> None:
        payload = self._pages.payload(row)
        if payload is None:
            return
        texts = [
            payload[value.start : value.start + value.length]
            for value in row.values[1:]
            if isinstance(value, Span)
        ]
        if texts[2] == _FORMAT:
            name, msgtype, encoding, *rest = texts
            qos = rest[0] if rest else b''
            channel = channel_of(self._damage, self._name, name, msgtype, encoding, qos)
            self.declared.setdefault(row.rowid, channel)


def _message(row: Row) -> _Message | None:
    if len(row.values) != 4:
        return None
    _, topic, stamp_ns, data = row.values
    if not isinstance(topic, int) or not isinstance(stamp_ns, int) or not isinstance(data, Span):
        return None
    if data.is_text or not 0 <= stamp_ns < MAX_STAMP_NS:
        return None
    return _Message(stamp_ns, row.rowid, topic, row, data)


def _may_be_topic(row: Row) -> bool:
    """Return whether a row has an id of its own and then texts only, as topics have."""
    first, *others = row.values or (None,)
    return (
        len(others) >= 3
        and (first is None or isinstance(first, int))
        and all(isinstance(value, Span) and value.is_text for value in others)
    )
