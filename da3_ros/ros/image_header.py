"""What the first bytes of an image file say, and where the file ends; no pixel is decoded.

A small file may claim any size, so that the size has to be known before memory is taken for it.

Sources: PNG (ISO 15948), JPEG (ITU T.81, annex B), WebP (RFC 9649), TIFF 6.0, BITMAPINFOHEADER.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
import re
import struct
from types import MappingProxyType

FILE_KINDS = ('JPEG', 'PNG', 'WebP', 'TIFF', 'BMP')

_PNG = b'\x89PNG\r\n\x1a\n'
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_JPEG = b'\xff\xd8'
_JPEG_END = b'\xff\xd9'
_SCAN = 0xDA
# Start of frame; between them are tables of Huffman and arithmetic codes and a reserved marker.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers that stand alone: TEM, restarts, start of image.
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# In the bits of a scan: not a stuffed FF, no restart, no filling.
_AFTER_SCAN = re.compile(rb'\xff[^\x00\xd0-\xd7\xff]')
# A real file has some dozens; more is an attack.
_MOST_MARKERS = 5000
_TIFF_FORMATS: Mapping[int, str] = MappingProxyType({3: 'H', 4: 'I'})


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself."""

    kind: str
    """One of `FILE_KINDS`."""
    height: int
    """As it is stored, whatever an orientation tag says; 0 is possible, and no image."""
    width: int
    channels: int
    """Values per pixel, 3 where a palette gives them."""
    bits: int
    """Of one value."""


def read_header(data: bytes) -> ImageHeader | None:
    """Return what a file says of itself; None when it is none of `FILE_KINDS` or has no header."""
    for start, read in _READERS:
        if data.startswith(start):
            try:
                return read(data)
            except (struct.error, IndexError):
                return None  # it ends within its header
    return None


def file_end(data: bytes, kind: str) -> int | None:
    """Return how many bytes belong to the file, whatever follows; None where its end is missing.

    Only JPEG and PNG are looked at: decoders of the others refuse what is cut.
    """
    if kind == 'JPEG':
        return len(data) if data.endswith(_JPEG_END) else _jpeg_end(data)
    if kind == 'PNG':
        return _png_end(data)
    return len(data)


def _read_png(data: bytes) -> ImageHeader | None:
    name, width, height, bits, colour = struct.unpack_from('>4sIIBB', data, 12)
    if name != b'IHDR':
        return None
    return ImageHeader('PNG', height, width, _PNG_CHANNELS.get(colour, 3), bits)


def _png_end(data: bytes) -> int | None:
    # All lengths are looked at: a decoder takes memory for a chunk before it finds it cut, 4 GB.
    position = len(_PNG)
    while position + 12 <= len(data):
        length, name = struct.unpack_from('>I4s', data, position)
        position += 12 + length
        if name == b'IEND':
            return position if position <= len(data) else None
    return None


def _read_jpeg(data: bytes) -> ImageHeader | None:
    for marker, position in _segments(data):
        if marker in _FRAMES:
            bits, height, width, channels = struct.unpack_from('>BHHB', data, position + 2)
            return ImageHeader('JPEG', height, width, channels, bits)
        if marker == _SCAN:
            return None
    return None


def _jpeg_end(data: bytes) -> int | None:
    try:
        return next((at for marker, at in _segments(data) if marker == _JPEG_END[1]), None)
    except (struct.error, IndexError):
        return None  # it ends within a segment


def has_all_scans(data: bytes) -> bool:
    """Return whether a JPEG has scans for all coefficients of all components, whole or not.

    Those of a progressive one come in many; without the last ones it is coarse.
    """
    components = 0
    seen: dict[int, set[int]] = {}
    try:
        for marker, position in _segments(data):
            if marker in _FRAMES:
                components = data[position + 7]
            elif marker == _SCAN:
                count = data[position + 2]
                first, last, approximation = data[position + 3 + 2 * count :][:3]
                # Up to the last bit of each coefficient.
                known = range(first, last + 1) if approximation & 0x0F == 0 else ()
                for name in data[position + 3 : position + 3 + 2 * count : 2]:
                    seen.setdefault(name, set()).update(known)
    except (struct.error, IndexError, ValueError):
        pass  # it ends within a segment
    return len(seen) == components > 0 and all(len(known) >= 64 for known in seen.values())


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield every marker of a JPEG and the position behind it, up to the end marker.

    Raises:
        IndexError, struct.error: the data end before.
    """
    position = len(_JPEG)
    for _ in range(_MOST_MARKERS):
        marker, position = _marker(data, position)
        yield marker, position
        if marker == _JPEG_END[1]:
            return
        position = _behind(data, marker, position)
        if marker == _SCAN:
            found = _AFTER_SCAN.search(data, position)
            if found is None:
                return
            position = found.start()


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """Return the next marker and the position behind it; what lies before it is skipped."""
    position = data.find(b'\xff', position)
    if position < 0:
        raise IndexError
    while data[position] == 0xFF:
        position += 1
    return data[position], position + 1


def _behind(data: bytes, marker: int, position: int) -> int:
    """Return the position behind the segment of a marker."""
    if marker in _ALONE or marker == 0:
        return position
    (length,) = struct.unpack_from('>H', data, position)
    return position + max(int(length), 2)


def _read_webp(data: bytes) -> ImageHeader | None:
    kind, first = data[12:16], 20
    if data[8:12] != b'WEBP':
        return None
    if kind == b'VP8X':
        low = struct.unpack_from('<HBHB', data, first + 4)
        width, height = (low[0] | low[1] << 16) + 1, (low[2] | low[3] << 16) + 1
    elif kind == b'VP8L':
        (bits,) = struct.unpack_from('<I', data, first + 1)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b'VP8 ':
        width, height = (side & 0x3FFF for side in struct.unpack_from('<HH', data, first + 6))
    else:
        return None
    return ImageHeader('WebP', height, width, 3, 8)


def _read_bmp(data: bytes) -> ImageHeader | None:
    (size,) = struct.unpack_from('<I', data, 14)
    width, height = struct.unpack_from('<HH' if size == 12 else '<ii', data, 18)
    # Rows from top to bottom have a negative height.
    return ImageHeader('BMP', abs(height), abs(width), 3, 8)


def _read_tiff(data: bytes) -> ImageHeader | None:
    order = '<' if data.startswith(b'II') else '>'
    (first,) = struct.unpack_from(f'{order}I', data, 4)
    (entries,) = struct.unpack_from(f'{order}H', data, first)
    found = {256: 0, 257: 0, 258: 1, 277: 1}
    for entry in range(first + 2, first + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(f'{order}HHI', data, entry)
        if tag in found and kind in _TIFF_FORMATS:
            code = f'{order}{_TIFF_FORMATS[kind]}'
            place = entry + 8
            if count * struct.calcsize(code) > 4:
                (place,) = struct.unpack_from(f'{order}I', data, place)
            (found[tag],) = struct.unpack_from(code, data, place)
    return ImageHeader('TIFF', found[257], found[256], found[277], found[258])


_READERS: tuple[tuple[bytes, Callable[[bytes], ImageHeader | None]], ...] = (
    (_JPEG, _read_jpeg),
    (_PNG, _read_png),
    (b'RIFF', _read_webp),
    (b'BM', _read_bmp),
    (b'II*\x00', _read_tiff),
    (b'MM\x00*', _read_tiff),
)
