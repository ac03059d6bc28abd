"""Raw Gaussians into the world: centres, sizes, orientations and colours.

Two oddities are part of what the weights were trained with, and are kept:

- Depth is taken as the distance along the pixel's ray, not along the optical axis.
- The orientation is composed with the camera's in the quaternion's components taken in another
  order than their names say (see `_orientations`).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.umeyama import similarity_from_points
from da3_ros.model.config import GaussianConfig
from da3_ros.model.gaussian_head import RawGaussians
from da3_ros.model.outputs import Gaussians
from da3_ros.model.pose_encoding import invert_rigid, quaternion_from_rotation
from da3_ros.model.spherical_harmonics import rotate_harmonics

SCALE_UNIT = 0.1
MIN_QUATERNION_LENGTH = 1e-8
MAX_RESCALE = 3.0
"""Given cameras change lengths by this factor at most."""

FIRST_BAND_WEIGHT = 0.025
BAND_RATIO = 0.25
"""Coefficients of degree d >= 1 are weighted by FIRST_BAND_WEIGHT * BAND_RATIO^(d - 1)."""


def scale_to_given_cameras(predicted: Tensor, given: Tensor | None) -> Tensor:
    """Return how much larger the given cameras' world is than the predicted one.

    Args:
        predicted: (B, V, 3, 4) predicted camera_from_world.
        given: (B, V, 4, 4) known camera_from_world; None if unknown.

    Returns:
        (B,) scale within [1/3, 3]; one where unknown and for cameras that do not tell a
        similarity: fewer than three, or on a line.
    """
    scales = torch.ones_like(predicted[:, 0, 0, 0])
    if given is None:
        return scales
    sources = invert_rigid(predicted)[..., :3, 3].double().cpu().numpy()
    targets = invert_rigid(given)[..., :3, 3].double().cpu().numpy()
    for scene, (source, target) in enumerate(zip(sources, targets, strict=True)):
        scales[scene] = _scale_between(source, target)
    return scales.clamp(1 / MAX_RESCALE, MAX_RESCALE)


def _scale_between(source: FloatArray, target: FloatArray) -> float:
    try:
        return similarity_from_points(source, target).scale
    except GeometryError:
        return 1.0


def place_gaussians(
    raw: RawGaussians,
    depth: Tensor,
    world_from_camera: Tensor,
    intrinsics: Tensor,
    config: GaussianConfig,
    scale: Tensor,
) -> Gaussians:
    """Place the Gaussians of N views, each on its own.

    Args:
        raw: What the head said.
        depth: (N, H, W) predicted depth.
        world_from_camera: (N, 3, 4) predicted poses.
        intrinsics: (N, 3, 3) predicted intrinsics in pixels, first pixel centre at (0.5, 0.5).
        config: Ranges.
        scale: (N,) by which depth and positions are multiplied.

    Returns:
        Gaussians with N in the place of B and G = H * W.
    """
    height, width = depth.shape[1:]
    size = torch.tensor((width, height), device=depth.device, dtype=depth.dtype)
    values = raw.values.flatten(1, 2)
    offset, extent, turn, colour, further = torch.split(
        values, [2, 3, 4, 3 * config.harmonics, 1], dim=-1
    )
    distance = (depth.flatten(1)[..., None] + further) * scale[:, None, None]
    rotation, position = world_from_camera[..., :3], world_from_camera[..., 3]
    # Intrinsics of an image whose sides have length one.
    unit_intrinsics = torch.cat((intrinsics[:, :2] / size[:, None], intrinsics[:, 2:]), dim=1)

    pixels = (_pixel_centres(height, width, depth) + offset) / size
    rays = torch.cat((pixels, torch.ones_like(pixels[..., :1])), dim=-1)
    rays = rays @ torch.linalg.inv(unit_intrinsics).transpose(-1, -2)
    directions = (rays / rays.norm(dim=-1, keepdim=True)) @ rotation.transpose(-1, -2)
    means = (position * scale[:, None])[:, None] + directions * distance

    footprint = (torch.linalg.inv(unit_intrinsics[:, :2, :2]) @ (1 / size)).sum(-1)
    span = config.scale_max - config.scale_min
    extents = config.scale_min + span * extent.sigmoid()
    extents = extents * distance * (SCALE_UNIT * footprint)[:, None, None]

    bands = torch.unflatten(colour, -1, (3, config.harmonics)) * _band_weights(
        config.sh_degree, depth
    )
    harmonics = rotate_harmonics(bands.flatten(1, 2), rotation)
    return Gaussians(
        means=means,
        scales=extents,
        rotations=_orientations(turn, rotation),
        harmonics=torch.unflatten(harmonics, 1, (height * width, 3)),
        opacities=raw.opacity.flatten(1),
    )


def join_gaussians(parts: Sequence[Gaussians], scenes: int) -> Gaussians:
    """Return views, scene by scene, as the Gaussians of scenes (B, G)."""

    def join(tensors: list[Tensor]) -> Tensor:
        return torch.unflatten(torch.cat(tensors), 0, (scenes, -1)).flatten(1, 2)

    return Gaussians(
        means=join([part.means for part in parts]),
        scales=join([part.scales for part in parts]),
        rotations=join([part.rotations for part in parts]),
        harmonics=join([part.harmonics for part in parts]),
        opacities=join([part.opacities for part in parts]),
    )


def transform_gaussians(
    gaussians: Gaussians, scale: float, rotation: Tensor, translation: Tensor
) -> Gaussians:
    """Express Gaussians in another world: point' = scale * rotation @ point + translation.

    Args:
        gaussians: (B, G) Gaussians.
        scale: Length in the new world of one unit of the old.
        rotation: (3, 3).
        translation: (3,), in units of the new world.
    """
    rotation, translation = rotation.to(gaussians.means), translation.to(gaussians.means)
    turn = quaternion_from_rotation(rotation).expand_as(gaussians.rotations)
    # wxyz -> xyzw and back
    rotated = _hamilton(turn, gaussians.rotations.roll(-1, dims=-1)).roll(1, dims=-1)
    return Gaussians(
        means=scale * (gaussians.means @ rotation.T) + translation,
        scales=scale * gaussians.scales,
        rotations=rotated,
        harmonics=rotate_harmonics(gaussians.harmonics, rotation),
        opacities=gaussians.opacities,
    )


def _pixel_centres(height: int, width: int, like: Tensor) -> Tensor:
    """Return x, y (H * W, 2), rows first; the first pixel's centre is (0.5, 0.5)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=like.device, dtype=like.dtype),
        torch.arange(width, device=like.device, dtype=like.dtype),
        indexing='ij',
    )
    return torch.stack((x, y), dim=-1).flatten(0, 1) + 0.5


