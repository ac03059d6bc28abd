"""Message bytes to arrays and back: the one module where that happens.

Reading is a view onto the message's own buffer where the encoding allows (rgb8); writing copies
once, into the buffer of a fresh message, and never goes through `bytes`, whose assignment costs
rclpy thirty times as much. Other places see arrays, so memory that a middleware may one day hand
over differently (GPU buffers) has to be known here only.

Poses and intrinsics are in `geometry_messages`, clouds in `point_cloud`.
"""

from __future__ import annotations

import array
import importlib
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from da3_ros.errors import MessageError
from da3_ros.types import ColourImage


class FieldError(MessageError):
    """Raised when one field of a message is wrong; names the source and the field.

    Args:
        source: who sent it, for example `camera front, topic /front/image_raw`.
        field: name of the message's field.
        problem: what was expected, what came, what to do.
    """

    def __init__(self, source: str, field: str, problem: str) -> None:
        super().__init__(f'{source}, field {field}: {problem}')
        self.source = source
        self.field = field


# Encoding to (channels, bytes of one channel, OpenCV's conversion to RGB or None for RGB itself).
# Names: sensor_msgs/image_encodings.hpp.
_TO_RGB: dict[str, tuple[int, int, int | None]] = {
    'rgb8': (3, 1, None),
    'bgr8': (3, 1, cv2.COLOR_BGR2RGB),
    'rgba8': (4, 1, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, 1, cv2.COLOR_BGRA2RGB),
    'mono8': (1, 1, cv2.COLOR_GRAY2RGB),
    'rgb16': (3, 2, None),
    'bgr16': (3, 2, cv2.COLOR_BGR2RGB),
    'mono16': (1, 2, cv2.COLOR_GRAY2RGB),
}

# Encoding to (dtype, channels) of the images this package publishes.
_FROM_ARRAY: dict[str, tuple[type[np.generic], int]] = {
    'rgb8': (np.uint8, 3),
    'mono8': (np.uint8, 1),
    '16UC1': (np.uint16, 1),
    '32FC1': (np.float32, 1),
}


def image_to_rgb(message: Image, source: str) -> ColourImage:
    """Return the pixels of an Image as uint8 RGB (H, W, 3).

    rgb8 is a view onto the message's buffer (also with padded rows), other encodings are
    converted; of 16-bit channels the upper byte is kept. Encodings that are not known here go
    through cv_bridge where that is installed.

    Args:
        message: sensor_msgs/Image.
        source: who sent it, for error messages.

    Raises:
        FieldError: unknown encoding, zero size, rows shorter than the width, too few bytes.
    """
    if message.encoding not in _TO_RGB:
        return _by_cv_bridge(message, source)
    channels, depth, code = _TO_RGB[message.encoding]
    pixels = _rows(message, channels * depth, source)
    if depth == 2:
        pixels = _upper_bytes(pixels, bool(message.is_bigendian))
    pixels = pixels.reshape(message.height, message.width, channels)
    if code is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, code), dtype=np.uint8)


