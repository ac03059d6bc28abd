"""Configurations of DA3-Streaming: what is used, what is named, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from da3_ros.errors import ConfigError
from da3_ros.sources.streaming_yaml import read_streaming_config

BASE = """\
Weights:
  DA3: './weights/model.safetensors'
  DA3_CONFIG: './weights/config.json'
  SALAD: './weights/dino_salad.ckpt'
Model:
  chunk_size: 120
  overlap: 60
  loop_enable: True
  ref_view_strategy: 'saddle_balanced'
  save_depth_conf_result: True
  IRLS:
    tol: 1e-9
  Pointcloud_Save:
    sample_ratio: 0.015
    conf_threshold_coef: 0.75
Loop:
  SALAD:
    image_size: [336, 336]
"""
"""As the official repository has it, shortened."""

IGNORED = ('Weights.SALAD', 'Model.loop_enable', 'Model.IRLS.tol', 'Loop.SALAD.image_size')


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / 'base_config.yaml'
    path.write_text(BASE, encoding='utf-8')
    return path


def test_keys_become_options_and_the_others_are_named(base: Path) -> None:
    config = read_streaming_config(base)
    assert config.options == {
        'window': 120,
        'stride': 60,
        'ref_view_strategy': 'saddle_balanced',
        'save_frames': True,
        'sample_ratio': 0.015,
        'conf_threshold_coef': 0.75,
    }
    assert config.ignored == IGNORED
    (note,) = config.notes
    assert 'model.safetensors is not there' in note


def test_weights_that_are_there_are_the_network(base: Path) -> None:
    folder = base.parent / 'weights'
    folder.mkdir()
    for name in ('model.safetensors', 'config.json'):
        (folder / name).touch()
    config = read_streaming_config(base)
    assert config.options['model'] == str(folder)
    assert not config.notes


def test_a_file_goes_over_the_one_it_inherits_from(base: Path) -> None:
    path = base.parent / 'sub' / 'kitti.yaml'
    path.parent.mkdir()
    text = 'inherit_from: ../base_config.yaml\nModel: {ref_view_strategy: middle, overlap: 100}\n'
    path.write_text(text, encoding='utf-8')
    options = read_streaming_config(path).options
    assert (options['ref_view_strategy'], options['window'], options['stride']) == (
        *('middle', 120, 20),
    )


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('Model: {chunk_size: 60, overlap: 60}', 'Model.overlap'),
        ('Model: {chunk_size: "60", overlap: 6}', 'Model.chunk_size'),
        ('Model: {overlap: 6}', 'Model.chunk_size'),
        ('inherit_from: config.yaml', 'at most 8 files'),
        ('inherit_from: [1]', 'expected a file'),
        ('inherit_from: nowhere.yaml', 'cannot be read'),
        ('- 1', 'expected Weights'),
        ('Model: !!python/object:os.system {}', 'cannot be read'),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / 'config.yaml'
    path.write_text(text, encoding='utf-8')
    with pytest.raises(ConfigError, match=message):
        read_streaming_config(path)


def test_weights_beside_those_that_are_loaded_are_named(base: Path) -> None:
    folder = base.parent / 'weights'
    folder.mkdir()
    for name in ('config.json', 'model.safetensors', 'mine.safetensors', 'mine.json'):
        (folder / name).write_text('{}', encoding='utf-8')
    assert read_streaming_config(base).notes == ()
    text = BASE.replace('model.safetensors', 'mine.safetensors').replace(
        'config.json', 'mine.json'
    )
    base.write_text(text, encoding='utf-8')
    weights, config = read_streaming_config(base).notes
    assert 'mine.safetensors is not used, but model.safetensors' in weights
    assert 'mine.json is not used, but config.json' in config
    base.write_text('Weights: {DA3: [1]}\n', encoding='utf-8')
    with pytest.raises(ConfigError, match=r'Weights.DA3: expected a file, got \[1\]'):
        read_streaming_config(base)
