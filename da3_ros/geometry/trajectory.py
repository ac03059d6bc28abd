"""The record of where a robot was: stamped poses since its world began, and how it moves."""

from __future__ import annotations

from dataclasses import dataclass
import threading

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_vector_rad
from da3_ros.geometry.se3 import invert, require_rigid

DEFAULT_CAPACITY = 500_000
"""Fourteen hours at ten poses a second, 104 bytes each."""

_FIRST_ROOM = 1024
_NS_PER_S = 1e9


@dataclass(frozen=True, slots=True, eq=False)
class StampedPose:
    """Where the robot was at one instant."""

    stamp_ns: int
    world_from_base: FloatArray
    """(4, 4), world units; what the base is: `types.PosedSet.world_from_base`."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Mean velocity between two instants, in the body frame at the later one."""

    duration_s: float
    linear_per_s: FloatArray
    """(3,), world units per second."""
    angular_rad_per_s: FloatArray
    """(3,), rotation vector per second."""


class Trajectory:
    """Poses of a robot in one world and one unit, in the order of stamps.

    It is the one record of them: path, odometry and saved files read it. A new world and a change
    of the unit clear it, since the poses of before would not fit what comes.

    Every method may be called from any thread. What was returned never changes afterwards.

    Args:
        capacity: poses kept; when it is full the oldest ones go, one for each that comes.

    Raises:
        GeometryError: the capacity is below 2, which is what a motion needs.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 2:
            raise GeometryError(f'trajectory: expected a capacity >= 2, got {capacity}')
        self._capacity = capacity
        self._lock = threading.Lock()
        # All below is guarded by the lock. Pose i since the last `clear` lies at i % capacity;
        # there is less room at first, which grows up to the capacity.
        self._appended = 0
        self._stamps_ns: NDArray[np.int64] = np.empty(0, np.int64)
        self._poses: FloatArray = np.empty((0, 3, 4))
        self._start: StampedPose | None = None

    def append(self, stamp_ns: int, world_from_base: ArrayLike) -> bool:
        """Add a pose; return False, and leave it out, when it is not newer than the latest.

        Args:
            stamp_ns: of the pose.
            world_from_base: rigid, (4, 4).

        Raises:
            GeometryError: the pose is no rigid transform.
        """
        pose = require_rigid('world_from_base', world_from_base)
        with self._lock:
            if self._start is None:
                self._start = StampedPose(stamp_ns, pose.copy())
            elif stamp_ns <= self._stamps_ns[(self._appended - 1) % self._capacity]:
                return False
            place = self._appended % self._capacity
            if place == len(self._stamps_ns):
                room = min(self._capacity, max(2 * place, _FIRST_ROOM))
                self._stamps_ns = np.resize(self._stamps_ns, room)
                self._poses = np.resize(self._poses, (room, 3, 4))
            self._stamps_ns[place] = stamp_ns
            self._poses[place] = pose[:3]
            self._appended += 1
            return True

    def poses(self) -> tuple[StampedPose, ...]:
        """Return all poses kept, oldest first."""
        return self._newest(self._capacity)

    @property
    def start(self) -> StampedPose | None:
        """The first pose since the last `clear`, kept or not; None before there is one."""
        with self._lock:
            return self._start

    @property
    def dropped(self) -> int:
        """Oldest poses that had to go since the last `clear`."""
        with self._lock:
            return max(0, self._appended - self._capacity)

    def motion(self) -> Motion | None:
        """Return the motion between the two newest poses, None before there are two.

        The rotation and the translation of the relative pose are each divided by the time, which
        is the twist up to second order in the rotation angle.
        """
        newest = self._newest(2)
        if len(newest) < 2:
            return None
        before, after = newest
        previous_from_latest = invert(before.world_from_base) @ after.world_from_base
        rotation = previous_from_latest[:3, :3]
        seconds = (after.stamp_ns - before.stamp_ns) / _NS_PER_S
        vector = rotation_vector_rad(rotation)
        return Motion(
            duration_s=seconds,
            linear_per_s=np.asarray(rotation.T @ previous_from_latest[:3, 3] / seconds),
            angular_rad_per_s=np.asarray(vector / seconds),
        )

    def copy(self) -> Trajectory:
        """Return another record of the same poses; changes of one do not touch the other."""
        other = Trajectory(self._capacity)
        with self._lock:
            used = min(self._appended, self._capacity)
            other._stamps_ns = self._stamps_ns[:used].copy()
            other._poses = self._poses[:used].copy()
            other._appended, other._start = self._appended, self._start
        return other

    def clear(self) -> None:
        """Forget all poses; any stamp may come next."""
        with self._lock:
            self._appended = 0
            self._start = None

    def _newest(self, count: int) -> tuple[StampedPose, ...]:
        """Return at most so many of the newest poses, oldest first."""
        with self._lock:
            first = max(0, self._appended - min(count, self._capacity))
            places = np.arange(first, self._appended) % self._capacity
            stamps_ns, upper = self._stamps_ns[places].tolist(), self._poses[places]
        poses = np.zeros((len(upper), 4, 4))
        poses[:, :3], poses[:, 3, 3] = upper, 1.0
        return tuple(StampedPose(*pair) for pair in zip(stamps_ns, poses, strict=True))
