"""How far many depth images are from the truth, read one at a time, twice.

The first pass finds what takes all pixels: the one scale, the medians, the edges of bins. The
second one compares. Memory does not grow with the number of images but for a few figures of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.metrics.baselines import row_medians
from da3_ros.metrics.calibration import (
    BINS,
    Calibration,
    ConfidenceBin,
    ConfidenceSums,
    SpreadSums,
)
from da3_ros.metrics.depth import (
    DepthFigures,
    error_sums,
    known_in_both,
    median_scale,
)
from da3_ros.metrics.quantiles import COARSE_BITS, StreamedQuantiles

FloatImage = NDArray[np.float32]

Variant = Literal[
    'as_is', 'scale_each', 'scale_all', 'constant_each', 'constant_all', 'rows_each', 'rows_all'
]
"""What is compared with the truth: the estimate as it is, with one scale per image or one for all
(medians of truth / estimate); or no estimate, but the median of the truth of the image, of all
images, of every row of the image, or of every row of all images."""
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_SUMS = 9
_MAX_EDGES = 100
# Depth of rows beyond has no cells of its own: there are as many as rows times cells.
_ROW_LIMITS = (1e-4, 1e6)


@dataclass(frozen=True, slots=True, eq=False)
class DepthPair:
    """One estimate and its truth, at the truth's pixels."""

    name: str
    truth: FloatImage
    """(H, W); NaN, infinite and what is not positive is unknown."""
    estimate: FloatImage
    """(H, W), likewise."""
    sigma: FloatImage | None = None
    """(H, W) stated standard deviation of the estimate, in its unit."""
    confidence: FloatImage | None = None
    """(H, W), larger is better; not negative."""


@dataclass(frozen=True, slots=True)
class ImageFigures:
    """What one image came to."""

    name: str
    scale: float
    """Median of truth / estimate; NaN when no pixel is known in both."""
    known_share: float
    """Of the pixels that the truth knows, how many the estimate knows too; NaN of none."""
    figures: dict[Variant, DepthFigures]
    """Empty when no pixel is known in both."""


@dataclass(frozen=True, slots=True)
class RangeFigures:
    """What pixels came to whose true depth is in a range."""

    near: float
    """Included."""
    far: float
    """Not included."""
    figures: dict[Variant, DepthFigures]
    """Empty when there is no such pixel."""


@dataclass(frozen=True, slots=True)
class DepthSetFigures:
    """What all images came to."""

    pooled: dict[Variant, DepthFigures]
    """Over the pixels of all images."""
    mean: dict[Variant, DepthFigures]
    """Mean over the images of the figures of each; `pixels` is the sum."""
    ranges: tuple[RangeFigures, ...]
    """By true depth, over the pixels of all images."""
    images: tuple[ImageFigures, ...]
    scale: float
    """Median of truth / estimate over the pixels of all images."""
    scale_spread: float
    """Standard deviation of ln of the scales of the images."""
    calibration: dict[Variant, Calibration]
    """Of `as_is` and `scale_all`, where spreads were stated; empty else."""
    confidence: tuple[ConfidenceBin, ...]
    """Errors after the scale of each image by confidence; empty without it."""


def measure_depth(
    pairs: Callable[[], Iterable[DepthPair]], edges: Sequence[float]
) -> DepthSetFigures:
    """Compare estimates with the truth.

    Args:
        pairs: gives the same images, in the same order, each time it is called.
        edges: of ranges of true depth, ascending; pixels outside of all are in the whole only.

    Raises:
        GeometryError: no pixel of any pair is known in both images, sizes differ, or the edges do
            not ascend.
    """
    check_edges(edges)
    survey = _Survey()
    for pair in pairs():
        survey.add(pair)
    sums = _Comparison(survey.found(), np.asarray(edges, dtype=np.float64))
    for pair in pairs():
        sums.add(pair)
    return sums.result()


