"""`da3_ros.cfg`: the upstream names, and nothing that a file could run."""

from pathlib import Path
import sys

import pytest
import torch

from da3_ros import DepthAnything3
from da3_ros.cfg import create_object, load_config
from da3_ros.errors import CheckpointError
from da3_ros.inference.network_file import config_content
from da3_ros.model.presets import PRESETS
from helpers import tiny

NARROW = """
__inherit__: depth_anything_3.configs.da3-small
head: {features: 8, out_channels: [8, 8, 8, 8]}
"""


def written(folder: Path, text: str, name: str = 'mine.yaml') -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_official_configurations_are_known_by_their_dotted_names() -> None:
    for name in PRESETS:
        config = load_config(f'depth_anything_3.configs.{name}')
        assert (config['name'], dict(config)['__object__']['name'][-3:]) == (name, 'Net')
    with pytest.raises(CheckpointError, match=r"one of da3-small.*'os.path'"):
        load_config('os.path')


def test_a_network_is_that_of_the_file_with_seeded_weights(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, NARROW))
    assert config['net']['name'] == 'vits'
    first, same, other = (create_object(config, seed=seed) for seed in (0, 0, 1))
    assert first.config.name == 'mine'
    small = PRESETS['da3-small'].any_view
    assert small is not None
    assert first.any_view is not None
    assert first.any_view.config.backbone == small.backbone
    weights = [network.state_dict()['head.norm.bias'] for network in (first, same)]
    assert torch.equal(*weights)
    name = 'backbone.pretrained.patch_embed.proj.weight'
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])


def test_the_mapping_may_be_changed_before(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, NARROW))
    config['head'] = {**config['head'], 'features': 16}
    network = create_object(config).any_view
    assert network is not None
    assert network.config.head.features == 16


def test_nothing_is_imported_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'trap.py').write_text('raise SystemExit("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    described = '{path: trap, name: X}'
    text = f'__object__: {{name: DepthAnything3Net}}\nnet: {{__object__: {described}}}'
    with pytest.raises(CheckpointError, match=r"net\.__object__: .* got 'X'"):
        create_object(load_config(written(tmp_path, text)))
    assert 'trap' not in sys.modules


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (str(config_content(tiny.ANY_VIEW)), 'expected __object__.*from_config'),
        ('[1, 2]', 'expected a mapping'),
        ('__inherit__: ../mine.yaml', 'expected a file in'),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_config(written(tmp_path, text))
    with pytest.raises(CheckpointError, match='name: expected a text'):
        create_object({'name': 3})


def test_a_network_says_that_its_weights_are_random_until_it_gets_others(tmp_path: Path) -> None:
    network = create_object(load_config(written(tmp_path, NARROW)))
    assert DepthAnything3(network=network).is_random
    state = network.state_dict()
    name, value = state.popitem()
    network.load_state_dict(state, strict=False)
    assert DepthAnything3(network=network).is_random
    network.load_state_dict({**state, name: value})
    assert not DepthAnything3(network=network).is_random
