"""The trunk shared by dense heads: four projected feature maps and their top-down fusion.

Source: Ranftl et al., "Vision Transformers for Dense Prediction" (2021), section 3 (reassemble
and fusion); the sine embedding of image positions as in Depth Anything 3.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.config import PyramidConfig
from da3_ros.model.convolution import Conv, Pointwise

POSITION_WEIGHT = 0.1
POSITION_BASE = 100.0


def upsample(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize maps (N, C, h, w) bilinearly to a size, corners on corners."""
    return functional.interpolate(x, size=size, mode='bilinear', align_corners=True)


def image_positions(x: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return the sine embedding of pixel positions to be added to a map.

    Positions span the image's diagonal-normalised extent, so that they depend on the aspect of
    the full image and not on the size of the map.

    Args:
        x: (N, C, h, w) map; gives size, channels, device and dtype. C is a multiple of 4.
        image_size: (H, W) of the full image.

    Returns:
        (C, h, w) embedding, already weighted.
    """
    h, w = x.shape[-2:]
    horizontal, vertical = _both_axes(x, image_size)
    return torch.cat((horizontal.expand(-1, h, -1), vertical.expand(-1, -1, w)))


def with_image_positions(x: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Add the sine embedding of pixel positions to maps.

    Without gradients it is added axis by axis: the embedding of all pixels is never held.

    Args:
        x: (N, C, h, w) maps; C is a multiple of 4. Written to unless gradients are recorded.
        image_size: (H, W) of the full image.

    Returns:
        (N, C, h, w) maps, in memory of x unless gradients are recorded.
    """
    if torch.is_grad_enabled():
        return x + image_positions(x, image_size)
    horizontal, vertical = _both_axes(x, image_size)
    x[:, : len(horizontal)] += horizontal
    x[:, len(horizontal) :] += vertical
    return x


def _both_axes(x: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the embedding of columns (C / 2, 1, w) and of rows (C / 2, h, 1)."""
    channels, h, w = x.shape[-3:]
    aspect = image_size[1] / image_size[0]
    diagonal = (aspect**2 + 1) ** 0.5
    horizontal = _axis_positions(aspect / diagonal, w, channels // 2, x)
    vertical = _axis_positions(1 / diagonal, h, channels // 2, x)
    return horizontal[:, None, :], vertical[:, :, None]


def _axis_positions(span: float, count: int, channels: int, like: Tensor) -> Tensor:
    """Return weighted sines and cosines (channels, count) of positions along one axis."""
    edge = span * (count - 1) / count
    positions = torch.linspace(-edge, edge, count, device=like.device, dtype=torch.float32)
    exponents = torch.arange(channels // 2, device=like.device, dtype=torch.float32)
    frequencies = 1.0 / POSITION_BASE ** (exponents / (channels / 2))
    angles = frequencies[:, None] * positions
    return torch.cat((angles.sin(), angles.cos())).to(like.dtype) * POSITION_WEIGHT


class ResidualConv(nn.Module):
    """Two 3 x 3 convolutions on activated inputs, added to the input."""

    def __init__(self, features: int) -> None:
        """Create the convolutions."""
        super().__init__()
        self.conv1 = Conv(features, features, 3, padding=1)
        self.conv2 = Conv(features, features, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Refine maps x (N, F, h, w)."""
        return self.conv2.add(x, self.conv1.relu(functional.relu(x)))


class Fusion(nn.Module):
    """Add a finer map to a coarser one, refine and upsample."""

    def __init__(self, features: int, *, has_lateral: bool) -> None:
        """Create a fusion step; the coarsest step has no second input."""
        super().__init__()
        if has_lateral:
            self.resConfUnit1 = ResidualConv(features)
        self.resConfUnit2 = ResidualConv(features)
        self.out_conv = Pointwise(features, features)

    def forward(self, x: Tensor, lateral: Tensor | None, size: tuple[int, int]) -> Tensor:
        """Fuse.

        Args:
            x: (N, F, h, w) coarser result, already at the lateral's size.
            lateral: (N, F, h, w) finer map; None for the coarsest step.
            size: Size of the output.

        Returns:
            (N, F, *size).
        """
        if lateral is not None:
            x = x + self.resConfUnit1(lateral)
        # Pointwise convolution and bilinear resizing commute (the weights sum to one), and the
        # convolution is cheaper before the resize.
        return upsample(self.out_conv(self.resConfUnit2(x)), size)


class DptTrunk(nn.Module):
    """Base of dense heads: projection, resizing and fusion pyramids."""

    has_positions = True
    """Whether image positions are added to the projected features."""

    def __init__(self, dim_in: int, config: PyramidConfig, branches: Sequence[str]) -> None:
        """Create the trunk.

        Args:
            dim_in: Channels of the backbone features.
            config: Widths.
            branches: Suffixes of the fusion pyramids over the shared maps ('' for the main one).
        """
        super().__init__()
        self.config = config
        features, channels = config.features, config.out_channels
        self.projects = nn.ModuleList(Pointwise(dim_in, width) for width in channels)
        self.resize_layers = nn.ModuleList(
            (
                nn.ConvTranspose2d(channels[0], channels[0], 4, stride=4),
                nn.ConvTranspose2d(channels[1], channels[1], 2, stride=2),
                nn.Identity(),
                Conv(channels[3], channels[3], 3, stride=2, padding=1),
            )
        )
        self.scratch = nn.ModuleDict()
        for level, width in enumerate(channels, start=1):
            self.scratch[f'layer{level}_rn'] = Conv(width, features, 3, padding=1, bias=False)
        for branch in branches:
            for level in range(1, 5):
                self.scratch[f'refinenet{level}{branch}'] = Fusion(features, has_lateral=level < 4)

    def project(
        self, levels: Sequence[Tensor], grid: tuple[int, int], image_size: tuple[int, int]
    ) -> list[Tensor]:
        """Turn backbone features into four maps of equal width.

        Args:
            levels: Four (N, h * w, dim_in) features, normalised as the head wants them.
            grid: (h, w) patches.
            image_size: (H, W) of the full image.

        Returns:
            Maps (N, F, ...) at 4, 2, 1 and 1/2 times the patch grid.
        """
        maps = []
        for index, level in enumerate(levels):
            x = self.projects[index](torch.unflatten(level.transpose(1, 2), 2, grid))
            if self.has_positions:
                x = with_image_positions(x, image_size)
            x = self.resize_layers[index](x)
            maps.append(self.scratch[f'layer{index + 1}_rn'](x))
        return maps

    def fuse(self, maps: Sequence[Tensor], branch: str = '') -> Tensor:
        """Fuse the maps from coarse to fine to (N, F, 8 h, 8 w) in one branch's pyramid."""
        x = maps[3]
        for level in range(4, 0, -1):
            lateral = maps[level - 1] if level < 4 else None
            finer = maps[max(level - 2, 0)].shape[-2:]
            factor = 2 if level == 1 else 1
            size = (int(finer[0]) * factor, int(finer[1]) * factor)
            fusion = cast('Fusion', self.scratch[f'refinenet{level}{branch}'])
            x = fusion(x, lateral, size)
        return x
