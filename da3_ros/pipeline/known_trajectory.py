"""A trajectory that is known beforehand as the prior of frame sets, interpolated by stamp."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from da3_ros.errors import SourceError
from da3_ros.export.tum import stamp_text
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import (
    matrix_from_quaternion_xyzw,
    quaternion_xyzw_from_matrix,
    slerp_xyzw,
)
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.types import FrameSet, PosePrior, RigCalibration

_MOST_GAP_NS = 1_000_000_000
_GAPS = 4


class KnownTrajectory:
    """Where the cameras were, by somebody else's measure.

    Nothing is extrapolated, nor interpolated across a pause that is longer than a second and than
    four usual steps: frames there have no prior, and are counted.

    Args:
        poses: in the order of stamps, none twice, metres: of the camera, with a rig of its base.
        rig: where the cameras sit; empty for one camera that is what the poses are of.
    """

    def __init__(self, poses: Sequence[StampedPose], rig: RigCalibration) -> None:
        self._poses = poses
        self._stamps_ns = [pose.stamp_ns for pose in poses]
        self._rig = rig
        steps = sorted(b - a for a, b in zip(self._stamps_ns, self._stamps_ns[1:], strict=False))
        usual_ns = steps[len(steps) // 2] if steps else 0
        self._most_gap_ns = max(_MOST_GAP_NS, _GAPS * usual_ns)
        self.missing = 0
        """Sets without a pose."""

    def check_overlap(self, first_ns: int, last_ns: int) -> None:
        """Refuse a trajectory of another time than the frames.

        Raises:
            SourceError: they do not overlap; says both.
        """
        begin, end = self._stamps_ns[0], self._stamps_ns[-1]
        if end < first_ns or begin > last_ns:
            raise SourceError(
                f'--poses: expected poses at the time of the frames, {stamp_text(first_ns)} to '
                f'{stamp_text(last_ns)} s, got {stamp_text(begin)} to {stamp_text(end)} s'
            )

    def prior_of(self, frame_set: FrameSet) -> PosePrior:
        """Return what the trajectory says of the cameras of a set."""
        poses = {}
        for frame in frame_set.frames:
            pose = self.pose_at(frame.stamp_ns)
            if pose is not None:
                base_from_camera = self._rig.base_from_camera.get(frame.camera)
                poses[frame.camera] = pose if base_from_camera is None else pose @ base_from_camera
        if len(poses) == len(frame_set.frames):
            return PosePrior(odometry_from_camera=poses)
        self.missing += 1
        text = 'the known poses do not reach the stamp'
        return PosePrior(odometry_from_camera=poses, notes=(Note('transform_missing', text),))

    def pose_at(self, stamp_ns: int) -> FloatArray | None:
        """Return the pose (4, 4) at a stamp; None outside the poses, or in a pause of them."""
        place = bisect_left(self._stamps_ns, stamp_ns)
        if place == len(self._poses):
            return None
        after = self._poses[place]
        if after.stamp_ns == stamp_ns:
            return after.world_from_base
        if place == 0:
            return None
        before = self._poses[place - 1]
        gap_ns = after.stamp_ns - before.stamp_ns
        if gap_ns > self._most_gap_ns:
            return None
        share = (stamp_ns - before.stamp_ns) / gap_ns
        return pose_between(before.world_from_base, after.world_from_base, share)


def pose_between(before: FloatArray, after: FloatArray, share: float) -> FloatArray:
    """Return the pose (4, 4) at a share of the motion, whose velocities are constant."""
    q0, q1 = (quaternion_xyzw_from_matrix(pose[:3, :3]) for pose in (before, after))
    position = before[:3, 3] + share * (after[:3, 3] - before[:3, 3])
    return rigid(matrix_from_quaternion_xyzw(slerp_xyzw(q0, q1, share)), position)
