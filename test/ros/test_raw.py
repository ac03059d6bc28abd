"""Fields of images in the bytes of the middleware, against what rclpy reads of the same bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest

pytest.importorskip('rclpy')
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from da3_ros.ros.conversions import fill_data, image_to_rgb
from da3_ros.ros.message_fields import ImageFields
from da3_ros.ros.reading.raw import image_from_cdr

FIELDS = ('height', 'width', 'encoding', 'is_bigendian', 'step')


def image(
    frame_id: str = 'front', encoding: str = 'rgb8', rows: int = 3, columns: int = 5
) -> Image:
    head = Header(stamp=Time(sec=-7, nanosec=123_456_789), frame_id=frame_id)
    message = Image(header=head, encoding=encoding, height=rows, width=columns, is_bigendian=1)
    message.step = 3 * columns
    fill_data(message, np.arange(rows * message.step, dtype=np.uint8).reshape(rows, -1))
    return message


def big_endian(message: Image) -> bytes:
    """Return the message as a machine of the other byte order sends it; written by hand."""
    stamp = message.header.stamp
    body = struct.pack('>iI', stamp.sec, stamp.nanosec)
    for text, numbers in (
        (message.header.frame_id, (message.height, message.width)),
        (message.encoding, ()),
    ):
        raw = text.encode() + b'\x00'
        body += struct.pack('>I', len(raw)) + raw
        if numbers:
            body = body.ljust(-(-len(body) // 4) * 4, b'\x00') + struct.pack('>2I', *numbers)
    body += bytes([message.is_bigendian])
    body = body.ljust(-(-len(body) // 4) * 4, b'\x00')
    return (
        b'\x00\x00\x00\x00'
        + body
        + struct.pack('>2I', message.step, len(message.data))
        + bytes(message.data)
    )


def assert_same(found: ImageFields | Image, message: Image) -> None:
    assert [getattr(found, name) for name in FIELDS] == [getattr(message, n) for n in FIELDS]
    assert found.header.frame_id == message.header.frame_id
    assert found.header.stamp.sec == message.header.stamp.sec
    assert found.header.stamp.nanosec == message.header.stamp.nanosec
    assert bytes(found.data) == bytes(message.data)


@pytest.mark.parametrize('frame_id', ['', 'a', 'ab', 'abc', 'abcd', 'Kamera über Grund'])
@pytest.mark.parametrize('encoding', ['', 'rgb8', 'mono8', 'bayer_rggb16', '8UC3'])
def test_fields_are_those_that_rclpy_reads(frame_id: str, encoding: str) -> None:
    data = serialize_message(image(frame_id, encoding))
    found = image_from_cdr(data, 'front')
    assert isinstance(found, ImageFields)
    assert_same(found, deserialize_message(data, Image))


def test_the_other_byte_order_is_read_too() -> None:
    message = image('front', 'bgr8')
    found = image_from_cdr(big_endian(message), 'front')
    assert isinstance(found, ImageFields)
    assert_same(found, message)


@pytest.mark.parametrize('text', [b'abcde', b'ab\x00d\x00', b'\x00bcd\x00', b'\xffbcd\x00'])
@pytest.mark.parametrize('frame_id', ['1234', ''], ids=['frame_id', 'encoding'])
def test_strings_of_other_senders_end_where_rclpy_ends_them(text: bytes, frame_id: str) -> None:
    """Some leave out the final zero, some send all of a field of fixed length."""
    data = serialize_message(image(frame_id, '' if frame_id else '1234'))
    data = data.replace(b'1234\x00', text)
    found = image_from_cdr(data, 'front')
    assert isinstance(found, ImageFields)
    assert_same(found, deserialize_message(data, Image))


def test_pixels_are_those_bytes_themselves() -> None:
    data = serialize_message(image())
    pixels = image_to_rgb(image_from_cdr(data, 'front'), 'front')
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))
    np.testing.assert_array_equal(pixels, image_to_rgb(image(), 'front'))


def test_what_is_cut_short_is_no_image_and_ends_nothing() -> None:
    """Each length is refused, by rclpy or, where that reads on, as an image that is truncated."""
    data = serialize_message(image())
    for length in range(len(data)):
        with pytest.raises(Exception) as refusal:
            image_to_rgb(image_from_cdr(data[:length], 'front'), 'front')
        assert refusal.type is not SystemError


def test_lengths_that_lie_are_refused() -> None:
    data = bytearray(serialize_message(image()))
    place = 4 + 8
    data[place : place + 4] = struct.pack('<I', 2**32 - 1)
    with pytest.raises(Exception):  # noqa: B017
        image_to_rgb(image_from_cdr(bytes(data), 'front'), 'front')
