"""Raw training checkpoints load under the names they were saved with."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
import torch

from da3_ros.errors import CheckpointError
from da3_ros.inference.checkpoint import load_weights, save_checkpoint
from da3_ros.inference.training_names import current_names
from da3_ros.model.build import build_network
from helpers import tiny
from tools.parity.goldens import read_manifest
from tools.parity.synthetic_weights import synthetic_network

# Current part -> how it was called in training.
OLD_PARTS = (
    ('model.backbone.', 'module.net.'),
    ('model.cam_enc.', 'module.all_heads.camera_cond_head.'),
    ('model.cam_dec.backbone.', 'module.all_heads.camera_head.more_mlps.'),
    ('model.cam_dec.fc_qvec.', 'module.all_heads.camera_head.fc_rot.'),
    ('model.cam_dec.', 'module.all_heads.camera_head.'),
    ('model.head.', 'module.all_heads.head.'),
    ('model.gs_head.', 'module.gaussian_param_head.'),
)


def old_name(name: str) -> str:
    for current, old in OLD_PARTS:
        if name.startswith(current):
            name = old + name.removeprefix(current)
            break
    if name.endswith('.camera_token'):
        name += '_extra'
    return name.replace('_aux.', '_ray.').replace(
        'sky_output_conv2', 'output_conv2_additional.sky_mask'
    )


@pytest.mark.parametrize('preset', ['da3-small', 'da3-giant', 'da3mono-large'])
def test_all_names_of_a_training_checkpoint_are_converted(preset: str) -> None:
    current = list(read_manifest(preset))
    old = {old_name(name): name for name in current}
    assert not set(old) & set(current)
    assert current_names(list(old)) == {name: stored for stored, name in old.items()}


def test_metric_checkpoints_lack_the_outermost_name() -> None:
    current = list(read_manifest('da3metric-large'))
    stored = [old_name(name).removeprefix('module.') for name in current]
    assert current_names(stored) == dict(zip(current, stored, strict=True))


@pytest.mark.parametrize('preset', ['da3-small', 'da3-giant', 'da3nested-giant-large'])
def test_current_names_stay(preset: str) -> None:
    current = list(read_manifest(preset))
    assert current_names(current) == {name: name for name in current}


def test_the_camera_token_of_training_is_replaced_by_its_successor(tmp_path: Path) -> None:
    network = synthetic_network(tiny.ANY_VIEW)
    files = save_checkpoint(network, tmp_path)
    tensors = {old_name(name): value for name, value in load_file(files.weights).items()}
    tensors['module.net.pretrained.camera_token'] = torch.zeros(1, 1, 48)
    path = tmp_path / 'training.safetensors'
    save_file(tensors, path)
    loaded = build_network(tiny.ANY_VIEW)
    load_weights(loaded, path)
    state = network.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    tensors['module.all_heads.other.weight'] = torch.zeros(1)
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r'unexpected: model\.all_heads\.other\.weight'):
        load_weights(build_network(tiny.ANY_VIEW), path)
