"""Depth by somebody who does not look at the image: what an estimate has to be better than."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray


def row_medians(truth: NDArray[np.floating[Any]]) -> FloatArray:
    """Return the median (H,) that the truth (N, H, W) has in every row; NaN of a row without any.

    Args:
        truth: NaN where unknown.
    """
    rows = np.moveaxis(np.asarray(truth), 1, 0).reshape(truth.shape[1], -1)
    # NaN is sorted to the end.
    ordered = np.sort(rows, axis=1)
    counts = np.count_nonzero(~np.isnan(rows), axis=1)
    places = np.arange(len(rows))
    low = ordered[places, np.maximum(counts - 1, 0) // 2].astype(np.float64)
    high = ordered[places, counts // 2].astype(np.float64)
    return np.where(counts > 0, (low + high) / 2, np.nan)
