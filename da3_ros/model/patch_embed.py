"""Image patches to tokens, and the position table resized to the patch grid."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.config import NATIVE_GRID, PATCH_SIZE

SCALE_OFFSET = 0.1
"""Added to the grid before the scale factor is formed; part of the trained behaviour."""


class PatchEmbed(nn.Module):
    """Project every 14 x 14 patch to one token."""

    def __init__(self, embed_dim: int) -> None:
        """Create the projection for three colour channels."""
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, kernel_size=PATCH_SIZE, stride=PATCH_SIZE)

    def forward(self, images: Tensor) -> Tensor:
        """Turn images (V, 3, H, W) into tokens (V, h * w, C), rows first."""
        maps: Tensor = self.proj(images.to(self.proj.weight.dtype))
        return maps.flatten(2).transpose(1, 2)


def patch_grid(image_size: tuple[int, int]) -> tuple[int, int]:
    """Return the patch grid (h, w) of an image size (H, W).

    Raises:
        ValueError: A side is not a positive multiple of the patch size.
    """
    height, width = image_size
    if height < PATCH_SIZE or width < PATCH_SIZE or height % PATCH_SIZE or width % PATCH_SIZE:
        raise ValueError(
            f'image sides must be positive multiples of {PATCH_SIZE}, got {height} x {width}'
        )
    return height // PATCH_SIZE, width // PATCH_SIZE


def position_table(table: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize the stored position table to a patch grid.

    The resize is bicubic with scale factors (n + 0.1) / 37, not with sizes: the sampling
    positions depend on that offset, and the weights were trained with it.

    Args:
        table: (1, 1 + 37 * 37, C) class entry and stored grid.
        grid: (h, w) wanted.

    Returns:
        (1, 1 + h * w, C) in the table's dtype.
    """
    h, w = grid
    if (h, w) == (NATIVE_GRID, NATIVE_GRID):
        return table
    class_entry, patches = table[:, :1], table[:, 1:]
    square = torch.unflatten(patches.float(), 1, (NATIVE_GRID, NATIVE_GRID)).permute(0, 3, 1, 2)
    scale = ((h + SCALE_OFFSET) / NATIVE_GRID, (w + SCALE_OFFSET) / NATIVE_GRID)
    resized = functional.interpolate(square, scale_factor=scale, mode='bicubic')
    if tuple(resized.shape[-2:]) != (h, w):
        raise ValueError(f'position table became {tuple(resized.shape[-2:])}, wanted {(h, w)}')
    tokens = resized.flatten(2).transpose(1, 2).to(table.dtype)
    return torch.cat((class_entry, tokens), dim=1)
