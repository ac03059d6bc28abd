"""The records of an MCAP file, also of one that is cut or damaged.

Source: the MCAP format specification, version 0 (mcap.dev/spec). A record is an opcode, its length
as uint64 and its content; all numbers are little-endian, a string is its length as uint32 and
UTF-8.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
import re
import struct
from typing import BinaryIO, NamedTuple

from da3_ros.sources.bag_split import MAX_STAMP_NS

MAGIC = b'\x89MCAP0\r\n'
HEADER, FOOTER, SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = range(1, 9)
STATISTICS = 0x0B
LAST_OPCODE = 0x0F
# Of footer, end of the data and summary offset.
_FIXED_LENGTHS = {FOOTER: 20, 0x0F: 4, 0x0E: 17}
_HEAD = struct.Struct('<BQ')
_MESSAGE = struct.Struct('<HIQQ')
_CHUNK = struct.Struct('<QQQI')
_CHUNK_FIXED = 40
# A record that damage may hide: one of four opcodes, and a length below 4 GiB.
_CANDIDATE = re.compile(rb'[\x03-\x06](?=[\s\S]{4}\x00{4})')
_WINDOW = 1 << 20
_LARGEST_NAMES = 1 << 20
_LARGEST_RECORD = 1 << 40


class Record(NamedTuple):
    """Where a record lies."""

    opcode: int
    offset: int
    """Of its opcode."""
    start: int
    """Of its content."""
    length: int
    """Of its content; may reach beyond the end of a file that is cut."""

    @property
    def end(self) -> int:
        """First byte after it."""
        return self.start + self.length


class Gap(NamedTuple):
    """Bytes in which no record can be made out."""

    offset: int
    length: int
    is_zero: bool
    """Whether they are all zero, as in a file whose space was reserved."""


class MessageHead(NamedTuple):
    """The fixed part of a message; its data follow."""

    channel: int
    sequence: int
    log_time_ns: int
    publish_time_ns: int


MESSAGE_HEAD_BYTES = _MESSAGE.size


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """What a chunk says about its content."""

    start_ns: int
    end_ns: int
    size: int
    """Bytes when unpacked."""
    crc: int
    """CRC-32 of the unpacked bytes; 0 for none."""
    compression: str
    data_start: int
    """Offset of the compressed bytes in the file."""
    data_length: int
    """Bytes of the compressed data, by what the chunk says."""


def read_at(stream: BinaryIO, offset: int, length: int) -> bytes:
    """Return bytes of a file, fewer at its end."""
    stream.seek(offset)
    return stream.read(length)


def message_head(data: bytes) -> MessageHead:
    """Return the fixed part of a message, of its first `MESSAGE_HEAD_BYTES` bytes."""
    return MessageHead(*_MESSAGE.unpack_from(data))


def strings(data: bytes, count: int, at: int = 0) -> tuple[list[bytes], int] | None:
    """Return strings that follow each other and where they end; None where they do not fit."""
    found = []
    for _ in range(count):
        if at + 4 > len(data):
            return None
        end = at + 4 + int.from_bytes(data[at : at + 4], 'little')
        if end > len(data):
            return None
        found.append(data[at + 4 : end])
        at = end
    return found, at


def chunk_head(stream: BinaryIO, record: Record) -> ChunkHead | None:
    """Return what a chunk says about its content; None where its parts do not fit each other."""
    data = read_at(stream, record.start, _CHUNK.size + 4 + 16 + 8)
    if record.opcode != CHUNK or len(data) < _CHUNK_FIXED:
        return None
    start_ns, end_ns, size, crc = _CHUNK.unpack_from(data)
    found = strings(data, 1, _CHUNK.size)
    if found is None or len(found[0][0]) > 16 or len(data) < found[1] + 8:
        return None
    (name,), at = found
    length = int.from_bytes(data[at : at + 8], 'little')
    if record.length != at + 8 + length:
        return None
    compression = name.decode('ascii', errors='replace')
    return ChunkHead(start_ns, end_ns, size, crc, compression, record.start + at + 8, length)


def walk(
    stream: BinaryIO, start: int, end: int, channels: Container[int]
) -> Iterator[Record | Gap]:
    """Yield the records of a stretch in order; what cannot be made out is a gap.

    The last record may reach beyond the end: a chunk that is cut. After damage it goes on at the
    next bytes that are consistent with a schema, a channel, a message or a chunk.

    Args:
        stream: the file, or the bytes of an unpacked chunk.
        start: offset of the first record.
        end: of the stretch.
        channels: those known; may grow meanwhile.
    """
    at = start
    while at < end:
        record = _record(stream, at, end, channels)
        if record is None:
            following = _resume(stream, at + 1, end, channels)
            yield Gap(at, following - at, _is_zero(stream, at, following))
            at = following
            continue
        yield record
        at = record.end


def _record(stream: BinaryIO, at: int, end: int, channels: Container[int]) -> Record | None:
    head = read_at(stream, at, min(_HEAD.size, end - at))
    if len(head) < _HEAD.size:
        return None
    opcode, length = _HEAD.unpack(head)
    record = Record(opcode, at, at + _HEAD.size, length)
    if opcode == CHUNK:
        return record if chunk_head(stream, record) else None
    if record.end > end or not _is_opcode(opcode) or not _can_follow(stream, record.end, end):
        return None
    if opcode == MESSAGE:
        return record if _is_message(stream, record, channels, is_known=False) else None
    return record if length == _FIXED_LENGTHS.get(opcode, length) else None


def _is_opcode(opcode: int) -> bool:
    # From 0x80 on they are private to who wrote the file.
    return 0 < opcode <= LAST_OPCODE or opcode >= 0x80


def _can_follow(stream: BinaryIO, at: int, end: int) -> bool:
    """Return whether a record may begin here, whole or cut: else the one before has no length."""
    head = read_at(stream, at, min(_HEAD.size, end - at))
    if len(head) < _HEAD.size or not any(head) or head.startswith(MAGIC):
        return True
    opcode, length = _HEAD.unpack(head)
    return _is_opcode(opcode) and length < _LARGEST_RECORD


def _is_message(
    stream: BinaryIO, record: Record, channels: Container[int], is_known: bool = True
) -> bool:
    if record.length < MESSAGE_HEAD_BYTES:
        return False
    head = message_head(read_at(stream, record.start, MESSAGE_HEAD_BYTES))
    return head.log_time_ns < MAX_STAMP_NS and (not is_known or head.channel in channels)


def _is_names(stream: BinaryIO, record: Record) -> bool:
    """Return whether a record is a schema or a channel whose strings fill it exactly."""
    if record.length > _LARGEST_NAMES:
        return False
    data = read_at(stream, record.start, record.length)
    found = strings(data, *((3, 2) if record.opcode == SCHEMA else (3, 4)))
    return found is not None and found[1] == len(data)


def _resume(stream: BinaryIO, start: int, end: int, channels: Container[int]) -> int:
    """Return where the next record begins that is certain; the end where there is none."""
    at = start
    while at + _HEAD.size <= end:
        window = read_at(stream, at, min(_WINDOW + _HEAD.size, end - at))
        for match in _CANDIDATE.finditer(window):
            offset = at + match.start()
            if match.start() < _WINDOW and _is_certain(stream, offset, end, channels):
                return offset
        at += _WINDOW
    return end


def _is_certain(stream: BinaryIO, offset: int, end: int, channels: Container[int]) -> bool:
    record = _record(stream, offset, end, channels)
    if record is None or record.opcode == CHUNK:
        return record is not None
    if record.opcode != MESSAGE:
        return _is_names(stream, record)
    return _is_message(stream, record, channels)


def _is_zero(stream: BinaryIO, start: int, end: int) -> bool:
    return not any(
        read_at(stream, at, min(_WINDOW, end - at)).strip(b'\0')
        for at in range(start, end, _WINDOW)
    )
