"""Images to files, so that a full disk is an error and not a short file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError
from da3_ros.types import ColourImage

_JPEG_QUALITY = 95


def write_colour(path: Path, image: ColourImage) -> None:
    """Write an RGB image (H, W, 3) as JPEG or PNG, as the suffix says."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY] if path.suffix == '.jpg' else []
    _write(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)


def write_grey8(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image (H, W) with 8 bits per pixel as PNG."""
    _write(path, image, [])


def write_grey16(path: Path, image: NDArray[np.uint16]) -> None:
    """Write an image (H, W) with 16 bits per pixel as PNG."""
    _write(path, image, [])


def _write(path: Path, image: cv2.typing.MatLike, parameters: list[int]) -> None:
    try:
        _, data = cv2.imencode(path.suffix, image, parameters)
    except cv2.error as error:
        raise ExportError(
            f'{path.name}: image {image.shape} cannot be encoded: {error}'
        ) from error
    path.write_bytes(data.tobytes())
