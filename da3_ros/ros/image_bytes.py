"""Images as they come from the middleware: their fields read from the bytes, no pixel copied.

A message that rclpy makes of the same bytes costs two more copies of all pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
import struct
from struct import Struct

from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image

# CDR, big-endian and little-endian.
_ENCAPSULATIONS = {b'\x00\x00': '>', b'\x00\x01': '<'}
_ENCAPSULATION_BYTES = 4


@dataclass(frozen=True, slots=True)
class ReceivedStamp:
    """Fields of builtin_interfaces/Time."""

    sec: int
    nanosec: int


@dataclass(frozen=True, slots=True)
class ReceivedHeader:
    """Fields of std_msgs/Header."""

    stamp: ReceivedStamp
    frame_id: str


@dataclass(frozen=True, slots=True)
class ReceivedImage:
    """Fields of sensor_msgs/Image, by the same names."""

    header: ReceivedHeader
    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: memoryview
    """On the bytes that came."""


def image_of_bytes(data: bytes) -> ReceivedImage | Image:
    """Return the image that a serialised sensor_msgs/Image holds.

    Source: OMG DDS-XTypes, plain CDR: every number at a multiple of its size, counted behind the
    encapsulation; a string is its length with the final zero, then its bytes. What is laid out
    otherwise is left to rclpy.

    Raises:
        Exception: the bytes are no image, by rclpy.
    """
    order = _ENCAPSULATIONS.get(data[:2])
    found = None if order is None else _plain(memoryview(data)[_ENCAPSULATION_BYTES:], order)
    return deserialize_message(data, Image) if found is None else found


class _Layout:
    """The numbers of one byte order."""

    def __init__(self, order: str) -> None:
        self.stamp = Struct(f'{order}iI')
        self.number = Struct(f'{order}I')
        self.two = Struct(f'{order}II')


_LAYOUTS = {order: _Layout(order) for order in _ENCAPSULATIONS.values()}


def _plain(body: memoryview, order: str) -> ReceivedImage | None:
    """Return the image of plain CDR behind its encapsulation; None where it is cut short."""
    layout = _LAYOUTS[order]
    try:
        stamp = layout.stamp.unpack_from(body, 0)
        frame_id, place = _string(body, 8, layout)
        height, width = layout.two.unpack_from(body, place)
        encoding, place = _string(body, place + 8, layout, is_before_number=False)
        is_bigendian = body[place]
        place = _aligned(place + 1)
        step, count = layout.two.unpack_from(body, place)
    except (struct.error, IndexError):
        return None
    data = body[place + 8 : place + 8 + count]
    if len(data) != count:
        return None
    header = ReceivedHeader(ReceivedStamp(*stamp), frame_id)
    return ReceivedImage(header, height, width, encoding, is_bigendian, step, data)


def _string(
    body: memoryview, place: int, layout: _Layout, *, is_before_number: bool = True
) -> tuple[str, int]:
    """Return a string and the place of what follows it."""
    (count,) = layout.number.unpack_from(body, place)
    end = place + 4 + count
    # As rclpy reads it: to the first zero, which some senders leave out.
    text = bytes(body[place + 4 : end]).partition(b'\x00')[0].decode('utf-8', 'replace')
    return text, _aligned(end) if is_before_number else end


def _aligned(place: int) -> int:
    return -(-place // 4) * 4
