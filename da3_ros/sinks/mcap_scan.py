"""Reading back what a file of ours holds up to its last commit; nothing is unpacked."""

from __future__ import annotations

from collections.abc import Iterator
import struct
from struct import Struct
from typing import BinaryIO
from zlib import crc32

from da3_ros.sinks import mcap_records as records
from da3_ros.sinks.mcap_index import ChunkPlace, McapIndex
from da3_ros.sinks.part_folder import DamagedPartError

_U32, _U64 = Struct('<I'), Struct('<Q')
_KEYS = Struct('<HH')
_LARGEST_NAMES = 1 << 20
_PART = 1 << 20
_CHUNK_READ = records.CHUNK_HEAD.size + 64
QOS = 'offered_qos_profiles'
"""Key of the profiles in the metadata of a channel."""

_Record = tuple[int, int, int]
"""Opcode, offset of the record, bytes of its content."""


def scan(stream: BinaryIO, length: int) -> McapIndex:
    """Return the index of a file.

    Args:
        stream: the file.
        length: bytes of it that count.

    Raises:
        DamagedPartError: what is there is not what was written.
        OSError: it cannot be read.
    """
    index = McapIndex()
    try:
        _scan(stream, length, index)
    except (struct.error, ValueError) as error:
        raise DamagedPartError(f'messages up to the last commit are damaged ({error})') from error
    return index


def crc_of(stream: BinaryIO, length: int) -> int:
    """Return the CRC-32 of the first bytes of a file; of all where it has fewer."""
    stream.seek(0)
    crc = 0
    while length > 0 and (part := stream.read(min(length, _PART))):
        crc, length = crc32(part, crc), length - len(part)
    return crc


def _scan(stream: BinaryIO, length: int, index: McapIndex) -> None:
    stream.seek(0)
    if stream.read(len(records.MAGIC)) != records.MAGIC:
        raise ValueError('the file does not begin as MCAP does')
    schemas: dict[int, str] = {}
    chunk: _Chunk | None = None
    for opcode, offset, size in _records(stream, length):
        if opcode == records.MESSAGE_INDEX and chunk is not None:
            key, entries = records.MESSAGE_INDEX_HEAD.unpack(
                stream.read(records.MESSAGE_INDEX_HEAD.size)
            )
            count = entries // records.INDEX_ENTRY.size
            chunk.indexes.append((key, count, records.RECORD_HEAD.size + size))
            continue
        if chunk is not None:
            index.add_chunk(chunk.place())
            chunk = None
        if opcode == records.CHUNK:
            chunk = _Chunk(stream.read(_CHUNK_READ), offset, size)
        elif opcode in (records.SCHEMA, records.CHANNEL):
            _take_names(stream, (opcode, offset, size), index, schemas)
        elif opcode != records.HEADER:
            raise ValueError(f'record {opcode} at {offset}')
    if chunk is not None:
        index.add_chunk(chunk.place())


def _records(stream: BinaryIO, length: int) -> Iterator[_Record]:
    """Yield the records up to a length; the stream stands at the content of each."""
    at = len(records.MAGIC)
    while at < length:
        stream.seek(at)
        opcode, size = records.RECORD_HEAD.unpack(stream.read(records.RECORD_HEAD.size))
        end = at + records.RECORD_HEAD.size + size
        if end > length:
            raise ValueError(f'record {opcode} at {at} ends at {end} of {length}')
        yield opcode, at, size
        at = end


class _Chunk:
    """A chunk whose message indexes are being read."""

    def __init__(self, head: bytes, offset: int, size: int) -> None:
        start_ns, end_ns, unpacked, _ = records.CHUNK_HEAD.unpack_from(head)
        compression, at = _string(head, records.CHUNK_HEAD.size)
        (packed,) = _U64.unpack_from(head, at)
        if at + _U64.size + packed != size:
            raise ValueError(f'chunk at {offset}')
        self._head = (start_ns, end_ns), offset, records.RECORD_HEAD.size + size
        self._sizes = compression, packed, unpacked
        self.indexes: list[tuple[int, int, int]] = []

    def place(self) -> ChunkPlace:
        """Return what was found."""
        return ChunkPlace(*self._head, *self._sizes, self.indexes)


def _take_names(
    stream: BinaryIO, found: _Record, index: McapIndex, schemas: dict[int, str]
) -> None:
    """Take a definition or a topic."""
    opcode, offset, size = found
    if size > _LARGEST_NAMES:
        raise ValueError(f'record {opcode} at {offset} has {size} bytes')
    content = stream.read(size)
    whole = records.record(opcode, content)
    key, schema_key = _KEYS.unpack_from(content)
    if opcode == records.SCHEMA:
        schemas[key], _ = _string(content, 2)
        index.add_schema(schemas[key], whole)
        return
    topic, at = _string(content, _KEYS.size)
    _, at = _string(content, at)
    # Of the metadata, which are as `records.channel` writes them.
    name, at = _string(content, at + _U32.size)
    qos, _ = _string(content, at)
    if name != QOS or schema_key not in schemas:
        raise ValueError(f'topic {topic}')
    index.add_channel(topic, schemas[schema_key], qos, whole)


def _string(data: bytes, at: int) -> tuple[str, int]:
    start = at + _U32.size
    (length,) = _U32.unpack_from(data, at)
    if start + length > len(data):
        raise ValueError(f'a text of {length} bytes')
    return data[start : start + length].decode(), start + length
