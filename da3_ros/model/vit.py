"""Vision transformer with within-view blocks first and cross-view blocks later.

Source: Oquab et al., "DINOv2" (2023) for the plain transformer; Lin et al., "Depth Anything 3"
(2025), section 3 for the alternation of attention and the camera token.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from da3_ros.model.block import Block
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import NATIVE_GRID, BackboneConfig
from da3_ros.model.layers import SwiGlu
from da3_ros.model.outputs import EncodedViews, FusedViews, LevelTokens
from da3_ros.model.patch_embed import PatchEmbed, patch_grid, position_table
from da3_ros.model.plain.reference_view import MIN_VIEWS_TO_REORDER
from da3_ros.model.reference_view import (
    reference_first,
    reorder_views,
    select_reference,
)
from da3_ros.model.rope import build_tables
from da3_ros.options.network import NETWORK

BLOCK_NORM_EPS = 1e-6
FINAL_NORM_EPS = 1e-5


class _EncodedRows(NamedTuple):
    """Some views after the first stage, as in `EncodedViews` with B and V as one N."""

    tokens: Tensor
    reference_tokens: Tensor
    exported: dict[int, Tensor]
    levels: list[Tensor]


class VisionTransformer(nn.Module):
    """Backbone of all networks, in two stages; the second is empty for single-view ones."""

    def __init__(self, config: BackboneConfig) -> None:
        """Create the parameters of a backbone."""
        super().__init__()
        self.config = config
        self.rounding = torch.float32
        C = config.embed_dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, C))
        if config.sees_other_views:
            # First entry for the reference view, second for every other view.
            self.camera_token = nn.Parameter(torch.zeros(1, 2, C))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + NATIVE_GRID**2, C))
        self.patch_embed = PatchEmbed(C)
        self.blocks = nn.ModuleList(self._block(index) for index in range(config.depth))
        self.norm = nn.LayerNorm(C, eps=FINAL_NORM_EPS)

    def _block(self, index: int) -> Block:
        config = self.config
        return Block(
            config.embed_dim,
            config.num_heads,
            norm_eps=BLOCK_NORM_EPS,
            query_key_norm=index >= config.alt_start,
            feed_forward=SwiGlu(config.embed_dim) if config.feed_forward == 'swiglu' else None,
        )

    def encode(
        self, images: Tensor, export_layers: Collection[int] = (), chunk: int = VIEW_CHUNK
    ) -> EncodedViews:
        """Run the blocks that see one view only.

        Args:
            images: (B, V, 3, H, W) ImageNet-normalised, sides multiples of 14.
            export_layers: Blocks whose tokens are kept; those of the second stage are ignored.
            chunk: Views computed at once.

        Returns:
            Tokens of every view; a view's tokens do not depend on the other views.
        """
        B, V = images.shape[:2]
        image_size = (int(images.shape[-2]), int(images.shape[-1]))
        grid = patch_grid(image_size)
        positions = position_table(self.pos_embed, grid)
        parts = [
            self._encode_rows(images.flatten(0, 1)[rows], positions, export_layers)
            for rows in chunks_of(B * V, chunk, grid[0] * grid[1], images.device)
        ]

        def join(tensors: list[Tensor]) -> Tensor:
            return torch.unflatten(torch.cat(tensors), 0, (B, V))

        return EncodedViews(
            tokens=join([part.tokens for part in parts]),
            reference_tokens=join([part.reference_tokens for part in parts]),
            exported={
                layer: join([part.exported[layer] for part in parts])
                for layer in parts[0].exported
            },
            image_size=image_size,
            levels=tuple(
                join([part.levels[index] for part in parts])
                for index in range(len(parts[0].levels))
            ),
        )

    def _encode_rows(
        self, images: Tensor, positions: Tensor, export_layers: Collection[int]
    ) -> _EncodedRows:
        patches = self.patch_embed(images)
        tokens = torch.cat((self.cls_token.expand(len(images), -1, -1), patches), dim=1)
        tokens = tokens + positions
        exported: dict[int, Tensor] = {}
        levels: list[Tensor] = []
        reference_tokens = tokens[:, 0]
        for index in range(self.config.alt_start):
            # The reference is chosen by the class tokens that enter the last of these blocks;
            # a copy, so that the other tokens can go.
            reference_tokens = tokens[:, 0].clone()
            tokens = self.blocks[index](tokens)
            if index in self.config.out_layers:
                levels.append(tokens)
            if index in export_layers:
                exported[index] = tokens
        return _EncodedRows(tokens, reference_tokens, exported, levels)

    def fuse(
        self,
        views: EncodedViews,
        camera_tokens: Tensor | None = None,
        strategy: str = NETWORK.ref_view_strategy,
        export_layers: Collection[int] = (),
    ) -> FusedViews:
        """Run the blocks that alternate within-view and cross-view attention.

        Args:
            views: Result of `encode`.
            camera_tokens: (B, V, C) tokens of known cameras; None lets the network assume
                nothing, and only then a reference view is chosen.
            strategy: How the reference view is chosen, see `options.choices.ReferenceStrategy`.
            export_layers: Blocks whose tokens are kept, ascending order not needed.

        Returns:
            Tokens of the output layers and the exported ones, in the caller's view order.
        """
        V = views.tokens.shape[1]
        reference = select_reference(views.reference_tokens, strategy, self.rounding)
        reorder = camera_tokens is None and V >= MIN_VIEWS_TO_REORDER
        if not reorder:
            reference = torch.zeros_like(reference)
        order = reference_first(reference, V)
        tokens = reorder_views(views.tokens, order) if reorder else views.tokens
        if camera_tokens is None:
            camera_tokens = self._default_camera_tokens(*views.tokens.shape[:2])
        tokens = torch.cat((camera_tokens[:, :, None], tokens[:, :, 1:]), dim=2)
        back = order.argsort(dim=1) if reorder else None
        levels, exported = self._alternate(tokens, views.image_size, export_layers, back)
        return FusedViews(
            levels=tuple(levels),
            exported={**views.exported, **exported},
            reference=reference,
            image_size=views.image_size,
        )

    def _default_camera_tokens(self, batch: int, views: int) -> Tensor:
        reference, other = self.camera_token[:, :1], self.camera_token[:, 1:]
        tokens = torch.cat((reference, other.expand(-1, views - 1, -1)), dim=1)
        return tokens.expand(batch, -1, -1)

    def _alternate(
        self,
        tokens: Tensor,
        image_size: tuple[int, int],
        export_layers: Collection[int],
        back: Tensor | None,
    ) -> tuple[list[LevelTokens], dict[int, Tensor]]:
        config = self.config
        B, V, T, _ = tokens.shape
        head_dim = config.embed_dim // config.num_heads
        tables = build_tables(patch_grid(image_size), V, head_dim, tokens, self.rounding)

        def restored(x: Tensor) -> Tensor:
            return x if back is None else reorder_views(x, back)

        within_view = tokens
        levels: list[LevelTokens] = []
        exported: dict[int, Tensor] = {}
        for index in range(config.alt_start, config.depth):
            if index % 2:
                # (B, V, T, C) -> one sequence (B, V * T, C) per scene
                joined = self.blocks[index](tokens.flatten(1, 2), tables.across_views)
                tokens = torch.unflatten(joined, 1, (V, T))
            else:
                alone = self.blocks[index](tokens.flatten(0, 1), tables.within_view)
                tokens = within_view = torch.unflatten(alone, 0, (B, V))
            if index in config.out_layers:
                levels.append(LevelTokens(restored(within_view), restored(tokens)))
            if index in export_layers:
                exported[index] = restored(tokens)
        return levels, exported
