"""How large a network is, before it is built."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from da3_ros.errors import CheckpointError
from da3_ros.inference.network_file import read_network_config
from da3_ros.inference.network_size import check_size, estimated_parameters
from da3_ros.model.build import build_network
from da3_ros.model.presets import NETWORKS, preset
from helpers.hostile_files import CONFIG


@pytest.mark.parametrize('name', NETWORKS)
def test_the_estimate_is_near_the_number(name: str) -> None:
    config = preset(name)
    count = sum(value.numel() for value in build_network(config).parameters())
    assert estimated_parameters(config) == pytest.approx(count, rel=0.15)
    check_size(config)


def change(part: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[part].update(values)


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        (change('backbone', embed_dim=8 * 10**9), 'at most 4000000000 parameters'),
        (change('head', features=8 * 10**9), 'at most 4000000000 parameters'),
        (change('head', out_channels=[4, 4, 4, 4 * 10**9]), 'at most 4000000000 parameters'),
        (change('backbone', depth=10**9), 'at most 1000 blocks'),
        (change('camera', trunk_depth=10**9), 'at most 1000 blocks'),
        (change('camera', num_heads=0), 'num_heads must be positive'),
        (change('camera', trunk_depth=-1), 'must be positive'),
        (change('backbone', embed_dim='64'), "expected int, got '64'"),
        (lambda content: content.update(process_res=10**9), 'process_res: expected at most'),
        (lambda content: content.update(kind=['any_view']), 'kind: expected one of'),
        (lambda content: content.update(name='x' * 10**5, kind={}), 'kind: expected one of'),
    ],
)
def test_what_nobody_could_build_is_refused(
    tmp_path: Path, changed: Callable[[dict[str, Any]], None], said: str
) -> None:
    content = json.loads(json.dumps(CONFIG))
    (tmp_path / 'config.json').write_text(json.dumps(content))
    read_network_config(tmp_path / 'config.json')
    changed(content)
    (tmp_path / 'config.json').write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=said) as caught:
        read_network_config(tmp_path / 'config.json')
    assert len(str(caught.value)) < 1100


def test_parents_lie_in_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / 'outside.yaml'
    outside.write_text('__inherit__: depth_anything_3.configs.da3-small\n')
    folder = tmp_path / 'own'
    (folder / 'below').mkdir(parents=True)
    config = folder / 'config.yaml'
    (folder / 'below' / 'up.yaml').write_text('__inherit__: ../inside.yaml\n')
    (folder / 'inside.yaml').write_text('__inherit__: depth_anything_3.configs.da3-small\n')
    config.write_text('__inherit__: below/up.yaml\n')
    assert read_network_config(config).any_view is not None
    (folder / 'link.yaml').symlink_to(outside)
    for parent in ('../outside.yaml', str(outside), './link.yaml'):
        config.write_text(f'__inherit__: {parent}\n')
        with pytest.raises(CheckpointError, match=f'expected a file in {folder}'):
            read_network_config(config)
