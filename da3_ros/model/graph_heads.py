"""The dense heads as graphs want them, with functions of torch only; see `graph_blocks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.dpt import (
    DptTrunk,
    Fusion,
    ResidualConv,
    upsample,
    with_image_positions,
)


class GraphTrunk(nn.Module):
    """Four levels, projected, to one map of features, for one image size."""

    def __init__(
        self, trunk: DptTrunk, grid: tuple[int, int], image_size: tuple[int, int]
    ) -> None:
        """Take the parameters of a trunk.

        Args:
            trunk: its parameters.
            grid: (h, w) patches.
            image_size: (H, W) of the images.
        """
        super().__init__()
        self.trunk = trunk
        self.grid = grid
        self.image_size = image_size
        if trunk.has_positions:
            for index, width in enumerate(trunk.config.out_channels):
                (table,) = with_image_positions(torch.zeros(1, width, *grid), image_size)
                self.register_buffer(f'positions_{index}', table)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return features (N, F, 8 h, 8 w) of what `projected` gives of four levels."""
        return self.fuse([self.resize(index, level) for index, level in enumerate(levels)])

    def resize(self, index: int, level: Tensor) -> Tensor:
        """Return the map (N, F, ...) of a level (N, width, h * w)."""
        trunk = self.trunk
        x = torch.unflatten(level, 2, self.grid)
        if trunk.has_positions:
            x = x + self.get_buffer(f'positions_{index}')
        x = resized(trunk.resize_layers[index], x)
        return convolved(trunk.scratch[f'layer{index + 1}_rn'], x)

    def fuse(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse the maps from coarse to fine."""
        h, w = self.grid
        x = maps[3]
        for level in range(4, 0, -1):
            fusion = cast('Fusion', self.trunk.scratch[f'refinenet{level}'])
            if level < 4:
                x = x + refined(fusion.resConfUnit1, maps[level - 1])
            x = convolved(fusion.out_conv, refined(fusion.resConfUnit2, x))
            # From half the patch grid to eight times it.
            x = upsample(x, (h * 2 ** (4 - level), w * 2 ** (4 - level)))
        return x


def projected(trunk: DptTrunk, index: int, level: Tensor) -> Tensor:
    """Return a level of tokens (N, h * w, dim_in) in the width F that the trunk has there.

    It is written as a transposed convolution, (N, F, h * w), because OpenVINO leaves these in
    float32 where it computes the blocks before in 16 bit: accuracy needs that.
    """
    layer = cast('nn.Conv2d', trunk.projects[index])
    weight = layer.weight.flatten(1).t().contiguous()[..., None, None]
    x = level.transpose(1, 2)[..., None]
    return functional.conv_transpose2d(x, weight, layer.bias)[..., 0]


def convolved(layer: nn.Module, x: Tensor) -> Tensor:
    """Convolve maps (N, C, h, w)."""
    conv = cast('nn.Conv2d', layer)
    stride, padding = cast('list[int]', conv.stride), cast('list[int]', conv.padding)
    return functional.conv2d(x, conv.weight, conv.bias, stride, padding)


def resized(layer: nn.Module, x: Tensor) -> Tensor:
    """Resize maps by a layer of the trunk."""
    if isinstance(layer, nn.ConvTranspose2d):
        stride = cast('list[int]', layer.stride)
        return functional.conv_transpose2d(x, layer.weight, layer.bias, stride)
    return x if isinstance(layer, nn.Identity) else convolved(layer, x)


def refined(unit: ResidualConv, x: Tensor) -> Tensor:
    """Refine maps by two convolutions."""
    hidden = convolved(unit.conv1, functional.relu(x))
    return convolved(unit.conv2, functional.relu(hidden)) + x


def tail(layers: nn.Module, x: Tensor) -> Tensor:
    """Run the last two convolutions of a dense head."""
    first, _, last = cast('nn.Sequential', layers)
    return convolved(last, functional.relu(convolved(first, x)))
