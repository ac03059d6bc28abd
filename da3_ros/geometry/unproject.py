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
    """Write the points of a depth image to where they are needed.

    Rows and columns of rays are enough for a pinhole camera, so no image of rays is made.

    Args:
        target: (H, W, 3 or more); x, y and z go into the first three planes.
        depth: as for `unproject`.
        camera: as for `unproject`.

    Raises:
        GeometryError: the depth image has another size than the camera.
    """
    x, y, z = optical_planes(depth, camera)
    target[..., 0], target[..., 1], target[..., 2] = x, y, z


def optical_planes(
    depth: FloatImage, camera: PinholeCamera
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Return x, y and z of every pixel, each (H, W), in the camera's optical frame.

    Args:
        depth: as for `unproject`.
        camera: as for `unproject`.

    Raises:
        GeometryError: the depth image has another size than the camera.
    """
    z = _only_finite(depth, camera)
    (across, skew, left), (_, down, top), _ = np.linalg.inv(camera.K).tolist()
    columns = (across * np.arange(camera.size.width) + left).astype(np.float32)
    rows = np.arange(camera.size.height)[:, None]
    x = z * columns
    if skew != 0:  # x depends on the row too
        x += z * (skew * rows).astype(np.float32)
    return x, z * (down * rows + top).astype(np.float32), z


def world_planes(
    depth: FloatImage, camera: PinholeCamera, world_from_camera: FloatArray
) -> FloatImage:
    """Return x, y and z of every pixel, (3, H, W) float32, in the world.

    Args:
        depth: as for `unproject`.
        camera: as for `unproject`.
        world_from_camera: (4, 4).

    Raises:
        GeometryError: the depth image has another size than the camera.
    """
    z = _only_finite(depth, camera)
    # A ray of the world, too, is what its row and what its column say, added.
    rays = world_from_camera[:3, :3] @ np.linalg.inv(camera.K)
    columns, rows = np.arange(camera.size.width), np.arange(camera.size.height)
    along_row = (rays[:, 0, None] * columns).astype(np.float32)
    along_column = (rays[:, 1, None] * rows + rays[:, 2, None]).astype(np.float32)
    planes = np.empty((3, *depth.shape), np.float32)
    np.add(along_row[:, None, :], along_column[:, :, None], out=planes)
    planes *= z
    planes += world_from_camera[:3, 3].astype(np.float32)[:, None, None]
    return planes


def _only_finite(depth: FloatImage, camera: PinholeCamera) -> FloatImage:
    """Return depth of the camera's size as float32, with NaN where it is not finite."""
    size = ImageSize(*depth.shape)
    if size != camera.size:
        raise GeometryError(f'unproject: depth is {size}, but its camera is of {camera.size}')
    z = np.asarray(depth, np.float32)
    known = np.isfinite(z)
    return z if known.all() else np.where(known, z, np.float32(np.nan))


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
