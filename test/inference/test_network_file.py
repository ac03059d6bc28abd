"""Configurations in files: ours, the upstream style, and what is refused."""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from da3_ros.errors import CheckpointError
from da3_ros.inference.network_file import config_content, read_network_config
from da3_ros.inference.upstream_config import upstream_from_config
from da3_ros.model.config import AnyViewConfig, NetworkConfig, SingleViewConfig
from da3_ros.model.presets import NETWORKS, PRESETS
from helpers import tiny

OWN = """
kind: any_view
name: my-network
backbone: {embed_dim: 384, depth: 12, num_heads: 6, feed_forward: mlp,
           out_layers: [5, 7, 9, 11], alt_start: 4}
head: {features: 64, out_channels: [48, 96, 192, 384]}
camera: {}
gaussian:
  pyramid: {features: 64, out_channels: [48, 96, 192, 384]}
  sh_degree: 1
  scale_min: 1e-4
"""

# As a user of the upstream package would write it.
UPSTREAM_STYLE = """
__object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
net:
  __object__: {path: depth_anything_3.model.dinov2.dinov2, name: DinoV2, args: as_params}
  name: vits
  out_layers: [5, 7, 9, 11]
  alt_start: 4
  qknorm_start: 4
  rope_start: 4
  cat_token: True
head:
  __object__: {path: depth_anything_3.model.dualdpt, name: DualDPT, args: as_params}
  dim_in: &dim 768
  output_dim: 2
  features: 64
  out_channels: [48, 96, 192, 384]
cam_enc:
  __object__: {path: depth_anything_3.model.cam_enc, name: CameraEnc, args: as_params}
  dim_out: 384
cam_dec:
  __object__: {path: depth_anything_3.model.cam_dec, name: CameraDec, args: as_params}
  dim_in: *dim
"""


def write(folder: Path, content: str | Mapping[str, Any], name: str = 'network.yaml') -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_our_style_spells_out_the_dataclasses(tmp_path: Path) -> None:
    config = read_network_config(write(tmp_path, OWN))
    assert isinstance(config, AnyViewConfig)
    assert config.name == 'my-network'
    small = PRESETS['da3-small']
    assert isinstance(small, AnyViewConfig)
    assert (config.backbone, config.head, config.camera) == (
        small.backbone,
        small.head,
        small.camera,
    )
    assert config.gaussian is not None
    assert (config.gaussian.sh_degree, config.gaussian.scale_min) == (1, 1e-4)


def test_the_image_size_of_a_network_may_be_told(tmp_path: Path) -> None:
    assert read_network_config(write(tmp_path, OWN)).process_res == 504
    assert read_network_config(write(tmp_path, OWN + '\nprocess_res: 126\n')).process_res == 126
    with pytest.raises(CheckpointError, match='process_res must be at least 14, got 7'):
        read_network_config(write(tmp_path, OWN + '\nprocess_res: 7\n'))


@pytest.mark.parametrize(
    'config',
    [*NETWORKS.values(), tiny.ANY_VIEW, tiny.SINGLE_VIEW, tiny.NESTED],
    ids=lambda c: c.name,
)
def test_what_is_saved_is_read_back(config: NetworkConfig, tmp_path: Path) -> None:
    content = config_content(config)
    assert ('network' in content) == (config.name not in NETWORKS)
    assert read_network_config(write(tmp_path, content, 'config.json')) == config


def test_the_hubs_preset_name_decides_alone(tmp_path: Path) -> None:
    content = {'model_name': 'da3-large-1.1', 'config': {'__object__': 'whatever this may be'}}
    assert read_network_config(write(tmp_path, content)) == PRESETS['da3-large']


def test_the_published_style_is_mapped(tmp_path: Path) -> None:
    path = write(tmp_path, UPSTREAM_STYLE, 'da3-small.yaml')
    assert read_network_config(path) == PRESETS['da3-small']
    content = {'model_name': 'mine', 'config': yaml.safe_load(UPSTREAM_STYLE)}
    config = read_network_config(write(tmp_path, content, 'config.json'))
    assert config.name == 'mine'


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('  cat_token: True\n', ''),
        ('  output_dim: 2\n', ''),
        ('output_dim: 2', 'output_dim: 2\n  activation: exp\n  down_ratio: 1'),
        ('dim_out: 384', 'dim_out: 384\n  trunk_depth: 4\n  mlp_ratio: 4'),
    ],
)
def test_defaults_of_the_published_classes_may_be_absent_or_spelled_out(
    old: str, new: str, tmp_path: Path
) -> None:
    assert old in UPSTREAM_STYLE
    path = write(tmp_path, UPSTREAM_STYLE.replace(old, new), 'da3-small.yaml')
    assert read_network_config(path) == PRESETS['da3-small']


