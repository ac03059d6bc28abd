"""Networks built from their configurations have the tensors of the upstream checkpoints."""

import pytest
import torch

from da3_ros.errors import ModelError
from da3_ros.inference.checkpoint import tied_aliases
from da3_ros.inference.training_names import PREFIX
from da3_ros.model.build import build_network
from da3_ros.model.presets import PRESETS, preset
from tools.parity.goldens import read_manifest


@pytest.mark.parametrize('name', list(PRESETS))
def test_names_and_shapes_are_one_to_one_with_the_published_checkpoint(name: str) -> None:
    network = build_network(preset(name))
    ours = {PREFIX + key: tuple(value.shape) for key, value in network.named_parameters()}
    assert ours == read_manifest(name)
    assert not list(network.buffers())


@pytest.mark.parametrize('name', list(PRESETS))
def test_the_state_dict_holds_the_six_aliases_too(name: str) -> None:
    network = build_network(preset(name))
    aliases = tied_aliases(network)
    part = network.any_view
    if part is None:
        assert aliases == {}
        return
    inner = '' if part is network else 'da3.'
    levels = [f'{PREFIX}{inner}head.scratch.output_conv2_aux.{level}.2' for level in range(4)]
    expected = {
        f'{levels[level]}.{leaf}': f'{levels[0]}.{leaf}'
        for level in (1, 2, 3)
        for leaf in ('weight', 'bias')
    }
    assert aliases == expected
    assert {PREFIX + key for key in network.state_dict()} >= set(expected)


def test_building_on_the_meta_device_takes_no_memory() -> None:
    network = build_network(preset('da3-giant'))
    assert all(value.is_meta for value in network.parameters())
    assert not any(value.requires_grad for value in network.parameters())
    assert not network.training


def test_building_elsewhere_gives_real_tensors() -> None:
    network = build_network(preset('da3-small'), 'cpu')
    assert all(value.device == torch.device('cpu') for value in network.parameters())


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ModelError, match="'da3-huge', expected one of da3-small"):
        preset('da3-huge')
