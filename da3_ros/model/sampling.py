"""Quantiles of many pixels, by seeded samples where there are too many to sort.

The upstream code draws from torch's global generator, so that two calls differ; here every call
draws the same unless a caller brings a sampler of its own.
"""

from typing import Protocol

import torch
from torch import Tensor

from da3_ros.model.plain import sampling as plain


class PixelSampler(Protocol):
    """Source of random pixels."""

    def repeated(self, count: int, size: int) -> Tensor:
        """Return (size,) int64 indices below `count`, drawn with replacement."""
        ...

    def distinct(self, count: int, size: int) -> Tensor:
        """Return (size,) int64 indices below `count`, all different."""
        ...


class SeededPixelSampler:
    """The pixels of `plain.sampling`, as tensors; torch's own generator is never touched."""

    def __init__(self, seed: int = 0) -> None:
        """Seed the generator."""
        self._pixels = plain.SeededPixelSampler(seed)

    def repeated(self, count: int, size: int) -> Tensor:
        """Return random indices with replacement."""
        return torch.from_numpy(self._pixels.repeated(count, size))

    def distinct(self, count: int, size: int) -> Tensor:
        """Return random indices without replacement."""
        return torch.from_numpy(self._pixels.distinct(count, size))


def quantile(
    values: Tensor, q: float, sampler: PixelSampler, *, with_replacement: bool = True
) -> Tensor:
    """Return a quantile of values (n,), n >= 1, with linear interpolation."""
    count = values.shape[0]
    if count > plain.MAX_PIXELS:
        draw = sampler.repeated if with_replacement else sampler.distinct
        values = values[draw(count, plain.MAX_PIXELS).to(values.device)]
    return torch.quantile(values, q)
