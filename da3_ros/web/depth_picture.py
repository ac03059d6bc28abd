"""Depth of the newest frame set as one small picture, with its range: for the panel."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from da3_ros.export.depth_colours import coloured_depth, depth_range
from da3_ros.export.picture_text import (
    BarScale,
    colour_bar,
    side_by_side,
    stacked,
    text_strip,
)
from da3_ros.export.spectral import spectral
from da3_ros.types import ColourImage, FloatImage, PosedView

WIDTH_PX = 300
"""About the width of the panel, so that letters keep their size."""

_MAX_ACROSS = 3
_GAP = 3
_TEXT = 0.45


def depth_picture(views: Sequence[PosedView], unit: str) -> ColourImage:
    """Return the depth of views of one instant in colours, above a bar that says the range.

    It is one picture, so that all of its views have one range.

    Args:
        views: at least one; three beside one another.
        unit: of depth, for behind the numbers.
    """
    across = min(len(views), _MAX_ACROSS)
    width = (WIDTH_PX - _GAP * (across - 1)) // across
    depths = [_small(_known(view), width) for view in views]
    shown = depth_range(np.concatenate([depth.ravel() for depth in depths])[None])
    cells = [coloured_depth(depth, shown) for depth in depths]
    rows = [side_by_side(cells[i : i + across], _GAP) for i in range(0, len(cells), across)]
    if shown is None:
        below = text_strip('no depth is known', WIDTH_PX, _TEXT)
    else:
        below = colour_bar(BarScale(spectral, shown.depth_at, unit), WIDTH_PX, _TEXT)
    return stacked([*rows, below], _GAP)


def _known(view: PosedView) -> FloatImage:
    return view.depth if view.sky is None else np.where(view.sky, np.float32(np.nan), view.depth)


def _small(depth: FloatImage, width: int) -> FloatImage:
    """Return depth so many columns wide, by nearest pixel: no value between surfaces."""
    height = max(1, round(depth.shape[0] * width / depth.shape[1]))
    return np.asarray(cv2.resize(depth, (width, height), interpolation=cv2.INTER_NEAREST))
