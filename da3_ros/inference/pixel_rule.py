"""Between the pixel rule of the network and that of the package.

The network, and with it the public API and gsplat, puts the centre of the first pixel at
(0.5, 0.5); `PinholeCamera`, and with it everything else, at (0, 0). Intrinsics of the API and of
the network are plain arrays, those of the package are always a `PinholeCamera`: whoever needs the
other form passes through here.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ExportError, GeometryError
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import homogeneous, invert


def corner_matrices(cameras: Iterable[PinholeCamera]) -> FloatArray:
    """Return K (N, 3, 3) of N cameras with the first pixel's centre at (0.5, 0.5)."""
    return np.stack([camera.to_corner_origin() for camera in cameras])


def cameras_of(corner_k: NDArray[Any], size: ImageSize) -> list[PinholeCamera]:
    """Return the cameras of K (N, 3, 3) with the first pixel's centre at (0.5, 0.5).

    Args:
        corner_k: In pixels of `size`.
        size: Of the images.

    Raises:
        GeometryError: A K is none.
    """
    return [PinholeCamera.from_corner_origin(K, size) for K in corner_k]


def posed_cameras(
    camera_from_world: NDArray[np.floating], corner_k: NDArray[np.floating], size: ImageSize
) -> tuple[PosedCamera, ...]:
    """Return the cameras of pictures of Gaussians from arrays by the rules of the API.

    Args:
        camera_from_world: (M, 3, 4) or (M, 4, 4).
        corner_k: (M, 3, 3) in pixels of `size`, first pixel's centre at (0.5, 0.5).
        size: The image that the intrinsics belong to.

    Raises:
        ExportError: No cameras, arrays that do not fit, or a pose or K that is none.
    """
    extrinsics, matrices = np.asarray(camera_from_world), np.asarray(corner_k)
    count = len(extrinsics) if extrinsics.ndim == 3 else 0
    if count == 0 or matrices.shape != (count, 3, 3):
        raise ExportError(
            'cameras of a video: expected extrinsics (M, 3, 4) or (M, 4, 4) and intrinsics '
            f'(M, 3, 3), M at least 1; got {extrinsics.shape} and {matrices.shape}'
        )
    try:
        poses, cameras = invert(homogeneous(extrinsics)), cameras_of(matrices, size)
    except GeometryError as error:
        raise ExportError(f'cameras of a video: {error}') from error
    return tuple(PosedCamera(p, c) for p, c in zip(poses, cameras, strict=True))
