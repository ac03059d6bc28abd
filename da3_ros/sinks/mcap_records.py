"""Records of an MCAP file as bytes.

Source: the MCAP format specification, version 0 (mcap.dev/spec). A record is an opcode, its length
as uint64 and its content; all numbers are little-endian, a string is its length as uint32 and
UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct

MAGIC = b'\x89MCAP0\r\n'
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS, SUMMARY_OFFSET, DATA_END = 0x0B, 0x0E, 0x0F

RECORD_HEAD = Struct('<BQ')
"""Opcode and length of the content."""
CHUNK_HEAD = Struct('<QQQI')
"""First and last stamp, bytes unpacked, their CRC-32; a string and the packed bytes follow."""
MESSAGE_INDEX_HEAD = Struct('<HI')
"""Channel and bytes of the entries, each a stamp and an offset."""
INDEX_ENTRY = Struct('<QQ')

_MESSAGE = Struct('<BQHIQQ')
_MESSAGE_FIXED = 22
_U16, _U32, _U64 = Struct('<H'), Struct('<I'), Struct('<Q')
_PLACE = Struct('<HQ')
_STATISTICS = Struct('<QHIIIIQQ')
_FOOTER = Struct('<QQI')
_SUMMARY_OFFSET = Struct('<BQQ')


def record(opcode: int, *parts: bytes) -> bytes:
    """Return a record with the given content."""
    return b''.join((RECORD_HEAD.pack(opcode, sum(map(len, parts))), *parts))


def prefixed(data: bytes) -> bytes:
    """Return bytes behind their length."""
    return _U32.pack(len(data)) + data


def string(text: str) -> bytes:
    """Return a text behind its length."""
    return prefixed(text.encode())


def header(profile: str, library: str) -> bytes:
    """Return the first record of a file."""
    return record(HEADER, string(profile), string(library))


def schema(key: int, name: str, encoding: str, text: str) -> bytes:
    """Return the definition of a message type."""
    return record(SCHEMA, _U16.pack(key), string(name), string(encoding), string(text))


def channel(
    key: int, schema_key: int, topic: str, encoding: str, metadata: Mapping[str, str]
) -> bytes:
    """Return what is known of a topic."""
    pairs = b''.join(string(name) + string(value) for name, value in metadata.items())
    keys = _U16.pack(key) + _U16.pack(schema_key)
    return record(CHANNEL, keys, string(topic), string(encoding), prefixed(pairs))


def message_head(channel_key: int, stamp_ns: int, data_bytes: int) -> bytes:
    """Return a message record up to its data."""
    return _MESSAGE.pack(MESSAGE, _MESSAGE_FIXED + data_bytes, channel_key, 0, stamp_ns, stamp_ns)


def chunk_head(
    span_ns: tuple[int, int], unpacked_bytes: int, crc: int, compression: str, packed_bytes: int
) -> bytes:
    """Return a chunk record up to its packed bytes.

    Args:
        span_ns: first and last stamp.
        unpacked_bytes: of the records inside.
        crc: CRC-32 of these.
        compression: `zstd`, `lz4`, or empty for none.
        packed_bytes: that follow.
    """
    content = CHUNK_HEAD.pack(*span_ns, unpacked_bytes, crc) + string(compression)
    content += _U64.pack(packed_bytes)
    return RECORD_HEAD.pack(CHUNK, len(content) + packed_bytes) + content


def message_index(channel_key: int, entries: bytes) -> bytes:
    """Return where messages of a channel lie in the chunk before; entries as `INDEX_ENTRY`."""
    return record(MESSAGE_INDEX, _U16.pack(channel_key), prefixed(entries))


def chunk_index(
    span_ns: tuple[int, int],
    offset: int,
    record_bytes: int,
    indexes: Iterable[tuple[int, int]],
    index_bytes: int,
    compression: str,
    packed_and_unpacked_bytes: tuple[int, int],
) -> bytes:
    """Return where a chunk lies.

    Args:
        span_ns: its first and last stamp.
        offset: of its record in the file.
        record_bytes: length of the whole record.
        indexes: channel and offset in the file of each message index behind it.
        index_bytes: of all of them.
        compression: as in `chunk_head`.
        packed_and_unpacked_bytes: of the records inside.
    """
    places = b''.join(_PLACE.pack(*place) for place in indexes)
    return record(
        CHUNK_INDEX,
        CHUNK_HEAD_AND_PLACE.pack(*span_ns, offset, record_bytes),
        prefixed(places),
        _U64.pack(index_bytes),
        string(compression),
        *(_U64.pack(size) for size in packed_and_unpacked_bytes),
    )


CHUNK_HEAD_AND_PLACE = Struct('<QQQQ')


def statistics(
    counts: Mapping[int, int], schemas: int, chunks: int, span_ns: tuple[int, int]
) -> bytes:
    """Return how much a file holds; counts are messages of each channel."""
    fixed = _STATISTICS.pack(sum(counts.values()), schemas, len(counts), 0, 0, chunks, *span_ns)
    pairs = b''.join(_PLACE.pack(*pair) for pair in sorted(counts.items()))
    return record(STATISTICS, fixed, prefixed(pairs))


def data_end() -> bytes:
    """Return the end of the data, without a checksum of them: every chunk has its own."""
    return record(DATA_END, _U32.pack(0))


def summary_offset(opcode: int, start: int, length: int) -> bytes:
    """Return where the records of one kind lie in the summary."""
    return record(SUMMARY_OFFSET, _SUMMARY_OFFSET.pack(opcode, start, length))


def footer(summary_start: int, offsets_start: int, crc: int) -> bytes:
    """Return the last record of a file.

    Args:
        summary_start: offset of the summary.
        offsets_start: offset of its summary offsets.
        crc: CRC-32 of all from the start of the summary on up to this field.
    """
    return record(FOOTER, _FOOTER.pack(summary_start, offsets_start, crc))
