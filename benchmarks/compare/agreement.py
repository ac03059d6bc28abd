"""Whether contenders give the same answer: speed must not hide another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def agreement(found: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Return how far an answer is from the reference.

    Args:
        found: Arrays `depth` (N, H, W) and, where there are any, `extrinsics` (V, 3, 4).
        reference: The same of the reference.

    Returns:
        Median and 99th percentile of the relative difference of depth, the largest rotation
        between cameras (degrees), and the largest difference of a camera's translation relative
        to the median depth.
    """
    depth, expected = found['depth'], reference['depth']
    if depth.shape != expected.shape:
        return {}
    relative = np.abs(depth - expected) / np.abs(expected)
    median, p99 = np.percentile(relative, [50, 99])
    result = {'depth_median': float(median), 'depth_p99': float(p99)}
    if 'extrinsics' in found and 'extrinsics' in reference:
        ours, theirs = found['extrinsics'], reference['extrinsics']
        unit = float(np.median(np.abs(expected)))
        result['rotation_deg'] = float(np.max(_angles_deg(ours, theirs)))
        result['translation'] = float(np.max(np.abs(ours[..., 3] - theirs[..., 3]))) / unit
    return result


def _angles_deg(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the angle between rotations; exact for small ones, as no arc cosine is."""
    between = np.asarray(a, np.float64)[..., :3] @ np.swapaxes(b[..., :3], -1, -2)
    skew = (between - np.swapaxes(between, -1, -2)) / 2
    sine = np.sqrt(skew[..., 2, 1] ** 2 + skew[..., 0, 2] ** 2 + skew[..., 1, 0] ** 2)
    cosine = (np.trace(between, axis1=-2, axis2=-1) - 1) / 2
    angles: NDArray[np.float64] = np.degrees(np.arctan2(sine, cosine))
    return angles
