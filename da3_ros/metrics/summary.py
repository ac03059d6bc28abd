"""The figures that many errors are summed up by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import as_float


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """Figures of errors, in their unit."""

    rmse: float
    """Root of the mean square."""
    mean: float
    median: float
    std: float
    """Standard deviation around the mean, of the errors as the whole population."""
    min: float
    max: float
    count: int
    """Number of errors."""

    @staticmethod
    def of(errors: ArrayLike) -> ErrorSummary:
        """Return the figures of errors (N,).

        Raises:
            GeometryError: there is none, or one is not finite.
        """
        values = as_float('errors', errors, (None,))
        if not len(values):
            raise GeometryError('errors: expected at least one, got none')
        return ErrorSummary(
            rmse=float(np.sqrt(np.mean(values**2))),
            mean=float(values.mean()),
            median=float(np.median(values)),
            std=float(values.std()),
            min=float(values.min()),
            max=float(values.max()),
            count=len(values),
        )