def test_defaults_that_these_networks_do_not_have_are_refused(tmp_path: Path) -> None:
    content = upstream_from_config(PRESETS['da3mono-large'])
    del content['net']['cat_token']
    with pytest.raises(CheckpointError, match='cat_token: only False is supported, got True'):
        read_network_config(write(tmp_path, content))


@pytest.mark.parametrize('name', list(PRESETS))
def test_presets_are_inherited_by_their_dotted_names(name: str, tmp_path: Path) -> None:
    text = f'__inherit__: depth_anything_3.configs.{name}\n'
    assert read_network_config(write(tmp_path, text, f'{name}.yaml')) == PRESETS[name]
    content = {'config': upstream_from_config(PRESETS[name])}
    assert read_network_config(write(tmp_path, content, f'{name}.json')) == PRESETS[name]


def test_children_override_their_parents(tmp_path: Path) -> None:
    (tmp_path / 'parents').mkdir()
    write(tmp_path / 'parents', '__inherit__: depth_anything_3.configs.da3-large\n', 'large.yaml')
    write(tmp_path / 'parents', 'head: {features: 128}\n', 'narrow.yaml')
    text = """
    __inherit__: [parents/large.yaml, parents/narrow.yaml]
    net: {out_layers: [9, 15, 19, 23]}
    """
    config = read_network_config(write(tmp_path, text))
    assert isinstance(config, AnyViewConfig)
    assert config.backbone.out_layers == (9, 15, 19, 23)
    assert config.backbone.alt_start == 8
    assert config.head.features == 128
    assert config.head.out_channels == (256, 512, 1024, 1024)


def test_single_view_networks_are_metric_by_name(tmp_path: Path) -> None:
    text = '__inherit__: depth_anything_3.configs.da3metric-large\n'
    focal = {}
    for name in ('my-metric', 'my-mono'):
        config = read_network_config(write(tmp_path, text, f'{name}.yaml'))
        assert isinstance(config, SingleViewConfig)
        focal[name] = config.canonical_focal_px
    assert focal == {'my-metric': 300.0, 'my-mono': None}


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('name: DinoV2', 'name: System', "network.net.__object__: expected DinoV2, got 'System'"),
        ('name: DepthAnything3Net', 'name: os', "expected DepthAnything3Net, got 'os'"),
        ('name: vits', 'name: vith', "network.net.name: expected one of vits, .*got 'vith'"),
        ('cat_token: True', 'cat_token: False', 'net.cat_token: only True is supported, got Fal'),
        ('rope_start: 4', 'rope_start: 6', 'net.rope_start: only 4 is supported, got 6'),
        ('dim_out: 384', 'dim_out: 512', 'cam_enc.dim_out: only 384 is supported'),
        ('output_dim: 2', 'output_dim: 3', 'head.output_dim: only 2 is supported'),
        ('features: 64', 'features: many', "features: expected a whole number, got 'many'"),
        ('features: 64', 'use_bn: true', 'unknown entries network.head.use_bn'),
        ('cam_dec:', 'cam_dic:', 'network: cam_dec is missing'),
        ('  rope_start: 4\n', '', 'net.rope_start: only 4 is supported, got -1'),
        ('output_dim: 2', 'pos_embed: false', 'head.pos_embed: only True is supported'),
        ('alt_start: 4', 'alt_start: 40', 'only 40 is supported, got 4'),
        ('out_layers: [5, 7, 9, 11]', 'out_layers: [5, 7, 9, 12]', 'four ascending blocks in 4..'),
    ],
)
def test_what_is_not_known_is_refused_by_name(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in UPSTREAM_STYLE
    with pytest.raises(CheckpointError, match=f'network.yaml: .*{message}'):
        read_network_config(write(tmp_path, UPSTREAM_STYLE.replace(old, new)))


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('kind: any_view', 'kind: video', "kind: expected one of any_view, .* got 'video'"),
        ('num_heads: 6', 'heads: 6', 'unknown entries backbone.heads; known are embed_dim'),
        ('name: my-network', '', 'missing entries name'),
        ('depth: 12', 'depth: deep', "backbone.depth: expected int, got 'deep'"),
        ('depth: 12', 'depth: true', 'backbone.depth: expected int, got True'),
        ('feed_forward: mlp', 'feed_forward: moe', "backbone.feed_forward: .* got 'moe'"),
        ('scale_min: 1e-4', 'scale_min: tiny', "gaussian.scale_min: expected a number, got 'ti"),
        ('scale_min: 1e-4', 'scale_min: 40', 'expected 0 < scale_min < scale_max'),
        ('sh_degree: 1', 'sh_degree: 3', 'sh_degree must lie in 0..2'),
        ('camera: {}', 'camera: none', "camera: expected a mapping, got 'none'"),
        ('camera: {}', 'camera: {num_heads: 7}', 'no multiple of the camera'),
        ('out_channels: [48, 96, 192, 384]', 'out_channels: [48, 96]', 'four out_channels'),
        ('out_channels: [48, 96, 192, 384]', 'out_channels: 48', 'a list of whole numbers'),
        ('num_heads: 6', 'num_heads: 7', 'multiple of four times num_heads'),
        ('alt_start: 4', 'alt_start: 12', 'out_layers|needs alt_start below depth'),
    ],
)
def test_our_style_is_checked_entry_by_entry(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in OWN
    with pytest.raises(CheckpointError, match=f'network.yaml: .*({message})'):
        read_network_config(write(tmp_path, OWN.replace(old, new)))


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('__inherit__: network.yaml\n', 'more than 16 parents'),
        ('__inherit__: nobody.configs.da4\n', "__inherit__: expected .* got 'nobody.configs.da4'"),
        ('__inherit__: missing.yaml\n', r'missing\.yaml: cannot be read'),
        ('!!python/object/apply:os.system [ls]\n', 'cannot be read: line 1: could not determine'),
        ('- a\n', 'expected a mapping, got list'),
        ('network: 3\n', 'network: expected a mapping, got 3'),
        ('model_name: da3-huge\n', "got 'da3-huge'"),
    ],
)
def test_files_that_lead_nowhere_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_network_config(write(tmp_path, text))


