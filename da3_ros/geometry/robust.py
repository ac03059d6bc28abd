"""Robust estimates: RANSAC around the closed-form similarity, median and its spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import as_float
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import similarity_from_points

# Turns the median absolute deviation of a normal distribution into its standard deviation.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class RobustSimilarity:
    """A similarity and the points that agree with it."""

    target_from_source: Sim3
    inliers: NDArray[np.bool_]
    """(N,), points within the threshold of the best hypothesis."""


def ransac_similarity(
    source: ArrayLike,
    target: ArrayLike,
    *,
    sample_size: int | None = None,
    threshold: float | None = None,
    iterations: int = 10,
    seed: int = 42,
) -> RobustSimilarity:
    """Return target_from_source that most points agree with, refitted on those.

    Args:
        source: (N, 3).
        target: (N, 3), the same points in the other frame.
        sample_size: points per hypothesis; None for half of them, rounded up, at least 3.
        threshold: inlier distance in the target's unit; None for the median distance of the
            aligned source points to their nearest target point after a fit to all.
        iterations: hypotheses drawn.
        seed: of the random draws.

    Raises:
        GeometryError: the fit to all points, or every hypothesis, is degenerate.

    Source: Fischler and Bolles 1981; defaults are those of the DA3 evaluation.
    """
    x = as_float('source points', source, (None, 3))
    y = as_float('target points', target, (x.shape[0], 3))
    n = x.shape[0]
    rng = np.random.default_rng(seed)
    size = max(3, (n + 1) // 2) if sample_size is None else min(max(3, sample_size), n)
    if threshold is None:
        aligned = similarity_from_points(x, y).apply(x)
        nearest = [np.linalg.norm(y - point, axis=1).min() for point in aligned]
        threshold = float(np.median(nearest))
    best: RobustSimilarity | None = None
    best_score = (-1, -np.inf)
    for _ in range(iterations):
        chosen = rng.choice(n, size, replace=False)
        try:
            model = similarity_from_points(x[chosen], y[chosen])
        except GeometryError:
            continue
        errors = np.linalg.norm(model.apply(x) - y, axis=1)
        inliers = errors <= threshold
        count = int(inliers.sum())
        score = (count, -float(errors[inliers].mean()) if count else -np.inf)
        if score > best_score:
            best, best_score = RobustSimilarity(model, inliers), score
    if best is None:
        raise GeometryError(f'similarity: all {iterations} random samples were degenerate')
    if best.inliers.sum() >= 3:
        model = similarity_from_points(x[best.inliers], y[best.inliers])
        best = RobustSimilarity(model, best.inliers)
    return best


def median_and_sigma(values: ArrayLike) -> tuple[float, float]:
    """Return the median of values (N,) and their robust standard deviation (scaled MAD).

    Raises:
        GeometryError: there are no values.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        raise GeometryError('median: expected at least one value, got none')
    middle = median(x)
    return middle, MAD_TO_SIGMA * median(np.abs(x - middle))


def median(values: NDArray[np.floating[Any]]) -> float:
    """Return the median of values (N,), N >= 1, none of which is NaN.

    As `np.median`, which looks for NaN and for both middle values at once: with thousands of
    values that takes several times as long.
    """
    middle = len(values) // 2
    parted = values.copy()
    parted.partition(middle)
    if len(values) % 2:
        return float(parted[middle])
    return float((np.maximum.reduce(parted[:middle]) + parted[middle]) / 2)
