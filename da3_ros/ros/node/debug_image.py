"""Depth as a picture for people."""

from __future__ import annotations

import cv2
import numpy as np

from da3_ros.types import ColourImage, FloatImage

UNKNOWN_GREY = 128
# The nearest and farthest few pixels must not take all the colours.
_PERCENTILES = (2.0, 98.0)


def coloured_depth(depth: FloatImage) -> ColourImage:
    """Return depth (H, W) as colours (H, W, 3): near red, far blue (turbo), unknown grey.

    Colours are spread evenly over the inverse depth of this image, so that near things differ
    more than far ones. What is beyond range (+Inf) has the colour of the farthest.
    """
    known = np.isfinite(depth) & (depth > 0)
    nearness = np.zeros(depth.shape, np.float32)
    np.divide(np.float32(1), depth, out=nearness, where=known)
    low, high = np.percentile(nearness[known], _PERCENTILES) if known.any() else (0.0, 1.0)
    spread = max(float(high - low), float(np.finfo(np.float32).tiny))
    share = np.clip((nearness - np.float32(low)) / np.float32(spread), 0, 1)
    levels = np.rint(share * 255).astype(np.uint8)
    colours = cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    colours[~known & ~np.isposinf(depth)] = UNKNOWN_GREY
    return np.asarray(colours, dtype=np.uint8)
