"""Where the rig was: stamped poses for the path and for odometry."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.transform import Rotation

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert, require_rigid

_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class StampedPose:
    """The rig at one instant."""

    stamp_ns: int
    world_from_base: FloatArray
    """(4, 4)."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """Mean velocity between two instants, in the body frame at the later one."""

    duration_ns: int
    previous_from_latest: FloatArray
    """(4, 4): the later body frame in the earlier one."""
    linear_per_s: FloatArray
    """(3,), world units per second."""
    angular_rad_per_s: FloatArray
    """(3,), rotation vector per second."""


class Trajectory:
    """The newest poses of the rig in the order of stamps. One thread at a time.

    Args:
        capacity: poses kept, at least 2.

    Raises:
        StreamError: the capacity is below 2.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 2:
            raise StreamError(f'trajectory: expected a capacity >= 2, got {capacity}')
        self._poses: deque[StampedPose] = deque(maxlen=capacity)

    def append(self, stamp_ns: int, world_from_base: ArrayLike) -> bool:
        """Add a pose; return False, and leave it out, when it is not newer than the latest.

        Raises:
            GeometryError: the pose is no rigid transform.
        """
        pose = require_rigid('world_from_base', world_from_base)
        if self._poses and stamp_ns <= self._poses[-1].stamp_ns:
            return False
        self._poses.append(StampedPose(stamp_ns, pose))
        return True

    def poses(self) -> tuple[StampedPose, ...]:
        """Return all poses kept, oldest first."""
        return tuple(self._poses)

    @property
    def latest(self) -> StampedPose | None:
        """The newest pose, None before the first."""
        return self._poses[-1] if self._poses else None

    def motion(self) -> Motion | None:
        """Return the motion between the two newest poses, None before there are two.

        The rotation and the translation of the relative pose are each divided by the time, which
        is the twist up to second order in the rotation angle.
        """
        if len(self._poses) < 2:
            return None
        before, after = self._poses[-2], self._poses[-1]
        relative = invert(before.world_from_base) @ after.world_from_base
        duration_ns = after.stamp_ns - before.stamp_ns
        seconds = duration_ns / _NS_PER_S
        rotation = relative[:3, :3]
        vector = Rotation.from_matrix(rotation).as_rotvec()
        return Motion(
            duration_ns=duration_ns,
            previous_from_latest=relative,
            linear_per_s=np.asarray(rotation.T @ relative[:3, 3] / seconds),
            angular_rad_per_s=np.asarray(vector / seconds),
        )

    def clear(self) -> None:
        """Forget all poses."""
        self._poses.clear()
