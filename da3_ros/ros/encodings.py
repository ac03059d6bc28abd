"""How the pixels of every encoding lie, and how they become RGB of 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.options.output import OUTPUT
from da3_ros.ros.field_error import FieldError
from da3_ros.types import ColourImage


@dataclass(frozen=True, slots=True)
class ReadRules:
    """What the parameters say of reading images."""

    max_image_pixels: int = OUTPUT.max_image_pixels
    """Larger images are refused before anything is made of them."""
    mono16_bits: int = OUTPUT.mono16_bits
    """How many bits of 16-bit values a sensor uses, 8 to 16; larger values are white."""

    def check_size(self, height: int, width: int, source: str, field: str) -> None:
        """Check how many pixels an image has.

        Raises:
            FieldError: too many.
        """
        if height * width > self.max_image_pixels:
            raise FieldError(
                source,
                field,
                f'the image has {width}x{height} = {height * width} pixels, and '
                f'max_image_pixels is {self.max_image_pixels}; dropped',
            )


@dataclass(frozen=True, slots=True, eq=False)
class ReadImage:
    """Pixels of a message, and what was seen on the way."""

    pixels: ColourImage
    """(H, W, 3) uint8 RGB."""
    largest: int | None = None
    """Largest of the 16-bit values that were looked at (one in nine); None with 8 bits."""
    cut: str = ''
    """What is missing at the end of a compressed image that is used all the same."""


@dataclass(frozen=True, slots=True)
class Layout:
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

    def check_sides(self, height: int, width: int, encoding: str, source: str) -> None:
        """Check the sides of an image.

        Raises:
            FieldError: too small, or no multiple of what the encoding needs.
        """
        sides = (('height', height), ('width', width))
        for (field, side), step in zip(sides, self.block, strict=True):
            if side < self.least or side % step:
                at_least = max(self.least, step)
                parts = f' and a multiple of {step}' if step > 1 else ''
                raise FieldError(
                    source,
                    field,
                    f'expected at least {at_least}{parts} for {encoding}, got {side}; dropped',
                )

    def rgb(self, pixels: NDArray[np.uint8]) -> ColourImage:
        """Return 8-bit pixels of this encoding as RGB (H, W, 3)."""
        if self.code is None:
            return pixels
        return np.asarray(cv2.cvtColor(pixels, self.code), dtype=np.uint8)


def _bayer(code: int) -> tuple[Layout, Layout]:
    """Return the layouts of a mosaic with 8 and 16 bits; below 3 pixels has no colour."""
    return Layout(1, code, least=3), Layout(1, code, depth=2, least=3)


# ROS names a mosaic by its first two rows, OpenCV by the second and third pixel of the second
# row on, which is why RGGB is BayerBG there.
_RGGB, _RGGB16 = _bayer(cv2.COLOR_BayerBG2RGB)
_BGGR, _BGGR16 = _bayer(cv2.COLOR_BayerRG2RGB)
_GBRG, _GBRG16 = _bayer(cv2.COLOR_BayerGR2RGB)
_GRBG, _GRBG16 = _bayer(cv2.COLOR_BayerGB2RGB)
_UYVY = Layout(2, cv2.COLOR_YUV2RGB_UYVY, block=(1, 2))
_YUYV = Layout(2, cv2.COLOR_YUV2RGB_YUY2, block=(1, 2))

MOSAICS: Mapping[str, Layout] = MappingProxyType(
    {
        'bayer_rggb8': _RGGB,
        'bayer_bggr8': _BGGR,
        'bayer_gbrg8': _GBRG,
        'bayer_grbg8': _GRBG,
        'bayer_rggb16': _RGGB16,
        'bayer_bggr16': _BGGR16,
        'bayer_gbrg16': _GBRG16,
        'bayer_grbg16': _GRBG16,
    }
)
"""Encodings of sensors with one colour per pixel."""

# Names: sensor_msgs/image_encodings.hpp. YUV is BT.601 with 16 to 235, as video cameras send it.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        'rgb8': Layout(3, None),
        'bgr8': Layout(3, cv2.COLOR_BGR2RGB),
        'rgba8': Layout(4, cv2.COLOR_RGBA2RGB),
        'bgra8': Layout(4, cv2.COLOR_BGRA2RGB),
        'mono8': Layout(1, cv2.COLOR_GRAY2RGB),
        'rgb16': Layout(3, None, depth=2),
        'bgr16': Layout(3, cv2.COLOR_BGR2RGB, depth=2),
        'rgba16': Layout(4, cv2.COLOR_RGBA2RGB, depth=2),
        'bgra16': Layout(4, cv2.COLOR_BGRA2RGB, depth=2),
        'mono16': Layout(1, cv2.COLOR_GRAY2RGB, depth=2),
        **MOSAICS,
        'uyvy': _UYVY,
        'yuv422': _UYVY,
        'yuyv': _YUYV,
        'yuv422_yuy2': _YUYV,
        'nv12': Layout(1, cv2.COLOR_YUV2RGB_NV12, block=(2, 2), has_chroma_rows=True),
        'nv21': Layout(1, cv2.COLOR_YUV2RGB_NV21, block=(2, 2), has_chroma_rows=True),
    }
)
"""Encodings that are read without cv_bridge."""
