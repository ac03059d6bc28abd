"""What goes into a renderer of Gaussians, and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError, GeometryError
from da3_ros.export.gaussians import GaussianCloud
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import require_rigid


@dataclass(frozen=True, slots=True, eq=False)
class PosedCamera:
    """A camera somewhere in the world.

    Raises:
        ExportError: on construction, when the pose is no rigid transform.
    """

    world_from_camera: FloatArray
    """(4, 4) pose of the optical frame, world units."""
    camera: PinholeCamera
    """Intrinsics and size of the picture."""

    def __post_init__(self) -> None:
        """Check the pose."""
        try:
            pose = require_rigid('world_from_camera', self.world_from_camera)
        except GeometryError as error:
            raise ExportError(f'camera of a picture of Gaussians: {error}') from error
        object.__setattr__(self, 'world_from_camera', pose)

    def resized(self, size: ImageSize) -> PosedCamera:
        """Return the camera that takes the same picture at another size."""
        return PosedCamera(self.world_from_camera, self.camera.resized(size))


@dataclass(frozen=True, slots=True, eq=False)
class SplatImage:
    """What a camera sees of Gaussians before black."""

    colour: NDArray[np.float32]
    """(H, W, 3) at least 0; mostly, but not always, at most 1."""
    depth: NDArray[np.float32]
    """(H, W) expected z in world units: mean of the Gaussians' z by their share in the pixel; 0
    where there are none."""
    alpha: NDArray[np.float32]
    """(H, W) in 0..1, how much of the pixel Gaussians cover."""


SplatRenderer = Callable[[Sequence[PosedCamera]], Iterable[SplatImage]]
"""Returns the pictures of cameras of one size, in their order; lazily where it takes long."""

SplatBackend = Callable[[GaussianCloud], SplatRenderer]
"""Makes a cloud ready for many pictures."""
