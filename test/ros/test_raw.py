"""Messages of cameras in their bytes, against what rosbags wrote and rclpy reads of the same."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
import struct
from typing import Any

import numpy as np
import pytest

from da3_ros.ros.conversions import image_to_rgb
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.reading.raw import (
    compressed_from_cdr,
    image_from_cdr,
    info_from_cdr,
    is_plain_cdr,
)
from helpers import camera_messages as made

READ = {
    made.IMAGE: image_from_cdr,
    made.COMPRESSED: compressed_from_cdr,
    made.INFO: info_from_cdr,
}
FRAME_IDS = ('', 'a', 'ab', 'abc', 'abcd', 'Kamera über Grund')
ENCODINGS = ('', 'rgb8', 'mono8', 'bayer_rggb16', '8UC3')
PIXELS = np.arange(45, dtype=np.uint8)
# No two numbers are alike.
REGION = made.make(
    'sensor_msgs/msg/RegionOfInterest',
    x_offset=1,
    y_offset=2,
    height=3,
    width=4,
    do_rectify=True,
)
NUMBERS = np.random.default_rng(0).normal(size=30)


def head(frame_id: str) -> Any:
    return made.header(-7 * 10**9 + 123_456_789, frame_id)


def image(frame_id: str = 'front', encoding: str = 'rgb8') -> Any:
    return made.image(head(frame_id), PIXELS, encoding, (3, 5), is_bigendian=1)


def compressed(frame_id: str = 'front', image_format: str = 'jpeg') -> Any:
    return made.compressed(head(frame_id), PIXELS, image_format)


def info(frame_id: str = 'front', model: str = 'plumb_bob', coefficients: int = 5) -> Any:
    return made.info(
        head(frame_id),
        (480, 640),
        500.0,
        distortion_model=model,
        d=NUMBERS[30 - coefficients :],
        k=NUMBERS[:9],
        r=NUMBERS[9:18],
        p=NUMBERS[18:],
        binning_x=5,
        binning_y=6,
        roi=REGION,
    )


def content(value: Any, like: Any) -> Any:
    """Return the fields of a message by name, as many as `like` has."""
    if is_dataclass(like):
        return {
            f.name: content(getattr(value, f.name), getattr(like, f.name)) for f in fields(like)
        }
    if isinstance(like, memoryview):
        return bytes(value)
    return np.asarray(value).tolist() if isinstance(like, np.ndarray) else value


def messages() -> list[Any]:
    """Return messages whose fields lie at every place beside multiples of four and eight."""
    return [
        *(image(name, encoding) for name in FRAME_IDS for encoding in ENCODINGS),
        *(compressed(name, text) for name in FRAME_IDS for text in ('', 'png', 'rgb8; jpeg')),
        *(info(n, m, c) for n in FRAME_IDS for m in ('', 'plumb_bob', 'abc') for c in (0, 1, 8)),
    ]


@pytest.mark.parametrize('little_endian', [True, False], ids=['little', 'big'])
def test_fields_are_those_that_rosbags_wrote(little_endian: bool) -> None:
    for message in messages():
        data = made.cdr(message, little_endian=little_endian)
        found: Any = READ[message.__msgtype__](data, 'front')
        assert content(found, found) == content(message, found)


@pytest.mark.ros
def test_fields_are_those_that_rclpy_reads_and_writes() -> None:
    rclpy_bytes = pytest.importorskip('rclpy.serialization')
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image

    kinds = {made.IMAGE: Image, made.COMPRESSED: CompressedImage, made.INFO: CameraInfo}
    for message in messages():
        name = message.__msgtype__
        theirs = rclpy_bytes.deserialize_message(made.cdr(message), kinds[name])
        found: Any = READ[name](rclpy_bytes.serialize_message(theirs), 'front')
        assert content(found, found) == content(theirs, found) == content(message, found)


@pytest.mark.ros
@pytest.mark.parametrize('text', [b'abcde', b'ab\x00d\x00', b'\x00bcd\x00', b'\xffbcd\x00'])
@pytest.mark.parametrize('frame_id', ['1234', ''], ids=['frame_id', 'encoding'])
def test_strings_of_other_senders_end_where_rclpy_ends_them(text: bytes, frame_id: str) -> None:
    """Some leave out the final zero, some send all of a field of fixed length."""
    rclpy_bytes = pytest.importorskip('rclpy.serialization')
    from sensor_msgs.msg import Image

    data = made.cdr(image(frame_id, '' if frame_id else '1234')).replace(b'1234\x00', text)
    found = image_from_cdr(data, 'front')
    assert content(found, found) == content(rclpy_bytes.deserialize_message(data, Image), found)


def test_pixels_are_those_bytes_themselves() -> None:
    data = made.cdr(image())
    pixels = image_to_rgb(image_from_cdr(data, 'front'), 'front')
    assert np.shares_memory(pixels, np.frombuffer(data, np.uint8))
    np.testing.assert_array_equal(pixels, PIXELS.reshape(3, 5, 3))
    file = compressed_from_cdr(made.cdr(compressed()), 'front').data
    assert bytes(file) == PIXELS.tobytes()


PLACES = {
    made.IMAGE: ('header.stamp', 'header.frame_id', 'height', 'width', 'encoding', 'is_bigendian',
                 'step', 'data'),
    made.COMPRESSED: ('header.stamp', 'header.frame_id', 'format', 'data'),
    made.INFO: ('header.stamp', 'header.frame_id', 'height', 'width', 'distortion_model', 'd', 'k',
                'r', 'p', 'binning_x', 'binning_y', 'roi.x_offset', 'roi.y_offset', 'roi.height',
                'roi.width', 'roi.do_rectify'),
}  # fmt: skip


@pytest.mark.parametrize('message', [image(), compressed(), info()], ids=lambda m: m.__msgtype__)
def test_what_is_cut_short_names_the_field_that_is_cut(message: Any) -> None:
    """Also where the bytes of the next message lie behind it."""
    data = made.cdr(message)
    named = []
    for length in range(len(data)):
        with pytest.raises(FieldError, match='camera 1, field') as refusal:
            READ[message.__msgtype__](memoryview(data + data)[:length], 'camera 1')
        named.append(refusal.value.field)
    # Every field in its turn.
    seen = tuple(dict.fromkeys(named))
    assert seen == ('encapsulation', *PLACES[message.__msgtype__])
    assert named == sorted(named, key=seen.index)


@pytest.mark.parametrize(
    ('message', 'before', 'field'),
    [
        (image(), b'', 'header.frame_id'),
        (image(), struct.pack('<II', 3, 5), 'encoding'),
        (image(), struct.pack('<I', 15), 'data'),
        (compressed(image_format='jpeg'), b'jpeg\x00\x00\x00\x00', 'data'),
        (info(), b'plumb_bob\x00\x00\x00', 'd'),
    ],
)
@pytest.mark.parametrize('count', [2**32 - 1, 2**31, 1000])
def test_lengths_that_lie_name_their_field(
    message: Any, before: bytes, field: str, count: int
) -> None:
    """And no memory is taken for them."""
    data = bytearray(made.cdr(message))
    at = 4 + 8 if not before else data.index(before) + len(before)
    data[at : at + 4] = struct.pack('<I', count)
    with pytest.raises(FieldError, match='truncated') as refusal:
        READ[message.__msgtype__](bytes(data), 'front')
    assert refusal.value.field == field


def test_any_bytes_are_a_message_or_a_field_error() -> None:
    rng = np.random.default_rng(1)
    named = set()
    for message in (image(), compressed(), info()):
        data = np.frombuffer(made.cdr(message), np.uint8)
        for _ in range(300):
            spoilt = data.copy()
            places = rng.integers(2, min(len(data), 64), 3)
            spoilt[places] = rng.integers(0, 256, 3)
            try:
                READ[message.__msgtype__](spoilt.tobytes(), 'front')
            except FieldError as error:
                named.add(error.field)
    assert named <= {name for names in PLACES.values() for name in names}
    assert len(named) > 3


def test_other_layouts_are_named() -> None:
    data = b'\x00\x09' + made.cdr(image())[2:]
    assert not is_plain_cdr(data)
    with pytest.raises(FieldError, match="begin with '00 09 00 00'"):
        image_from_cdr(data, 'front')
