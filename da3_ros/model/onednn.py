"""Products and convolutions of oneDNN together with what follows them, without gradients.

Torch multiplies float32 matrices by MKL, which on processors of other makers than Intel uses half
the width of the registers, and it writes a product before it reads it again for an activation or a
sum. The operations here are those that torch's own compiler puts there (torch/_inductor,
`mkldnn_lowerings.py`). Weights stay as they are: oneDNN reorders them at each call, in less than
a tenth of the time of a product, so there is no second copy of them to keep and to keep right.
"""

from functools import cache
import platform

import torch
from torch import Tensor

FEW_ROWS = 64
"""A product of fewer rows takes less time than reordering its weights."""

_FORMATS = (torch.float32, torch.bfloat16)


@cache
def _available(dtype: torch.dtype) -> bool:
    """Tell whether this build of torch has the operations, on a processor they are made for.

    Without AVX-512 oneDNN multiplies nothing of bf16.
    """
    on_x86 = platform.machine().lower() in ('x86_64', 'amd64')
    if not (on_x86 and hasattr(torch.compiler, 'is_compiling')):
        return False
    x = torch.ones(1, 16, dtype=dtype)
    try:
        return bool(torch.ops.mkldnn._linear_pointwise(x, x, None, 'none', [], '') == 16.0)
    except (AttributeError, RuntimeError):
        return False


def fuses(x: Tensor, weight: Tensor) -> bool:
    """Return whether the operations here may take the place of torch's own.

    Not where gradients are wanted or a graph is traced, which know nothing of them, nor off the
    CPU, nor for weights that do not lie in order: oneDNN multiplies those in its slowest way.

    Args:
        x: What is multiplied; any shape.
        weight: By what; its own layout counts, (out, in) or (out, in, height, width).
    """
    return (
        x.device.type == 'cpu'
        and x.dtype == weight.dtype
        and x.dtype in _FORMATS
        and not torch.is_grad_enabled()
        and weight.is_contiguous()
        and _available(x.dtype)
        and not torch.compiler.is_compiling()
    )


def fuses_rows(x: Tensor, weight: Tensor) -> bool:
    """Return the same for a product of rows x (..., in), which must be many to gain by it."""
    return x.numel() >= FEW_ROWS * x.shape[-1] and fuses(x, weight)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str = 'none') -> Tensor:
    """Return rows x (..., in) through a linear layer.

    Args:
        x: Rows.
        weight: (out, in).
        bias: (out,), if there is one.
        activation: `none`, `gelu` (by the error function) or `relu`.
    """
    algorithm = 'none' if activation == 'gelu' else ''
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], algorithm)
    return out


def convolution(
    x: Tensor, layer: torch.nn.Conv2d, activation: str = 'none', added: Tensor | None = None
) -> Tensor:
    """Return maps x (N, in, h, w), channels last, through a convolution.

    Args:
        x: Maps.
        layer: The convolution.
        activation: `none` or `relu`.
        added: What is added to the result, of its shape and layout, instead of an activation.
    """
    weight, bias = layer.weight, layer.bias
    place = (layer.padding, layer.stride, layer.dilation, layer.groups)
    operation = torch.ops.mkldnn._convolution_pointwise
    out: Tensor
    if added is None:
        out = operation(x, weight, bias, *place, activation, [], '')
    else:
        out = operation.binary(x, added, weight, bias, *place, 'add', 1.0, None, [], None)
    return out
