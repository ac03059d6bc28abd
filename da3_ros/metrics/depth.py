"""How far one depth image is from the truth, over the pixels where both are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray

DepthImage = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

DELTA = 1.25
"""Ratio within which a pixel counts as right; its square and cube for `delta2` and `delta3`."""
_SUMS = 9


@dataclass(frozen=True, slots=True)
class DepthFigures:
    """Agreement of depth with the truth over some pixels.

    Source: Eigen et al. 2014, section 3.2; log10 as in Saxena et al. 2009.
    """

    abs_rel: float
    """Mean of |estimate - truth| / truth."""
    sq_rel: float
    """Mean of (estimate - truth)^2 / truth, in the truth's unit."""
    rmse: float
    """Root of the mean of (estimate - truth)^2, in the truth's unit."""
    rmse_log: float
    """Root of the mean of (ln estimate - ln truth)^2."""
    log10: float
    """Mean of |log10 estimate - log10 truth|."""
    delta1: float
    """Share of pixels with max(estimate / truth, truth / estimate) < 1.25."""
    delta2: float
    """The same below 1.25^2."""
    delta3: float
    """The same below 1.25^3."""
    pixels: int
    """Number of pixels compared."""

    @staticmethod
    def of(sums: FloatArray) -> DepthFigures | None:
        """Return the figures of sums (9,) over pixels, see `error_sums`; None of no pixel."""
        pixels = int(sums[0])
        if not pixels:
            return None
        abs_rel, sq_rel, square, square_log, log, *right = (sums[1:] / pixels).tolist()
        return DepthFigures(
            abs_rel,
            sq_rel,
            float(np.sqrt(square)),
            float(np.sqrt(square_log)),
            log / float(np.log(10)),
            *right,
            pixels=pixels,
        )


@dataclass(frozen=True, slots=True)
class DepthError:
    """Agreement of two depth images."""

    figures: DepthFigures
    scale: float
    """Factor that the estimate was multiplied by before comparing (1 when not aligned)."""


def depth_error(estimate: DepthImage, truth: DepthImage, *, align_scale: bool) -> DepthError:
    """Compare two depth images of one size.

    Args:
        estimate: depth; NaN, infinite and non-positive pixels are left out.
        truth: depth in the unit wanted; the same pixels are left out.
        align_scale: multiply the estimate by the median of truth / estimate first.

    Raises:
        GeometryError: the sizes differ or no pixel is known in both.
    """
    known = known_in_both(estimate, truth)
    if not known.any():
        raise GeometryError('depth error: no pixel is known in both images')
    e, t = estimate[known].astype(np.float64), truth[known].astype(np.float64)
    scale = median_scale(e, t) if align_scale else 1.0
    figures = DepthFigures.of(error_sums(e * scale, t, np.zeros(1, np.int64))[0])
    assert figures is not None
    return DepthError(figures, scale)


def known_in_both(estimate: DepthImage, truth: DepthImage) -> Mask:
    """Return where both images of one size have a depth: finite and positive.

    Raises:
        GeometryError: the sizes differ.
    """
    if estimate.shape != truth.shape:
        raise GeometryError(f'depth error: sizes differ, {estimate.shape} and {truth.shape}')
    return np.asarray(np.isfinite(estimate) & np.isfinite(truth) & (estimate > 0) & (truth > 0))


def median_scale(estimate: DepthImage, truth: DepthImage) -> float:
    """Return the median of truth / estimate over known pixels (N,)."""
    return float(np.median(truth / estimate))


def error_sums(estimate: FloatArray, truth: FloatArray, starts: NDArray[np.int64]) -> FloatArray:
    """Return sums (G, 9) over groups of pixels: their number, then what `DepthFigures` needs.

    Args:
        estimate: (N,) positive, the pixels of a group beside one another.
        truth: (N,) positive.
        starts: (G,) first pixel of every group, none of which is empty.
    """
    ratio = estimate / truth
    relative = np.abs(ratio - 1)
    log = np.abs(np.log(ratio))
    square = relative * relative * truth
    factor = np.maximum(ratio, 1 / ratio)
    sums = np.empty((len(starts), _SUMS))
    sums[:, 0] = np.diff(starts, append=len(truth))
    terms = (relative, square, square * truth, log * log, log)
    for column, term in enumerate(terms, start=1):
        sums[:, column] = np.add.reduceat(term, starts)
    for power in (1, 2, 3):
        right = factor < DELTA**power
        sums[:, len(terms) + power] = np.add.reduceat(right, starts, dtype=np.int64)
    return sums
