"""In which number format a network computes, and by which attention kernel.

Only the linear layers of the backbone's blocks are ever held in 16 bits, on a CPU only of those
blocks that the choice of the reference view does not depend on; each casts its input to its own
format. Tokens between blocks, norms, rotations, heads and cameras stay in float32. That
is where autocast puts casts on CUDA, but weights are cast once instead of at every call, and the
patch projection stays in float32 too: all layers hand on its rounding, a quarter of the whole
error for less than a hundredth of the work. Heads in bf16 would double the error of depth (median
0.2 % to 0.5 %, da3-small) for a tenth of the time.

Two things that autocast rounds besides are rounded only on demand: the angles of the rotary
positions (off by up to 0.06 rad in bf16) and the similarities by which the reference view is
chosen, which can change that choice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
import logging
import platform

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.errors import ModelError
from da3_ros.model.layers import Attention
from da3_ros.model.tiled_attention import attend
from da3_ros.model.vit import VisionTransformer
from da3_ros.options.choices import (
    ATTENTIONS,
    PRECISIONS,
    ROUNDINGS,
    AttentionKind,
    Precision,
    Rounding,
)
from da3_ros.options.network import ARITHMETIC, NETWORK

_LOG = logging.getLogger(__name__)
_DTYPES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
_NATIVE_BF16 = 8
"""Major compute capability from which CUDA devices have bf16 units."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a user may choose."""

    precision: Precision = NETWORK.precision
    """Format of the backbone's matrices. `auto`: on CUDA bf16 where the device has units for it,
    else fp16; fp32 everywhere else."""

    rounding: Rounding = ARITHMETIC.rounding
    """`exact` keeps rotary angles and reference similarities in float32: nearest to the float32
    network, and the reference view does not depend on the precision. `reference` rounds them to
    the 16-bit format as the upstream code does on CUDA. No difference in fp32."""

    attention: AttentionKind = NETWORK.attention
    """Kernel of attention. `sdpa` is torch's own: it has the flash and memory-efficient kernels
    of xformers, on every device and without a further dependency. `auto` is the same but on
    x86-64 CPUs, see `tiled_attention`."""

    tf32: bool = ARITHMETIC.tf32
    """Let CUDA round the factors of float32 products to 10 bits, as torch's default for
    convolutions does: faster heads, no longer float32. Nothing elsewhere. torch has one such
    choice for the process: networks of different choices wait for each other."""

    def __post_init__(self) -> None:
        """Check the choices."""
        for name, known in (
            ('precision', PRECISIONS),
            ('rounding', ROUNDINGS),
            ('attention', ATTENTIONS),
        ):
            value = getattr(self, name)
            if value not in known:
                raise ModelError(f'{name}: expected one of {", ".join(known)}, got {value!r}')

    def dtype(self, device: torch.device) -> torch.dtype:
        """Return the format for a device.

        Raises:
            ModelError: fp16 on a CPU, which has no units for it.
        """
        if self.precision == 'auto':
            return _best_dtype(device)
        if self.precision == 'fp16' and device.type == 'cpu':
            raise ModelError(
                'precision fp16 needs a GPU: a CPU emulates it, several times slower than fp32; '
                'use fp32, or bf16 on CPUs that have it'
            )
        return _DTYPES[self.precision]


def _best_dtype(device: torch.device) -> torch.dtype:
    if device.type != 'cuda':
        return torch.float32
    # is_bf16_supported() would also say yes to emulation.
    major, _ = torch.cuda.get_device_capability(device)
    return torch.bfloat16 if major >= _NATIVE_BF16 else torch.float16


def narrow_parameters(network: nn.Module, device: torch.device) -> set[str]:
    """Return the names of the parameters that are held in the chosen format on a device."""
    return {
        f'{prefix}.blocks.{index}.{part}.{name}'
        for prefix, module in network.named_modules()
        if isinstance(module, VisionTransformer)
        for index, block in enumerate(module.blocks)
        if index >= _exact_blocks(module, device)
        for part, layer in block.named_modules()
        if isinstance(layer, nn.Linear)
        for name, _ in layer.named_parameters(recurse=False)
    }


def _exact_blocks(vit: VisionTransformer, device: torch.device) -> int:
    """Return how many of the first blocks stay in float32.

    On a CPU those that the choice of the reference view depends on: it compares views by
    differences that are smaller than what 16 bits move (with da3-small, 3 to 5 of 100 windows of
    photographs had another reference). On CUDA they would take most of the time that 16 bits save.
    """
    is_exact = device.type == 'cpu' and vit.config.sees_other_views
    return vit.config.alt_start - 1 if is_exact else 0


def apply_arithmetic(network: nn.Module, arithmetic: Arithmetic, device: torch.device) -> None:
    """Make a network on a device compute as chosen.

    Parameters that already have the right format are left alone, others are converted in place.
    Where bf16 takes longer than fp32 the log says so once.

    Args:
        network: Any of the networks.
        arithmetic: The choice.
        device: Where the network is; its parameters must be there.

    Raises:
        ModelError: The device or the installation cannot do what is asked.
    """
    dtype = arithmetic.dtype(device)
    kernel = attention_kernel(arithmetic.attention)
    if dtype == torch.bfloat16 and device.type == 'cpu' and emulates_bf16():
        _warn_of_emulation()
    narrow = narrow_parameters(network, device)
    for name, parameter in network.named_parameters():
        wanted = dtype if name in narrow else torch.float32
        if parameter.dtype != wanted:
            parameter.data = parameter.data.to(wanted)
    for module in network.modules():
        if isinstance(module, Attention):
            module.kernel = kernel
        elif isinstance(module, VisionTransformer):
            module.rounding = dtype if arithmetic.rounding == 'reference' else torch.float32


def emulates_bf16() -> bool:
    """Return whether this processor is known to have no instructions for bf16."""
    has_avx512 = getattr(torch.cpu, '_is_avx512_bf16_supported', None)
    on_x86 = platform.machine().lower() in ('x86_64', 'amd64')
    return on_x86 and has_avx512 is not None and not has_avx512()


@cache
def _warn_of_emulation() -> None:
    _LOG.warning(
        'precision bf16: this processor has no instructions for it, so that fp32 is faster here; '
        'bf16 saves memory only'
    )


def attention_kernel(kind: AttentionKind) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Return attention over queries, keys and values (B, heads, T, D).

    Raises:
        ModelError: xformers is wanted and not installed.
    """
    if kind == 'auto':
        return attend
    if kind == 'sdpa':
        return functional.scaled_dot_product_attention
    try:
        operators = import_module('xformers.ops')
    except ImportError as error:
        raise ModelError(
            'attention xformers: the package xformers cannot be imported '
            f'({error}); pip install xformers, or use attention sdpa'
        ) from error

    def by_xformers(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        # xformers wants the heads behind the tokens.
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        out: Tensor = operators.memory_efficient_attention(q, k, v)
        return out.transpose(1, 2)

    return by_xformers
