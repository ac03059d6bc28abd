"""The summary of an MCAP file: topics and chunks, so that nobody has to read the whole file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
import struct
from typing import BinaryIO
from zlib import crc32

from da3_ros.sources import bag_records as records
from da3_ros.sources.bag_records import Gap
from da3_ros.sources.bag_unpack import MAX_UNPACKED_BYTES

_FOOTER_BYTES = 9 + 20
_CHUNK_INDEX = struct.Struct('<QQQQ')
_MESSAGE_INDEX_FIXED = 15
_MESSAGE_INDEX_ENTRY = 16


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """Where a chunk lies and what it holds."""

    span_ns: tuple[int, int]
    """Stamps of its first and last message."""
    offset: int
    length: int
    """Of the record with its opcode and length."""
    counts: Mapping[int, int]
    """Messages of each channel."""
    end: int
    """Where the message indexes behind it end."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the end of a file says of it."""

    names: tuple[tuple[int, bytes], ...]
    """Opcode and content of its schemas and channels, in order."""
    chunks: tuple[ChunkEntry, ...]
    is_index: bool
    """Whether the chunks hold all messages of the file."""


def read_summary(stream: BinaryIO, size: int) -> Summary | None:
    """Return the summary of a file; None where there is none, or one that cannot be right.

    Args:
        stream: the file.
        size: its bytes.
    """
    end = size - _FOOTER_BYTES - len(records.MAGIC)
    tail = records.read_at(stream, max(end, 0), size)
    head = b'\x02' + (20).to_bytes(8, 'little')
    if end < len(records.MAGIC) or not tail.startswith(head) or tail[-8:] != records.MAGIC:
        return None
    start, _, crc = struct.unpack_from('<QQI', tail, 9)
    if not len(records.MAGIC) <= start <= end or size - start > MAX_UNPACKED_BYTES:
        return None
    if crc and crc32(records.read_at(stream, start, size - start - 12)) != crc:
        return None
    return _parse(stream, start, end)


def _parse(stream: BinaryIO, start: int, end: int) -> Summary | None:
    names = []
    chunks = []
    total = None
    for record in records.walk(stream, start, end, ()):
        if isinstance(record, Gap) or record.opcode == records.CHUNK:
            return None
        data = records.read_at(stream, record.start, record.length)
        if record.opcode in (records.SCHEMA, records.CHANNEL):
            names.append((record.opcode, data))
        elif record.opcode == records.CHUNK_INDEX:
            entry = _chunk_entry(data)
            if entry is None or entry.end > start:
                return None
            chunks.append(entry)
        elif record.opcode == records.STATISTICS and len(data) >= 8:
            total = int.from_bytes(data[:8], 'little')
    indexed = sum(sum(chunk.counts.values()) for chunk in chunks)
    # A message that lies in no chunk, or in one without an index, is found by a scan only; where
    # nothing is said to be there, a look costs little.
    is_index = indexed > 0 and indexed == total and all(chunk.counts for chunk in chunks)
    return Summary(tuple(names), tuple(chunks), is_index)


def _chunk_entry(data: bytes) -> ChunkEntry | None:
    """Return what a chunk index says.

    How many messages a channel has follows from the lengths of the message indexes behind the
    chunk: 15 bytes and 16 for every message.
    """
    if len(data) < _CHUNK_INDEX.size + 4:
        return None
    start_ns, end_ns, offset, length = _CHUNK_INDEX.unpack_from(data)
    found = records.strings(data, 1, _CHUNK_INDEX.size)
    if found is None or len(found[0][0]) % 10 or len(data) < found[1] + 8 or length < 9:
        return None
    (offsets,), at = found
    behind = offset + length + int.from_bytes(data[at : at + 8], 'little')
    places = sorted((place, channel) for channel, place in struct.iter_unpack('<HQ', offsets))
    # Without messages there is no place, and the only end is left out.
    ends = [*(place for place, _ in places[1:]), behind][: len(places)]
    counts = {}
    for (place, channel), place_end in zip(places, ends, strict=True):
        entries, rest = divmod(place_end - place - _MESSAGE_INDEX_FIXED, _MESSAGE_INDEX_ENTRY)
        if rest or entries < 0 or place < offset + length:
            return None
        counts[channel] = entries
    return ChunkEntry((start_ns, end_ns), offset, length, counts, behind)
