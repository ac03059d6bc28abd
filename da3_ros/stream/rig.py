"""The rig as a whole: the pose of its base from the poses of its cameras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.stream.robust_mean import mean_position, mean_rotation, rms
from da3_ros.types import RigCalibration, known_pose

Poses = Mapping[str, FloatArray]
"""Camera name to the (4, 4) pose of its optical frame."""


@dataclass(frozen=True, slots=True, eq=False)
class BasePose:
    """The base frame of one set, and how well its cameras agree about it."""

    frame_from_base: FloatArray
    """(4, 4), in the frame that the cameras' poses were given in."""
    rotation_residual_rad: float
    """RMS angle between the cameras' opinions and their mean."""
    translation_residual: float
    """RMS distance, in the unit of the poses."""


def checked_rig(rig: RigCalibration) -> dict[str, FloatArray]:
    """Return the calibration as rigid float64 transforms.

    Raises:
        StreamError: a transform is not rigid, or too far to be one; names the camera.
    """
    try:
        return {
            camera: known_pose(f'base_from_camera of {camera}', pose)
            for camera, pose in rig.base_from_camera.items()
        }
    except GeometryError as error:
        raise StreamError(f'rig calibration: {error}') from error


def base_pose(frame_from_camera: Poses, base_from_camera: Poses) -> BasePose | None:
    """Return the pose of the base that the calibrated cameras of one set agree on.

    Each camera says where the base is; orientations and positions are averaged robustly.

    Args:
        frame_from_camera: poses of the set's cameras in some frame, in the rig's unit.
        base_from_camera: where the cameras sit.

    Returns:
        None when none of the cameras is calibrated.
    """
    opinions = np.array(
        [
            pose @ invert(base_from_camera[camera])
            for camera, pose in frame_from_camera.items()
            if camera in base_from_camera
        ]
    )
    if len(opinions) == 0:
        return None
    rotation, inliers = mean_rotation(opinions[:, :3, :3])
    position, _ = mean_position(opinions[inliers, :3, 3])
    return BasePose(
        frame_from_base=rigid(rotation, position),
        rotation_residual_rad=rms(rotation_angle_rad(rotation.T @ opinions[:, :3, :3])),
        translation_residual=rms(np.linalg.norm(opinions[:, :3, 3] - position, axis=1)),
    )
