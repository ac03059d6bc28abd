"""What has to be known of a network, on every picture of its results."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.export.picture_text import Rgb, text_strip

PAPER: Rgb = (150, 16, 24)
INK: Rgb = (255, 255, 255)


def stamp_caution(image: NDArray[Any], text: str) -> NDArray[np.uint8]:
    """Return a picture with a caution on a strip below it; without text, the picture itself.

    Pixels of the picture stay as they are, and so does its width. Pictures of one width get strips
    of one height.

    Args:
        image: (H, W, 3) RGB or (H, W) grey, uint8.
        text: the caution.
    """
    if not text.strip():
        return image
    strip = text_strip(text, image.shape[1], ink=INK, paper=PAPER)
    if image.ndim == 2:
        strip = np.asarray(cv2.cvtColor(strip, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.concatenate([image, strip])
