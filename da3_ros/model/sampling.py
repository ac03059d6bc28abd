"""Quantiles of many pixels, by seeded samples where there are too many to sort.

The upstream code draws from torch's global generator, so that two calls differ; here every call
draws the same unless a caller brings a sampler of its own.
"""

from typing import Protocol

import torch
from torch import Tensor

MAX_PIXELS = 100_000
"""Quantiles over more pixels than this are taken over a random sample of as many."""


class PixelSampler(Protocol):
    """Source of random pixels."""

    def repeated(self, count: int, size: int) -> Tensor:
        """Return (size,) int64 indices below `count`, drawn with replacement."""
        ...

    def distinct(self, count: int, size: int) -> Tensor:
        """Return (size,) int64 indices below `count`, all different."""
        ...


class SeededPixelSampler:
    """Pixels from an own generator; torch's global one is never touched."""

    def __init__(self, seed: int = 0) -> None:
        """Seed the generator."""
        self._generator = torch.Generator().manual_seed(seed)

    def repeated(self, count: int, size: int) -> Tensor:
        """Return random indices with replacement."""
        return torch.randint(0, count, (size,), generator=self._generator)

    def distinct(self, count: int, size: int) -> Tensor:
        """Return random indices without replacement."""
        return torch.randperm(count, generator=self._generator)[:size]


def quantile(
    values: Tensor, q: float, sampler: PixelSampler, *, with_replacement: bool = True
) -> Tensor:
    """Return a quantile of values (n,), n >= 1, with linear interpolation."""
    count = values.shape[0]
    if count > MAX_PIXELS:
        draw = sampler.repeated if with_replacement else sampler.distinct
        values = values[draw(count, MAX_PIXELS).to(values.device)]
    return torch.quantile(values, q)