def _rows(message: Image, pixel_bytes: int, source: str) -> NDArray[np.uint8]:
    """Return the image's bytes without row padding, (H, W * pixel_bytes), as a view."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    for field, side in (('height', height), ('width', width)):
        if side < 1:
            raise FieldError(source, field, f'expected at least 1, got {side}; dropped')
    if step < width * pixel_bytes:
        raise FieldError(
            source,
            'step',
            f'expected at least {width * pixel_bytes} bytes for a row of {width} '
            f'{message.encoding} pixels, got {step}; dropped',
        )
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size < height * step:
        raise FieldError(
            source,
            'data',
            f'expected {height * step} bytes ({height} rows of {step}), got {data.size}: '
            'the image is truncated; dropped',
        )
    return data[: height * step].reshape(height, step)[:, : width * pixel_bytes]


def _upper_bytes(rows: NDArray[np.uint8], is_bigendian: bool) -> NDArray[np.uint8]:
    """Return the more significant byte of every 16-bit value, contiguous."""
    return np.ascontiguousarray(rows[:, 0 if is_bigendian else 1 :: 2])


def _by_cv_bridge(message: Image, source: str) -> ColourImage:
    try:
        # Not only ImportError: a cv_bridge built for another NumPy fails in its own ways.
        bridge = importlib.import_module('cv_bridge').CvBridge()
        return np.asarray(bridge.imgmsg_to_cv2(message, 'rgb8'), dtype=np.uint8)
    except Exception as error:
        raise FieldError(
            source,
            'encoding',
            f'expected one of {", ".join(_TO_RGB)} (or another one that cv_bridge converts, '
            f'where installed), got {message.encoding!r}; dropped',
        ) from error


def compressed_to_rgb(message: CompressedImage, source: str) -> ColourImage:
    """Return the decoded pixels of a CompressedImage (JPEG, PNG) as uint8 RGB (H, W, 3).

    Args:
        message: sensor_msgs/CompressedImage. `format` is not trusted: the bytes say what they
            are. Orientation tags are ignored, since CameraInfo describes the stored pixels.
        source: who sent it, for error messages.

    Raises:
        FieldError: no bytes, a truncated file, or none that OpenCV can decode.
    """
    if 'compressedDepth' in message.format:
        raise FieldError(source, 'format', f'expected a colour image, got {message.format!r}')
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size == 0:
        raise FieldError(source, 'data', 'expected a JPEG or PNG image, got no bytes; dropped')
    if _is_truncated(memoryview(message.data)):
        raise FieldError(
            source, 'data', f'the image of {data.size} bytes has no end: truncated; dropped'
        )
    try:
        decoded = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise FieldError(
            source,
            'data',
            f'{data.size} bytes of format {message.format!r} are no image that can be decoded; '
            'dropped',
        )
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _is_truncated(data: memoryview) -> bool:
    """Return whether a JPEG or PNG lacks its end, which OpenCV would fill with grey."""
    content = bytes(data)
    if content.startswith(b'\xff\xd8'):
        # After the last start of scan; a thumbnail's end comes before it.
        return content.rfind(b'\xff\xd9') < content.rfind(b'\xff\xda')
    if content.startswith(b'\x89PNG'):
        return b'IEND' not in content[-64:]
    return False


def image_message(header: Header, pixels: NDArray[Any], encoding: str) -> Image:
    """Return an Image with the given pixels, filled in one copy.

    Args:
        header: stamp and frame id; taken as it is, not copied.
        pixels: (H, W) or (H, W, 3) of the encoding's type.
        encoding: rgb8, mono8, 16UC1 (millimetres, 0 unknown) or 32FC1 (metres, NaN unknown).

    Raises:
        MessageError: the array does not fit the encoding.
    """
    dtype, channels = _FROM_ARRAY[encoding]
    shape = pixels.shape[:2] if channels == 1 else (*pixels.shape[:2], channels)
    if pixels.dtype != dtype or pixels.shape != shape:
        raise MessageError(f'image {encoding}: got an array {pixels.dtype} {pixels.shape}')
    message = Image(header=header, encoding=encoding)
    message.height, message.width = int(pixels.shape[0]), int(pixels.shape[1])
    # Arrays are in the machine's order, and every machine ROS 2 runs on is little-endian.
    message.is_bigendian = 0
    message.step = int(pixels.shape[1]) * channels * pixels.dtype.itemsize
    fill_data(message, pixels)
    return message


def fill_data(message: Any, content: NDArray[Any]) -> None:
    """Copy an array's bytes into the `data` field (uint8[]) of a fresh message, once.

    The message's own array grows in place. Assigning to the field instead makes one more copy
    where setters do not check (Jazzy and newer), and looks at every single element where they do.
    """
    flat = np.ascontiguousarray(content).reshape(-1).view(np.uint8)
    data = message.data
    if isinstance(data, array.array) and data.typecode == 'B' and len(data) == 0:
        data.frombytes(flat.data)
    else:
        message.data = array.array('B', flat.tobytes())
