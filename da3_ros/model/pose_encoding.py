"""Cameras as nine numbers, and back.

The encoding is [camera position (3), orientation quaternion xyzw (4), field of view vertical and
horizontal in radians (2)], of world_from_camera. The principal point is not encoded.
"""

import torch
from torch import Tensor

from da3_ros.model.plain.pose_encoding import MIN_QUATERNION_DIVISOR, MIN_TANGENT


def invert_rigid(transform: Tensor) -> Tensor:
    """Invert rigid transforms (..., 3, 4) or (..., 4, 4), keeping the shape."""
    rotation = transform[..., :3, :3].transpose(-1, -2)
    translation = -(rotation @ transform[..., :3, 3:])
    inverse = torch.cat((rotation, translation), dim=-1)
    return torch.cat((inverse, transform[..., 3:, :]), dim=-2)


def rotation_from_quaternion(quaternion_xyzw: Tensor) -> Tensor:
    """Return rotations (..., 3, 3) of quaternions (..., 4) of any length but zero."""
    x, y, z, w = quaternion_xyzw.unbind(-1)
    scale = 2.0 / quaternion_xyzw.square().sum(-1)
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
    return torch.unflatten(torch.stack(entries, dim=-1), -1, (3, 3))


def quaternion_from_rotation(rotation: Tensor) -> Tensor:
    """Return quaternions xyzw (..., 4) of rotations (..., 3, 3), real part not negative.

    Of four equivalent formulas the one with the largest divisor is taken.
    """
    r = rotation
    xx, yy, zz = r[..., 0, 0], r[..., 1, 1], r[..., 2, 2]
    doubled = torch.stack(
        (1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz), dim=-1
    )
    doubled = doubled.clamp_min(0).sqrt()
    xy, xz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0]
    yz, wx = r[..., 1, 2] + r[..., 2, 1], r[..., 2, 1] - r[..., 1, 2]
    wy, wz = r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    squared = doubled.square()
    rows = torch.stack(
        (
            torch.stack((squared[..., 0], xy, xz, wx), dim=-1),
            torch.stack((xy, squared[..., 1], yz, wy), dim=-1),
            torch.stack((xz, yz, squared[..., 2], wz), dim=-1),
            torch.stack((wx, wy, wz, squared[..., 3]), dim=-1),
        ),
        dim=-2,
    )
    candidates = rows / (2.0 * doubled[..., None].clamp_min(MIN_QUATERNION_DIVISOR))
    best = doubled.argmax(dim=-1)[..., None, None].expand(*doubled.shape[:-1], 1, 4)
    quaternion = candidates.gather(-2, best).squeeze(-2)
    return torch.where(quaternion[..., 3:] < 0, -quaternion, quaternion)


def encode_cameras(extrinsics: Tensor, intrinsics: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Encode cameras.

    Args:
        extrinsics: (..., 4, 4) or (..., 3, 4) camera_from_world.
        intrinsics: (..., 3, 3) in pixels of the image.
        image_size: (H, W).

    Returns:
        (..., 9) float32 encodings.
    """
    height, width = image_size
    world_from_camera = invert_rigid(extrinsics)
    fov_vertical = 2 * torch.atan((height / 2) / intrinsics[..., 1, 1])
    fov_horizontal = 2 * torch.atan((width / 2) / intrinsics[..., 0, 0])
    return torch.cat(
        (
            world_from_camera[..., :3, 3],
            quaternion_from_rotation(world_from_camera[..., :3, :3]),
            fov_vertical[..., None],
            fov_horizontal[..., None],
        ),
        dim=-1,
    ).float()


def decode_cameras(encoding: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Decode cameras.

    Args:
        encoding: (..., 9) encodings.
        image_size: (H, W).

    Returns:
        Extrinsics (..., 3, 4) camera_from_world and intrinsics (..., 3, 3) with the principal
        point in the middle of the image.
    """
    height, width = image_size
    rotation = rotation_from_quaternion(encoding[..., 3:7])
    world_from_camera = torch.cat((rotation, encoding[..., :3, None]), dim=-1)
    focal_y = (height / 2) / (encoding[..., 7] / 2).tan().clamp_min(MIN_TANGENT)
    focal_x = (width / 2) / (encoding[..., 8] / 2).tan().clamp_min(MIN_TANGENT)
    centre = torch.ones_like(focal_x)
    intrinsics = pinhole_matrix(focal_x, focal_y, centre * (width / 2), centre * (height / 2))
    return invert_rigid(world_from_camera), intrinsics


def pinhole_matrix(focal_x: Tensor, focal_y: Tensor, centre_x: Tensor, centre_y: Tensor) -> Tensor:
    """Return intrinsics (..., 3, 3) of focal lengths and principal points (...)."""
    zero, one = torch.zeros_like(focal_x), torch.ones_like(focal_x)
    entries = (focal_x, zero, centre_x, zero, focal_y, centre_y, zero, zero, one)
    return torch.unflatten(torch.stack(entries, dim=-1), -1, (3, 3))
