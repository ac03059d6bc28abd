"""Whether the weights of a network of torch are still the same ones."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor, nn


class WeightState:
    """Tells whether the weights of a network are still the same ones.

    Writing into a parameter counts its version up, replacing it or its memory changes where it
    lies; loading a state counts by itself, since memory that was freed may be used again.
    """

    def __init__(self, network: nn.Module) -> None:
        self._modules = list(network.modules())
        self._loaded = 0
        for module in self._modules:
            # Of every part: a user may load one alone.
            module.register_load_state_dict_post_hook(self._count)  # type: ignore[no-untyped-call]

    def now(self) -> Hashable:
        """Return what is equal as long as nothing has changed."""
        return self._loaded, tuple(
            (parameter.data_ptr(), parameter.dtype, _version(parameter))
            for module in self._modules
            for parameter in module.parameters(recurse=False)
        )

    def _count(self, module: nn.Module, keys: object) -> None:
        del module, keys
        self._loaded += 1


def _version(parameter: Tensor) -> int:
    # Parameters made in inference mode count no versions.
    return 0 if parameter.is_inference() else parameter._version
