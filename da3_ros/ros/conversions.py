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
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import MessageError
from da3_ros.images.bits import eight_bits, largest_of
from da3_ros.ros.compressed import compressed_to_rgb
from da3_ros.ros.encodings import LAYOUTS, Layout, ReadImage, ReadRules
from da3_ros.ros.field_error import FieldError
from da3_ros.ros.message_fields import ImageFields
from da3_ros.ros.optional import optional_module
from da3_ros.types import ColourImage

if TYPE_CHECKING:
    from sensor_msgs.msg import Image
    from std_msgs.msg import Header

__all__ = [
    'FieldError',
    'ImageLayout',
    'compressed_to_rgb',
    'fill_data',
    'image_message',
    'image_to_rgb',
    'read_image',
]

_RULES = ReadRules()

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


def image_to_rgb(message: ImageFields, source: str, rules: ReadRules = _RULES) -> ColourImage:
    """Return the pixels of an Image as uint8 RGB (H, W, 3), see `read_image`.

    Raises:
        FieldError: see there.
    """
    return read_image(message, source, rules).pixels


def read_image(message: ImageFields, source: str, rules: ReadRules = _RULES) -> ReadImage:
    """Return the pixels of an Image, and what was seen on the way.

    rgb8 is a view onto the message's buffer (also with padded rows), other encodings are
    converted; of 16-bit values the upper 8 bits in use are kept. Mosaics (bayer) are interpolated
    linearly. Encodings that are not known here go through cv_bridge where that is installed: those
    of OpenCV (8UC1, 8UC3, 8UC4, taken as grey, BGR and BGRA), and what later versions may know.

    Args:
        message: sensor_msgs/Image, whoever made it; with nv12 and nv21 `height` counts the rows of
            the image, and `data` holds half as many more.
        source: who sent it, for error messages.
        rules: what the parameters say.

    Raises:
        FieldError: unknown encoding, zero size, one that the encoding cannot have or with more
            pixels than allowed, rows shorter than the width, too few bytes.
    """
    height, width = int(message.height), int(message.width)
    rules.check_size(height, width, source, 'width, height')
    if message.encoding not in LAYOUTS:
        return ReadImage(_by_cv_bridge(message, source))
    layout = LAYOUTS[message.encoding]
    layout.check_sides(height, width, message.encoding, source)
    pixels = _rows(message, layout, source)
    largest = None
    if layout.depth == 2:
        values = pixels.view('>u2' if message.is_bigendian else '<u2')
        largest = largest_of(values)
        pixels = eight_bits(values, rules.mono16_bits)
    if layout.has_chroma_rows:
        # OpenCV takes both planes as one image, and that without gaps.
        pixels = np.ascontiguousarray(pixels)
    else:
        pixels = pixels.reshape(height, width, layout.channels)
    return ReadImage(layout.rgb(pixels), largest)


def _rows(message: ImageFields, layout: Layout, source: str) -> NDArray[np.uint8]:
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


def _by_cv_bridge(message: ImageFields, source: str) -> ColourImage:
    refusal = FieldError(
        source,
        'encoding',
        f'expected one of {", ".join(LAYOUTS)} (or another one that cv_bridge converts, '
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


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """All of an Image but its stamp and its pixels."""

    frame_id: str
    height: int
    width: int
    encoding: str
    """rgb8, mono8, 16UC1 (millimetres, 0 unknown) or 32FC1 (metres, NaN unknown)."""

    @staticmethod
    def of(pixels: NDArray[Any], encoding: str, frame_id: str) -> ImageLayout:
        """Return the layout of pixels (H, W) or (H, W, 3) of the encoding's type.

        Raises:
            MessageError: the array does not fit the encoding.
        """
        dtype, channels = _FROM_ARRAY[encoding]
        shape = pixels.shape[:2] if channels == 1 else (*pixels.shape[:2], channels)
        if pixels.dtype != dtype or pixels.shape != shape:
            raise MessageError(f'image {encoding}: got an array {pixels.dtype} {pixels.shape}')
        return ImageLayout(frame_id, int(pixels.shape[0]), int(pixels.shape[1]), encoding)

    @property
    def data_bytes(self) -> int:
        """Of all pixels."""
        return self.height * self._row_bytes

    @property
    def _row_bytes(self) -> int:
        dtype, channels = _FROM_ARRAY[self.encoding]
        return self.width * channels * np.dtype(dtype).itemsize

    def message(self) -> Image:
        """Return rclpy's message without pixels; its stamp is zero."""
        from sensor_msgs.msg import Image
        from std_msgs.msg import Header

        message = Image(header=Header(frame_id=self.frame_id), encoding=self.encoding)
        message.height, message.width = self.height, self.width
        # Arrays are in the machine's order, and every machine ROS 2 runs on is little-endian.
        message.is_bigendian = 0
        message.step = self._row_bytes
        return message


def image_message(header: Header, pixels: NDArray[Any], encoding: str) -> Image:
    """Return rclpy's Image with the given pixels, filled in one copy.

    Args:
        header: stamp and frame id; taken as it is, not copied.
        pixels: (H, W) or (H, W, 3) of the encoding's type.
        encoding: as in `ImageLayout`.

    Raises:
        MessageError: the array does not fit the encoding.
    """
    message = ImageLayout.of(pixels, encoding, header.frame_id).message()
    message.header = header
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