WITHOUT_CAMERAS = UPSTREAM_STYLE.split('cam_enc:')[0]


@pytest.mark.parametrize('rest', ['', 'cam_enc: null\ncam_dec: null\n'])
def test_camera_parts_may_be_left_out_both_together(rest: str, tmp_path: Path) -> None:
    config = read_network_config(write(tmp_path, WITHOUT_CAMERAS + rest))
    small = PRESETS['da3-small']
    assert isinstance(config, AnyViewConfig)
    assert isinstance(small, AnyViewConfig)
    assert (config.backbone, config.head, config.camera) == (small.backbone, small.head, None)
    assert read_network_config(write(tmp_path, config_content(config), 'config.json')) == config
    assert set(upstream_from_config(config)) == {'__object__', 'net', 'head'}
    encoder = 'cam_enc:' + UPSTREAM_STYLE.split('cam_enc:')[1].split('cam_dec:')[0]
    with pytest.raises(CheckpointError, match=r'cam_dec is missing.*together'):
        read_network_config(write(tmp_path, WITHOUT_CAMERAS + encoder))


def test_a_nested_network_needs_camera_parts(tmp_path: Path) -> None:
    content = upstream_from_config(PRESETS['da3nested-giant-large'])
    del content['anyview']['cam_enc'], content['anyview']['cam_dec']
    with pytest.raises(CheckpointError, match='the any-view network needs its camera parts'):
        read_network_config(write(tmp_path, content))


def below_args(node: Any, beside: bool) -> Any:
    """Return a configuration with the arguments of every class below `args`."""
    if not isinstance(node, Mapping):
        return node
    described = dict(node.get('__object__', {}))
    rest = {k: below_args(v, beside) for k, v in node.items() if k != '__object__'}
    if beside:
        return {'__object__': described, 'args': rest}
    return {'__object__': {**described, 'args': rest}}


@pytest.mark.parametrize('beside', [True, False])
@pytest.mark.parametrize('name', list(PRESETS))
def test_arguments_may_stand_below_args(name: str, beside: bool, tmp_path: Path) -> None:
    content = below_args(upstream_from_config(PRESETS[name]), beside)
    if name.startswith('da3nested'):
        content = {'__object__': content['__object__'], **content.get('args', {})} | dict(
            content['__object__'].get('args', {})
        )
        content['__object__'].pop('args', None)
    assert read_network_config(write(tmp_path, content, f'{name}.json')) == PRESETS[name]


@pytest.mark.parametrize(
    ('added', 'message'),
    [
        ('args: as_files', "network.args: expected a mapping or one of as_params.*'as_files'"),
        ('args: {head: {}}', 'given twice, also below args: network.head'),
        ('args: {use_bn: true}', 'unknown entries network.use_bn'),
    ],
)
def test_wrong_args_are_refused(added: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=message):
        read_network_config(write(tmp_path, f'{UPSTREAM_STYLE}\n{added}\n'))
