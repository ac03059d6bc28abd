"""Quantiles of many pixels, by seeded samples where there are too many to sort.

The upstream code draws from torch's global generator, so that two calls differ; here every call
draws the same unless a caller brings a sampler of its own.
"""

import numpy as np
from numpy.typing import NDArray

MAX_PIXELS = 100_000
"""Quantiles over more pixels than this are taken over a random sample of as many."""


class SeededPixelSampler:
    """Random pixels from a generator of its own."""

    def __init__(self, seed: int = 0) -> None:
        """Seed the generator."""
        self._generator = np.random.default_rng(seed)

    def repeated(self, count: int, size: int) -> NDArray[np.int64]:
        """Return (size,) random indices below `count`, drawn with replacement."""
        return self._generator.integers(0, count, size)

    def distinct(self, count: int, size: int) -> NDArray[np.int64]:
        """Return random indices below `count`, all different: (size,), or all that there are."""
        return self._generator.permutation(count)[:size]


def quantile(
    values: NDArray[np.float32],
    q: float,
    sampler: SeededPixelSampler,
    *,
    with_replacement: bool = True,
) -> np.float32:
    """Return a quantile of values (n,), n >= 1, with linear interpolation."""
    count = len(values)
    if count > MAX_PIXELS:
        draw = sampler.repeated if with_replacement else sampler.distinct
        values = values[draw(count, MAX_PIXELS)]
    found: np.float32 = np.quantile(values, q)
    return found
