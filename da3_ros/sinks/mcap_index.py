"""What is known of an MCAP file while it grows: all that its summary will say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from zlib import crc32

from da3_ros.sinks import mcap_records as records

_NO_STAMP = 1 << 64


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a chunk lies and what it holds."""

    span_ns: tuple[int, int]
    """Stamps of its first and last message."""
    offset: int
    """Of its record in the file."""
    record_bytes: int
    """Of the whole record."""
    compression: str
    packed_bytes: int
    unpacked_bytes: int
    indexes: Sequence[tuple[int, int, int]]
    """Channel, messages, and bytes of the record of each message index behind it, in order."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of the file."""

    key: int
    """Of its channel."""
    msgtype: str
    qos: str
    """Offered profiles, in YAML."""


class McapIndex:
    """Topics, counts and places of chunks.

    It grows by the bytes that a chunk takes in the summary, about 100.
    """

    def __init__(self) -> None:
        self.topics: dict[str, Topic] = {}
        self.counts: Counter[int] = Counter()
        self._schemas: dict[str, int] = {}
        self._names: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._chunks = bytearray()
        self._chunk_count = 0
        self._start_ns, self._end_ns = _NO_STAMP, 0

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp; zeros without messages."""
        return (0, 0) if self._start_ns == _NO_STAMP else (self._start_ns, self._end_ns)

    @property
    def message_count(self) -> int:
        """Messages of all chunks."""
        return self.counts.total()

    def schema_key(self, msgtype: str) -> int | None:
        """Return the key of a type's definition; None before it is there."""
        return self._schemas.get(msgtype)

    @property
    def next_schema_key(self) -> int:
        """Key of the next definition."""
        return len(self._schemas) + 1

    @property
    def next_channel_key(self) -> int:
        """Key of the next topic."""
        return len(self.topics) + 1

    def add_schema(self, msgtype: str, content: bytes) -> None:
        """Take the record of a definition, which has the next key."""
        self._schemas[msgtype] = self.next_schema_key
        self._names[0].extend(content)

    def add_channel(self, topic: str, msgtype: str, qos: str, content: bytes) -> None:
        """Take the record of a topic, which has the next key."""
        key = self.next_channel_key
        self.topics[topic] = Topic(key, msgtype, qos)
        self.counts[key] = 0
        self._names[1].extend(content)

    def add_chunk(self, place: ChunkPlace) -> None:
        """Take a chunk that is in the file."""
        places = []
        end = at = place.offset + place.record_bytes
        for key, count, length in place.indexes:
            places.append((key, end))
            self.counts[key] += count
            end += length
        self._chunks += records.chunk_index(
            place.span_ns,
            place.offset,
            place.record_bytes,
            places,
            end - at,
            place.compression,
            (place.packed_bytes, place.unpacked_bytes),
        )
        self._chunk_count += 1
        self._start_ns = min(self._start_ns, place.span_ns[0])
        self._end_ns = max(self._end_ns, place.span_ns[1])

    def summary(self, offset: int) -> bytes:
        """Return all that follows the last chunk.

        Args:
            offset: in the file.
        """
        data_end = records.data_end()
        start = offset + len(data_end)
        statistics = records.statistics(
            self.counts, len(self._schemas), self._chunk_count, self.span_ns
        )
        groups = (
            (records.SCHEMA, bytes(self._names[0])),
            (records.CHANNEL, bytes(self._names[1])),
            (records.CHUNK_INDEX, bytes(self._chunks)),
            (records.STATISTICS, statistics),
        )
        summary, offsets = bytearray(), bytearray()
        for opcode, content in groups:
            if content:
                offsets += records.summary_offset(opcode, start + len(summary), len(content))
                summary += content
        offsets_start = start + len(summary)
        summary += offsets
        # The checksum goes as far as the footer's own field for it.
        footer = records.footer(start, offsets_start, 0)
        crc = crc32(footer[: -_CRC.size], crc32(summary))
        return b''.join(
            (data_end, summary, records.footer(start, offsets_start, crc), records.MAGIC)
        )


_CRC = Struct('<I')
