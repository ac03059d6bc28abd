"""What a robot's cameras saw of a rendered room, and the truth about it, for tests of parallax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.trajectory import START_NS

_Kind = TypeVar('_Kind', bound='SeenRoom')


@dataclass(frozen=True)
class SeenRoom:
    """Images of a robot's cameras at some instants, and the truth about them."""

    images: NDArray[np.uint8]
    depth: FloatArray
    cameras: list[PinholeCamera]
    camera_from_world: FloatArray

    @classmethod
    def look(
        cls: type[_Kind], size: ImageSize, cameras: Sequence[str] | None, sets: int, step_s: float
    ) -> _Kind:
        """Return what these cameras, or all, see at so many instants."""
        world = make_family_world(1, size)
        views = [
            (camera, START_NS + round(index * step_s * 1e9))
            for index in range(sets)
            for camera in cameras or world.rig.cameras
        ]
        poses = [
            invert(
                world.world_from_base(stamp_ns) @ world.rig.calibration.base_from_camera[camera]
            )
            for camera, stamp_ns in views
        ]
        return cls(
            images=np.stack([world.frame(*view).image for view in views]),
            depth=np.stack([world.depth(*view, size) for view in views]).astype(np.float64),
            cameras=[world.rig.cameras['front']] * len(views),
            camera_from_world=np.stack(poses),
        )
