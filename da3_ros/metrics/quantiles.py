"""Medians and quantiles of more numbers than fit into memory.

Positive numbers of 32 bits are counted by the upper bits of their binary form, which grow with
them. A quantile is the mean of the numbers in its cell: exact where a cell holds equal numbers,
else off by less than a cell's width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray

_MANTISSA_BITS = 23
FINE_BITS = 13
"""Of the mantissa, that tell cells apart: 1.2e-4 of the number."""
COARSE_BITS = 7
"""0.8 % of the number, for as many rows as an image has."""


class StreamedQuantiles:
    """Counts of positive numbers, by rows.

    Args:
        rows: each has quantiles of its own.
        bits: of the mantissa.
    """

    def __init__(self, rows: int = 1, bits: int = FINE_BITS) -> None:
        self._shift = _MANTISSA_BITS - bits
        self._low = 0
        """Key of the first cell that is kept."""
        self._counts: NDArray[np.int64] = np.empty((rows, 0), np.int64)
        self._sums: FloatArray = np.empty((rows, 0))

    def add(self, values: NDArray[np.float32], rows: NDArray[np.integer] | None = None) -> None:
        """Count numbers.

        Args:
            values: (N,) positive and finite.
            rows: (N,) of each; None for the first.
        """
        if not values.size:
            return
        keys = np.ascontiguousarray(values, np.float32).view(np.int32) >> self._shift
        self._reach(int(keys.min()), int(keys.max()))
        cells = keys - self._low
        width = self._counts.shape[1]
        if rows is not None:
            cells = cells + rows.astype(np.int64) * width
        size = self._counts.size
        self._counts += np.bincount(cells, minlength=size).reshape(self._counts.shape)
        self._sums += np.bincount(cells, weights=values, minlength=size).reshape(self._sums.shape)

    @property
    def count(self) -> int:
        """Numbers counted, in all rows."""
        return int(self._counts.sum())

    def quantile(self, share: float, row: int = 0) -> float:
        """Return the number below which a share of them lies; of an even number the mean of two.

        Raises:
            GeometryError: none was counted.
        """
        counts = self._counts[row]
        total = int(counts.sum())
        if not total:
            raise GeometryError('quantile: expected at least one number, got none')
        filled = np.flatnonzero(counts)
        reached = np.cumsum(counts[filled])
        means = self._sums[row, filled] / counts[filled]
        place = share * (total - 1)
        low, high = np.searchsorted(reached, [np.floor(place), np.ceil(place)], side='right')
        rest = place - np.floor(place)
        return float(means[low] + rest * (means[high] - means[low]))

    def medians(self) -> FloatArray:
        """Return the median of every row, NaN of an empty one."""
        return np.array(
            [
                self.quantile(0.5, row) if counts.any() else np.nan
                for row, counts in enumerate(self._counts)
            ]
        )

    def _reach(self, low: int, high: int) -> None:
        """Make room for keys."""
        width = self._counts.shape[1]
        if not width:
            self._low = low
        before = max(0, self._low - low)
        behind = max(0, high + 1 - (self._low + width))
        if before or behind:
            pad = ((0, 0), (before, behind))
            self._counts = np.pad(self._counts, pad)
            self._sums = np.pad(self._sums, pad)
            self._low -= before
