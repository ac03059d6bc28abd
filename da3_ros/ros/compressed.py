"""Compressed images to arrays: sizes first, then whether all of it is there, then the pixels."""

from __future__ import annotations

from dataclasses import dataclass
import io
import re
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from da3_ros.geometry.camera import ImageSize
from da3_ros.images.bits import eight_bits, largest_of
from da3_ros.ros.encodings import MOSAICS, Layout, ReadImage, ReadRules
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.image_header import FILE_KINDS, ImageHeader, file_end, has_all_scans, read_header
from da3_ros.ros.message_fields import CompressedImageFields
from da3_ros.types import ColourImage

_RULES = ReadRules()
_STORED = cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_ANYDEPTH
_JPEG_END = b'\xff\xd9'
# What follows the encoding in `format`: how it is compressed.
_COMPRESSION = re.compile(r';.*', re.DOTALL)


def _noise() -> bytes:
    """Return bits that no scan ends with, also behind any restart.

    They begin with ones: a decoder fills up with zeros.
    """
    part = bytes(0xFE - (i * i * 7 + i * 31) % 251 for i in range(2048))
    return part + b''.join(bytes((0xFF, 0xD0 + i)) + part for i in range(8))


_NOISE = _noise()


def compressed_to_rgb(
    message: CompressedImageFields, source: str, rules: ReadRules = _RULES
) -> ColourImage:
    """Return the pixels of a CompressedImage as uint8 RGB (H, W, 3), see `read_compressed`.

    Raises:
        FieldError: see there.
    """
    return read_compressed(message, source, rules).pixels


def read_compressed(
    message: CompressedImageFields, source: str, rules: ReadRules = _RULES
) -> ReadImage:
    """Return the decoded pixels of a CompressedImage, and what was seen on the way.

    Raises:
        FieldError: see `open_compressed`; or none of it can be decoded.
    """
    return open_compressed(message, source, rules).read()


@dataclass(frozen=True, slots=True, eq=False)
class UndecodedImage:
    """A compressed image of known size whose bytes are all there, as far as can be seen."""

    size: ImageSize
    format: str
    """Of the message."""
    _data: bytes
    _cut: str
    _source: str
    _rules: ReadRules
    _mosaic: Layout | None
    _is_grey: bool

    def read(self) -> ReadImage:
        """Return the decoded pixels, and what was seen on the way; from any thread.

        Raises:
            FieldError: none of it can be decoded.
        """
        flags = _STORED | (cv2.IMREAD_GRAYSCALE if self._is_grey else cv2.IMREAD_COLOR)
        decoded = _decode(self._data, flags)
        height, width = self.size.height, self.size.width
        if decoded is None or decoded.shape[:2] != (height, width):
            raise _not_decoded(self.format, len(self._data), self._source)
        largest = None
        if decoded.dtype == np.uint16:
            largest = largest_of(decoded)
            decoded = eight_bits(decoded, self._rules.mono16_bits)
        elif decoded.dtype != np.uint8:
            raise FieldError(
                self._source,
                'data',
                f'expected values of 8 or 16 bits, got {decoded.dtype}; dropped',
            )
        if self._mosaic is not None:
            return ReadImage(self._mosaic.rgb(decoded), largest, self._cut)
        code = cv2.COLOR_GRAY2RGB if self._is_grey else cv2.COLOR_BGR2RGB
        # In place where it can be: the pixels of colour are in memory of their own.
        pixels = cv2.cvtColor(decoded, code, None if self._is_grey else decoded)
        return ReadImage(np.asarray(pixels, dtype=np.uint8), largest, self._cut)


def open_compressed(
    message: CompressedImageFields, source: str, rules: ReadRules = _RULES
) -> UndecodedImage:
    """Return a CompressedImage that is ready to be decoded; of most files no pixel is looked at.

    The bytes say what they are (JPEG, PNG, WebP, TIFF, BMP); bytes behind their end are ignored.
    Of `format` only the encoding before the semicolon counts, and that where it names a mosaic
    (bayer) and the file is grey, as image_transport sends one. Of 16 bits the upper ones in use
    are kept. Orientation tags are ignored, since CameraInfo describes the stored pixels. A JPEG
    without end marker is used when all its rows are there.

    Args:
        message: sensor_msgs/CompressedImage, whoever made it.
        source: who sent it, for error messages.
        rules: what the parameters say.

    Raises:
        FieldError: no bytes, more pixels than allowed, or a truncated file.
    """
    if 'compressedDepth' in message.format:
        raise FieldError(source, 'format', f'expected a colour image, got {message.format!r}')
    data = bytes(memoryview(message.data))
    if not data:
        raise FieldError(source, 'data', 'expected a JPEG or PNG image, got no bytes; dropped')
    header = read_header(data)
    if header is None or not header.height or not header.width:
        raise _not_decoded(message.format, len(data), source)
    rules.check_size(header.height, header.width, source, 'data')
    name = _COMPRESSION.sub('', message.format).strip().lower()
    mosaic = MOSAICS.get(name) if header.channels == 1 else None
    if mosaic is not None:
        mosaic.check_sides(header.height, header.width, name, source)
    data, cut = _whole(data, header, source)
    return UndecodedImage(
        size=ImageSize(header.height, header.width),
        format=message.format,
        _data=data,
        _cut=cut,
        _source=source,
        _rules=rules,
        _mosaic=mosaic,
        _is_grey=mosaic is not None or (header.channels == 1 and header.bits == 16),
    )


def _not_decoded(image_format: str, size: int, source: str) -> FieldError:
    return FieldError(
        source,
        'data',
        f'{size} bytes of format {image_format[:80]!r} are no image that can be decoded '
        f'(expected one of {", ".join(FILE_KINDS)}); dropped',
    )


def _whole(data: bytes, header: ImageHeader, source: str) -> tuple[bytes, str]:
    """Return an image file with its end, and what is missing there."""
    if file_end(data, header.kind) is not None:
        return data, ''
    start = f'the image of {len(data)} bytes has no end'
    if header.kind == 'JPEG' and not has_all_scans(data):
        start += ', and scans of it are missing'
    elif header.kind == 'JPEG':
        data, rows = _without_end(data)
        if rows == header.height:
            return data, f'{start} marker; all its {rows} rows are there'
        start += f', only {rows} of its {header.height} rows are there'
    raise FieldError(source, 'data', f'{start}: truncated; dropped')


def _without_end(data: bytes) -> tuple[bytes, int]:
    """Return a JPEG without end marker with one, and how many of its rows are there.

    A decoder fills what is missing, and does not say so. It is decoded twice, with different bits
    behind it: the rows that need them differ.
    """
    # Buffers of a fixed size are filled up with zeros, which would pass for the bits of a scan.
    data = data.rstrip(b'\x00')
    if data.endswith(b'\xff'):
        data += b'\x00'
    whole = data + _JPEG_END
    filled, other = _silently(whole), _silently(data + _NOISE + _JPEG_END)
    if filled is None or other is None or filled.shape != other.shape:
        return whole, 0
    differ = np.flatnonzero((filled != other).reshape(len(filled), -1).any(axis=1))
    return whole, int(differ[0]) if len(differ) else len(filled)


def _silently(data: bytes) -> NDArray[np.uint8] | None:
    """Return the pixels of a JPEG by Pillow, which prints nothing about bits too many."""
    try:
        with Image.open(io.BytesIO(data), formats=('JPEG',)) as opened:
            return np.asarray(opened, dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _decode(data: bytes, flags: int) -> NDArray[Any] | None:
    try:
        decoded = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error:
        return None
    return None if decoded is None else np.asarray(decoded)
