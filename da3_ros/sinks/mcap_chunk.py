"""Messages that are compressed together."""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

import lz4.frame
import zstandard

from da3_ros.options.choices import BagCompression
from da3_ros.sinks import mcap_records as records
from da3_ros.sinks.mcap_index import ChunkPlace

Compress = Callable[[bytearray], bytes]

_ZSTD_LEVEL = 1
"""Of higher ones depth gains a few per cent and costs several times as much."""


def compressor(compression: BagCompression) -> Compress:
    """Return a function that gives equal bytes for equal bytes."""
    if compression == 'zstd':
        # One thread: with more the bytes are others.
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, threads=0).compress
    if compression == 'lz4':
        return lz4.frame.compress  # type: ignore[no-any-return]
    return bytes


class OpenChunk:
    """A chunk that takes messages."""

    def __init__(self) -> None:
        self._content = bytearray()
        self._entries: dict[int, bytearray] = {}
        self._start_ns, self._end_ns = 0, 0

    @property
    def size(self) -> int:
        """Bytes so far, not compressed."""
        return len(self._content)

    @property
    def message_count(self) -> int:
        """Messages so far."""
        entries = sum(len(entries) for entries in self._entries.values())
        return entries // records.INDEX_ENTRY.size

    def add(self, key: int, stamp_ns: int, data: bytes | bytearray | memoryview) -> None:
        """Take a message of a channel."""
        if not self._content:
            self._start_ns = self._end_ns = stamp_ns
        self._start_ns = min(self._start_ns, stamp_ns)
        self._end_ns = max(self._end_ns, stamp_ns)
        entry = records.INDEX_ENTRY.pack(stamp_ns, len(self._content))
        self._entries.setdefault(key, bytearray()).extend(entry)
        self._content += records.message_head(key, stamp_ns, len(data))
        self._content += data

    def closed(
        self, offset: int, compression: BagCompression, compress: Compress
    ) -> tuple[tuple[bytes, ...], ChunkPlace]:
        """Return the bytes of the chunk and its message indexes, and where it will lie.

        Args:
            offset: in the file, of its first byte.
            compression: what `compress` does.
            compress: packs the messages.
        """
        span_ns, size = (self._start_ns, self._end_ns), len(self._content)
        name = '' if compression == 'none' else compression
        packed = compress(self._content)
        head = records.chunk_head(span_ns, size, crc32(self._content), name, len(packed))
        indexes, places = [], []
        for key, entries in sorted(self._entries.items()):
            indexes.append(records.message_index(key, bytes(entries)))
            count = len(entries) // records.INDEX_ENTRY.size
            places.append((key, count, len(indexes[-1])))
        place = ChunkPlace(
            span_ns, offset, len(head) + len(packed), name, len(packed), size, tuple(places)
        )
        return (head, packed, b''.join(indexes)), place
