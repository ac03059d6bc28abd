"""Parameters of single cameras: `rig.<camera>.NAME` and `input.<camera>.NAME`."""

from __future__ import annotations

from dataclasses import dataclass

ROTATIONS_DEG = (0, 90, 180, 270)
"""Clockwise, from the camera's image to an upright one."""


@dataclass(frozen=True, slots=True)
class CameraParameter:
    """One entry that every camera has."""

    prefix: str
    """What its name begins with."""
    name: str
    """What its name ends with, and its key in a rig file."""
    default: int | None
    """None for not set."""
    help: str
    """With `{camera}` where the name of the camera belongs."""

    def help_of(self, camera: str) -> str:
        """Return what the parameter of one camera means."""
        return self.help.format(camera=camera)

    def of(self, camera: str) -> str:
        """Return the name of the parameter of one camera."""
        return f'{self.prefix}.{camera}.{self.name}'


BASE_FROM_CAMERA = CameraParameter(
    'rig',
    'base_from_camera',
    None,
    'Pose of the optical frame of camera {camera} in base_frame: x y z (m) qx qy qz qw. Not set '
    'or empty: taken from /tf_static if use_tf_static, else unknown.',
)
ROTATION_DEG = CameraParameter(
    'input',
    'rotation_deg',
    ROTATIONS_DEG[0],
    'Clockwise rotation, degrees (0, 90, 180, 270), that makes the image of camera {camera} '
    'upright for the network; what is published stays in the orientation of the camera.',
)
CROP_PX = CameraParameter(
    'input',
    'crop_px',
    None,
    'Part of the image of camera {camera} that is used: left, top, width, height in whole pixels, '
    'counted in the rectified image with rectify. Not set or empty: all of it.',
)
CAMERA_PARAMETERS = (BASE_FROM_CAMERA, ROTATION_DEG, CROP_PX)
