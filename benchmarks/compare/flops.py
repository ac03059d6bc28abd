"""Floating-point operations of torch code, counted; a product and its sum are two.

torch counts products of matrices and convolutions. What it leaves out on a CPU is added here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]


def _attention(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (width + v[-1])


def _linear(x: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    rows = 1
    for side in x[:-1]:
        rows *= side
    return 2 * rows * weight[0] * weight[1]


def _more() -> dict[Any, Any]:
    return {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
        torch.ops.aten.mkldnn_linear: _linear,
    }


def count_flops(compute: Callable[[], object]) -> int:
    """Return the operations of what is computed meanwhile."""
    counter = FlopCounterMode(display=False, custom_mapping=_more())
    with torch.no_grad(), counter:
        compute()
    return int(counter.get_total_flops())
