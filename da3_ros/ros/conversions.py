"""Message bytes to arrays and back: the one module where that happens.

Reading is a view onto the message's own buffer where the encoding allows (rgb8); writing copies
once, into the buffer of a fresh message, and never goes through `bytes`, whose assignment costs
rclpy thirty times as much. Other places see arrays, so memory that a middleware may one day hand
over differently (GPU buffers) has to be known here only.

Poses and intrinsics are in `geometry_messages`, clouds in `point_cloud`.
"""

from __future__ import annotations

import array
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from da3_ros.errors import MessageError
from da3_ros.ros.optional import optional_module
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


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the bytes of an encoding lie, and what makes RGB of them."""

    channels: int
    """Values per pixel in a row."""
    code: int | None
    """OpenCV's conversion to RGB; None for RGB itself."""
    depth: int = 1
    """Bytes of one value."""
    block: tuple[int, int] = (1, 1)
    """Height and width have to be multiples of these."""
    least: int = 1
    """Smallest height and width."""
    has_chroma_rows: bool = False
    """Whether half as many rows of colour follow the rows of brightness."""


def _bayer(code: int) -> tuple[_Layout, _Layout]:
    """Return the layouts of a mosaic with 8 and 16 bits; below 3 pixels has no colour."""
    return _Layout(1, code, least=3), _Layout(1, code, depth=2, least=3)


# ROS names a mosaic by its first two rows, OpenCV by the second and third pixel of the second
# row on, which is why RGGB is BayerBG there.
_RGGB, _RGGB16 = _bayer(cv2.COLOR_BayerBG2RGB)
_BGGR, _BGGR16 = _bayer(cv2.COLOR_BayerRG2RGB)
_GBRG, _GBRG16 = _bayer(cv2.COLOR_BayerGR2RGB)
_GRBG, _GRBG16 = _bayer(cv2.COLOR_BayerGB2RGB)
_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(1, 2))
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(1, 2))

# Names: sensor_msgs/image_encodings.hpp. YUV is BT.601 with 16 to 235, as video cameras send it.
_TO_RGB: dict[str, _Layout] = {
    'rgb8': _Layout(3, None),
    'bgr8': _Layout(3, cv2.COLOR_BGR2RGB),
    'rgba8': _Layout(4, cv2.COLOR_RGBA2RGB),
    'bgra8': _Layout(4, cv2.COLOR_BGRA2RGB),
    'mono8': _Layout(1, cv2.COLOR_GRAY2RGB),
    'rgb16': _Layout(3, None, depth=2),
    'bgr16': _Layout(3, cv2.COLOR_BGR2RGB, depth=2),
    'rgba16': _Layout(4, cv2.COLOR_RGBA2RGB, depth=2),
    'bgra16': _Layout(4, cv2.COLOR_BGRA2RGB, depth=2),
    'mono16': _Layout(1, cv2.COLOR_GRAY2RGB, depth=2),
    'bayer_rggb8': _RGGB,
    'bayer_bggr8': _BGGR,
    'bayer_gbrg8': _GBRG,
    'bayer_grbg8': _GRBG,
    'bayer_rggb16': _RGGB16,
    'bayer_bggr16': _BGGR16,
    'bayer_gbrg16': _GBRG16,
    'bayer_grbg16': _GRBG16,
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    'nv12': _Layout(1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), has_chroma_rows=True),
    'nv21': _Layout(1, cv2.COLOR_YUV2RGB_NV21, block=(2, 2), has_chroma_rows=True),
}

