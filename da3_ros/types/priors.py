"""What is known of the poses of cameras before anything looks at images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import require_rigid
from da3_ros.notes import Note


@dataclass(frozen=True, slots=True, eq=False)
class RigCalibration:
    """Where the cameras sit on the robot."""

    base_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to rigid (4, 4), metres, optical frame in the body frame; may be partial."""


@dataclass(frozen=True, slots=True, eq=False)
class PosePrior:
    """What is known of the poses of one set's cameras without looking at its images.

    Two kinds of knowledge, of different worth. The rig relates cameras of one instant and is
    exact: millimetres, and no drift. Odometry relates instants, too. Over the seconds of a window
    its error is about a percent of the distance and a few millimetres. But its frame drifts, and
    single poses may be plainly wrong. Poses that are not rigid (NaN, a zero matrix) are left out
    at once.
    """

    base_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to (4, 4), metres: the optical frame in the body frame at this instant, which
    for a camera on a moving head changes. Replaces the rig's calibration for this set: a camera
    that is not named stands nobody knows where."""
    odometry_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to (4, 4), metres: the optical frame at the stamp of its own image, in the
    fixed frame of the odometry."""
    notes: tuple[Note, ...] = ()
    """What is missing and why."""

    def __post_init__(self) -> None:
        """Leave out what is not rigid."""
        for name in ('base_from_camera', 'odometry_from_camera'):
            object.__setattr__(self, name, _rigid_ones(getattr(self, name)))

    def of_views(self, camera_from_view: Mapping[str, FloatArray]) -> PosePrior:
        """Return the prior of views that are rotated in their cameras.

        Args:
            camera_from_view: camera name to (4, 4) pose of the view's optical frame in the
                camera's; a camera that is not named keeps its own.
        """

        def rotated(poses: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
            return {
                camera: pose @ camera_from_view[camera] if camera in camera_from_view else pose
                for camera, pose in poses.items()
            }

        return PosePrior(
            rotated(self.base_from_camera), rotated(self.odometry_from_camera), self.notes
        )


def _rigid_ones(poses: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {camera: pose for camera, pose in poses.items() if _is_rigid(pose)}


def _is_rigid(pose: FloatArray) -> bool:
    try:
        require_rigid('pose', pose)
    except GeometryError:
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class KnownPoses:
    """What is known of the poses of a window's views before any network looks at them."""

    frame_from_camera: FloatArray | None
    """(N, 4, 4), metres, all in one frame, in the order of `Window.views`; None when they are
    not all known in one frame, which is what a network needs."""
    kind: Literal['none', 'rig', 'odometry']
    """odometry: in its fixed frame; rig: one instant, in the body frame, exact."""
    odometry_views: int
    """Views whose pose the odometry knows."""
    notes: tuple[Note, ...] = ()
    """Why the poses are not known although there is a prior; empty otherwise."""
