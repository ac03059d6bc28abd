"""Depth images to points."""

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera

FloatImage = NDArray[np.float32]


def unproject(depth: FloatImage, camera: PinholeCamera) -> FloatImage:
    """Return the points (H, W, 3) float32 of a depth image, in the camera's optical frame.

    Args:
        depth: (H, W), z along the optical axis (REP 118). NaN and infinite depth give NaN points.
        camera: the camera of exactly that image size.

    Raises:
        GeometryError: the depth image has another size than the camera.
    """
    size = ImageSize(*depth.shape)
    if size != camera.size:
        raise GeometryError(f'unproject: depth is {size}, but its camera is of {camera.size}')
    rays = camera.rays().astype(np.float32)
    known = np.where(np.isfinite(depth), depth, np.float32(np.nan)).astype(np.float32)
    return np.asarray(rays * known[..., None])
