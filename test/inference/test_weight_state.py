"""Whatever makes another network of one is noticed, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
import copy
from dataclasses import replace
import gc
import io
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.torch_runtime import torch_window_network
from da3_ros.inference.runtimes.weight_state import WeightState
from da3_ros.inference.window_network import WindowRequest
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.config import BackboneConfig, NetworkConfig
from da3_ros.model.vit import VisionTransformer
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

IMAGES = np.random.default_rng(1).integers(0, 256, (3, 28, 28, 3), np.uint8)
REQUEST = WindowRequest(IMAGES, keys=(0, 1, 2))


@pytest.fixture
def model() -> DepthAnything3:
    return DepthAnything3(network=random_network(ANY_VIEW, 3))


def transformer(model: DepthAnything3) -> VisionTransformer:
    assert model.model.any_view is not None
    return model.model.any_view.backbone.pretrained


def linear(model: DepthAnything3) -> nn.Linear:
    """Return a layer that every view goes through before it sees the others."""
    return next(m for m in transformer(model).blocks[1].modules() if isinstance(m, nn.Linear))


class Adapter(nn.Module):
    """A layer with something added, as adapters of low rank wrap it."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.added = nn.Parameter(0.7 * layer.weight)

    @property
    def weight(self) -> Tensor:
        return self.layer.weight + self.added

    @property
    def bias(self) -> Tensor | None:
        return self.layer.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.bias)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def wrapped(model: DepthAnything3) -> None:
    for parent in transformer(model).blocks[1].modules():
        for name, child in parent.named_children():
            if child is linear(model):
                setattr(parent, name, Adapter(child))
                return


def optimised(model: DepthAnything3) -> None:
    parameters = list(model.parameters())
    for parameter in parameters:
        parameter.requires_grad_(True)
        parameter.grad = torch.full_like(parameter, 0.01)
    torch.optim.SGD(parameters, 0.1).step()
    for parameter in parameters:
        parameter.requires_grad_(False)


def in_inference_mode(model: DepthAnything3) -> None:
    with torch.inference_mode():
        linear(model).weight.mul_(2)


def added(model: DepthAnything3) -> None:
    weight = linear(model).weight
    weight.data += 0.7 * weight


def through_numpy(model: DepthAnything3) -> None:
    linear(model).weight.detach().numpy()[:] *= 2


def own_forward(model: DepthAnything3) -> None:
    block = transformer(model).blocks[1]
    whole = block.forward
    block.forward = lambda *args: 1.5 * whole(*args)


def hooked(model: DepthAnything3) -> None:
    transformer(model).blocks[1].register_forward_hook(lambda _, __, out: 1.5 * out)


def hooked_before(model: DepthAnything3) -> None:
    block = transformer(model).blocks[1]
    block.register_forward_pre_hook(lambda _, args: (1.5 * args[0], *args[1:]))


def replaced(model: DepthAnything3) -> None:
    other = DepthAnything3(network=random_network(ANY_VIEW, 4))
    transformer(model).blocks[1] = transformer(other).blocks[1]


class Louder(nn.Module):
    """A part that has no parameters."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.5 * x + x**2


def part_without_parameters(model: DepthAnything3) -> None:
    block = transformer(model).blocks[1]
    assert isinstance(block.attn, nn.Module)
    block.attn = Between(block.attn)


class Between(nn.Sequential):
    """Another part after an attention, whose parameters stay where they are."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__(attention, Louder())

    def forward(self, *args: Tensor) -> Tensor:
        out: Tensor = self[1](self[0](*args))
        return out


def parameter_replaced(model: DepthAnything3) -> None:
    layer = linear(model)
    layer.weight = nn.Parameter(2 * layer.weight, requires_grad=False)


def network_replaced(model: DepthAnything3) -> None:
    model.model = random_network(ANY_VIEW, 5)


CHANGES: dict[str, Callable[[DepthAnything3], object]] = {
    'multiplied through data': lambda model: linear(model).weight.data.mul_(2),
    'added through data': added,
    'through an array': through_numpy,
    'in inference mode': in_inference_mode,
    'by an optimiser': optimised,
    'adapter': wrapped,
    'parametrisation': lambda model: parametrize.register_parametrization(
        linear(model), 'weight', Doubled()
    ),
    'pruned': lambda model: prune.l1_unstructured(  # type: ignore[no-untyped-call]
        linear(model), 'weight', 0.9
    ),
    'positions through data': lambda model: transformer(model).pos_embed.data.mul_(9),
    'a part of another': replaced,
    'a part without parameters': part_without_parameters,
    'a parameter of its own': parameter_replaced,
    'hook': hooked,
    'hook before': hooked_before,
    'forward of its own': own_forward,
    'another network': network_replaced,
}


@pytest.mark.parametrize('change', CHANGES)
def test_what_was_kept_is_not_used_after_a_change(change: str, model: DepthAnything3) -> None:
    network = torch_window_network(model)
    before = network.run(REQUEST)
    CHANGES[change](model)
    after = network.run(REQUEST)
    with np.errstate(all='ignore'):
        assert not np.allclose(after.depth, before.depth, rtol=1e-3)
    # A copy has seen no window and keeps no table.
    fresh = torch_window_network(copy.deepcopy(model)).run(REQUEST)
    np.testing.assert_allclose(after.depth, fresh.depth, rtol=1e-5)


