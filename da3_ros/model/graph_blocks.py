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
from da3_ros.model.layers import Mlp, SwiGlu
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
        attn = block.attn
        self.query, self.key, self.value = _thirds(attn.qkv)
        self.q_norm, self.k_norm = attn.q_norm, attn.k_norm
        self.num_heads, self.head_dim = attn.num_heads, attn.head_dim
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


def _thirds(layer: nn.Linear) -> list[nn.Linear]:
    """Return three linear layers for the thirds of what one gives."""
    result = []
    for weight, bias in zip(layer.weight.chunk(3), layer.bias.chunk(3), strict=True):
        part = nn.Linear(layer.in_features, len(bias), device='meta')
        part.weight = nn.Parameter(weight.clone(), requires_grad=False)
        part.bias = nn.Parameter(bias.clone(), requires_grad=False)
        result.append(part)
    return result


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
    q, k, v = project(block, layer_norm(block.norm1, x), rotation, views)
    return finish(block, x, attend(q, k, v))


def project(
    block: GraphBlock, x: Tensor, rotation: Rotation | None, views: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return queries, keys and values (B, T, heads, D) of tokens (B, T, C).

    Each by a product of its own: of one for all three, graphs would make copies to part them.
    """
    q, k, v = (of_heads(block, layer, x) for layer in (block.query, block.key, block.value))
    return (
        rotated(normalised(block.q_norm, q), rotation, views),
        rotated(normalised(block.k_norm, k), rotation, views),
        v,
    )


def of_heads(block: GraphBlock, layer: nn.Linear, x: Tensor) -> Tensor:
    """Map (..., C) to (..., heads, D)."""
    return torch.unflatten(linear(layer, x), -1, (block.num_heads, block.head_dim))


def normalised(layer: nn.Module, x: Tensor) -> Tensor:
    """Normalise queries or keys where the block does."""
    return layer_norm(layer, x) if isinstance(layer, nn.LayerNorm) else x


def rotated(x: Tensor, rotation: Rotation | None, views: int | None) -> Tensor:
    """Rotate queries or keys (B, T, heads, D)."""
    if rotation is None:
        return x
    seen = x if views is None else torch.unflatten(x, 1, (views, -1))
    a, b, c, d = seen.chunk(4, dim=-1)
    crossed = torch.cat((b, a, d, c), dim=-1)
    result = seen * rotation.cos[:, None] + crossed * rotation.sin[:, None]
    return result if views is None else result.flatten(1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return (B, T, C) of queries (B, T, heads, D), keys and values (B, S, heads, D)."""
    q, k = q.to(v.dtype), k.to(v.dtype)
    scores = (q * q.shape[-1] ** -0.5).transpose(1, 2) @ k.permute(0, 2, 3, 1)
    weights = scores.float().softmax(dim=-1).to(v.dtype)
    attended: Tensor = (weights @ v.transpose(1, 2)).transpose(1, 2).flatten(2)
    return attended


def finish(block: GraphBlock, x: Tensor, attended: Tensor) -> Tensor:
    """Return what a block makes of tokens x (B, T, C) and what they attended to (B, T, C)."""
    x = x + linear(block.proj, attended).float()
    out: Tensor = x + block.feed_forward(layer_norm(block.norm2, x)).float()
    return out
