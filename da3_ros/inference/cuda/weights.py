"""How the weights of a network lie in memory on a CUDA device."""

from collections.abc import Iterable

import torch
from torch import nn

from da3_ros.model.dpt import DptTrunk


def channels_last_heads(network: nn.Module) -> None:
    """Let the kernels of dense heads lie as their maps do, channels last.

    `convolution.Pointwise` leaves the channels of maps last, and for such maps CUDA would copy
    every other kernel into that order at each call. Kernels that lie so already are left alone.
    """
    for head in network.modules():
        if isinstance(head, DptTrunk):
            _channels_last(head.modules())


def _channels_last(modules: Iterable[nn.Module]) -> None:
    for module in modules:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            weight = module.weight
            if not weight.is_contiguous(memory_format=torch.channels_last):
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)
