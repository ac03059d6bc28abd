"""Poses and files at the stamps of images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw, quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.metrics.association import associate

MAX_GAP_NS = 100_000_000
"""Between two poses that are interpolated; what is true in a longer gap nobody measured."""
MAX_APART_NS = 20_000_000
"""Between two images of one instant, as in the tools of the TUM benchmark."""

# Below this angle the arc is as straight as the chord.
_SMALL_RAD = 1e-6


def poses_at(truth: Sequence[StampedPose], stamps_ns: Sequence[int]) -> list[FloatArray | None]:
    """Return poses (4, 4) at stamps: those of the trajectory, or between two of them.

    Linear in position and in the angle of rotation; None outside of the trajectory, and between
    poses that are more than `MAX_GAP_NS` apart.

    Args:
        truth: in the order of stamps, none twice.
        stamps_ns: in any order.

    Source: Shoemake 1985, Animating Rotation with Quaternion Curves (slerp).
    """
    if not truth or not stamps_ns:
        return [None] * len(stamps_ns)
    known = np.array([pose.stamp_ns for pose in truth], np.int64)
    wanted = np.array(stamps_ns, np.int64)
    after = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    is_exact = known[after] == wanted
    before = np.maximum(after - 1, 0)
    gap = known[after] - known[before]
    is_between = (known[before] < wanted) & (wanted < known[after]) & (gap <= MAX_GAP_NS)
    poses = np.array([truth[i].world_from_base for i in after.tolist()])
    if is_between.any():
        first = np.array([truth[i].world_from_base for i in before[is_between].tolist()])
        share = (wanted - known[before])[is_between] / gap[is_between]
        poses[is_between] = _between(first, poses[is_between], share)
    usable = (is_exact | is_between).tolist()
    return [pose if ok else None for pose, ok in zip(poses, usable, strict=True)]


def nearest_of(stamps_ns: Sequence[int], others_ns: Sequence[int]) -> list[int | None]:
    """Return for every stamp the place of its partner among others; each has one at most.

    None where there is none within `MAX_APART_NS`.
    """
    places: list[int | None] = [None] * len(stamps_ns)
    try:
        pairs = associate(stamps_ns, others_ns, MAX_APART_NS)
    except GeometryError:
        return places
    for first, second in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True):
        places[first] = second
    return places


def _between(first: FloatArray, second: FloatArray, share: NDArray[np.float64]) -> FloatArray:
    """Return poses (N, 4, 4) at shares (N,) of the way from first to second."""
    a, b = (quaternion_xyzw_from_matrix(poses[:, :3, :3]) for poses in (first, second))
    cosine = (a * b).sum(axis=1)
    b = np.where(cosine[:, None] < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(cosine), 0, 1))
    is_small = angle < _SMALL_RAD
    sine = np.sin(np.where(is_small, 1.0, angle))
    left = np.where(is_small, 1 - share, np.sin((1 - share) * angle) / sine)
    right = np.where(is_small, share, np.sin(share * angle) / sine)
    rotation = matrix_from_quaternion_xyzw(left[:, None] * a + right[:, None] * b)
    positions = (1 - share)[:, None] * first[:, :3, 3] + share[:, None] * second[:, :3, 3]
    return rigid(rotation, positions)
