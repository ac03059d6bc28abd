"""Depth of the sky: pixels that have none get that of the farthest things seen.

Source: Lin et al., "Depth Anything 3" (2025); the upstream implementation's constants.
"""

import numpy as np
from numpy.typing import NDArray

from da3_ros.model.plain.sampling import SeededPixelSampler, quantile

SKY_SCORE = 0.3
"""From this score on a pixel counts as sky where depth is filled and scale is estimated."""

MIN_PIXELS = 10
"""Sky, and ground too, must cover more pixels than this to mean anything."""

FAR_QUANTILE = 0.99


def fill_sky(depth: NDArray[np.float32], sky: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give sky pixels the 0.99 quantile of the depth of all other pixels of their scene.

    The quantile is one for all views of a scene, so that it depends on which views are seen
    together, as upstream.

    Args:
        depth: (V, H, W) of one scene.
        sky: (V, H, W) sky score.

    Returns:
        (V, H, W) depth; a scene with hardly any sky or hardly anything else is unchanged.
    """
    is_sky = sky >= np.float32(SKY_SCORE)
    ground = depth[~is_sky]
    if min(ground.size, is_sky.size - ground.size) <= MIN_PIXELS:
        return depth
    return np.where(is_sky, quantile(ground, FAR_QUANTILE, SeededPixelSampler()), depth)
