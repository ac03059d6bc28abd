"""The stages of a network as modules that are exported to graphs: fixed image size, any views.

A graph has no choices in it: which view is the reference and which cameras are known is settled
outside, in float32, and comes in as camera tokens. Attention across views does not depend on their
order, so that views stay where they are and only their camera tokens tell the reference.

What depends on nothing but the image size (position table, rotations) is computed here once and
becomes a constant of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.block import Block
from da3_ros.model.dpt import upsample, with_image_positions
from da3_ros.model.graph_blocks import (
    GraphBlock,
    Rotation,
    attend,
    finish,
    layer_norm,
    linear,
    normalised,
    of_heads,
    rotated,
    transform,
)
from da3_ros.model.graph_heads import GraphTrunk, convolved, projected, tail
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.patch_embed import patch_grid, position_table
from da3_ros.model.rope import build_tables
from da3_ros.model.single_view import SingleViewNetwork
from da3_ros.model.vit import VisionTransformer

LEVELS = ('level_0', 'level_1', 'level_2', 'level_3')
"""What of a view goes from `fuse` to `decode`."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A module that becomes a graph."""

    module: nn.Module
    inputs: dict[str, Tensor]
    """An example of each input, in the order of the arguments; the first dimension is free."""
    outputs: tuple[str, ...]
    counts: dict[str, str]
    """What the first dimension of an input counts."""


class Patches(nn.Module):
    """Images to tokens."""

    mean: Tensor
    std: Tensor
    positions: Tensor

    def __init__(
        self, vit: VisionTransformer, image_size: tuple[int, int], colours: Tensor
    ) -> None:
        """Take the parameters of a backbone.

        Args:
            vit: the backbone.
            image_size: (H, W) of the images.
            colours: (2, 3) mean and standard deviation of the colours, of 255.
        """
        super().__init__()
        self.cls_token = vit.cls_token
        self.patch_embed = vit.patch_embed
        mean, std = colours[..., None, None]
        self.register_buffer('mean', mean)
        self.register_buffer('std', std)
        positions = position_table(vit.pos_embed, patch_grid(image_size))
        self.register_buffer('positions', positions)

    def forward(self, images: Tensor) -> Tensor:
        """Turn RGB images (V, H, W, 3) of uint8 into tokens (V, 1 + h * w, C)."""
        pixels = (images.permute(0, 3, 1, 2).float() - self.mean) / self.std
        proj = self.patch_embed.proj
        maps = functional.conv2d(pixels.to(proj.weight.dtype), proj.weight, proj.bias, proj.stride)
        patches = maps.flatten(2).transpose(1, 2).float()
        first = self.cls_token.expand(images.shape[0], -1, -1)
        return torch.cat((first, patches), dim=1) + self.positions


class EncodeStage(nn.Module):
    """Views alone: images to tokens, and the class tokens by which the reference is chosen."""

    def __init__(
        self, vit: VisionTransformer, image_size: tuple[int, int], colours: Tensor
    ) -> None:
        """Take the parameters of a backbone; arguments as of `Patches`."""
        super().__init__()
        self.patches = Patches(vit, image_size, colours)
        self.blocks = _blocks(vit.blocks[: vit.config.alt_start])

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (V, 1 + h * w, C) and class tokens (V, C) of images (V, H, W, 3)."""
        tokens = self.patches(images)
        reference = tokens[:, 0]
        for block in _each(self.blocks):
            reference = tokens[:, 0]
            tokens = transform(block, tokens)
        return tokens, reference


class CamerasStage(nn.Module):
    """Encodings of known cameras to camera tokens."""

    def __init__(self, network: AnyViewNetwork) -> None:
        """Take the parameters of a network's camera encoder."""
        super().__init__()
        self.encoder = network.cam_enc
        self.trunk = _blocks(network.cam_enc.trunk)

    def forward(self, encoding: Tensor) -> Tensor:
        """Turn encodings (V, 9) into tokens (V, C)."""
        encoder = self.encoder
        branch = encoder.pose_branch
        hidden = functional.gelu(linear(branch.fc1, encoding))
        x = layer_norm(encoder.token_norm, linear(branch.fc2, hidden))[None]
        for block in _each(self.trunk):
            x = transform(block, x)
        return layer_norm(encoder.trunk_norm, x)[0]


