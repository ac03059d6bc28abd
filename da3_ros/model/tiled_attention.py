"""Attention on a CPU by products of oneDNN, tile by tile."""

from functools import cache
import math

import torch
from torch import Tensor
from torch.nn import functional

from da3_ros.model.onednn import FEW_ROWS, fuses, linear

TILE_ROWS = 256
TILE_SCORES = 1 << 20
"""Scores of a tile and thread: few enough to stay in the processor's caches."""

MOST_TOKENS = TILE_SCORES // FEW_ROWS
"""For longer sequences tiles have too few rows; torch's own kernel cuts keys into tiles too."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention (B, heads, T, D) over queries, keys and values of that shape.

    Without gradients on a CPU each head is computed in tiles of queries, of which the
    scores stay in the caches; elsewhere by torch's own kernel. The result is the same to rounding.
    """
    B, heads, T, D = k.shape
    k = k.contiguous()
    if not (FEW_ROWS <= T <= MOST_TOKENS and fuses(q, k) and _gains(q.dtype)):
        return functional.scaled_dot_product_attention(q, k, v)
    q = (q * (1 / math.sqrt(D))).contiguous()
    transposed = v.transpose(2, 3).contiguous()
    rows = min(TILE_ROWS, TILE_SCORES // T) * torch.get_num_threads()
    # The layout that the projection behind takes without a copy.
    out = q.new_empty(B, q.shape[2], heads, D).transpose(1, 2)
    for scene in range(B):
        for head in range(heads):
            keys, values = k[scene, head], transposed[scene, head]
            for start in range(0, q.shape[2], rows):
                scores = linear(q[scene, head, start : start + rows], keys, None)
                torch.softmax(scores, -1, out=scores)
                out[scene, head, start : start + rows] = linear(scores, values, None)
    return out


@cache
def _gains(dtype: torch.dtype) -> bool:
    """Tell whether tiles are faster than torch's kernel, which has its own ones for AMX."""
    has_amx = getattr(torch.cpu, '_is_amx_tile_supported', None)
    return dtype == torch.float32 or not (has_amx is None or has_amx())
