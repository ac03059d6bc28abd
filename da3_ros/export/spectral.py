"""The colours of depth: from red over yellow to violet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from da3_ros.types import ColourImage

_LEVELS = 256
# ColorBrewer's diverging scheme "Spectral" with eleven classes, (C. Brewer, colorbrewer2.org).
_SPECTRAL = np.array([
    (158, 1, 66), (213, 62, 79), (244, 109, 67), (253, 174, 97), (254, 224, 139), (255, 255, 191),
    (230, 245, 152), (171, 221, 164), (102, 194, 165), (50, 136, 189), (94, 79, 162),
])  # fmt: skip
_TABLE = np.stack(
    [
        np.interp(np.linspace(0, 1, _LEVELS), np.linspace(0, 1, len(_SPECTRAL)), channel)
        for channel in _SPECTRAL.T
    ],
    axis=1,
).astype(np.uint8)


def spectral(shares: NDArray[np.floating]) -> ColourImage:
    """Return colours (..., 3) of shares (...): red at 0, violet at 1, clipped outside."""
    level = (np.clip(shares, 0.0, 1.0) * _LEVELS).astype(np.intp)
    return np.asarray(_TABLE[np.minimum(level, _LEVELS - 1)])