@pytest.mark.parametrize('config', [SINGLE_VIEW, NESTED], ids=lambda config: config.name)
def test_networks_of_every_kind_follow_their_weights(config: NetworkConfig) -> None:
    model = DepthAnything3(network=random_network(config, 3))
    network = torch_window_network(model)
    before = network.run(REQUEST)
    model.load_state_dict(random_network_state(config, 4))
    after = network.run(REQUEST)
    fresh = torch_window_network(model).run(REQUEST)
    assert not np.allclose(after.depth, before.depth, rtol=1e-3)
    np.testing.assert_allclose(after.depth, fresh.depth, rtol=1e-5)


def random_network_state(config: NetworkConfig, seed: int) -> dict[str, Tensor]:
    return DepthAnything3(network=random_network(config, seed)).state_dict()


def test_the_rounding_of_positions_counts() -> None:
    """It changes no weight, and what a view is in its role."""
    backbone = BackboneConfig(48, 8, 3, 'mlp', (4, 5, 6, 7), 4)
    config = replace(ANY_VIEW, name='tiny-roles', backbone=backbone, gaussian=None)
    model = DepthAnything3(network=random_network(config, 3), precision='bf16')
    network = torch_window_network(model)
    before = network.run(REQUEST)
    model.arithmetic = Arithmetic(precision='bf16', rounding='reference')
    after = network.run(REQUEST)
    fresh = torch_window_network(model).run(REQUEST)
    assert not np.array_equal(after.depth, before.depth)
    np.testing.assert_array_equal(after.depth, fresh.depth)


def test_plain_scenes_follow_what_is_written_through_data(model: DepthAnything3) -> None:
    before = model.inference(IMAGES, process_res=28).depth
    transformer(model).pos_embed.data.mul_(9)
    after = model.inference(IMAGES, process_res=28).depth
    fresh = copy.deepcopy(model).inference(IMAGES, process_res=28).depth
    assert not np.allclose(after, before, rtol=1e-3)
    np.testing.assert_allclose(after, fresh, rtol=1e-5)


def test_a_hook_sees_every_view_of_every_window(model: DepthAnything3) -> None:
    seen = []
    block = transformer(model).blocks[1]
    handle = block.register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    network = torch_window_network(model)
    for _ in range(2):
        network.run(REQUEST)
    assert sum(seen) == 2 * len(IMAGES)
    handle.remove()
    network.run(REQUEST)
    assert len(network._stages._encoded) == len(IMAGES)  # type: ignore[attr-defined]


def test_the_format_of_a_caller_counts(model: DepthAnything3) -> None:
    network = torch_window_network(model)
    with torch.autocast('cpu', torch.bfloat16):
        network.run(REQUEST)
    got = network.run(REQUEST)
    fresh = torch_window_network(model).run(REQUEST)
    np.testing.assert_allclose(got.depth, fresh.depth, rtol=1e-5)


def test_nothing_changes_by_itself(model: DepthAnything3) -> None:
    state = WeightState(model)
    first = state.now()
    model.inference(IMAGES, process_res=28)
    torch_window_network(model).run(REQUEST)
    model.eval()
    with torch.inference_mode():
        assert state.now() == first
    # A layout that lies otherwise in memory, values that are none, and an empty one.
    weight = linear(model).weight
    weight.data = weight.data.t().contiguous().t()
    transformer(model).cls_token.data[:] = float('nan')
    transformer(model).register_buffer('nothing', torch.empty(0))
    second = state.now()
    assert second != first
    assert state.now() == second
    weight.data[0, 0] += 1
    assert state.now() != second


def test_one_value_is_enough_where_torch_counts(model: DepthAnything3) -> None:
    state = WeightState(model)
    before = state.now()
    with torch.no_grad():
        linear(model).weight[1, 1] += 1
    written = state.now()
    linear(model).weight.data = linear(model).weight.data.clone()
    assert before < written < state.now()


def test_weights_that_were_replaced_can_go(model: DepthAnything3) -> None:
    state = WeightState(model)
    state.now()
    layer = linear(model)
    old = weakref.ref(layer.weight)
    layer.weight = nn.Parameter(torch.zeros_like(layer.weight), requires_grad=False)
    gc.collect()
    assert old() is None


def test_a_model_does_not_know_who_watches_it(model: DepthAnything3) -> None:
    """Estimators come and go; nothing of them stays with the model or is saved with it."""
    hooks = [len(module._load_state_dict_post_hooks) for module in model.modules()]
    networks = [torch_window_network(model) for _ in range(3)]
    networks[0].run(REQUEST)
    assert [len(module._load_state_dict_post_hooks) for module in model.modules()] == hooks
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    got = torch_window_network(loaded).run(REQUEST)
    np.testing.assert_allclose(got.depth, networks[0].run(REQUEST).depth, rtol=1e-5)
    watching = weakref.ref(networks[0])
    del networks
    gc.collect()
    assert watching() is None
