"""Where patches of one view are seen in the others, and how well attention finds them.

Not of the paper, which learns from millions of scenes what belongs together. Here it is told: one
head of every block that lets views see one another is asked to look at the same place in each
other view. Attention across views that is supervised by projected points is that of Sarlin et
al., "SuperGlue" (2020), section 3.4, in its simplest form: negative log-likelihood of the match.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from da3_ros.model.block import Block
from da3_ros.model.layers import Attention
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.pose_encoding import invert_rigid
from tools.train_nano.targets import PATCH, Targets, at_cells

HEAD = 0
"""The head that is taught; the others look where they like."""

_NEAR = 1e-3
_SAME_SURFACE = 0.05
"""Part of its depth by which a point may be off the surface that another view sees there."""


@dataclass(slots=True)
class AttentionRecord:
    """Queries and keys of the taught heads of one forward pass, (S, V * (1 + P), D) each."""

    pairs: list[tuple[Tensor, Tensor]] = field(default_factory=list)


@contextmanager
def recorded_attention(network: AnyViewNetwork) -> Iterator[AttentionRecord]:
    """Keep queries and keys of the taught head of all cross-view blocks.

    Only what runs inside the context is recorded; afterwards the network is as it was.
    """
    record = AttentionRecord()
    backbone = network.config.backbone
    blocks = network.backbone.pretrained.blocks
    attentions = []
    for index in range(backbone.alt_start, backbone.depth):
        block = blocks[index]
        if isinstance(block, Block) and index % 2:
            attentions.append(block.attn)
    kernels = [attention.kernel for attention in attentions]
    for attention in attentions:
        _listen(attention, record)
    try:
        yield record
    finally:
        for attention, kernel in zip(attentions, kernels, strict=True):
            attention.kernel = kernel


def _listen(attention: Attention, record: AttentionRecord) -> None:
    inner = attention.kernel

    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        record.pairs.append((q[:, HEAD], k[:, HEAD]))
        return inner(q, k, v)

    attention.kernel = kernel


def matches(targets: Targets) -> Tensor:
    """Return which patches show the same surface.

    The surface in the middle of a patch counts for the patch of another view that it falls into,
    if it is neither hidden nor outside there.

    Returns:
        (S, V, P, V, P) one where it is seen, else zero; zero for a view and itself.
    """
    views, height, width = targets.depth.shape[1:]
    grid = (height // PATCH, width // PATCH)
    device = targets.depth.device
    depth, known = (at_cells(maps, grid).flatten(2) for maps in (targets.depth, targets.known))
    # Centres of the pixels whose depth that is.
    v, u = torch.meshgrid(
        *(((torch.arange(n, device=device) + 0.5) * PATCH).floor() + 0.5 for n in grid),
        indexing='ij',
    )
    rays = torch.stack((u, v, torch.ones_like(u))).flatten(1)
    points = torch.linalg.inv(targets.intrinsics) @ rays * depth[:, :, None]
    poses = invert_rigid(targets.extrinsics)
    world = poses[..., :3, :3] @ points + poses[..., :3, 3:]
    # (S, from, 1, 3, P) into (S, 1, to, ...)
    into = targets.extrinsics[:, None, :, :3]
    local = into[..., :3] @ world[:, :, None] + into[..., 3:]
    seen = targets.intrinsics[:, None] @ local
    z = seen[..., 2, :]
    at = (seen[..., :2, :] / z.clamp_min(_NEAR)[..., None, :]).floor().long()
    x, y = at.unbind(-2)
    inside = (z > _NEAR) & (x >= 0) & (x < width) & (y >= 0) & (y < height) & known[:, :, None]
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    surface = targets.depth[:, None].flatten(3).expand(-1, views, -1, -1)
    visible = inside & ((surface.gather(-1, y * width + x) - z).abs() < _SAME_SURFACE * z)
    visible &= ~torch.eye(views, dtype=torch.bool, device=device)[:, :, None]
    there: Tensor = functional.one_hot(y // PATCH * grid[1] + x // PATCH, grid[0] * grid[1])
    # (S, from, to, P, P) -> (S, from, P, to, P)
    shares: Tensor = (there * visible[..., None]).float()
    return shares.transpose(2, 3)


def match_loss(record: AttentionRecord, shares: Tensor) -> Tensor:
    """Return how unlikely attention finds it to look at the same surface in another view.

    Attention is normalised per view that is looked at, over its patches.

    Args:
        record: of one forward pass over the scenes.
        shares: (S, V, P, V, P), see `matches`; views in the order of the pass.
    """
    views, patches = shares.shape[1:3]
    total = shares.new_zeros(())
    count = shares.sum().clamp_min(1.0)
    for query, key in record.pairs:
        q, k = (
            torch.unflatten(tokens.float(), 1, (views, 1 + patches))[:, :, 1:].flatten(1, 2)
            for tokens in (query, key)
        )
        logits = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        likely = functional.log_softmax(logits.view(shares.shape), dim=-1)
        total = total - (shares * likely).sum() / count
    return total / max(len(record.pairs), 1)