def _band_weights(degree: int, like: Tensor) -> Tensor:
    weights = [1.0]
    for band in range(1, degree + 1):
        weights += [FIRST_BAND_WEIGHT * BAND_RATIO ** (band - 1)] * (2 * band + 1)
    return torch.tensor(weights, device=like.device, dtype=like.dtype)


def _orientations(turn: Tensor, rotation: Tensor) -> Tensor:
    """Return orientations in the world (N, G, 4), to be read as wxyz.

    The head's quaternion (x, y, z, w) is brought into the order (w, x, y, z), but multiplied by
    the camera's as if that were (x, y, z, w); the product's last component is made positive, and
    its components are wxyz again. For a camera without rotation this is the plain orientation;
    otherwise it is what the weights were trained with.

    Args:
        turn: (N, G, 4) raw quaternions.
        rotation: (N, 3, 3) world from camera.
    """
    turn = turn / (turn.norm(dim=-1, keepdim=True) + MIN_QUATERNION_LENGTH)
    reordered = turn.roll(1, dims=-1)
    product = _hamilton(quaternion_from_rotation(rotation)[:, None], reordered)
    product = product / product.norm(dim=-1, keepdim=True).clamp_min(MIN_QUATERNION_LENGTH)
    return torch.where(product[..., 3:] < 0, -product, product)


def _hamilton(a: Tensor, b: Tensor) -> Tensor:
    """Return the quaternion product a b, both xyzw."""
    vector_a, real_a = a[..., :3], a[..., 3:]
    vector_b, real_b = b[..., :3], b[..., 3:]
    vector_a = vector_a.expand_as(vector_b)
    vector = real_a * vector_b + real_b * vector_a + torch.linalg.cross(vector_a, vector_b)
    real = real_a * real_b - (vector_a * vector_b).sum(-1, keepdim=True)
    return torch.cat((vector, real), dim=-1)
