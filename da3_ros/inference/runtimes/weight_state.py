"""Whether the weights of a network of torch are still the same ones."""

from __future__ import annotations

from collections.abc import Hashable

from torch import Tensor, nn

from da3_ros.model.kept import version_of


class WeightState:
    """Tells whether the weights of a network are still the same ones.

    Writing into a parameter counts its version up, replacing it or its memory changes where it
    lies; loading a state counts by itself, since memory that was freed may be used again.
    """

    def __init__(self, network: nn.Module) -> None:
        self._loaded = 0
        modules = list(network.modules())
        # Looked up once: it is asked for every window, and a small one takes few milliseconds.
        self._places = [
            (module._parameters, name)
            for module in modules
            for name, parameter in module._parameters.items()
            if parameter is not None
        ]
        for module in modules:
            # Of every part: a user may load one alone.
            module.register_load_state_dict_post_hook(self._count)  # type: ignore[no-untyped-call]

    def now(self) -> Hashable:
        """Return what is equal as long as nothing has changed."""
        return self._loaded, tuple(_identity(owner.get(name)) for owner, name in self._places)

    def _count(self, module: nn.Module, keys: object) -> None:
        del module, keys
        self._loaded += 1


def _identity(parameter: Tensor | None) -> Hashable:
    if parameter is None:
        return None
    return parameter.data_ptr(), parameter.dtype, version_of(parameter)
