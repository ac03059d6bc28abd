"""Messages of cameras in the bytes that a middleware hands over, or a bag: no pixel is copied.

A message that rclpy makes of the same bytes costs two more copies of all pixels.

Source: OMG DDS-XTypes, plain CDR: every number at a multiple of its size, counted behind the
encapsulation; a string is its length with the final zero, then its bytes; a sequence is its
length, then its items.
"""

from __future__ import annotations

import struct
from struct import Struct

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import (
    CameraInfoFields,
    CompressedImageFields,
    HeaderFields,
    ImageFields,
    RegionFields,
    StampFields,
)

_ENCAPSULATION_BYTES = 4


class _Order:
    """The numbers of one byte order."""

    def __init__(self, sign: str) -> None:
        self.stamp = Struct(f'{sign}iI')
        self.number = Struct(f'{sign}I')
        self.real = np.dtype(f'{sign}f8')


_ORDERS = {b'\x00\x00': _Order('>'), b'\x00\x01': _Order('<')}


def is_plain_cdr(data: bytes | memoryview) -> bool:
    """Return whether bytes say of themselves that they lie as is read here."""
    return bytes(data[:2]) in _ORDERS


def image_from_cdr(data: bytes | memoryview, source: str) -> ImageFields:
    """Return the image that a serialised sensor_msgs/Image holds; its pixels are those bytes.

    Args:
        data: with the encapsulation; longer ones are taken, as padding.
        source: who sent it, for error messages.

    Raises:
        FieldError: the bytes end within a field, or are no plain CDR.
    """
    reader = _Reader(data, source)
    return ImageFields(
        header=reader.header(),
        height=reader.number('height'),
        width=reader.number('width'),
        encoding=reader.string('encoding'),
        is_bigendian=reader.octet('is_bigendian'),
        step=reader.number('step'),
        data=reader.octets('data'),
    )


def compressed_from_cdr(data: bytes | memoryview, source: str) -> CompressedImageFields:
    """Return the image that a serialised sensor_msgs/CompressedImage holds, in the same manner.

    Args:
        data: see `image_from_cdr`.
        source: see `image_from_cdr`.

    Raises:
        FieldError: see `image_from_cdr`.
    """
    reader = _Reader(data, source)
    return CompressedImageFields(
        header=reader.header(), format=reader.string('format'), data=reader.octets('data')
    )


def info_from_cdr(data: bytes | memoryview, source: str) -> CameraInfoFields:
    """Return the calibration that a serialised sensor_msgs/CameraInfo holds.

    Args:
        data: see `image_from_cdr`.
        source: see `image_from_cdr`.

    Raises:
        FieldError: see `image_from_cdr`.
    """
    reader = _Reader(data, source)
    return CameraInfoFields(
        header=reader.header(),
        height=reader.number('height'),
        width=reader.number('width'),
        distortion_model=reader.string('distortion_model'),
        d=reader.reals('d', reader.number('d')),
        k=reader.reals('k', 9),
        r=reader.reals('r', 9),
        p=reader.reals('p', 12),
        binning_x=reader.number('binning_x'),
        binning_y=reader.number('binning_y'),
        roi=RegionFields(
            x_offset=reader.number('roi.x_offset'),
            y_offset=reader.number('roi.y_offset'),
            height=reader.number('roi.height'),
            width=reader.number('roi.width'),
            do_rectify=bool(reader.octet('roi.do_rectify')),
        ),
    )


class _Reader:
    """Reads one field behind the other."""

    def __init__(self, data: bytes | memoryview, source: str) -> None:
        self._source = source
        self._size = len(data)
        order = _ORDERS.get(bytes(data[:2]))
        if order is None or self._size < _ENCAPSULATION_BYTES:
            raise FieldError(
                source,
                'encapsulation',
                f'expected a message in plain CDR (00 00 or 00 01 and two bytes more), got '
                f'{self._size} bytes that begin with {bytes(data[:4]).hex(" ")!r}; dropped',
            )
        self._order = order
        self._body = memoryview(data)[_ENCAPSULATION_BYTES:]
        self._at = 0

    def header(self) -> HeaderFields:
        """Return std_msgs/Header, which a message begins with."""
        try:
            stamp = self._order.stamp.unpack_from(self._body, self._at)
        except struct.error:
            raise self._cut('header.stamp', self._order.stamp.size) from None
        self._at += self._order.stamp.size
        return HeaderFields(StampFields(*stamp), self.string('header.frame_id'))

    def number(self, field: str) -> int:
        """Return an unsigned number of four bytes."""
        at = -(-self._at // 4) * 4
        try:
            (value,) = self._order.number.unpack_from(self._body, at)
        except struct.error:
            raise self._cut(field, 4) from None
        self._at = at + 4
        return int(value)

    def octet(self, field: str) -> int:
        """Return a byte."""
        return self._taken(field, 1)[0]

    def octets(self, field: str) -> memoryview:
        """Return a sequence of bytes, as a view."""
        return self._taken(field, self.number(field))

    def string(self, field: str) -> str:
        """Return a text, to its first zero, which some senders leave out; so does rclpy."""
        content = bytes(self._taken(field, self.number(field)))
        return content.partition(b'\x00')[0].decode('utf-8', 'replace')

    def reals(self, field: str, count: int) -> FloatArray:
        """Return numbers (count,) of eight bytes."""
        self._at = -(-self._at // 8) * 8
        content = self._taken(field, 8 * count)
        return np.frombuffer(content, self._order.real).astype(np.float64)

    def _taken(self, field: str, size: int) -> memoryview:
        end = self._at + size
        if end > len(self._body):
            raise self._cut(field, size)
        content = self._body[self._at : end]
        self._at = end
        return content

    def _cut(self, field: str, size: int) -> FieldError:
        left = max(len(self._body) - self._at, 0)
        return FieldError(
            self._source,
            field,
            f'expected {size} bytes, but of the {self._size} of the message {left} are left: it '
            'is truncated; dropped',
        )
