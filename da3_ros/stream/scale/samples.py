"""The few pixels of a view that measurements of depth look at."""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.types import FloatImage, Mask, ViewPrediction

_SAMPLES = 4096


@dataclass(frozen=True, slots=True, eq=False)
class DepthSample:
    """A regular grid of at most about 4096 pixels of a view, taken once."""

    shape: tuple[int, ...]
    """(H, W) of the whole view."""
    depth: FloatImage
    """(h, w)."""
    known: Mask
    """(h, w), where depth is a finite number above 0 and there is no sky."""
    confidence: FloatImage | None
    """(h, w), raw; None when the network gives none."""

    @staticmethod
    def of(
        depth: FloatImage, confidence: FloatImage | None = None, sky: Mask | None = None
    ) -> DepthSample:
        """Return the sample of images (H, W) of one size.

        Args:
            depth: NaN unknown.
            confidence: raw; None when there is none.
            sky: True where there is sky; None when nobody says.
        """
        step = max(1, math.ceil(math.sqrt(depth.size / _SAMPLES)))
        grid = (slice(None, None, step), slice(None, None, step))
        # Of its own, together in memory: nothing holds the whole image, and few pages are read.
        thin = depth[grid].copy()
        known = np.isfinite(thin)
        known &= thin > 0
        if sky is not None:
            known &= ~sky[grid]
        return DepthSample(
            depth.shape, thin, known, None if confidence is None else confidence[grid].copy()
        )

    @staticmethod
    def of_view(view: ViewPrediction) -> DepthSample | None:
        """Return the sample of a checked view; None where it has no depth."""
        if view.depth is None:
            return None
        return DepthSample.of(view.depth, view.confidence, view.sky)

    def scaled(self, scale: float) -> DepthSample:
        """Return the sample of the same view in another unit, see `scaled_depth`."""
        depth = scaled_depth(self.depth, scale)
        return DepthSample(self.shape, depth, self.known, self.confidence)

    @property
    def values(self) -> NDArray[np.float32]:
        """The known depths (N,)."""
        return np.asarray(self.depth[self.known])


def scaled_depth(depth: FloatImage, scale: float) -> FloatImage:
    """Return checked depth (H, W) in another unit, NaN where it is unknown.

    Args:
        depth: in the unit of a window.
        scale: world units per unit of the window.
    """
    coarse = np.float32(scale)
    scaled: FloatImage = np.multiply(depth, coarse)
    rest = scale - float(coarse)
    if rest:
        # By itself: a scale rounded to float32 would bias all pixels alike.
        scaled += depth * np.float32(rest)
    return scaled
