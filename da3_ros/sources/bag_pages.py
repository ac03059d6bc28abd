"""Rows of an SQLite file that SQLite itself refuses: read from its pages, one by one.

Source: the SQLite file format (sqlite.org/fileformat2.html). Every leaf page of a table names its
rows itself, so that rows can be read where the pages above them are gone. Recorders only append:
there are no deleted rows whose remains could be taken for messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from da3_ros.sources.bag_split import content_end

MAGIC = b'SQLite format 3\0'
_LEAF = 0x0D
_HEADER_BYTES = 8
_USUAL_PAGE = 4096
_NUMBER_BYTES = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
_MAX_ROW_BYTES = 1 << 30
_BATCH_BYTES = 1 << 20
# A row whose last page was never written would end in zeros; one or two such pages may be the end
# of an image, the pages before which name the one that follows.
_ZERO_PAGES = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What an SQLite file says about itself."""

    page_bytes: int
    usable_bytes: int
    """Of each page: without what is reserved at its end."""
    page_count: int
    """By the header; 0 where it does not say."""


class Row(NamedTuple):
    """One row where its values are not read yet."""

    rowid: int
    page: int
    cell: int
    """Offset of the cell in its page."""
    values: tuple[object, ...]
    """Numbers as they are; text and blobs as their lengths, in `Span`."""


class Span(NamedTuple):
    """A text or a blob in the payload of its row."""

    is_text: bool
    start: int
    length: int


def read_header(stream: BinaryIO) -> Header:
    """Return the header of a file; usual values where it is damaged."""
    stream.seek(0)
    head = stream.read(100).ljust(100, b'\0')
    page = int.from_bytes(head[16:18], 'big')
    page = 1 << 16 if page == 1 else page
    if page < 512 or page & (page - 1):
        page = _USUAL_PAGE
    # The count is valid only where it was written with the last change (1.3.7).
    is_valid = head[24:28] == head[92:96]
    count = int.from_bytes(head[28:32], 'big') if is_valid else 0
    usable = page - head[20] if page - head[20] >= 480 else page
    return Header(page, usable, count)


class Pages:
    """The rows of all tables of a file, also of one that is cut.

    Args:
        path: the file; it is only read.
    """

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open('rb')
        self.size = path.stat().st_size
        self.header = read_header(self._stream)
        self._zeros_from = self._zero_tail()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def rows(self) -> Iterator[Row]:
        """Yield the rows of all leaf pages, by page; the values of each by its own header."""
        step = self.header.page_bytes
        batch = max(1, _BATCH_BYTES // step)
        last = -(-self._zeros_from // step)
        for first in range(1, last + 1, batch):
            self._stream.seek((first - 1) * step)
            data = self._stream.read(min(batch * step, self._zeros_from - (first - 1) * step))
            for place in range(0, len(data), step):
                if data[place] == _LEAF:
                    number = first + place // step
                    yield from self._leaf(number, data[place : place + step])

    def payload(self, row: Row) -> bytes | None:
        """Return the bytes of a row; None where some of its pages are missing."""
        step = self.header.page_bytes
        self._stream.seek((row.page - 1) * step)
        page = self._stream.read(step)
        found = self._cell(page, row.cell)
        if found is None:
            return None
        size, _, start, local = found
        data = bytearray(page[start : start + local])
        following = int.from_bytes(page[start + local : start + local + 4], 'big')
        while len(data) < size:
            room = min(size - len(data), self.header.usable_bytes - 4)
            if following < 2 or (following - 1) * step >= self._zeros_from:
                return None
            self._stream.seek((following - 1) * step)
            part = self._stream.read(4 + room)
            if len(part) < 4 + room:
                return None
            data += part[4:]
            following = int.from_bytes(part[:4], 'big')
        return bytes(data)

    @property
    def zero_tail_bytes(self) -> int:
        """Zeros at the end that are more than content: pages that were never written."""
        return self.size - self._zeros_from

    def _leaf(self, number: int, page: bytes) -> Iterator[Row]:
        count = int.from_bytes(page[3:5], 'big')
        for index in range(count):
            at = _HEADER_BYTES + 2 * index
            cell = int.from_bytes(page[at : at + 2], 'big')
            found = self._cell(page, cell) if at + 2 <= cell else None
            if found is None:
                continue
            size, rowid, start, local = found
            values = _values(page[start : start + local], size)
            if values is not None:
                yield Row(rowid, number, cell, values)

    def _cell(self, page: bytes, at: int) -> tuple[int, int, int, int] | None:
        """Return size of the payload, rowid, start and length of its part on this page."""
        first = _varint(page, at)
        second = first and _varint(page, first[1])
        if not first or not second or not 0 < first[0] <= min(_MAX_ROW_BYTES, self.size):
            return None
        size, (rowid, start) = first[0], second
        local = self._local(size)
        whole = start + local + (4 if local < size else 0)
        return (size, rowid, start, local) if whole <= len(page) else None

    def _local(self, size: int) -> int:
        """Return how much of a payload lies on the leaf page itself (1.6)."""
        usable = self.header.usable_bytes
        if size <= usable - 35:
            return size
        least = (usable - 12) * 32 // 255 - 23
        wanted = least + (size - least) % (usable - 4)
        return wanted if wanted <= usable - 35 else least

    def _zero_tail(self) -> int:
        """Return where the zeros at the end of the file begin; its size where they are few."""
        step = self.header.page_bytes
        start = content_end(self._stream, self.size)
        # The page in which they begin may lack its second half.
        first = start // step * step
        return first if self.size - start > _ZERO_PAGES * step else self.size


def _values(local: bytes, size: int) -> tuple[object, ...] | None:
    """Return the values of a record (2.1), None where its header does not fit its payload."""
    head = _varint(local, 0)
    if head is None or head[0] > len(local):
        return None
    end, at = head
    kinds = []
    while at < end:
        found = _varint(local, at)
        if found is None:
            return None
        kinds.append(found[0])
        at = found[1]
    values: list[object] = []
    for kind in kinds:
        length = _length(kind)
        if length is None or at + length > size:
            return None
        if kind >= 12:
            values.append(Span(bool(kind % 2), at, length))
        else:
            values.append(_number(kind, local[at : at + length]))
        at += length
    return tuple(values) if at == size else None


def _length(kind: int) -> int | None:
    """Return the bytes of a value by its serial type (2.1); None for a type that there is not."""
    if kind >= 12:
        return (kind - 12) // 2
    return _NUMBER_BYTES[kind] if 0 <= kind < len(_NUMBER_BYTES) else None


def _number(kind: int, data: bytes) -> int | None:
    if kind in (8, 9):
        return kind - 8
    return int.from_bytes(data, 'big', signed=True) if 1 <= kind <= 6 else None


def _varint(data: bytes, at: int) -> tuple[int, int] | None:
    """Return a number of one to nine bytes (1.6) and where it ends."""
    value = 0
    for index in range(9):
        if at + index >= len(data):
            return None
        byte = data[at + index]
        if index == 8:
            value = value << 8 | byte
            break
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    if value >= 1 << 63:
        value -= 1 << 64
    return value, at + index + 1
