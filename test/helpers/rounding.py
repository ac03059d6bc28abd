"""Equality as mathematics promises it: up to the rounding of another order of the same sums."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ROUNDING = {'float64': 1e-12, 'float32': 1e-6}
"""Largest difference, as a share of the largest value, that a few rounded operations make."""

DEEP = 1e-5
"""The same for a whole network in float32: dozens of layers hand on what they rounded. The
reference outputs say as much of the upstream code in other kernels (`noise` in their `meta`)."""

MAX_SHARE_OF_PIXELS = 0.01


def assert_equal_to_rounding(actual: Any, expected: Any, share: float | None = None) -> None:
    """Check arrays or tensors of floating point that are computed in two ways.

    Args:
        actual: One of them.
        expected: The other one, of the same shape and type.
        share: Largest difference as a share of the largest finite expected value; None for
            `ROUNDING` of the type.
    """
    a, b = _array(actual), _array(expected)
    assert a.shape == b.shape, (a.shape, b.shape)
    assert a.dtype == b.dtype, (a.dtype, b.dtype)
    finite = np.isfinite(b)
    np.testing.assert_array_equal(a[~finite], b[~finite])
    if not finite.any():
        return
    allowed = (ROUNDING[b.dtype.name] if share is None else share) * np.abs(b[finite]).max()
    error = np.abs(a[finite] - b[finite]).max()
    assert error <= allowed, f'differ by {error}, rounding may change {allowed}'


def assert_equal_pictures(actual: NDArray[Any], expected: NDArray[Any]) -> None:
    """Check 8-bit pictures of two computations: a value between two levels may fall either way."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert actual.dtype == expected.dtype == np.uint8
    difference = np.abs(actual.astype(int) - expected.astype(int))
    assert difference.max(initial=0) <= 1
    assert (difference > 0).mean() <= MAX_SHARE_OF_PIXELS


def _array(values: Any) -> NDArray[Any]:
    return values.detach().numpy(force=True) if isinstance(values, Tensor) else np.asarray(values)
