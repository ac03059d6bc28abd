"""What is known of the poses of cameras before anything looks at images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import nearest_rigid, require_rigid
from da3_ros.notes import Note

FARTHEST_M = 1e8
"""No robot is further from the origin of its odometry, and no camera from its base: the frames of
maps that begin at the centre of the Earth are within."""


def known_pose(name: str, matrix: FloatArray) -> FloatArray:
    """Return a pose that somebody else knows, made exactly rigid, as (4, 4) in float64.

    Args:
        name: what it is the pose of, for the message.
        matrix: (4, 4), metres.

    Raises:
        GeometryError: it is not rigid within 1e-3, or further away than `FARTHEST_M`.
    """
    pose = require_rigid(name, matrix)
    distance_m = float(np.abs(pose[:3, 3]).max())
    if distance_m > FARTHEST_M:
        raise GeometryError(
            f'{name}: expected a place within {FARTHEST_M:.0e} m, got {distance_m:.3g} m'
        )
    return nearest_rigid(pose)


def usable_poses(
    name: str, poses: Mapping[str, FloatArray]
) -> tuple[dict[str, FloatArray], list[str]]:
    """Return those of several poses that are some, as `known_pose` does, and what the others are.

    Args:
        name: what they are the poses of, for the messages.
        poses: camera name to (4, 4), metres.
    """
    found = {
        camera: _pose_or_problem(f'{name} of {camera}', pose) for camera, pose in poses.items()
    }
    usable = {camera: pose for camera, pose in found.items() if not isinstance(pose, str)}
    return usable, [problem for problem in found.values() if isinstance(problem, str)]


def _pose_or_problem(name: str, matrix: FloatArray) -> FloatArray | str:
    try:
        return known_pose(name, matrix)
    except GeometryError as error:
        return str(error)


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
    single poses may be plainly wrong. Poses that are none (NaN, a zero matrix, the far side of the
    Moon) are left out at once, and a note says so.
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
        """Leave out what is no pose, and say so."""
        problems: list[str] = []
        for name in ('base_from_camera', 'odometry_from_camera'):
            usable, bad = usable_poses(name, getattr(self, name))
            object.__setattr__(self, name, usable)
            problems += bad
        if problems:
            more = f' (and {len(problems) - 1} more)' if len(problems) > 1 else ''
            note = Note('prior_left_out', f'pose left out: {problems[0]}{more}')
            object.__setattr__(self, 'notes', (*self.notes, note))

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
