"""Depth of the sky: pixels that have none get that of the farthest things seen.

Source: Lin et al., "Depth Anything 3" (2025); the upstream implementation's constants.
"""

import torch
from torch import Tensor

from da3_ros.model.plain.sky import FAR_QUANTILE, MIN_PIXELS, SKY_SCORE
from da3_ros.model.sampling import PixelSampler, SeededPixelSampler, quantile


def fill_sky(depth: Tensor, sky: Tensor, sampler: PixelSampler | None = None) -> Tensor:
    """Give sky pixels the 0.99 quantile of the depth of all other pixels of their scene.

    The quantile is one for all views of a scene, so that it depends on which views are seen
    together, as upstream. Scenes of a batch do not influence one another, unlike upstream.

    Args:
        depth: (B, V, H, W).
        sky: (B, V, H, W) sky score.
        sampler: Random pixels for quantiles; freshly seeded for every scene when None.

    Returns:
        (B, V, H, W) depth; scenes with hardly any sky or hardly anything else are unchanged.
    """
    scenes = []
    for scene_depth, scene_sky in zip(depth, sky, strict=True):
        is_sky = scene_sky >= SKY_SCORE
        ground = scene_depth[~is_sky]
        if min(ground.shape[0], is_sky.numel() - ground.shape[0]) > MIN_PIXELS:
            far = quantile(ground, FAR_QUANTILE, sampler or SeededPixelSampler())
            scene_depth = torch.where(is_sky, far, scene_depth)
        scenes.append(scene_depth)
    return torch.stack(scenes)
