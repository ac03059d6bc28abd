"""The cameras of the synthetic robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from da3_ros.errors import ConfigError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.geometry.se3 import rigid
from da3_ros.types import RigCalibration

HORIZONTAL_FOV_DEG = 90.0

Mounts: TypeAlias = Mapping[str, tuple[tuple[float, float, float], float]]
"""Name to position in the base frame (m) and yaw (deg, counter-clockwise from forward)."""

MOUNTS: Mounts = {
    'front': ((0.25, 0.0, 0.50), 0.0),
    'left': ((0.15, 0.12, 0.55), 50.0),
    'right': ((0.15, -0.12, 0.55), -50.0),
    'back': ((-0.25, 0.0, 0.50), 180.0),
}
"""Of a robot that looks around."""

FAN_MOUNTS: Mounts = {
    'front': ((0.30, 0.0, 0.50), 0.0),
    'left': ((0.20, 0.30, 0.50), 20.0),
    'right': ((0.20, -0.30, 0.50), -20.0),
    'back': ((-0.25, 0.0, 0.50), 180.0),
}
"""Of a robot whose forward cameras stand apart and see much in common."""
DEFAULT_CAMERAS = ('front', 'left', 'right')


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticRig:
    """Exact intrinsics and mounting of every camera."""

    cameras: Mapping[str, PinholeCamera]
    """Camera name to intrinsics, in the order of the rig."""
    calibration: RigCalibration
    """Camera name to base_from_camera of the optical frame."""

    @staticmethod
    def frame_id(camera: str) -> str:
        """Return the id of a camera's optical frame."""
        return f'{camera}_optical_frame'


def make_rig(
    size: ImageSize,
    cameras: Sequence[str] = DEFAULT_CAMERAS,
    fov_deg: float = HORIZONTAL_FOV_DEG,
    mounts: Mounts = MOUNTS,
) -> SyntheticRig:
    """Return the rig with the named cameras, all of one image size.

    Args:
        size: of every image.
        cameras: some of front, left, right, back, in the order of the rig.
        fov_deg: horizontal field of view of every camera.
        mounts: where they sit.

    Raises:
        ConfigError: no camera, a camera twice, or one that the robot does not have.
    """
    unknown = [name for name in cameras if name not in mounts]
    if unknown or not cameras or len(set(cameras)) != len(cameras):
        raise ConfigError(
            f'synthetic rig: expected distinct cameras out of {", ".join(mounts)}, '
            f'got {list(cameras)}'
        )
    focal = size.width / 2 / np.tan(np.radians(fov_deg / 2))
    intrinsics = PinholeCamera.from_focal(
        focal, focal, (size.width - 1) / 2, (size.height - 1) / 2, size
    )
    return SyntheticRig(
        MappingProxyType(dict.fromkeys(cameras, intrinsics)),
        RigCalibration(
            MappingProxyType({name: _base_from_camera(*mounts[name]) for name in cameras})
        ),
    )


def _base_from_camera(position: tuple[float, float, float], yaw_deg: float) -> FloatArray:
    base_from_mount = rigid(rotation_from_rpy([0.0, 0.0, np.radians(yaw_deg)]), position)
    base_from_camera: FloatArray = base_from_mount @ BODY_FROM_OPTICAL
    base_from_camera.flags.writeable = False
    return base_from_camera
