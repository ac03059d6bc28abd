"""Reading one MCAP file of a bag: by its summary where that is whole, else by its records.

A scan rebuilds the index in memory; the file stays as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from da3_ros.errors import SourceError
from da3_ros.sources import bag_records as records
from da3_ros.sources.bag_damage import BagDamage
from da3_ros.sources.bag_records import ChunkHead, Gap, Record
from da3_ros.sources.bag_split import (
    MAX_STAMP_NS,
    Channel,
    Stored,
    channel_of,
    content_end,
    in_order,
)
from da3_ros.sources.bag_summary import read_summary
from da3_ros.sources.bag_unpack import ALWAYS_BYTES, MAX_RATIO, MAX_UNPACKED_BYTES, unpacked

_RUN_BYTES = 8 << 20
_RUN_MESSAGES = 4096
_MOST_MESSAGES = 1 << 40


@dataclass(slots=True)
class _Block:
    """Messages that are read together: those of a chunk, or a run of messages without one."""

    offset: int
    end: int
    chunk: Record | None
    counts: Counter[int] = field(default_factory=Counter)
    start_ns: int = MAX_STAMP_NS
    end_ns: int = 0

    def add(self, channel: int, stamp_ns: int) -> None:
        """Count a message."""
        self.counts[channel] += 1
        self.start_ns = min(self.start_ns, stamp_ns)
        self.end_ns = max(self.end_ns, stamp_ns)


class McapSplit:
    """One MCAP file, whole or not.

    Args:
        path: the file.
        damage: takes what is missing.
    """

    def __init__(self, path: Path, damage: BagDamage) -> None:
        self.name = path.name
        self._damage = damage
        self._stream: BinaryIO = path.open('rb')
        self._size = content_end(self._stream, path.stat().st_size)
        if zeros := path.stat().st_size - self._size:
            # A file that is whole ends with letters.
            self._damage.say(
                'bag_damaged', f'{self.name}: {zeros} zeros at its end', missing_bytes=zeros
            )
        self._schemas: dict[int, bytes] = {}
        self._declared: dict[int, Channel | None] = {}
        self._blocks: list[_Block] = []
        if not self._take_summary():
            self._scan()
        self.channels = {key: c for key, c in self._declared.items() if c is not None}
        total: Counter[int] = Counter()
        for block in self._blocks:
            total.update(block.counts)
        self.counts = {key: total[key] for key in self.channels}
        self._say_unknown(total)
        filled = [block for block in self._blocks if block.counts]
        self.start_ns = min((block.start_ns for block in filled), default=0)
        self.end_ns = max((block.end_ns for block in filled), default=0)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def messages(self, channels: Collection[int], start_ns: int, stop_ns: int) -> Iterator[Stored]:
        """Yield messages in order of time, of stamps from start to before stop."""

        def load(block: _Block) -> Iterator[Stored]:
            stored = [
                message
                for message in self._stored(block)
                if message.channel in channels and start_ns <= message.stamp_ns < stop_ns
            ]
            return iter(sorted(stored, key=lambda message: message.stamp_ns))

        wanted = [
            block
            for block in self._blocks
            if block.start_ns < stop_ns
            and block.end_ns >= start_ns
            and not block.counts.keys().isdisjoint(channels)
        ]
        return in_order((b.start_ns, lambda b=b: load(b)) for b in wanted)  # type: ignore[misc]

    def _say_unknown(self, total: Counter[int]) -> None:
        unknown = sum(n for key, n in total.items() if key not in self._declared)
        if unknown:
            self._damage.skip(self.name, 'unknown', 'their topic is not declared', unknown)

    # ---- index

    def _take_summary(self) -> bool:
        summary = read_summary(self._stream, self._size)
        if summary is None:
            return False
        for opcode, data in summary.names:
            self._declare(opcode, data)
        if not summary.is_index:
            return False
        for entry in summary.chunks:
            record = Record(records.CHUNK, entry.offset, entry.offset + 9, entry.length - 9)
            head = records.chunk_head(self._stream, record)
            begins = records.read_at(self._stream, entry.offset, 9)
            is_there = begins == b'\x06' + record.length.to_bytes(8, 'little')
            if head is None or not is_there or (head.start_ns, head.end_ns) != entry.span_ns:
                self._blocks.clear()
                return False
            counts = Counter(entry.counts)
            block = _Block(entry.offset, record.end, record, counts, *entry.span_ns)
            if self._is_sane(block, head):
                self._blocks.append(block)
        return True

    def _is_sane(self, block: _Block, head: ChunkHead) -> bool:
        """Return whether a chunk may be unpacked; say so where it may not."""
        packed = min(head.data_length, self._size)
        limit = min(MAX_UNPACKED_BYTES, max(ALWAYS_BYTES, MAX_RATIO * packed))
        if max(head.size, packed) <= limit:
            return True
        reason = f'a chunk declares {head.size} bytes unpacked, beyond the limit of {limit}'
        self._lose(block, reason)
        return False

    def _scan(self) -> None:
        """Build the index from the records themselves and say what is missing."""
        if records.read_at(self._stream, 0, 8) != records.MAGIC:
            self._damage.say('bag_damaged', f'{self.name}: does not begin as an MCAP file does')
        run: _Block | None = None
        ends_well = False
        for record in records.walk(self._stream, 8, self._size, self._declared):
            if isinstance(record, Gap):
                tail = records.read_at(self._stream, record.offset, 9)
                if not (ends_well and tail == records.MAGIC):
                    ends_well = False
                    self._say_gap(record)
                continue
            ends_well = record.opcode == records.FOOTER
            if record.opcode == records.MESSAGE:
                run = self._add_to_run(run, record)
            elif record.opcode == records.CHUNK:
                self._add_chunk(record)
            else:
                self._take_other(record)
        if not ends_well:
            self._damage.say(
                'bag_damaged',
                f'{self.name}: ends without the summary of an MCAP file: its recorder did not '
                'finish it, or its end is missing',
            )

    def _take_other(self, record: Record) -> None:
        if record.opcode == records.STATISTICS:
            count = int.from_bytes(records.read_at(self._stream, record.start, 8), 'little')
            missing = count - sum(block.counts.total() for block in self._blocks)
            if 0 < missing < _MOST_MESSAGES:
                self._damage.say(
                    'bag_damaged',
                    f'{self.name}: {missing} of the {count} messages that its summary counts '
                    'are not there',
                    missing_messages=missing,
                )
        elif record.opcode > records.LAST_OPCODE:
            reason = 'records of a kind that MCAP does not define'
            self._damage.skip(self.name, record.offset, reason)
        else:
            self._take_names(self._stream, record)

    def _add_to_run(self, run: _Block | None, record: Record) -> _Block:
        is_full = run is not None and (
            run.end - run.offset > _RUN_BYTES or run.counts.total() >= _RUN_MESSAGES
        )
        if run is None or is_full or run.end != record.offset:
            run = _Block(record.offset, record.offset, None)
            self._blocks.append(run)
        run.end = record.end
        data = records.read_at(self._stream, record.start, records.MESSAGE_HEAD_BYTES)
        head = records.message_head(data)
        run.add(head.channel, head.log_time_ns)
        return run

    def _add_chunk(self, record: Record) -> None:
        block = _Block(record.offset, record.end, record)
        for message in self._stored(block):
            block.add(message.channel, message.stamp_ns)
        self._blocks.append(block)

    def _say_gap(self, gap: Gap) -> None:
        what = 'zeros' if gap.is_zero else 'bytes that cannot be read'
        self._damage.say(
            'bag_damaged',
            f'{self.name}: {gap.length} {what} at {gap.offset} of {self._size}',
            unread_bytes=gap.length,
        )

    # ---- content

    def _take_names(self, stream: BinaryIO, record: Record) -> None:
        if record.opcode in (records.SCHEMA, records.CHANNEL) and record.length < 1 << 24:
            self._declare(record.opcode, records.read_at(stream, record.start, record.length))

    def _declare(self, opcode: int, data: bytes) -> None:
        """Take a schema or a channel; the first of a number counts."""
        number = int.from_bytes(data[:2], 'little')
        if opcode == records.SCHEMA:
            found = records.strings(data, 3, 2)
            if found is not None:
                self._schemas.setdefault(number, found[0][0])
            return
        found = records.strings(data, 3, 4)
        if found is None or number in self._declared:
            return
        (topic, encoding, metadata), _ = found
        schema = int.from_bytes(data[2:4], 'little')
        self._declared[number] = channel_of(
            self._damage,
            self.name,
            topic,
            self._schemas.get(schema),
            encoding,
            _qos(metadata),
        )

    def _stored(self, block: _Block) -> Iterator[Stored]:
        """Yield the messages of a block as they lie in the file."""
        if block.chunk is None:
            yield from self._parsed(self._stream, block.offset, block.end, block.offset)
            return
        head = records.chunk_head(self._stream, block.chunk)
        data = b'' if head is None else self._unpack(block, head)
        found: Counter[int] = Counter()
        for stored in self._parsed(BytesIO(data), 0, len(data), block.offset):
            found[stored.channel] += 1
            yield stored
        gone = (block.counts - found).total()
        if gone and not self._damage.has_skipped(self.name, block.offset):
            reason = 'the index of their chunk counts them, the chunk does not hold them'
            self._damage.skip(self.name, (block.offset, 'gone'), reason, gone)

    def _unpack(self, block: _Block, head: ChunkHead) -> bytes:
        """Return the content of a chunk as far as it is certain."""
        if not self._is_sane(block, head):
            return b''
        there = min(head.data_length, max(0, self._size - head.data_start))
        packed = records.read_at(self._stream, head.data_start, there)
        missing = head.data_length - len(packed)
        if missing:
            self._damage.say(
                'bag_damaged',
                f'{self.name}: ends within a chunk, of which {missing} of {head.data_length} '
                'bytes are missing; the messages before the cut are read',
                missing_bytes=missing,
            )
        try:
            data = unpacked(packed, head.compression, head.size)
        except SourceError as error:
            return self._lose(block, f'a chunk cannot be unpacked: {error}')
        if missing:
            return data
        if len(data) < head.size:
            return self._lose(block, 'a chunk is damaged', left=data)
        if head.crc and crc32(data) != head.crc:
            # Which of its messages are wrong nobody can say.
            return self._lose(block, 'the checksum of a chunk does not fit', refused=data)
        return data

    def _lose(self, block: _Block, reason: str, left: bytes = b'', refused: bytes = b'') -> bytes:
        """Say what of a chunk is lost, and how many messages where that is known."""
        lost = max(block.counts.total(), self._count(refused)) - self._count(left)
        if lost > 0:
            self._damage.skip(self.name, block.offset, reason, lost)
        else:
            text = f'{self.name}: {reason}, at {block.offset} of {self._size} bytes'
            self._damage.say('bag_damaged', text)
        return left

    def _count(self, data: bytes) -> int:
        parts = records.walk(BytesIO(data), 0, len(data), self._declared)
        return sum(isinstance(p, Record) and p.opcode == records.MESSAGE for p in parts)

    def _parsed(self, stream: BinaryIO, start: int, end: int, origin: int) -> Iterator[Stored]:
        """Yield the messages of a stretch.

        Args:
            stream: the file, or the content of a chunk.
            start: of the stretch.
            end: of the stretch.
            origin: where the chunk or run lies in the file.
        """
        is_chunk = stream is not self._stream
        for record in records.walk(stream, start, end, self._declared):
            if isinstance(record, Gap):
                if is_chunk:
                    self._say_part(record.length, origin)
            elif record.opcode == records.MESSAGE:
                data = records.read_at(stream, record.start, record.length)
                head = records.message_head(data)
                position = origin + record.offset if is_chunk else record.offset
                yield Stored(
                    head.log_time_ns, head.channel, position, data[records.MESSAGE_HEAD_BYTES :]
                )
            elif record.opcode in (records.SCHEMA, records.CHANNEL):
                self._take_names(stream, record)
            elif is_chunk:
                # The specification lets a chunk hold nothing else.
                self._say_part(record.length, origin)

    def _say_part(self, length: int, origin: int) -> None:
        self._damage.say(
            'bag_damaged',
            f'{self.name}: {length} bytes of the chunk at {origin} are no whole message',
            unread_bytes=length,
        )


def _qos(metadata: bytes) -> bytes:
    """Return what the metadata of a channel say of the offered profiles."""
    at = 0
    while at < len(metadata):
        found = records.strings(metadata, 2, at)
        if found is None:
            break
        (key, value), at = found
        if key == b'offered_qos_profiles':
            return value
    return b''
