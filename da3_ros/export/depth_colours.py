"""Depth as colours, the same in every picture: exports, the demo's sheet, the node's debug image.

Near is red, far is violet; what is unknown, sky included, is black, which the palette does not
hold. As in the official exporter, colours are linear in 1 / depth between its 2nd and 98th
percentile, so that near things differ more than far ones, and a few wild pixels take no colours.
The range is that of one picture: one range for all would make a near room flat beside a view out
of the window. Equal colours in two pictures are therefore not equal depths, and a picture that is
written to a file says its range on a bar (`colour_bar`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.spectral import spectral
from da3_ros.types import ColourImage, FloatImage

UNKNOWN_RGB = (0, 0, 0)
"""Where no depth is known."""

_PERCENTILES = (2.0, 98.0)


@dataclass(frozen=True, slots=True)
class DepthRange:
    """Which depths the two ends of the palette stand for."""

    inverse_far: float
    """1 / depth at the violet end, per unit."""
    inverse_near: float
    """1 / depth at the red end, per unit; not below `inverse_far`."""

    @property
    def near(self) -> float:
        """The depth that is red, and with it all nearer ones."""
        return 1.0 / self.inverse_near

    @property
    def far(self) -> float:
        """The depth that is violet, and with it all farther ones."""
        return 1.0 / self.inverse_far

    def depth_at(self, share: float) -> float:
        """Return the depth at a place on the palette, 0 its red end, 1 its violet end."""
        return 1.0 / (self.inverse_near + share * (self.inverse_far - self.inverse_near))

    def shares(self, depth: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the place on the palette of depths (...), in the middle when all are equal."""
        nearness = 1.0 / depth.astype(np.float64)
        extent = self.inverse_near - self.inverse_far
        if not extent > 0:
            return np.full(nearness.shape, 0.5)
        return np.asarray(1.0 - (nearness - self.inverse_far) / extent)


def depth_range(depth: FloatImage) -> DepthRange | None:
    """Return the range of a picture's colours, None where no depth is known.

    Args:
        depth: (H, W); NaN unknown, +Inf beyond range, neither of which counts.
    """
    known = depth[np.isfinite(depth) & (depth > 0)]
    if not known.size:
        return None
    far, near = np.percentile(1.0 / known.astype(np.float64), _PERCENTILES)
    return DepthRange(float(far), float(near))


def coloured_depth(depth: FloatImage, shown: DepthRange | None = None) -> ColourImage:
    """Return depth in colours (H, W, 3).

    Args:
        depth: (H, W); NaN and what is not positive is unknown, +Inf, beyond range, is as the
            farthest.
        shown: range of the colours; None for that of this depth.
    """
    shown = depth_range(depth) if shown is None else shown
    colours = np.full((*depth.shape, 3), UNKNOWN_RGB, np.uint8)
    known = depth > 0
    if shown is None:
        # Only what is beyond range can be there: it is as far as the palette goes.
        colours[known] = spectral(np.ones(1))
    else:
        colours[known] = spectral(shown.shares(depth[known]))
    return colours
