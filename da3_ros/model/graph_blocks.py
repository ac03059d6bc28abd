"""Transformer blocks as graphs want them: the parameters of `block.Block`, nothing that looks at
sizes.

Written with functions of torch only, so that what the modules themselves do to be fast on one kind
of device (other layouts, other kernels for lone maps) stays out of the graphs. Every linear layer
computes in the format of its weights; norms, rotations, softmax and the sums that run through the
network stay in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.block import Block
from da3_ros.model.layers import Attention, Mlp, SwiGlu
from da3_ros.model.rope import RotaryTable


class Rotation(NamedTuple):
    """Rotations of the tokens of one view; the same for every view of a sequence."""

    cos: Tensor
    """(T, D) cosine per token and channel of a head."""

    sin: Tensor
    """(T, D) sine, negative for the channels that take from behind them."""

    @classmethod
    def of(cls, table: RotaryTable) -> Rotation:
        """Return the rotations of a table of T tokens."""
        quarter = table.sin.shape[-1] // 4
        signs = torch.ones(4 * quarter)
        signs[:quarter] = signs[2 * quarter : 3 * quarter] = -1
        return cls(table.cos, table.sin * signs)


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """Map (..., in) to (..., out) in the format of the weights."""
    return functional.linear(x.to(layer.weight.dtype), layer.weight, layer.bias)


def layer_norm(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    """Normalise (..., C) in float32."""
    return functional.layer_norm(
        x.float(), layer.normalized_shape, layer.weight, layer.bias, layer.eps
    )


def feed_forward(layer: nn.Module, x: Tensor) -> Tensor:
    """Map (..., C) to (..., C)."""
    if isinstance(layer, SwiGlu):
        gate, value = linear(layer.w12, x).chunk(2, dim=-1)
        return linear(layer.w3, functional.silu(gate) * value)
    assert isinstance(layer, Mlp)
    return linear(layer.fc2, functional.gelu(linear(layer.fc1, x)))


def transform(
    block: Block, x: Tensor, rotation: Rotation | None = None, views: int | None = None
) -> Tensor:
    """Run a block.

    Args:
        block: its parameters.
        x: (B, T, C) tokens.
        rotation: of T tokens, or of those of one view where the sequence holds several.
        views: how many views follow one another in the sequence; None for one.

    Returns:
        (B, T, C) tokens.
    """
    attn = block.attn
    q, k, v = project(attn, layer_norm(block.norm1, x), rotation, views)
    return finish(block, x, attend(q, k, v))


def project(
    attn: Attention, x: Tensor, rotation: Rotation | None, views: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values (B, heads, T, D) of tokens (B, T, C)."""
    qkv = torch.unflatten(linear(attn.qkv, x), -1, (3, attn.num_heads, attn.head_dim))
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    return (
        rotated(normalised(attn.q_norm, q), rotation, views),
        rotated(normalised(attn.k_norm, k), rotation, views),
        v,
    )


def normalised(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise queries or keys where the block does."""
    return layer_norm(layer, x) if isinstance(layer, nn.LayerNorm) else x


def rotated(x: Tensor, rotation: Rotation | None, views: int | None) -> Tensor:
    """Rotate queries or keys (B, heads, T, D)."""
    if rotation is None:
        return x
    seen = x if views is None else torch.unflatten(x, 2, (views, -1))
    a, b, c, d = seen.chunk(4, dim=-1)
    result = seen * rotation.cos + torch.cat((b, a, d, c), dim=-1) * rotation.sin
    return result if views is None else result.flatten(2, 3)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return (B, T, C) of queries (B, heads, T, D), keys and values (B, heads, S, D)."""
    q, k = q.to(v.dtype), k.to(v.dtype)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    weights = scores.float().softmax(dim=-1).to(v.dtype)
    return (weights @ v).transpose(1, 2).flatten(2)


def finish(block: Block, x: Tensor, attended: Tensor) -> Tensor:
    """Return what a block makes of tokens x (B, T, C) and what they attended to (B, T, C)."""
    x = x + linear(block.attn.proj, attended).float() * block.ls1.gamma
    return x + feed_forward(block.mlp, layer_norm(block.norm2, x)).float() * block.ls2.gamma
