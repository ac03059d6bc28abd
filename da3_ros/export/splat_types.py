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
from da3_ros.geometry.se3 import homogeneous, invert, require_rigid


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


def posed_cameras(
    camera_from_world: NDArray[np.floating], corner_k: NDArray[np.floating], size: ImageSize
) -> tuple[PosedCamera, ...]:
    """Return cameras from arrays by the rules of the public Python API.

    Args:
        camera_from_world: (M, 3, 4) or (M, 4, 4).
        corner_k: (M, 3, 3) in pixels of `size`, first pixel's centre at (0.5, 0.5).
        size: the image that the intrinsics belong to.

    Raises:
        ExportError: no cameras, arrays that do not fit, or a pose or K that is none.
    """
    extrinsics, matrices = np.asarray(camera_from_world), np.asarray(corner_k)
    count = len(extrinsics) if extrinsics.ndim == 3 else 0
    if count == 0 or matrices.shape != (count, 3, 3):
        raise ExportError(
            'cameras of a video: expected extrinsics (M, 3, 4) or (M, 4, 4) and intrinsics '
            f'(M, 3, 3), M at least 1; got {extrinsics.shape} and {matrices.shape}'
        )
    try:
        poses = invert(homogeneous(extrinsics))
        cameras = [PinholeCamera.from_corner_origin(matrix, size) for matrix in matrices]
    except GeometryError as error:
        raise ExportError(f'cameras of a video: {error}') from error
    return tuple(PosedCamera(p, c) for p, c in zip(poses, cameras, strict=True))


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