def check_edges(edges: Sequence[float]) -> None:
    """Refuse edges that make no ranges.

    Raises:
        GeometryError: there are fewer than two or too many, or they do not ascend from 0 up.
    """
    ascends = all(a < b for a, b in pairwise(edges))
    if not 2 <= len(edges) <= _MAX_EDGES or not ascends or not edges[0] >= 0:
        raise GeometryError(
            f'ranges: expected 2 to {_MAX_EDGES} ascending edges from 0 up, got '
            f'{", ".join(f"{edge:g}" for edge in edges[:_MAX_EDGES])}'
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The pixels of a pair that both images know, and where they are."""

    mask: NDArray[np.bool_]
    truth: FloatArray
    """(N,)."""
    estimate: FloatArray
    """(N,)."""
    rows: NDArray[np.int64]
    """(N,) of the image."""

    @staticmethod
    def of(pair: DepthPair) -> _Known:
        mask = known_in_both(pair.estimate, pair.truth)
        rows = np.repeat(np.arange(len(mask)), np.count_nonzero(mask, axis=1))
        truth, estimate = (image[mask].astype(np.float64) for image in (pair.truth, pair.estimate))
        return _Known(mask, truth, estimate, rows)

    def sigma(self, pair: DepthPair) -> tuple[FloatArray, NDArray[np.bool_]] | None:
        """Return the stated spreads of these pixels (N,), and where there is one."""
        if pair.sigma is None:
            return None
        said = pair.sigma[self.mask].astype(np.float64)
        return said, np.asarray(np.isfinite(said) & (said > 0))

    def confidence(self, pair: DepthPair) -> tuple[FloatArray, NDArray[np.bool_]] | None:
        """Return the confidence of these pixels (N,), and where there is one."""
        if pair.confidence is None:
            return None
        said = pair.confidence[self.mask].astype(np.float64)
        return said, np.asarray(np.isfinite(said) & (said >= 0))


@dataclass(frozen=True, slots=True, eq=False)
class _Overall:
    """What takes the pixels of all images."""

    scale: float
    constant: float
    rows: FloatArray
    """(R,) median of the truth by row of the first image; others have theirs by height."""
    sigma_edges: FloatArray
    confidence_edges: FloatArray


class _Survey:
    """The first pass."""

    def __init__(self) -> None:
        self._ratio = StreamedQuantiles()
        self._truth = StreamedQuantiles()
        self._rows: StreamedQuantiles | None = None
        self._row_count = 0
        self._sigma, self._confidence = StreamedQuantiles(), StreamedQuantiles()
        self._pairs = 0

    def add(self, pair: DepthPair) -> None:
        known = _Known.of(pair)
        self._pairs += 1
        if not len(known.truth):
            return
        if self._rows is None:
            self._row_count = len(pair.truth)
            self._rows = StreamedQuantiles(self._row_count, COARSE_BITS)
        truth = known.truth.astype(np.float32)
        self._ratio.add(_in_float32(known.truth / known.estimate))
        self._truth.add(truth)
        bounded = np.clip(truth, *_ROW_LIMITS)
        self._rows.add(bounded, known.rows * self._row_count // len(pair.truth))
        for counts, stated in (
            (self._sigma, known.sigma(pair)),
            (self._confidence, known.confidence(pair)),
        ):
            if stated is not None:
                values, is_said = stated
                counts.add(_in_float32(values[is_said]))

    def found(self) -> _Overall:
        if self._rows is None:
            raise GeometryError(
                f'depth: no pixel is known in both images of any of {self._pairs} pairs'
            )
        return _Overall(
            scale=self._ratio.quantile(0.5),
            constant=self._truth.quantile(0.5),
            rows=self._rows.medians(),
            sigma_edges=_edges(self._sigma),
            confidence_edges=_edges(self._confidence),
        )


def _in_float32(values: FloatArray) -> NDArray[np.float32]:
    """Return positive numbers as float32, none of them zero or infinite."""
    limits = np.finfo(np.float32)
    return np.clip(values, limits.tiny, limits.max).astype(np.float32)


def _edges(counts: StreamedQuantiles) -> FloatArray:
    """Return the edges between bins of as many pixels; fewer where many are equal."""
    if not counts.count:
        return np.empty(0)
    found = [counts.quantile(share) for share in np.arange(1, BINS) / BINS]
    return np.unique(found)


class _Comparison:
    """The second pass."""

    def __init__(self, overall: _Overall, edges: FloatArray) -> None:
        self._overall, self._edges = overall, edges
        # Groups: nearer than all ranges, the ranges, farther than all.
        self._sums = {v: np.zeros((len(edges) + 1, _SUMS)) for v in VARIANTS}
        self._images: list[ImageFigures] = []
        self._spreads = {v: SpreadSums(overall.sigma_edges) for v in _CALIBRATED}
        self._confidence = ConfidenceSums(overall.confidence_edges)

    def add(self, pair: DepthPair) -> None:
        known = _Known.of(pair)
        of_truth = np.count_nonzero(np.isfinite(pair.truth) & (pair.truth > 0))
        share = len(known.truth) / of_truth if of_truth else float('nan')
        if not len(known.truth):
            self._images.append(ImageFigures(pair.name, float('nan'), share, {}))
            return
        scale = median_scale(known.estimate, known.truth)
        figures = self._compare(known, self._depths(pair, known, scale))
        self._images.append(ImageFigures(pair.name, scale, share, figures))
        self._add_stated(pair, known, scale)

    def _depths(
        self, pair: DepthPair, known: _Known, scale: float
    ) -> dict[Variant, FloatArray | float]:
        """Return the depth (N,) that stands for the estimate in every variant."""
        overall = self._overall
        truth = np.where(known.mask, pair.truth, np.float32(np.nan))
        bands = known.rows * len(overall.rows) // len(pair.truth)
        return {
            'as_is': known.estimate,
            'scale_each': known.estimate * scale,
            'scale_all': known.estimate * overall.scale,
            'constant_each': float(np.median(known.truth)),
            'constant_all': overall.constant,
            'rows_each': row_medians(truth[None])[known.rows],
            'rows_all': overall.rows[bands],
        }

    def _compare(
        self, known: _Known, depths: dict[Variant, FloatArray | float]
    ) -> dict[Variant, DepthFigures]:
        groups = np.searchsorted(self._edges, known.truth, side='right').astype(np.uint8)
        order = np.argsort(groups, kind='stable')
        counts = np.bincount(groups)
        filled = np.flatnonzero(counts)
        starts = (np.cumsum(counts) - counts)[filled]
        truth = known.truth[order]
        found: dict[Variant, DepthFigures] = {}
        for variant, depth in depths.items():
            at = depth[order] if isinstance(depth, np.ndarray) else np.full(len(truth), depth)
            sums = error_sums(at, truth, starts)
            self._sums[variant][filled] += sums
            figures = DepthFigures.of(sums.sum(axis=0))
            assert figures is not None
            found[variant] = figures
        return found

    def _add_stated(self, pair: DepthPair, known: _Known, scale: float) -> None:
        """Take what the estimate states of its errors."""
        stated = known.sigma(pair)
        if stated is not None:
            sigma, said = stated
            factors: dict[Variant, float] = {'as_is': 1.0, 'scale_all': self._overall.scale}
            for variant, factor in factors.items():
                error = known.estimate * factor - known.truth
                self._spreads[variant].add(error[said], sigma[said], factor)
        stated = known.confidence(pair)
        if stated is not None:
            confidence, said = stated
            relative = np.abs(known.estimate * scale / known.truth - 1)
            self._confidence.add(relative[said], confidence[said])

    def result(self) -> DepthSetFigures:
        compared = [image for image in self._images if image.figures]
        calibrations = {v: sums.result() for v, sums in self._spreads.items()}
        return DepthSetFigures(
            pooled=_figures({v: sums.sum(axis=0) for v, sums in self._sums.items()}),
            mean={v: mean_figures([image.figures[v] for image in compared]) for v in VARIANTS},
            ranges=tuple(
                RangeFigures(
                    float(near),
                    float(far),
                    _figures({v: sums[group] for v, sums in self._sums.items()}),
                )
                for group, (near, far) in enumerate(pairwise(self._edges), start=1)
            ),
            images=tuple(self._images),
            scale=self._overall.scale,
            scale_spread=float(np.std(np.log([image.scale for image in compared]))),
            calibration={v: c for v, c in calibrations.items() if c is not None},
            confidence=self._confidence.result(),
        )


_CALIBRATED: tuple[Variant, ...] = ('as_is', 'scale_all')


def _figures(sums: dict[Variant, FloatArray]) -> dict[Variant, DepthFigures]:
    found = {variant: DepthFigures.of(own) for variant, own in sums.items()}
    return {variant: figures for variant, figures in found.items() if figures is not None}


def mean_figures(figures: Sequence[DepthFigures]) -> DepthFigures:
    """Return the mean of each figure over images, and the sum of their pixels."""
    names = [name for name in DepthFigures.__slots__ if name != 'pixels']
    means = {name: float(np.mean([getattr(own, name) for own in figures])) for name in names}
    return DepthFigures(**means, pixels=sum(own.pixels for own in figures))
