"""Metres from the output of the metric single-view network.

That network (da3metric-large) sees pixels only. A picture taken with twice the focal length shows
everything twice as large, as if at half the distance; its output is therefore depth as if the
focal length were canonical (300 px), and metres at focal length f are output * f / 300. The focal
length is that of the image the network saw: after resizing, in its pixels.

Source: Lin et al., "Depth Anything 3" (2025), section 4; Yin et al., "Metric3D" (2023), section
3.2 (canonical camera).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.model.presets import METRIC_FOCAL_PX

FloatImages = NDArray[np.float32]


def metric_depth(
    depth: FloatImages, intrinsics: NDArray[Any], canonical_focal_px: float = METRIC_FOCAL_PX
) -> FloatImages:
    """Return metres.

    Args:
        depth: (N, H, W) output of the metric network.
        intrinsics: (N, 3, 3) in pixels of (H, W), that is of the processed images; those of the
            original images must be scaled first (`preprocess.Placement`).
        canonical_focal_px: Focal length at which the output is in metres.

    Returns:
        (N, H, W) z along the optical axis in metres.
    """
    focal = np.asarray(intrinsics)[:, (0, 1), (0, 1)].mean(axis=1)
    scaled: FloatImages = depth * (focal / canonical_focal_px).astype(np.float32)[:, None, None]
    return scaled
