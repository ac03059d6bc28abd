"""Images to files, so that a full disk is an error and not a short file; small ones enlarged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.export.picture_comment import with_comment
from da3_ros.geometry.camera import ImageSize
from da3_ros.types import ColourImage

_JPEG_QUALITY = 95

MIN_SIDE_PX = 504
"""Longer side of a picture to look at: what networks of the usual size give by themselves."""


def write_colour(path: Path, image: ColourImage, comment: str = '') -> None:
    """Write an image as JPEG or PNG, as the suffix says, with a comment in it.

    Args:
        path: of the file.
        image: RGB (H, W, 3), or with alpha (H, W, 4), which JPEG loses.
        comment: empty for none.
    """
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == '.jpg' else []
    code = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    _write(path, cv2.cvtColor(image, code), quality, comment)


def write_grey8(path: Path, image: NDArray[np.uint8], comment: str = '') -> None:
    """Write an image (H, W) with 8 bits per pixel as PNG, with a comment in it."""
    _write(path, image, [], comment)


def write_grey16(path: Path, image: NDArray[np.uint16], comment: str = '') -> None:
    """Write an image (H, W) with 16 bits per pixel as PNG, with a comment in it."""
    _write(path, image, [], comment)


def enlarged(image: ColourImage) -> ColourImage:
    """Return an image (H, W, 3) whose longer side is at least `MIN_SIDE_PX`."""
    size = enlarged_size(image.shape)
    if (size.height, size.width) == image.shape[:2]:
        return image
    wanted = (size.width, size.height)
    return np.asarray(cv2.resize(image, wanted, interpolation=cv2.INTER_CUBIC), np.uint8)


def enlarged_size(shape: tuple[int, ...]) -> ImageSize:
    """Return the size of the enlarged image of an array (H, W, ...)."""
    height, width = shape[:2]
    factor = max(1.0, MIN_SIDE_PX / max(height, width))
    return ImageSize(max(1, round(height * factor)), max(1, round(width * factor)))


def _write(path: Path, image: cv2.typing.MatLike, parameters: list[int], comment: str) -> None:
    try:
        _, data = cv2.imencode(path.suffix, image, parameters)
    except cv2.error as error:
        raise ExportError(
            f'{path.name}: image {image.shape} cannot be encoded: {error}'
        ) from error
    path.write_bytes(with_comment(data.tobytes(), comment))
