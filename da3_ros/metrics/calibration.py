"""Whether an estimate knows how wrong it is: stated spreads, and confidence, beside the errors.

Both are summed up image by image; the edges of their bins come from all images, before.
"""

from __future__ import annotations

from dataclasses import dataclass
import math

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray

NORMAL_SHARES = tuple(math.erf(k / math.sqrt(2)) for k in (1, 2, 3))
"""Of errors that are normal within 1, 2 and 3 of their standard deviations."""

BINS = 10
"""Of stated spreads and of confidence: each holds about as many pixels."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Pixels whose stated spread is about the same."""

    stated: float
    """Root of the mean square of their stated spreads, in the truth's unit."""
    found: float
    """Root of the mean square of their errors."""
    pixels: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """Errors beside the standard deviations that were stated for them.

    Source: negative log likelihood and sharpness as in Gneiting et al. 2007; bins as in Levi et
    al. 2022, "Evaluating and calibrating uncertainty prediction in regression tasks".
    """

    within: tuple[float, float, float]
    """Share of pixels whose error is below 1, 2 and 3 stated spreads; `NORMAL_SHARES` of normal
    ones."""
    nll: float
    """Mean of -ln of the normal density at the truth."""
    z_rms: float
    """Root of the mean square of error / spread: 1 when both agree, above 1 when too little was
    stated."""
    sharpness: float
    """Root of the mean square of the stated spreads, in the truth's unit; of two that are
    calibrated the smaller one says more."""
    ence: float
    """Expected normalised calibration error: mean over the bins of |found - stated| / stated."""
    bins: tuple[ReliabilityBin, ...]
    """In the order of the stated spreads."""
    pixels: int


class SpreadSums:
    """Sums over pixels with a stated spread.

    Args:
        edges: (B - 1,) between the bins, ascending.
    """

    def __init__(self, edges: FloatArray) -> None:
        self._edges = edges
        self._bins = np.zeros((len(edges) + 1, 3))
        """Pixels, squares of the spreads, squares of the errors."""
        self._sums = np.zeros(5)
        """Pixels within 1, 2 and 3 spreads, squares of error / spread, ln of spreads."""

    def add(self, error: FloatArray, sigma: FloatArray, scale: float = 1.0) -> None:
        """Take pixels.

        Args:
            error: (N,) estimate minus truth, the estimate already scaled.
            sigma: (N,) positive, as it was stated for the estimate before scaling.
            scale: of the estimate, and so of its spread.
        """
        bins = np.searchsorted(self._edges, sigma, side='right')
        spread = sigma * scale
        z = np.abs(error) / spread
        count = len(self._bins)
        for column, weights in enumerate((None, spread * spread, error * error)):
            self._bins[:, column] += np.bincount(bins, weights=weights, minlength=count)
        within = [float(np.count_nonzero(z < k)) for k in (1, 2, 3)]
        self._sums += np.array([*within, float(z @ z), float(np.log(spread).sum())])

    def result(self) -> Calibration | None:
        """Return the figures; None when no pixel was taken."""
        pixels = float(self._bins[:, 0].sum())
        if not pixels:
            return None
        one, two, three, squares, logs = (self._sums / pixels).tolist()
        filled = self._bins[self._bins[:, 0] > 0]
        stated, found = np.sqrt(filled[:, 1:] / filled[:, :1]).T
        return Calibration(
            within=(one, two, three),
            nll=squares / 2 + logs + math.log(2 * math.pi) / 2,
            z_rms=math.sqrt(squares),
            sharpness=math.sqrt(float(self._bins[:, 1].sum()) / pixels),
            ence=float(np.mean(np.abs(found - stated) / stated)),
            bins=tuple(
                ReliabilityBin(float(s), float(f), int(n))
                for s, f, n in zip(stated, found, filled[:, 0], strict=True)
            ),
            pixels=int(pixels),
        )


@dataclass(frozen=True, slots=True)
class ConfidenceBin:
    """Pixels of about the same confidence."""

    confidence: float
    """Their mean."""
    abs_rel: float
    """Mean of |estimate - truth| / truth."""
    abs_rel_from_here: float
    """The same of this bin and all of higher confidence: what is left when the rest is cut."""
    pixels: int


class ConfidenceSums:
    """Sums over pixels by their confidence.

    Args:
        edges: (B - 1,) between the bins, ascending.
    """

    def __init__(self, edges: FloatArray) -> None:
        self._edges = edges
        self._bins = np.zeros((len(edges) + 1, 3))
        """Pixels, confidence, |estimate - truth| / truth."""

    def add(self, relative_error: FloatArray, confidence: NDArray[np.floating]) -> None:
        """Take pixels (N,) by |estimate - truth| / truth and confidence."""
        bins = np.searchsorted(self._edges, confidence, side='right')
        for column, weights in enumerate((None, confidence, relative_error)):
            self._bins[:, column] += np.bincount(bins, weights=weights, minlength=len(self._bins))

    def result(self) -> tuple[ConfidenceBin, ...]:
        """Return the bins that hold pixels, by growing confidence."""
        filled = self._bins[self._bins[:, 0] > 0]
        above = np.cumsum(filled[::-1], axis=0)[::-1]
        left = above[:, 2] / above[:, 0]
        means = filled[:, 1:] / filled[:, :1]
        return tuple(
            ConfidenceBin(float(confidence), float(error), float(rest), int(pixels))
            for (confidence, error), rest, pixels in zip(means, left, filled[:, 0], strict=True)
        )
