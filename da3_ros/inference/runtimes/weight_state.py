"""Whether a network of torch is still the same one: its parts, its weights, what is hooked in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
import weakref

import torch
from torch import Tensor, nn

from da3_ros.model.kept import some_values, version_of


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A network as it was found, and how many others were found before."""

    number: int
    modules: list[nn.Module]
    """Held, so that no other can come to lie where one of them was."""
    hooks: list[Hashable]
    tensors: list[weakref.ref[Tensor]]
    """Not held: weights that were replaced can go."""
    places: list[Hashable]
    sampled: list[int]
    """Which of the tensors are read."""
    samples: Tensor
    """What was read, as bytes."""


class WeightState:
    """Tells whether a network is still the same one.

    Another network follows from parts that were replaced, wrapped or hooked, from weights that
    were written to (torch counts that), replaced, moved or brought into another format.

    What is written past torch, through `Tensor.data` or through an array that shares its memory,
    is not counted. On the CPU a few values of every parameter are read too, so that what changes a
    parameter as a whole is seen (a merged adapter, an average of weights). On CUDA the host would
    have to wait for them.

    May be asked by several threads.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._seen = _Seen(0, [], [], [], [], [], _read([]))

    def now(self) -> int:
        """Return a number that stays the same as long as nothing has changed."""
        before = self._seen
        modules = list(self._network.modules())
        hooks = _hooks(modules)
        tensors = [
            tensor
            for module in modules
            for held in (module._parameters, module._buffers)
            for tensor in held.values()
            if tensor is not None
        ]
        places = [_place(tensor) for tensor in tensors]
        is_same = (
            (modules, hooks, places) == (before.modules, before.hooks, before.places)
            and all(ref() is now for ref, now in zip(before.tensors, tensors, strict=True))
            and torch.equal(_read([tensors[index] for index in before.sampled]), before.samples)
        )
        if is_same:
            return before.number
        sampled = [index for index, tensor in enumerate(tensors) if _is_read(tensor)]
        # At once: who asks meanwhile gets an old number for the old network, or a new one.
        self._seen = _Seen(
            before.number + 1,
            modules,
            hooks,
            [weakref.ref(tensor) for tensor in tensors],
            places,
            sampled,
            _read([tensors[index] for index in sampled]),
        )
        return before.number + 1

    @property
    def has_hooks(self) -> bool:
        """Whether code of others took part when `now` was asked last: it may do anything."""
        return bool(self._seen.hooks)


def _hooks(modules: Sequence[nn.Module]) -> list[Hashable]:
    """Return what others have put around the forward passes of modules."""
    return [
        (*module._forward_pre_hooks, *module._forward_hooks, module.__dict__.get('forward'))
        for module in modules
        if module._forward_pre_hooks or module._forward_hooks or 'forward' in module.__dict__
    ]


def _place(tensor: Tensor) -> Hashable:
    if not _is_plain(tensor):
        return None
    return tensor.data_ptr(), tensor.dtype, tensor.device, version_of(tensor)


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and tensor.layout == torch.strided


def _is_read(tensor: Tensor) -> bool:
    """Return whether torch may miss a write that the host can see."""
    # Of an inference tensor no write is counted.
    is_here = tensor.device.type == 'cpu' or (tensor.is_inference() and not tensor.is_meta)
    return is_here and _is_plain(tensor) and tensor.is_floating_point() and tensor.numel() > 0


@torch.no_grad()
def _read(tensors: Sequence[Tensor]) -> Tensor:
    """Return few values of every tensor, as bytes."""
    values = [some_values(tensor) for tensor in tensors]
    here = [some if some.is_cpu else some.cpu() for some in values]
    return torch.cat([torch.empty(0), *here]).view(torch.uint8)
