"""A forward pass never makes the host wait for the device: proved on the device without numbers.

Tensors of the `meta` device have no values, so whatever reads one fails, as `.item()` or a mask
as index would; and whatever the host makes of lists of numbers is copied on CUDA, for which the
host waits. The GPU check counts the same on a real device.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from da3_ros.inference.preprocess import normalise
from da3_ros.model.build import build_network
from da3_ros.model.forward import ForwardOptions
from da3_ros.model.network import AnyViewNetwork
from helpers import tiny

VIEWS = 5
SIZE = (42, 56)


class NoCopies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fail where a tensor of more than one number comes from the host.

    That is one that no operation made: torch turns lists of indices, and the numbers given to
    `torch.tensor`, into tensors without one.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: list[Tensor] = [] if network is None else list(network.parameters())
        self._ids = {id(tensor) for tensor in self._known}

    def allow(self, tensor: Tensor) -> None:
        """Take a tensor for one of the device."""
        self._known.append(tensor)
        self._ids.add(id(tensor))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            is_known = id(tensor) in self._ids or tensor.dim() == 0
            assert is_known, f'{func} takes {tuple(tensor.shape)} from the host'
        result = func(*args, **(kwargs or {}))
        made = _tensors(result)
        # Held, so that no other tensor gets the same id.
        self._known += made
        self._ids |= {id(tensor) for tensor in made}
        return result


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@pytest.fixture
def network() -> AnyViewNetwork:
    return build_network(tiny.ANY_VIEW, 'meta')


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device='meta')


def plain(network: AnyViewNetwork) -> Tensor:
    depth: Tensor = network(meta(1, VIEWS, 3, *SIZE), options=ForwardOptions(chunk=2)).depth
    return depth


def two_scenes(network: AnyViewNetwork) -> Tensor:
    depth: Tensor = network(
        meta(2, VIEWS, 3, *SIZE), options=ForwardOptions(export_layers=(1, 5))
    ).depth
    return depth[:1]


def known_cameras(network: AnyViewNetwork) -> Tensor:
    cameras = meta(1, VIEWS, 4, 4), meta(1, VIEWS, 3, 3)
    depth: Tensor = network(meta(1, VIEWS, 3, *SIZE), *cameras).depth
    return depth


def chosen_views(network: AnyViewNetwork) -> Tensor:
    fused = network.fuse(network.encode(meta(1, VIEWS, 3, *SIZE)))
    some = network.decode(fused, [3, 1])
    rest = network.decode(fused, [0, 2, 4], chunk=1)
    return torch.cat((some.depth, rest.depth), dim=1)


@torch.inference_mode()
@pytest.mark.parametrize('run', [plain, two_scenes, known_cameras, chosen_views])
def test_nothing_waits(network: AnyViewNetwork, run: Callable[[AnyViewNetwork], Tensor]) -> None:
    with NoCopies(network):
        assert run(network).shape == (1, VIEWS, *SIZE)


@torch.inference_mode()
def test_images_are_normalised_on_the_device() -> None:
    images = torch.empty((VIEWS, *SIZE, 3), dtype=torch.uint8, device='meta')
    with NoCopies() as copies:
        copies.allow(images)
        assert normalise(images).shape == (VIEWS, 3, *SIZE)


@torch.inference_mode()
def test_a_network_of_single_views_waits_for_nothing_before_sky_is_filled_in() -> None:
    network = build_network(tiny.SINGLE_VIEW, 'meta')
    with NoCopies(network):
        maps = network.decode(network.encode(meta(VIEWS, 1, 3, *SIZE)))
    assert maps.depth.shape == (VIEWS, *SIZE)


@torch.inference_mode()
@pytest.mark.parametrize(
    'wait',
    [
        lambda x: x[[0, 1], [1, 0]],
        lambda x: x[..., (0, 1), (0, 1)],
        lambda x: x + torch.tensor([1.0, 2.0], device='meta'),
    ],
)
def test_what_would_wait_is_found(wait: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(AssertionError, match='from the host'), NoCopies():
        wait(meta(2, 2))
