"""Transformer blocks as graphs want them: parameters of `block.Block`, no choices by size.

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


class GraphBlock(nn.Module):
    """The parameters of a block as its graph has them, layer scales within the matrices.

    Compilers would move the scales there themselves, and keep the product as a copy in memory.
    """

    def __init__(self, block: Block) -> None:
        """Take the parameters of a block."""
        super().__init__()
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.attn = block.attn
        self.proj = _scaled(block.attn.proj, block.ls1.gamma)
        mlp = block.mlp
        self.is_gated = isinstance(mlp, SwiGlu)
        if isinstance(mlp, SwiGlu):
            self.widen, self.narrow = mlp.w12, _scaled(mlp.w3, block.ls2.gamma)
        else:
            assert isinstance(mlp, Mlp)
            self.widen, self.narrow = mlp.fc1, _scaled(mlp.fc2, block.ls2.gamma)

    def feed_forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C), scaled."""
        hidden = linear(self.widen, x)
        if self.is_gated:
            gate, value = hidden.chunk(2, dim=-1)
            hidden = functional.silu(gate) * value
        else:
            hidden = functional.gelu(hidden)
        return linear(self.narrow, hidden)


def _scaled(layer: nn.Linear, gamma: Tensor) -> nn.Linear:
    """Return a linear layer whose result is multiplied by gamma (out,)."""
    result = nn.Linear(layer.in_features, layer.out_features, device='meta')
    dtype = layer.weight.dtype
    weight = layer.weight.float() * gamma[:, None]
    result.weight = nn.Parameter(weight.to(dtype), requires_grad=False)
    result.bias = nn.Parameter((layer.bias.float() * gamma).to(dtype), requires_grad=False)
    return result


def transform(
    block: GraphBlock, x: Tensor, rotation: Rotation | None = None, views: int | None = None
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


def finish(block: GraphBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Return what a block makes of tokens x (B, T, C) and what they attended to (B, T, C)."""
    x = x + linear(block.proj, attended).float()
    return x + block.feed_forward(layer_norm(block.norm2, x)).float()
