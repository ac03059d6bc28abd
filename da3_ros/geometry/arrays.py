"""Array types and the one shape check used at public boundaries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError

FloatArray = NDArray[np.float64]


def as_float(name: str, value: Any, shape: tuple[int | None, ...]) -> FloatArray:
    """Return `value` as finite float64 of the given shape.

    Args:
        name: what the value is, for the message.
        value: anything numpy can read as an array.
        shape: expected shape; None matches any length, the number of axes must agree.

    Raises:
        GeometryError: it is no array of real numbers, the shape differs, or an entry is not
            finite.
    """
    array = _numbers(name, value)
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = tuple('any' if n is None else n for n in shape)
        raise GeometryError(f'{name}: expected shape {wanted}, got {array.shape}')
    if not np.isfinite(array).all():
        raise GeometryError(f'{name}: expected finite numbers, got {array.tolist()}')
    return array


def _numbers(name: str, value: Any) -> FloatArray:
    try:
        array = np.asarray(value)
        if array.dtype.kind in 'fiubO':
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise GeometryError(f'{name}: expected an array of numbers ({error})') from error
    raise GeometryError(f'{name}: expected real numbers, got {array.dtype}')


def extremes(image: NDArray[np.float32]) -> tuple[float, float]:
    """Return the smallest and the largest number of an image, both NaN where there is none.

    NaN among the pixels is passed over. Two passes that write nothing tell, of most images, that
    no pixel has to be looked at by itself.
    """
    smallest, largest = np.fmin.reduce(image, axis=None), np.fmax.reduce(image, axis=None)
    return float(smallest), float(largest)
