"""One pre-norm transformer block."""

from collections.abc import Sequence

from torch import Tensor, nn

from da3_ros.model.layers import Attention, LayerScale, Mlp, rows_of
from da3_ros.model.rope import RotaryTable

MLP_RATIO = 4


class Block(nn.Module):
    """Attention and feed-forward, each normalised before, scaled after and added to its input."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        norm_eps: float,
        query_key_norm: bool = False,
        feed_forward: nn.Module | None = None,
    ) -> None:
        """Create a block.

        Args:
            dim: C, channels of a token.
            num_heads: Attention heads.
            norm_eps: Epsilon of the two block norms (1e-6 in the backbone, 1e-5 elsewhere).
            query_key_norm: Normalise queries and keys.
            feed_forward: Feed-forward layer; a four times wider MLP when None.
        """
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=norm_eps)
        self.attn = Attention(dim, num_heads, query_key_norm=query_key_norm)
        self.ls1 = LayerScale(dim)
        self.norm2 = nn.LayerNorm(dim, eps=norm_eps)
        self.mlp = Mlp(dim, MLP_RATIO * dim, dim) if feed_forward is None else feed_forward
        self.ls2 = LayerScale(dim)

    def forward(
        self,
        x: Tensor,
        rotary: RotaryTable | None = None,
        asking: Sequence[slice] | None = None,
    ) -> Tensor:
        """Transform tokens x (B, T, C), all or the asking rows; as in `Attention.forward`."""
        own = x if asking is None else rows_of(x, asking)
        own = self.ls1.add(own, self.attn(self.norm1(x), rotary, asking))
        return self.ls2.add(own, self.mlp(self.norm2(own)))
