"""The odometry of posed sets: pose, velocity and their covariances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.trajectory import Motion, StampedPose, Trajectory
from da3_ros.pipeline.pose_uncertainty import PoseUncertainty, UncertaintyState, covariance
from da3_ros.types import AlignmentReport, PosedSet


@dataclass(frozen=True, slots=True, eq=False)
class OdometryReading:
    """What an odometry says of one instant; each covariance (36,) is row-major."""

    pose_covariance: FloatArray
    motion: Motion | None
    """Since the set before; None for the first one."""
    twist_covariance: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class TrackState:
    """What an `OdometryTrack` remembers."""

    uncertainty: UncertaintyState
    start: StampedPose | None
    newest: tuple[StampedPose, ...]
    """At most two, oldest first."""


class OdometryTrack:
    """Follows the sets that go out, in the order of their stamps."""

    def __init__(self) -> None:
        # As far as it went out, which is behind what the pipeline knows; no more than a motion.
        self._trajectory = Trajectory(capacity=2)
        self._uncertainty = PoseUncertainty()

    def restart(self) -> None:
        """Forget the trajectory so far: the world starts anew."""
        self._trajectory.clear()
        self._uncertainty = PoseUncertainty()

    def add_window(self, report: AlignmentReport) -> None:
        """Take how the window was placed whose sets come next."""
        self._uncertainty.add_window(report)

    def append(self, posed: PosedSet) -> bool:
        """Take the next set; return False, and leave it out, where it is not newer."""
        return self._trajectory.append(posed.stamp_ns, posed.world_from_base)

    def reading(self, posed: PosedSet, report: AlignmentReport) -> OdometryReading:
        """Return the odometry of the set that was appended last."""
        start = self._trajectory.start
        assert start is not None  # this pose at least
        moved = posed.world_from_base[:3, 3] - start.world_from_base[:3, 3]
        distance = float(np.linalg.norm(moved))
        motion = self._trajectory.motion()
        seconds = None if motion is None else motion.duration_s
        return OdometryReading(
            covariance(self._uncertainty.pose(report, distance)),
            motion,
            covariance(self._uncertainty.twist(report, seconds)),
        )

    def state(self) -> TrackState:
        """Return all that there is to remember."""
        return TrackState(
            self._uncertainty.state(), self._trajectory.start, self._trajectory.poses()
        )

    def restore(self, state: TrackState) -> None:
        """Go on from a state."""
        self.restart()
        self._uncertainty.restore(state.uncertainty)
        poses = state.newest if state.start is None else (state.start, *state.newest)
        for pose in poses:
            # The start may be one of the newest: then it is left out the second time.
            self._trajectory.append(pose.stamp_ns, pose.world_from_base)
