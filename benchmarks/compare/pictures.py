"""Pictures that every contender makes for itself, the same for all."""

import numpy as np
from numpy.typing import NDArray

_WAVES = 6
_STEP = 0.03
"""How far the pattern moves from picture to picture, in picture widths."""


def pictures(count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return pictures (N, H, W, 3) of a soft pattern with some grain that moves sideways."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0 : size[0], 0 : size[1]] / max(size)
    waves = rng.uniform(-3, 3, (3, _WAVES, 3))
    made = []
    for index in range(count):
        place = x + _STEP * index
        soft = [
            sum(np.sin(2 * np.pi * (a * place + b * y) + c) for a, b, c in channel)
            for channel in waves
        ]
        grain = rng.normal(0, 0.05, (*size, 3))
        values = 0.5 + 0.3 * np.stack(soft, axis=-1) / np.sqrt(_WAVES) + grain
        made.append(np.round(255 * np.clip(values, 0, 1)).astype(np.uint8))
    return np.stack(made)