# Encodings without a meaning, as cv_bridge names an image of OpenCV of which nothing was said: the
# channels are in OpenCV's order, which RViz shows too. cv_bridge reads them and converts none.
_OPENCV_TO_RGB = {
    '8UC1': cv2.COLOR_GRAY2RGB,
    '8UC3': cv2.COLOR_BGR2RGB,
    '8UC4': cv2.COLOR_BGRA2RGB,
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
    converted; of 16-bit channels the upper byte is kept. Mosaics (bayer) are interpolated
    linearly. Encodings that are not known here go through cv_bridge where that is installed: those
    of OpenCV (8UC1, 8UC3, 8UC4, taken as grey, BGR and BGRA), and what later versions may know.

    Args:
        message: sensor_msgs/Image; with nv12 and nv21 `height` counts the rows of the image, and
            `data` holds half as many more.
        source: who sent it, for error messages.

    Raises:
        FieldError: unknown encoding, zero size or one that the encoding cannot have, rows shorter
            than the width, too few bytes.
    """
    if message.encoding not in _TO_RGB:
        return _by_cv_bridge(message, source)
    layout = _TO_RGB[message.encoding]
    _check_sides(message, layout, source)
    pixels = _rows(message, layout, source)
    if layout.depth == 2:
        pixels = _upper_bytes(pixels, bool(message.is_bigendian))
    if layout.has_chroma_rows:
        # OpenCV takes both planes as one image, and that without gaps.
        pixels = np.ascontiguousarray(pixels)
    else:
        pixels = pixels.reshape(message.height, message.width, layout.channels)
    if layout.code is None:
        return pixels
    return np.asarray(cv2.cvtColor(pixels, layout.code), dtype=np.uint8)


def _check_sides(message: Image, layout: _Layout, source: str) -> None:
    sides = (('height', int(message.height)), ('width', int(message.width)))
    for (field, side), step in zip(sides, layout.block, strict=True):
        if side < layout.least or side % step:
            at_least = max(layout.least, step)
            parts = f' and a multiple of {step}' if step > 1 else ''
            raise FieldError(
                source,
                field,
                f'expected at least {at_least}{parts} for {message.encoding}, got {side}; dropped',
            )


def _rows(message: Image, layout: _Layout, source: str) -> NDArray[np.uint8]:
    """Return the image's bytes without row padding, (rows, W * pixel bytes), as a view."""
    height, width, step = int(message.height), int(message.width), int(message.step)
    row_bytes = width * layout.channels * layout.depth
    if step < row_bytes:
        raise FieldError(
            source,
            'step',
            f'expected at least {row_bytes} bytes for a row of {width} '
            f'{message.encoding} pixels, got {step}; dropped',
        )
    rows = height + height // 2 if layout.has_chroma_rows else height
    data = np.frombuffer(message.data, dtype=np.uint8)
    if data.size < rows * step:
        raise FieldError(
            source,
            'data',
            f'expected {rows * step} bytes ({rows} rows of {step}), got {data.size}: '
            'the image is truncated; dropped',
        )
    return data[: rows * step].reshape(rows, step)[:, :row_bytes]


def _upper_bytes(rows: NDArray[np.uint8], is_bigendian: bool) -> NDArray[np.uint8]:
    """Return the more significant byte of every 16-bit value, contiguous."""
    return np.ascontiguousarray(rows[:, 0 if is_bigendian else 1 :: 2])


def _by_cv_bridge(message: Image, source: str) -> ColourImage:
    refusal = FieldError(
        source,
        'encoding',
        f'expected one of {", ".join(_TO_RGB)} (or another one that cv_bridge converts, '
        f'where installed), got {message.encoding!r}; dropped',
    )
    cv_bridge = optional_module('cv_bridge')
    if cv_bridge is None:
        raise refusal
    code = _OPENCV_TO_RGB.get(message.encoding)
    try:
        bridge = cv_bridge.CvBridge()
        pixels = bridge.imgmsg_to_cv2(message, 'rgb8' if code is None else 'passthrough')
        if code is not None:
            pixels = cv2.cvtColor(np.asarray(pixels), code)
        return np.asarray(pixels, dtype=np.uint8)
    except Exception as error:  # of OpenCV, of NumPy, or cv_bridge's own
        raise refusal from error


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
