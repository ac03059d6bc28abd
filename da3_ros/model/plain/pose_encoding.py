"""Cameras as nine numbers, and back.

The encoding is [camera position (3), orientation quaternion xyzw (4), field of view vertical and
horizontal in radians (2)], of world_from_camera. The principal point is not encoded.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_TANGENT = 1e-6
MIN_QUATERNION_DIVISOR = 0.1

Floats = NDArray[np.floating[Any]]


def invert_rigid(transform: Floats) -> Floats:
    """Invert rigid transforms (..., 3, 4) or (..., 4, 4), keeping the shape."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse = np.array(transform)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3:] = -(rotation @ transform[..., :3, 3:])
    return inverse


def rotation_from_quaternion(quaternion_xyzw: Floats) -> Floats:
    """Return rotations (..., 3, 3) of quaternions (..., 4) of any length but zero."""
    x, y, z, w = np.moveaxis(quaternion_xyzw, -1, 0)
    scale = 2 / np.square(quaternion_xyzw).sum(axis=-1)
    entries = (
        1 - scale * (y * y + z * z),
        scale * (x * y - z * w),
        scale * (x * z + y * w),
        scale * (x * y + z * w),
        1 - scale * (x * x + z * z),
        scale * (y * z - x * w),
        scale * (x * z - y * w),
        scale * (y * z + x * w),
        1 - scale * (x * x + y * y),
    )
    return _matrices(entries)


def quaternion_from_rotation(rotation: Floats) -> Floats:
    """Return quaternions xyzw (..., 4) of rotations (..., 3, 3), real part not negative.

    Of four equivalent formulas the one with the largest divisor is taken.
    """
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    squared = np.stack(
        (1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz), axis=-1
    )
    doubled = np.sqrt(np.maximum(squared, 0))
    xy, xz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0]
    yz, wx = r[..., 1, 2] + r[..., 2, 1], r[..., 2, 1] - r[..., 1, 2]
    wy, wz = r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    squared = np.square(doubled)
    rows = np.stack(
        (
            np.stack((squared[..., 0], xy, xz, wx), axis=-1),
            np.stack((xy, squared[..., 1], yz, wy), axis=-1),
            np.stack((xz, yz, squared[..., 2], wz), axis=-1),
            np.stack((wx, wy, wz, squared[..., 3]), axis=-1),
        ),
        axis=-2,
    )
    candidates = rows / (2 * np.maximum(doubled[..., None], MIN_QUATERNION_DIVISOR))
    best = doubled.argmax(axis=-1)[..., None, None]
    quaternion = np.take_along_axis(candidates, best, axis=-2)[..., 0, :]
    return np.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def encode_cameras(
    extrinsics: Floats, intrinsics: Floats, image_size: tuple[int, int]
) -> NDArray[np.float32]:
    """Encode cameras.

    Args:
        extrinsics: (..., 4, 4) or (..., 3, 4) camera_from_world.
        intrinsics: (..., 3, 3) in pixels of the image.
        image_size: (H, W).

    Returns:
        (..., 9) encodings.
    """
    height, width = image_size
    world_from_camera = invert_rigid(extrinsics)
    fov_vertical = 2 * np.arctan((height / 2) / intrinsics[..., 1, 1])
    fov_horizontal = 2 * np.arctan((width / 2) / intrinsics[..., 0, 0])
    return np.concatenate(
        (
            world_from_camera[..., :3, 3],
            quaternion_from_rotation(world_from_camera[..., :3, :3]),
            fov_vertical[..., None],
            fov_horizontal[..., None],
        ),
        axis=-1,
    ).astype(np.float32)


def decode_cameras(encoding: Floats, image_size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Decode cameras.

    Args:
        encoding: (..., 9) encodings.
        image_size: (H, W).

    Returns:
        Extrinsics (..., 3, 4) camera_from_world and intrinsics (..., 3, 3) with the principal
        point in the middle of the image, of the encodings' type.
    """
    height, width = image_size
    rotation = rotation_from_quaternion(encoding[..., 3:7])
    world_from_camera = np.concatenate((rotation, encoding[..., :3, None]), axis=-1)
    focal_y = (height / 2) / np.maximum(np.tan(encoding[..., 7] / 2), MIN_TANGENT)
    focal_x = (width / 2) / np.maximum(np.tan(encoding[..., 8] / 2), MIN_TANGENT)
    zero, one = np.zeros_like(focal_x), np.ones_like(focal_x)
    entries = (focal_x, zero, one * (width / 2), zero, focal_y, one * (height / 2))
    return invert_rigid(world_from_camera), _matrices((*entries, zero, zero, one))


def _matrices(entries: tuple[Floats, ...]) -> Floats:
    """Return matrices (..., 3, 3) of nine entries (...), row by row."""
    stacked = np.stack(entries, axis=-1)
    return stacked.reshape(*stacked.shape[:-1], 3, 3)
