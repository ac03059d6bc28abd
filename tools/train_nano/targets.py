"""What the network should answer, in its own conventions.

The world is the frame of a scene's first view. Lengths are divided by the mean distance of all
visible points from it, so that scale carries no information.

Source: Lin et al., "Depth Anything 3" (2025, arXiv:2511.10647), section 3.2 (depth-ray
representation) and section 3.3 (normalisation by the mean norm of the points).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from da3_ros.geometry.se3 import invert
from da3_ros.inference.pose_alignment import in_reach, normalise_extrinsics
from da3_ros.inference.preprocess import normalise
from da3_ros.model.pose_encoding import encode_cameras, invert_rigid
from tools.train_nano.scenes import FamilyBatch

RAY_CELLS = 8
PATCH = 14
"""Rays are predicted for 8 cells per patch and direction, a patch being 14 pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Targets:
    """Network input and the truth about it, for S scenes of V views."""

    images: Tensor
    """(S, V, 3, H, W) ImageNet-normalised."""
    depth: Tensor
    """(S, V, H, W) in the scene's unit; one where it is not known."""
    known: Tensor
    """(S, V, H, W) bool, False for the sky."""
    extrinsics: Tensor
    """(S, V, 4, 4) camera_from_world, in the scene's unit."""
    intrinsics: Tensor
    """(S, V, 3, 3) pixels, first pixel's centre at (0.5, 0.5)."""
    told: Tensor
    """(S, V, 4, 4) camera_from_world as they go into the network where the poses are known: as the
    node gives them, from metres. In the scene's unit two cameras, or many that stand close
    together, would tell how long a motion is in that unit, see `normalise_extrinsics`."""
    encoding: Tensor
    """(S, V, 9) cameras as the camera decoder should give them."""
    rays: Tensor
    """(S, V, h, w, 6) direction and origin of every cell's ray; z = 1 in the camera."""
    compass: Tensor
    """(S, V, 6) right and forward axis of every camera in the axes of the scene's world."""
    scale_m: Tensor
    """(S,) metres per unit of the scene."""

    def of_views(self, views: Sequence[int]) -> 'Targets':
        """Return the same scenes with the dense truth of some views only."""
        chosen = list(views)
        return replace(
            self,
            depth=self.depth[:, chosen],
            known=self.known[:, chosen],
            rays=self.rays[:, chosen],
        )


def make_targets(batch: FamilyBatch, device: torch.device | str = 'cpu') -> Targets:
    """Turn rendered scenes into network input and truth."""
    told = np.stack([invert(in_reach(poses)) for poses in batch.world_from_camera])
    poses = torch.from_numpy(batch.world_from_camera)
    compass = poses[..., :3, [0, 2]].flatten(-2)
    poses = invert_rigid(poses[:, :1]) @ poses
    k = torch.from_numpy(batch.intrinsics).clone()
    k[..., :2, 2] += 0.5
    depth = torch.from_numpy(batch.depth)
    known = torch.isfinite(depth)
    size = (batch.size.height, batch.size.width)
    rays = _rays(poses, k, size, size)
    distance = (rays[..., :3] * torch.where(known, depth, 0.0)[..., None] + rays[..., 3:]).norm(
        dim=-1
    )
    seen = known.flatten(1).sum(1).clamp_min(1)
    scale = (distance * known).flatten(1).sum(1) / seen
    poses = poses.clone()
    poses[..., :3, 3] /= scale[:, None, None]
    extrinsics = invert_rigid(poses)
    cells = (size[0] // PATCH * RAY_CELLS, size[1] // PATCH * RAY_CELLS)
    pixels = normalise(torch.from_numpy(batch.images).flatten(0, 1).to(device))
    return Targets(
        images=torch.unflatten(pixels, 0, known.shape[:2]),
        depth=torch.where(known, depth / scale[:, None, None, None], 1.0).float().to(device),
        known=known.to(device),
        extrinsics=extrinsics.float().to(device),
        intrinsics=k.float().to(device),
        told=torch.from_numpy(normalise_extrinsics(told)).float().to(device),
        encoding=encode_cameras(extrinsics, k, size).to(device),
        rays=_rays(poses, k, size, cells).float().to(device),
        compass=compass.float().to(device),
        scale_m=scale.to(device),
    )


def at_cells(maps: Tensor, cells: tuple[int, ...]) -> Tensor:
    """Return maps (S, V, H, W) at the pixels in the middle of the cells."""
    rows, columns = (
        ((torch.arange(n, device=maps.device) + 0.5) * side / n).long()
        for n, side in zip(cells, maps.shape[-2:], strict=True)
    )
    return maps[:, :, rows][..., columns]


def _rays(poses: Tensor, k: Tensor, size: tuple[int, int], cells: tuple[int, int]) -> Tensor:
    """Return rays (S, V, h, w, 6) through the middles of equal cells of the images."""
    axes = (
        (torch.arange(n, dtype=k.dtype) + 0.5) * (side / n)
        for n, side in zip(cells, size, strict=True)
    )
    v, u = torch.meshgrid(*axes, indexing='ij')
    local = torch.stack((u, v, torch.ones_like(u)), dim=-1)
    matrix = poses[..., :3, :3] @ torch.linalg.inv(k)
    directions = torch.einsum('svij,hwj->svhwi', matrix, local)
    origins = poses[..., None, None, :3, 3].expand_as(directions)
    return torch.cat((directions, origins), dim=-1)
