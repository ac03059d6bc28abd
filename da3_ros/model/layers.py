"""Layers shared by the backbone and the camera encoder."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model import onednn
from da3_ros.model.rope import RotaryTable
from da3_ros.model.tiled_attention import attend

QUERY_KEY_NORM_EPS = 1e-5


def mapped(x: Tensor, weight: Tensor, bias: Tensor, activation: str = 'none') -> Tensor:
    """Return rows x (..., in) through weight (out, in) and bias, then GELU if asked for."""
    if onednn.fuses_rows(x, weight):
        return onednn.linear(x, weight, bias, activation)
    out = functional.linear(x, weight, bias)
    return functional.gelu(out) if activation == 'gelu' else out


class Linear(nn.Linear):
    """Linear layer that computes in the format of its weights, whatever it is given."""

    def forward(self, input: Tensor) -> Tensor:
        """Map (..., in) to (..., out)."""
        return mapped(input.to(self.weight.dtype), self.weight, self.bias)

    def gelu(self, input: Tensor) -> Tensor:
        """Map (..., in) to the exact (erf) GELU of what `forward` gives."""
        return mapped(input.to(self.weight.dtype), self.weight, self.bias, 'gelu')


class WideLayerNorm(nn.LayerNorm):
    """Layer norm in the format of its weights (float32), whatever it is given."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (..., C)."""
        return super().forward(input.to(self.weight.dtype))


class LayerScale(nn.Module):
    """Multiply every channel by a learned factor."""

    def __init__(self, dim: int) -> None:
        """Create the factors (C,) at one."""
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Scale x (..., C)."""
        return x * self.gamma

    def add(self, base: Tensor, x: Tensor) -> Tensor:
        """Return base + scaled x, in one pass."""
        return torch.addcmul(base, x.to(base.dtype), self.gamma)


class Mlp(nn.Module):
    """Two linear layers with an exact (erf) GELU between them."""

    def __init__(self, dim_in: int, dim_hidden: int, dim_out: int) -> None:
        """Create the two layers with biases."""
        super().__init__()
        self.fc1 = Linear(dim_in, dim_hidden)
        self.fc2 = Linear(dim_hidden, dim_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., dim_in) to (..., dim_out)."""
        out: Tensor = self.fc2(self.fc1.gelu(x))
        return out


class SwiGlu(nn.Module):
    """Gated feed-forward layer: w3(silu(gate) * value), gate and value from one projection.

    Source: Shazeer, "GLU Variants Improve Transformer" (2020), section 2; names and the hidden
    size rule as in the upstream checkpoints.
    """

    def __init__(self, dim: int, ratio: float = 4.0) -> None:
        """Create the layers; the hidden size is 2/3 of ratio * dim, rounded up to eights."""
        super().__init__()
        two_thirds = int(int(dim * ratio) * 2 / 3)
        hidden = (two_thirds + 7) // 8 * 8
        self.w12 = Linear(dim, 2 * hidden)
        self.w3 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (..., C) to (..., C)."""
        gate, value = self.w12(x).chunk(2, dim=-1)
        out: Tensor = self.w3(functional.silu(gate) * value)
        return out


def rows_of(x: Tensor, rows: Sequence[slice]) -> Tensor:
    """Return some rows of x (..., T, C), one after another.

    By slices and not by indices: on CUDA these are copied to the device, and the host waits.
    """
    return torch.cat([x[..., some, :] for some in rows], dim=-2)


class Attention(nn.Module):
    """Multi-head self-attention with optional query/key norms and rotary positions."""

    def __init__(self, dim: int, num_heads: int, *, query_key_norm: bool) -> None:
        """Create the projections.

        Args:
            dim: C, channels of a token.
            num_heads: Heads; must divide dim.
            query_key_norm: Normalise queries and keys over the channels of a head.
        """
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.kernel: Callable[[Tensor, Tensor, Tensor], Tensor]
        self.kernel = attend
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)
        self.q_norm = self._norm(query_key_norm)
        self.k_norm = self._norm(query_key_norm)

    def _norm(self, wanted: bool) -> nn.Module:
        return WideLayerNorm(self.head_dim, eps=QUERY_KEY_NORM_EPS) if wanted else nn.Identity()

    def forward(
        self,
        x: Tensor,
        rotary: RotaryTable | None = None,
        asking: Sequence[slice] | None = None,
    ) -> Tensor:
        """Attend within each sequence.

        Args:
            x: (B, T, C) tokens.
            rotary: Rotations for the T positions; None for attention without positions.
            asking: Rows of x that ask for the others, ascending; all when None.

        Returns:
            (B, T, C) tokens, or those of the asking rows one after another.
        """
        q, k, v = self._projected(x, asking)
        q, k = self.q_norm(q), self.k_norm(k)
        if rotary is not None:
            own = rotary if asking is None else rotary.rows(asking)
            q, k = own.rotate(q), rotary.rotate(k)
        # Norm and rotation are float32; products of 16-bit values are formed in 16 bits.
        out = self.kernel(q.to(v.dtype), k.to(v.dtype), v)
        projected: Tensor = self.proj(out.transpose(1, 2).flatten(2))
        return projected

    def _projected(self, x: Tensor, asking: Sequence[slice] | None) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, heads, T, head_dim)."""
        if asking is None:
            # (B, T, 3, heads, head_dim) -> 3 of (B, heads, T, head_dim)
            parts = torch.unflatten(self.qkv(x), -1, (3, self.num_heads, self.head_dim))
            return parts.permute(2, 0, 3, 1, 4).unbind(0)
        C = x.shape[-1]
        x = x.to(self.qkv.weight.dtype)
        q = mapped(rows_of(x, asking), self.qkv.weight[:C], self.qkv.bias[:C])
        kv = mapped(x, self.qkv.weight[C:], self.qkv.bias[C:])
        heads = (self.num_heads, self.head_dim)
        k, v = torch.unflatten(kv, -1, (2, *heads)).permute(2, 0, 3, 1, 4).unbind(0)
        return torch.unflatten(q, -1, heads).transpose(1, 2), k, v