class FuseStage(nn.Module):
    """Views that see one another: tokens to what the head needs of the wanted views.

    The first layers of the head are here: what comes out of them is a quarter as large, and lies
    in memory between the graphs. The last block computes queries only for the wanted views and for
    the cameras of all: nobody reads the rest.
    """

    within_cos: Tensor
    within_sin: Tensor
    across_cos: Tensor
    across_sin: Tensor

    def __init__(self, network: AnyViewNetwork, image_size: tuple[int, int]) -> None:
        """Take the parameters of a network's backbone, and of its head the first ones."""
        super().__init__()
        vit = network.backbone.pretrained
        self.head = network.head
        config = vit.config
        self.blocks = _blocks(vit.blocks[config.alt_start :])
        self.norm = vit.norm
        self.first = config.alt_start
        self.out_layers = config.out_layers
        head_dim = config.embed_dim // config.num_heads
        tables = build_tables(patch_grid(image_size), 1, head_dim, vit.cls_token.float())
        for name, table in (('within', tables.within_view), ('across', tables.across_views)):
            rotation = Rotation.of(table)
            self.register_buffer(f'{name}_cos', rotation.cos)
            self.register_buffer(f'{name}_sin', rotation.sin)

    def forward(self, tokens: Tensor, camera_tokens: Tensor, wanted: Tensor) -> tuple[Tensor, ...]:
        """Fuse.

        Args:
            tokens: (V, 1 + h * w, C) of the views; the first of each makes place for its camera.
            camera_tokens: (V, C).
            wanted: (N,) int64 views whose levels are wanted.

        Returns:
            Four levels (N, F, h * w) of the head's widths and the camera features (V, 2 C).
        """
        V = tokens.shape[0]
        within = Rotation(self.within_cos, self.within_sin)
        across = Rotation(self.across_cos, self.across_sin)
        x = torch.cat((camera_tokens[:, None], tokens[:, 1:]), dim=1)
        alone = x
        levels: list[Tensor] = []
        last = len(self.blocks) - 1
        for place, block in enumerate(_each(self.blocks)):
            index = self.first + place
            if index % 2 == 0:
                x = alone = transform(block, x, within)
            elif place < last:
                joined = transform(block, x.flatten(0, 1)[None], across, V)
                x = torch.unflatten(joined[0], 0, (V, -1))
            else:
                return (*levels, *self._last(block, x, alone, across, wanted))
            if index in self.out_layers:
                levels.append(self._level(len(levels), alone[wanted, 1:], x[wanted, 1:]))
        return (*levels, torch.cat((alone[:, 0], x[:, 0]), dim=-1))

    def _level(self, index: int, alone: Tensor, x: Tensor) -> Tensor:
        """Return what the head makes of patch tokens (N, h * w, C), within and across views."""
        level = torch.cat((alone, layer_norm(self.norm, x)), dim=-1)
        return projected(self.head, index, layer_norm(self.head.norm, level))

    def _last(
        self, block: GraphBlock, x: Tensor, alone: Tensor, across: Rotation, wanted: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the last level and the camera features."""
        V = x.shape[0]
        normed = layer_norm(block.norm1, x)
        joined = normed.flatten(0, 1)[None]
        k = rotated(normalised(block.k_norm, of_heads(block, block.key, joined)), across, V)
        v = of_heads(block, block.value, joined)

        def queries(x: Tensor, rows: slice) -> Tensor:
            # (M, t, C) -> (1, M * t, heads, D)
            q = normalised(block.q_norm, of_heads(block, block.query, x))
            rotation = Rotation(across.cos[rows], across.sin[rows])
            return rotated(q, rotation, None).flatten(0, 1)[None]

        q_patches = queries(normed[wanted, 1:], slice(1, None))
        q_cameras = queries(normed[:, :1], slice(None, 1))
        attended = attend(torch.cat((q_cameras, q_patches), dim=1), k, v)
        own = torch.cat((x[None, :, 0], x[wanted, 1:].flatten(0, 1)[None]), dim=1)
        done = finish(block, own, attended)[0]
        patches = torch.unflatten(done[V:], 0, (wanted.shape[0], -1))
        features = torch.cat((alone[:, 0], done[:V]), dim=-1)
        return self._level(len(LEVELS) - 1, alone[wanted, 1:], patches), features


class PosesStage(nn.Module):
    """Camera features to camera encodings, always in float32."""

    def __init__(self, network: AnyViewNetwork) -> None:
        """Take the parameters of a network's camera decoder."""
        super().__init__()
        self.decoder = network.cam_dec

    def forward(self, features: Tensor) -> Tensor:
        """Turn camera features (V, 2 C) into encodings (V, 9)."""
        result: Tensor = self.decoder(features)
        return result


class DecodeStage(nn.Module):
    """Levels of views to their maps."""

    columns: Tensor
    rows: Tensor

    def __init__(self, network: AnyViewNetwork, image_size: tuple[int, int]) -> None:
        """Take the parameters of a network's head."""
        super().__init__()
        self.image_size = image_size
        head = network.head
        self.head = head
        self.trunk = GraphTrunk(head, patch_grid(image_size), image_size)
        half = head.config.features // 2
        (positions,) = with_image_positions(torch.zeros(1, half, *image_size), image_size)
        # Whole it would be as large as a map of features: half the channels depend on the column
        # only, the others on the row. Zeros for the rest, so that maps need not be split.
        columns, rows = positions[:, :1].clone(), positions[:, :, :1].clone()
        columns[half // 2 :] = 0
        rows[: half // 2] = 0
        self.register_buffer('columns', columns)
        self.register_buffer('rows', rows)

    def forward(
        self, level_0: Tensor, level_1: Tensor, level_2: Tensor, level_3: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return depth and confidence (N, H, W) of four levels (N, F, h * w)."""
        head = self.head
        features = self.trunk((level_0, level_1, level_2, level_3))
        x = upsample(convolved(head.scratch['output_conv1'], features), self.image_size)
        x = x + self.columns + self.rows
        depth, confidence = tail(head.scratch['output_conv2'], x).exp().unbind(1)
        return depth, confidence + 1.0


class MapsStage(nn.Module):
    """A network that sees each view alone: images to maps."""

    def __init__(
        self, network: SingleViewNetwork, image_size: tuple[int, int], colours: Tensor
    ) -> None:
        """Take the parameters of a network; arguments as of `Patches`."""
        super().__init__()
        vit = network.backbone.pretrained
        self.patches = Patches(vit, image_size, colours)
        self.blocks = _blocks(vit.blocks)
        self.norm = vit.norm
        self.out_layers = vit.config.out_layers
        self.image_size = image_size
        self.trunk = GraphTrunk(network.head, patch_grid(image_size), image_size)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return depth and sky score (V, H, W) of images (V, H, W, 3)."""
        tokens = self.patches(images)
        levels: list[Tensor] = []
        for index, block in enumerate(_each(self.blocks)):
            tokens = transform(block, tokens)
            if index in self.out_layers:
                level = layer_norm(self.norm, tokens[:, 1:])
                levels.append(projected(self.trunk.trunk, len(levels), level))
        scratch = self.trunk.trunk.scratch
        x = upsample(convolved(scratch['output_conv1'], self.trunk(levels)), self.image_size)
        depth = tail(scratch['output_conv2'], x)[:, 0].exp()
        return depth, tail(scratch['sky_output_conv2'], x)[:, 0].relu()


def _blocks(blocks: Iterable[nn.Module]) -> nn.ModuleList:
    return nn.ModuleList(GraphBlock(cast('Block', block)) for block in blocks)


def _each(blocks: nn.ModuleList) -> Iterator[GraphBlock]:
    return (cast('GraphBlock', block) for block in blocks)


def any_view_stages(
    network: AnyViewNetwork, image_size: tuple[int, int], colours: Tensor
) -> dict[str, Stage]:
    """Return the stages of an any-view network.

    Args:
        network: on the CPU.
        image_size: (H, W) of the images, multiples of 14.
        colours: (2, 3) mean and standard deviation of the colours, of 255.
    """
    vit = network.backbone.pretrained
    C = vit.config.embed_dim
    h, w = patch_grid(image_size)
    tokens = torch.zeros(2, 1 + h * w, C)
    images = torch.zeros(2, *image_size, 3, dtype=torch.uint8)
    wanted = torch.arange(3) % 2
    widths = network.config.head.out_channels
    levels: dict[str, Tensor] = {
        name: torch.zeros(3, width, h * w) for name, width in zip(LEVELS, widths, strict=True)
    }
    stages = {
        'encode': Stage(
            EncodeStage(vit, image_size, colours),
            {'images': images},
            ('tokens', 'reference_tokens'),
            {'images': 'views'},
        ),
        'fuse': Stage(
            FuseStage(network, image_size),
            {'tokens': tokens, 'camera_tokens': torch.zeros(2, C), 'wanted': wanted},
            (*levels, 'camera_features'),
            {'tokens': 'views', 'camera_tokens': 'views', 'wanted': 'wanted'},
        ),
        'decode': Stage(
            DecodeStage(network, image_size),
            levels,
            ('depth', 'confidence'),
            dict.fromkeys(levels, 'wanted'),
        ),
    }
    if network.config.camera is not None:
        stages['cameras'] = Stage(
            CamerasStage(network),
            {'encoding': torch.zeros(2, 9)},
            ('camera_tokens',),
            {'encoding': 'views'},
        )
        stages['poses'] = Stage(
            PosesStage(network),
            {'camera_features': torch.zeros(2, 2 * C)},
            ('encoding',),
            {'camera_features': 'views'},
        )
    return stages


def single_view_stages(
    network: SingleViewNetwork, image_size: tuple[int, int], colours: Tensor
) -> dict[str, Stage]:
    """Return the one stage of a single-view network; arguments as of `any_view_stages`."""
    images = torch.zeros(2, *image_size, 3, dtype=torch.uint8)
    return {
        'maps': Stage(
            MapsStage(network, image_size, colours),
            {'images': images},
            ('depth', 'sky'),
            {'images': 'views'},
        )
    }
