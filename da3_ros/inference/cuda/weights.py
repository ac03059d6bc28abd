"""Which weights a network has now, and how they lie in memory."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from da3_ros.model.dpt import DptTrunk

WeightsKey = tuple[tuple[int, int, torch.dtype], ...]


class WatchedWeights:
    """Tells when the weights of a network are others than before.

    Modules are looked up once; parameters that are replaced, moved, cast or written to are
    noticed. It takes about a tenth of a millisecond for a small network.
    """

    def __init__(self, network: nn.Module) -> None:
        """Watch the parameters of a network, whose modules stay."""
        self._places = [
            (module, name)
            for module in network.modules()
            for name, _ in module.named_parameters(recurse=False)
        ]
        self._key: WeightsKey | None = None

    def changed(self) -> bool:
        """Return whether they are others than at the call before; True at the first one."""
        key = tuple(_identity(getattr(module, name)) for module, name in self._places)
        is_new = key != self._key
        self._key = key
        return is_new

    def tensors(self) -> list[Tensor]:
        """Return the parameters as they are now."""
        return [getattr(module, name) for module, name in self._places]


def _identity(parameter: Tensor) -> tuple[int, int, torch.dtype]:
    # Tensors made in inference mode do not count how often they are written to.
    writes = 0 if parameter.is_inference() else parameter._version
    return parameter.data_ptr(), writes, parameter.dtype


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
