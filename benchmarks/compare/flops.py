"""Floating-point operations of torch code, counted; a product and its sum are two.

torch counts products of matrices and convolutions, but neither attention on a CPU nor what oneDNN
fuses; the formulas of these stand here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]


def _attention(q: Shape, k: Shape, v: Shape, *_: Any, **__: Any) -> int:
    batch, heads, queries, width = q
    return 2 * batch * heads * queries * k[-2] * (width + v[-1])


def _linear(x: Shape, *operands: Any, **__: Any) -> int:
    # An operand that is added stands before the weight, the bias behind it.
    weight = [shape for shape in operands if _is_shape(shape, 2)][-1]
    return 2 * prod(x) * int(weight[0])


def _convolution(x: Shape, *operands: Any, out_shape: Shape, **__: Any) -> int:
    # As above: the last operand with four sides is the kernel.
    kernel = [shape for shape in operands if _is_shape(shape, 4)][-1]
    return int(2 * prod(out_shape) * prod(kernel[1:]))


def _is_shape(value: Any, sides: int) -> bool:
    return isinstance(value, torch.Size) and len(value) == sides


def _more() -> dict[Any, Any]:
    found: dict[Any, Any] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention
    }
    fused = {'_linear_pointwise': _linear, '_convolution_pointwise': _convolution}
    for name, formula in fused.items():
        if hasattr(torch.ops.mkldnn, name):
            found[getattr(torch.ops.mkldnn, name)] = formula
    return found


def count_flops(compute: Callable[[], object]) -> int:
    """Return the operations of what is computed meanwhile."""
    counter = FlopCounterMode(display=False, custom_mapping=_more())
    with torch.no_grad(), counter:
        compute()
    return int(counter.get_total_flops())
