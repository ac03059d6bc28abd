"""Pixels with depth to points: whole images, and pixels that were picked."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
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
    points = np.empty((*depth.shape, 3), np.float32)
    unproject_into(points, depth, camera)
    return points


def unproject_into(target: FloatImage, depth: FloatImage, camera: PinholeCamera) -> None:
    """Write the points of a depth image plane by plane to where they are needed.

    Rows and columns of rays are enough for a pinhole camera, so no image of rays is made.

    Args:
        target: (H, W, 3 or more); x, y and z go into the first three planes.
        depth: as for `unproject`.
        camera: as for `unproject`.

    Raises:
        GeometryError: the depth image has another size than the camera.
    """
    size = ImageSize(*depth.shape)
    if size != camera.size:
        raise GeometryError(f'unproject: depth is {size}, but its camera is of {camera.size}')
    z = np.where(np.isfinite(depth), depth, np.float32(np.nan)).astype(np.float32)
    inverse = np.linalg.inv(camera.K)
    columns, rows = np.arange(size.width), np.arange(size.height)
    across = (inverse[0, 0] * columns + inverse[0, 2]).astype(np.float32)
    down = (inverse[1, 1] * rows + inverse[1, 2]).astype(np.float32)[:, None]
    np.multiply(z, across, out=target[..., 0])
    np.multiply(z, down, out=target[..., 1])
    target[..., 2] = z
    if inverse[0, 1] != 0:  # skew: x depends on the row too
        target[..., 0] += z * (inverse[0, 1] * rows).astype(np.float32)[:, None]


def unproject_pixels(uv: ArrayLike, depth: ArrayLike, K: FloatArray) -> FloatArray:
    """Return the points (P, 3) of single pixels, in the camera's optical frame.

    Args:
        uv: (P, 2) pixel coordinates, the first pixel's centre at (0, 0).
        depth: (P,), z along the optical axis, or one for all.
        K: (3, 3) of that image size.
    """
    pixels = np.asarray(uv, dtype=np.float64)
    rays = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(K).T
    return np.asarray(rays * np.asarray(depth, dtype=np.float64)[..., None])
