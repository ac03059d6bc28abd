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
# Pixels that are compared at once: what is computed of them stays in the processor's cache.
_BLOCK = 1 << 14


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
        means = sums[1:] / pixels
        means[2:4] = np.sqrt(means[2:4])
        means[4] /= np.log(10)
        names = [name for name in DepthFigures.__slots__ if name != 'pixels']
        values: dict[str, float] = dict(zip(names, means.tolist(), strict=True))
        return DepthFigures(**values, pixels=pixels)


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
    sums = np.zeros((len(starts), _SUMS))
    ends = [*starts[1:].tolist(), len(truth)]
    for group, (start, end) in enumerate(zip(starts.tolist(), ends, strict=True)):
        for begin in range(start, end, _BLOCK):
            part = slice(begin, min(begin + _BLOCK, end))
            sums[group] += _block_sums(estimate[part], truth[part])
    return sums


def _block_sums(estimate: FloatArray, truth: FloatArray) -> list[float]:
    ratio = estimate / truth
    relative = np.abs(ratio - 1)
    log = np.log(ratio)
    # |estimate - truth|
    error = relative * truth
    factor = np.maximum(ratio, 1 / ratio)
    return [
        len(truth),
        float(relative.sum()),
        float(relative @ error),
        float(error @ error),
        float(log @ log),
        float(np.abs(log).sum()),
        *(float(np.count_nonzero(factor < DELTA**power)) for power in (1, 2, 3)),
    ]
