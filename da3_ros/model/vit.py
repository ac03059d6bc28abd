"""Vision transformer with within-view blocks first and cross-view blocks later.

Source: Oquab et al., "DINOv2" (2023) for the plain transformer; Lin et al., "Depth Anything 3"
(2025), section 3 for the alternation of attention and the camera token.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from da3_ros.model.block import Block
from da3_ros.model.chunks import VIEW_CHUNK, chunks_of
from da3_ros.model.config import NATIVE_GRID, BackboneConfig
from da3_ros.model.kept import Kept, is_traced, some_values, version_of
from da3_ros.model.layers import SwiGlu
from da3_ros.model.outputs import EncodedViews, FusedViews, LevelTokens, RoleTokens
from da3_ros.model.patch_embed import PatchEmbed, patch_grid, position_table
from da3_ros.model.plain.reference_view import MIN_VIEWS_TO_REORDER
from da3_ros.model.reference_view import select_reference
from da3_ros.model.rope import RotaryTable, RotaryTables, build_tables
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
        # With the table that was resized: held, so that no other can come to lie in its memory.
        self._resized = Kept[tuple[Tensor, Tensor]]()
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
        positions = self._positions(grid)
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

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        table = self.pos_embed
        if table.requires_grad or table.is_inference() or is_traced(table):
            # Gradients or a trace go through it, or nothing tells when it is written to.
            return position_table(table, grid)
        values = tuple(some_values(table).tolist()) if table.device.type == 'cpu' else ()
        key = (grid, table.data_ptr(), version_of(table), table.dtype, table.device, values)
        _, resized = self._resized.get(
            key, table, lambda: (table.detach(), position_table(table, grid))
        )
        return resized

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
        wanted: Sequence[int] | None = None,
        roles: RoleTokens | None = None,
    ) -> FusedViews:
        """Run the blocks that alternate within-view and cross-view attention.

        Attention does not ask in which order views come: nothing but its camera token tells the
        reference from the others.

        Args:
            views: Result of `encode`.
            camera_tokens: (B, V, C) tokens of known cameras; None lets the network assume
                nothing, and only then a reference view is chosen.
            strategy: How the reference view is chosen, see `options.choices.ReferenceStrategy`.
            export_layers: Blocks whose tokens are kept, ascending order not needed.
            wanted: Views whose tokens are handed to the heads, ascending; all when None. The last
                block then computes only these and the camera tokens of the others.
            roles: Result of `in_role` for the same views, with the reference that `reference`
                chose; without known cameras.

        Returns:
            Tokens of the output layers and the exported ones.
        """
        if roles is None:
            reference = self.reference(views, strategy)
            if camera_tokens is not None:
                reference = torch.zeros_like(reference)
            else:
                camera_tokens = self._role_tokens(reference, views.tokens.shape[1])
            tokens = torch.cat((camera_tokens[:, :, None], views.tokens[:, :, 1:]), dim=2)
        else:
            reference, tokens = roles.reference, roles.tokens
        count = tokens.shape[1]
        wanted = tuple(range(count) if wanted is None else wanted)
        levels, cameras, exported = self._alternate(
            tokens, views.image_size, export_layers, wanted, skips_first=roles is not None
        )
        return FusedViews(
            levels=tuple(levels),
            cameras=cameras,
            wanted=wanted,
            exported={**views.exported, **exported},
            reference=reference,
            image_size=views.image_size,
        )

    def reference(self, views: EncodedViews, strategy: str) -> Tensor:
        """Return the reference view (B,) of scenes whose cameras are not known."""
        reference = select_reference(views.reference_tokens, strategy, self.rounding)
        if views.tokens.shape[1] < MIN_VIEWS_TO_REORDER:
            return torch.zeros_like(reference)
        return reference

    @property
    def has_role_block(self) -> bool:
        """Whether the first block of the second stage sees each view alone, in its role."""
        return self.config.sees_other_views and self.config.alt_start % 2 == 0

    def in_role(self, views: EncodedViews, *, is_reference: bool) -> Tensor:
        """Run the first block of the second stage on views that all have the same role.

        Only where `has_role_block`. A view keeps its result as long as it keeps its role.

        Returns:
            (B, V, 1 + h * w, C).
        """
        B, V = views.tokens.shape[:2]
        camera = self.camera_token[:, :1] if is_reference else self.camera_token[:, 1:]
        camera = camera[:, :, None].expand(B, V, -1, -1)
        tokens = torch.cat((camera, views.tokens[:, :, 1:]), dim=2)
        table = self._tables(tokens, views.image_size).within_view
        block = self.blocks[self.config.alt_start]
        return torch.unflatten(block(tokens.flatten(0, 1), table), 0, (B, V))

    def _role_tokens(self, reference: Tensor, views: int) -> Tensor:
        """Return the camera tokens (B, V, C) of the reference (B,) and the other views."""
        is_reference = torch.arange(views, device=reference.device) == reference[:, None]
        first, other = self.camera_token.unbind(1)
        return torch.where(is_reference[..., None], first, other)

    def _tables(self, tokens: Tensor, image_size: tuple[int, int]) -> RotaryTables:
        head_dim = self.config.embed_dim // self.config.num_heads
        grid = patch_grid(image_size)
        return build_tables(grid, tokens.shape[1], head_dim, tokens, self.rounding)

    def _alternate(
        self,
        tokens: Tensor,
        image_size: tuple[int, int],
        export_layers: Collection[int],
        wanted: tuple[int, ...],
        *,
        skips_first: bool,
    ) -> tuple[list[LevelTokens], Tensor, dict[int, Tensor]]:
        """Return levels of wanted views, camera tokens (B, V, 2 C), and exported tokens."""
        config = self.config
        B, V, T, _ = tokens.shape
        tables = self._tables(tokens, image_size)
        last = config.depth - 1
        is_pruned = len(wanted) < V and last % 2 == 1 and last not in export_layers
        within_view = tokens
        levels: list[LevelTokens] = []
        exported: dict[int, Tensor] = {}
        for index in range(config.alt_start, config.depth):
            is_done = skips_first and index == config.alt_start
            if index == last and is_pruned:
                break
            if index % 2:
                # (B, V, T, C) -> one sequence (B, V * T, C) per scene
                joined = self.blocks[index](tokens.flatten(1, 2), tables.across_views)
                tokens = torch.unflatten(joined, 1, (V, T))
            else:
                if not is_done:
                    alone = self.blocks[index](tokens.flatten(0, 1), tables.within_view)
                    tokens = torch.unflatten(alone, 0, (B, V))
                within_view = tokens
            if index in config.out_layers:
                levels.append(LevelTokens(views_of(within_view, wanted), views_of(tokens, wanted)))
            if index in export_layers:
                exported[index] = tokens
        if is_pruned:
            chosen, camera = self._last_block(tokens, tables.across_views, wanted)
            if last in config.out_layers:
                levels.append(LevelTokens(views_of(within_view, wanted), chosen))
        else:
            camera = tokens[:, :, 0]
        return levels, torch.cat((within_view[:, :, 0], camera), dim=-1), exported

    def _last_block(
        self, tokens: Tensor, rotary: RotaryTable, wanted: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        """Run the last block for the tokens that something reads.

        Returns:
            Tokens of the wanted views (B, N, T, C), and the camera tokens (B, V, C) of all.
        """
        V, T = tokens.shape[1:3]
        lengths = [T if view in wanted else 1 for view in range(V)]
        rows = [slice(view * T, view * T + n) for view, n in enumerate(lengths)]
        parts = self.blocks[-1](tokens.flatten(1, 2), rotary, rows).split(lengths, dim=1)
        chosen = tokens.new_empty((len(tokens), 0, *tokens.shape[2:]))
        if wanted:
            chosen = torch.stack([parts[view] for view in wanted], dim=1)
        return chosen, torch.stack([part[:, 0] for part in parts], dim=1)


def views_of(x: Tensor, views: Sequence[int]) -> Tensor:
    """Return some views of x (B, V, ...) that keep the others in memory only if they are all."""
    if len(views) == x.shape[1]:
        return x
    if not views:
        return x[:, :0]
    return torch.stack([x[:, view] for view in views], dim=1)
