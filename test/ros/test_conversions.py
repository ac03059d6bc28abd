"""Image messages to arrays and back, checked byte by byte."""

import array
from collections.abc import Callable, Iterator
import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from da3_ros.errors import MessageError
from da3_ros.ros.conversions import (
    FieldError,
    compressed_to_rgb,
    fill_data,
    image_message,
    image_to_rgb,
)
from da3_ros.ros.optional import optional_module

pytestmark = pytest.mark.ros
SOURCE = 'camera front, topic /front/image_raw'


def image_of(content: np.ndarray[Any, Any], encoding: str, padding: int = 0) -> Image:
    """Return a message written value by value, without the code under test."""
    height, width = content.shape[:2]
    rows = [row.tobytes() + bytes(padding) for row in content]
    message = Image(encoding=encoding, height=height, width=width, step=len(rows[0]))
    message.data = array.array('B', b''.join(rows))
    return message


@pytest.fixture(name='rgb')
def rgb_fixture() -> np.ndarray[Any, Any]:
    return np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize('padding', [0, 5])
@pytest.mark.parametrize('order', ['rgb', 'bgr', 'rgba', 'bgra'])
def test_colour_encodings_give_the_same_rgb(
    rgb: np.ndarray[Any, Any], order: str, padding: int
) -> None:
    planes = {'r': rgb[..., 0], 'g': rgb[..., 1], 'b': rgb[..., 2], 'a': rgb[..., 0] // 2}
    message = image_of(np.stack([planes[c] for c in order], axis=-1), f'{order}8', padding)
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), rgb)


def test_grey_is_repeated_in_three_channels(rgb: np.ndarray[Any, Any]) -> None:
    got = image_to_rgb(image_of(rgb[..., 0], 'mono8', padding=3), SOURCE)
    np.testing.assert_array_equal(got, np.repeat(rgb[..., :1], 3, axis=-1))


@pytest.mark.parametrize('is_bigendian', [0, 1])
@pytest.mark.parametrize('encoding', ['mono16', 'rgb16', 'bgr16'])
def test_16_bit_channels_keep_their_upper_byte_in_either_byte_order(
    rgb: np.ndarray[Any, Any], encoding: str, is_bigendian: int
) -> None:
    source = {'mono16': rgb[..., 0], 'rgb16': rgb, 'bgr16': rgb[..., ::-1]}[encoding]
    words = source.astype('>u2' if is_bigendian else '<u2') * 256 + 77
    message = image_of(words.astype('>u2' if is_bigendian else '<u2'), encoding, padding=2)
    message.is_bigendian = is_bigendian
    wanted = np.repeat(rgb[..., :1], 3, axis=-1) if encoding == 'mono16' else rgb
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), wanted)


