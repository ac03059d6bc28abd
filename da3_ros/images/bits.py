"""Values of more than 8 bits as 8 bits: the rule of images in messages and in files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of 16-bit images every third row and column is looked at: with an odd step all of a mosaic's
# colours are among them.
_LOOK_EVERY = 3


def eight_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return the upper 8 of the `bits` that 16-bit values use, contiguous; larger ones are 255.

    Args:
        values: unsigned 16-bit of either byte order, the last axis contiguous.
        bits: 8 to 16.
    """
    if bits == 16:
        # The upper byte of each, without arithmetic.
        upper = 0 if values.dtype.byteorder == '>' else 1
        return np.ascontiguousarray(values.view(np.uint8)[..., upper::2])
    return np.asarray(np.minimum(values >> (bits - 8), 255), dtype=np.uint8)


def largest_of(values: NDArray[Any]) -> int:
    """Return the largest of one in nine of an image's 16-bit values."""
    return int(values[::_LOOK_EVERY, ::_LOOK_EVERY].max())