@pytest.mark.parametrize('padding', [0, 6])
def test_rgb8_is_a_view_onto_the_message(rgb: np.ndarray[Any, Any], padding: int) -> None:
    message = image_of(rgb, 'rgb8', padding)
    assert np.shares_memory(image_to_rgb(message, SOURCE), np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize(
    ('field', 'change'),
    [
        ('encoding', {'encoding': 'yuv_of_another_world'}),
        ('encoding', {'encoding': ''}),
        ('height', {'height': 0}),
        ('width', {'width': 0}),
        ('step', {'step': 20}),
        ('step', {'encoding': 'rgba8'}),
        ('data', {'data': array.array('B', bytes(104))}),
        ('data', {'data': array.array('B')}),
    ],
)
def test_malformed_images_name_camera_topic_and_field(
    rgb: np.ndarray[Any, Any], field: str, change: dict[str, Any]
) -> None:
    message = image_of(rgb, 'rgb8')
    for name, value in change.items():
        setattr(message, name, value)
    with pytest.raises(FieldError, match=f'camera front, topic /front/image_raw, field {field}'):
        image_to_rgb(message, SOURCE)


@pytest.fixture(name='with_bridge')
def with_bridge_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Give what puts a cv_bridge into place whose bridges read messages by a function."""

    def install(read: Any) -> None:
        bridge = SimpleNamespace(imgmsg_to_cv2=read)
        monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=lambda: bridge))
        optional_module.cache_clear()

    yield install
    optional_module.cache_clear()


def test_unknown_encodings_go_through_cv_bridge_where_it_is(
    rgb: np.ndarray[Any, Any], with_bridge: Callable[[Any], None]
) -> None:
    with_bridge(lambda message, encoding: rgb if encoding == 'rgb8' else None)
    np.testing.assert_array_equal(image_to_rgb(image_of(rgb, 'my_own'), SOURCE), rgb)


def test_what_cv_bridge_refuses_is_refused_with_the_field(
    rgb: np.ndarray[Any, Any], with_bridge: Callable[[Any], None]
) -> None:
    def refuse(message: Image, encoding: str) -> None:
        raise TypeError(f'[{message.encoding}] is not a color format. but [{encoding}] is')

    with_bridge(refuse)
    for encoding in ('my_own', '8UC3', '32FC1'):
        with pytest.raises(FieldError, match=rf"field encoding: expected .*, got '{encoding}'"):
            image_to_rgb(image_of(rgb, encoding), SOURCE)


def test_without_cv_bridge_an_unknown_encoding_is_refused(
    rgb: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    optional_module.cache_clear()
    with pytest.raises(FieldError, match=r'field encoding: expected .*cv_bridge'):
        image_to_rgb(image_of(rgb, '8UC3'), SOURCE)
    optional_module.cache_clear()


@pytest.mark.ros_install('cv_bridge')
@pytest.mark.parametrize('order', ['', 'bgr', 'bgra'])
def test_images_of_opencv_are_read_by_cv_bridge(rgb: np.ndarray[Any, Any], order: str) -> None:
    planes = {'r': rgb[..., 0], 'g': rgb[..., 1], 'b': rgb[..., 2], 'a': rgb[..., 0] // 2}
    content = np.stack([planes[c] for c in order], axis=-1) if order else rgb[..., 0]
    expected = rgb if order else np.repeat(rgb[..., :1], 3, axis=-1)
    message = image_of(content, f'8UC{len(order) or 1}')
    np.testing.assert_array_equal(image_to_rgb(message, SOURCE), expected)
    with pytest.raises(FieldError, match=r"field encoding: expected .*, got '32FC1'"):
        image_to_rgb(image_of(rgb[..., 0].astype(np.float32), '32FC1'), SOURCE)


def compressed(image: np.ndarray[Any, Any], suffix: str) -> CompressedImage:
    ok, content = cv2.imencode(suffix, image[..., ::-1])
    assert ok
    message = CompressedImage(format=f'rgb8; {suffix[1:]} compressed bgr8')
    message.data = array.array('B', content.tobytes())
    return message


def test_png_is_decoded_exactly_and_jpeg_nearly(rgb: np.ndarray[Any, Any]) -> None:
    np.testing.assert_array_equal(compressed_to_rgb(compressed(rgb, '.png'), SOURCE), rgb)
    flat = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    got = compressed_to_rgb(compressed(flat, '.jpg'), SOURCE)
    assert np.abs(got.astype(int) - flat).max() <= 3


@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
@pytest.mark.parametrize('share', [0.9, 0.3])
def test_truncated_files_are_refused(suffix: str, share: float) -> None:
    image = np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    message = compressed(image, suffix)
    message.data = message.data[: int(len(message.data) * share)]
    with pytest.raises(FieldError, match=r'field data: .*truncated'):
        compressed_to_rgb(message, SOURCE)


@pytest.mark.parametrize('content', [b'', b'no image at all'])
def test_bytes_that_are_no_image_are_refused(content: bytes) -> None:
    message = CompressedImage(format='jpeg')
    message.data = array.array('B', content)
    with pytest.raises(FieldError, match=r'camera front.*field data'):
        compressed_to_rgb(message, SOURCE)


def test_compressed_depth_is_no_colour_image() -> None:
    with pytest.raises(FieldError, match='field format'):
        compressed_to_rgb(CompressedImage(format='16UC1; compressedDepth png'), SOURCE)


@pytest.mark.parametrize(
    ('encoding', 'dtype', 'channels'),
    [('rgb8', 'u1', 3), ('mono8', 'u1', 1), ('16UC1', '<u2', 1), ('32FC1', '<f4', 1)],
)
def test_published_images_hold_the_arrays_bytes(encoding: str, dtype: str, channels: int) -> None:
    shape = (4, 6) if channels == 1 else (4, 6, channels)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    header = Header(frame_id='optical')
    message = image_message(header, pixels, encoding)
    assert (message.height, message.width, message.encoding) == (4, 6, encoding)
    assert message.step == 6 * channels * pixels.itemsize
    assert message.is_bigendian == 0
    assert message.header.frame_id == 'optical'
    assert isinstance(message.data, array.array)
    assert message.data.tobytes() == pixels.tobytes()


def test_published_images_refuse_arrays_of_another_type() -> None:
    with pytest.raises(MessageError, match='image 32FC1: got an array float64'):
        image_message(Header(), np.zeros((2, 3)), '32FC1')
    with pytest.raises(MessageError, match='image rgb8'):
        image_message(Header(), np.zeros((2, 3), np.uint8), 'rgb8')


def test_filling_takes_slices_and_emptiness_and_replaces_what_was_there() -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    message = Image()
    fill_data(message, image[:, ::2])
    assert message.data.tobytes() == image[:, ::2].tobytes()
    fill_data(message, image[:2])
    assert message.data.tobytes() == image[:2].tobytes()
    empty = Image()
    fill_data(empty, np.zeros((0, 5), np.float32))
    assert len(empty.data) == 0


def test_filling_works_where_the_field_is_no_array() -> None:
    message = SimpleNamespace(data=[])
    fill_data(message, np.arange(4, dtype=np.uint8))
    assert isinstance(message.data, array.array)
    assert message.data.tolist() == [0, 1, 2, 3]
