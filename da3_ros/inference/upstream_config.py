"""Network configurations in the style of the upstream code, read without running any.

There, a node names the Python class that takes the rest of the node as arguments (`__object__`),
and a parent whose entries it overrides (`__inherit__`: a file, or a dotted name whose last part
is a preset). Classes are looked up in a table by name; a class, an argument or a value that this
project's networks do not have is refused by name, never imported, ignored or guessed. As in the
upstream code a network may do without `cam_enc` and `cam_dec`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from da3_ros.errors import CheckpointError
from da3_ros.inference.upstream_entries import OBJECT_KEY, Entries, Node
from da3_ros.model.config import (
    AnyViewConfig,
    BackboneConfig,
    CameraHeadConfig,
    FeedForward,
    GaussianConfig,
    NestedConfig,
    NetworkConfig,
    PyramidConfig,
    SingleViewConfig,
)
from da3_ros.model.presets import METRIC_FOCAL_PX, PRESETS

__all__ = [
    'INHERIT_KEY', 'OBJECT_KEY', 'Node', 'config_from_upstream', 'preset_node',
    'resolve_parents', 'upstream_from_config',
]  # fmt: skip

INHERIT_KEY = '__inherit__'
MAX_PARENTS = 16

BACKBONES: dict[str, tuple[int, int, int, FeedForward]] = {
    'vits': (384, 12, 6, 'mlp'),
    'vitb': (768, 12, 12, 'mlp'),
    'vitl': (1024, 24, 16, 'mlp'),
    'vitg': (1536, 40, 24, 'swiglu'),
}
"""Channels, blocks, heads and kind of feed-forward layer by the upstream name."""

Reader = Callable[[Path], Node]

_HEAD = {'patch_size': 14, 'down_ratio': 1}
HEADS: dict[str, tuple[int, Node]] = {
    'DualDPT': (
        2,
        {
            **_HEAD,
            'activation': 'exp',
            'conf_activation': 'expp1',
            'pos_embed': True,
            'aux_pyramid_levels': 4,
            'aux_out1_conv_num': 5,
        },
    ),
    'DPT': (
        1,
        {
            **_HEAD,
            'activation': 'exp',
            'pos_embed': False,
            'use_sky_head': True,
            'sky_activation': 'relu',
            'use_ln_for_heads': False,
            'norm_type': 'idt',
        },
    ),
    'GSDPT': (
        4,
        {
            **_HEAD,
            'activation': 'linear',
            'conf_activation': 'sigmoid',
            'conf_dim': 1,
            'pos_embed': True,
            'feature_only': False,
            'norm_type': 'idt',
        },
    ),
}
"""Output channels that a head's class takes by default, and arguments with one supported value,
their default, which may be spelled out."""


def resolve_parents(node: Any, folder: Path, read: Reader, depth: int = 0) -> Any:
    """Merge parents into a node and all nodes below it, the node's own entries winning.

    Args:
        node: A mapping, or anything else, which is returned as it is.
        folder: Folder that relative parent files are in.
        read: Reads a file.
        depth: How many parents led here.

    Raises:
        CheckpointError: A parent is not known, or parents go round in circles.
    """
    if not isinstance(node, Mapping):
        return node
    own = {key: value for key, value in node.items() if key != INHERIT_KEY}
    parents = node.get(INHERIT_KEY) or []
    merged: Node = {}
    listed = parents if isinstance(parents, list) else [parents]
    if len(listed) > MAX_PARENTS:
        raise CheckpointError(f'{INHERIT_KEY}: expected at most {MAX_PARENTS}, got {len(listed)}')
    for parent in listed:
        if depth >= MAX_PARENTS:
            raise CheckpointError(f'{INHERIT_KEY}: more than {MAX_PARENTS} parents in a row')
        merged = _merge(merged, _parent(parent, folder, read, depth + 1))
    own = {key: resolve_parents(value, folder, read, depth) for key, value in own.items()}
    return _merge(merged, own)


def _parent(name: Any, folder: Path, read: Reader, depth: int) -> Node:
    if isinstance(name, str) and ('/' in name or name.endswith(('.yaml', '.yml', '.json'))):
        path = folder / name
        resolved: Node = resolve_parents(read(path), path.parent, read, depth)
        return resolved
    return preset_node(name)


def preset_node(name: Any) -> Node:
    """Return a preset in the upstream style, by a dotted name whose last part it is.

    Raises:
        CheckpointError: It is none.
    """
    preset = name.split('.')[-1] if isinstance(name, str) else None
    if preset not in PRESETS:
        raise CheckpointError(
            f'{INHERIT_KEY}: expected a file or one of {", ".join(PRESETS)}, got {name!r}'
        )
    return upstream_from_config(PRESETS[preset])


def _merge(below: Node, above: Node) -> Node:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(old, value) if both else value  # type: ignore[arg-type]
    return merged


def config_from_upstream(node: Node, name: str) -> NetworkConfig:
    """Map a node of the upstream style, its parents merged, to a typed configuration.

    Args:
        node: The top node.
        name: Name of the network.

    Raises:
        CheckpointError: Something is not known; it is named.
        ModelError: The parts do not fit.
    """
    described = node.get(OBJECT_KEY)
    class_name = described.get('name') if isinstance(described, Mapping) else None
    if class_name == 'NestedDepthAnything3Net':
        top = Entries(node, 'network', class_name)
        any_view = _network(top.take('anyview'), 'anyview', 'da3-giant').any_view
        metric = _network(top.take('metric'), 'metric', 'da3metric-large').single_view
        top.end()
        if any_view is None or metric is None:
            raise CheckpointError('expected anyview to see other views, and metric not to')
        return NestedConfig(name, any_view, metric)
    return _network(node, 'network', name)


def _network(node: Any, where: str, name: str) -> AnyViewConfig | SingleViewConfig:
    top = Entries(node, where, 'DepthAnything3Net')
    backbone = _backbone(top.take('net'), f'{where}.net')
    if not backbone.sees_other_views:
        head = _pyramid(top.take('head'), f'{where}.head', 'DPT', backbone, 1)
        top.end()
        # The upstream configurations of the relative and the metric network are the same.
        focal = METRIC_FOCAL_PX if 'metric' in name else None
        return SingleViewConfig(name, backbone, head, focal)
    head = _pyramid(top.take('head'), f'{where}.head', 'DualDPT', backbone, 2)
    camera = _camera(top, where, backbone)
    gaussian = None
    raw_head = top.take('gs_head', {})
    adapter = top.take('gs_adapter', {})
    if raw_head or adapter:
        gaussian = _gaussian(raw_head, adapter, where, backbone)
    top.end()
    return AnyViewConfig(name, backbone, head, camera, gaussian)


def _backbone(node: Any, where: str) -> BackboneConfig:
    entries = Entries(node, where, 'DinoV2')
    kind = entries.take('name')
    if not isinstance(kind, str) or kind not in BACKBONES:
        raise CheckpointError(
            f'{where}.name: expected one of {", ".join(BACKBONES)}, got {kind!r}'
        )
    embed_dim, depth, heads, feed_forward = BACKBONES[kind]
    alt_start = _whole(entries.take('alt_start', -1), f'{where}.alt_start')
    entries.fixed('qknorm_start', alt_start, -1)
    entries.fixed('rope_start', alt_start, -1)
    entries.fixed('cat_token', alt_start != -1, True)
    layers = _wholes(entries.take('out_layers'), f'{where}.out_layers')
    entries.end()
    start = depth if alt_start == -1 else alt_start
    return BackboneConfig(embed_dim, depth, heads, feed_forward, layers, start)


def _pyramid(
    node: Any,
    where: str,
    class_name: str,
    backbone: BackboneConfig,
    output_dim: int,
) -> PyramidConfig:
    entries = Entries(node, where, class_name)
    default_dim, constants = HEADS[class_name]
    entries.fixed('dim_in', backbone.feature_dim)
    entries.fixed('output_dim', output_dim, default_dim)
    for key, value in constants.items():
        entries.fixed(key, value, value)
    features = _whole(entries.take('features', 256), f'{where}.features')
    channels = entries.take('out_channels', (256, 512, 1024, 1024))
    widths = _wholes(channels, f'{where}.out_channels')
    entries.end()
    if len(widths) != 4:
        raise CheckpointError(f'{where}.out_channels: expected four numbers, got {list(widths)}')
    return PyramidConfig(features, widths)


def _camera(top: Entries, where: str, backbone: BackboneConfig) -> CameraHeadConfig | None:
    parts = {key: top.optional(key) for key in ('cam_enc', 'cam_dec')}
    if not any(parts.values()):
        return None
    missing = [key for key, part in parts.items() if not part]
    if missing:
        raise CheckpointError(
            f'{where}: {missing[0]} is missing; cam_enc and cam_dec are given together, or neither'
        )
    encoder = Entries(parts['cam_enc'], f'{where}.cam_enc', 'CameraEnc')
    encoder.fixed('dim_out', backbone.embed_dim, 1024)
    trunk_depth = _whole(encoder.take('trunk_depth', 4), f'{where}.cam_enc.trunk_depth')
    heads = _whole(encoder.take('num_heads', 16), f'{where}.cam_enc.num_heads')
    for key, value in (('dim_in', 9), ('target_dim', 9), ('mlp_ratio', 4)):
        encoder.fixed(key, value, value)
    encoder.take('init_values', 0.01)
    encoder.end()
    decoder = Entries(parts['cam_dec'], f'{where}.cam_dec', 'CameraDec')
    decoder.fixed('dim_in', backbone.feature_dim, 1536)
    decoder.end()
    return CameraHeadConfig(trunk_depth, heads)


def _gaussian(head: Any, adapter: Any, where: str, backbone: BackboneConfig) -> GaussianConfig:
    entries = Entries(adapter, f'{where}.gs_adapter', 'GaussianAdapter')
    degree = _whole(entries.take('sh_degree', 0), f'{where}.gs_adapter.sh_degree')
    entries.fixed('pred_color', False, False)
    entries.fixed('pred_offset_depth', True, False)
    entries.fixed('pred_offset_xy', True, True)
    smallest = _real(entries.take('gaussian_scale_min', 1e-5), f'{where}.gaussian_scale_min')
    largest = _real(entries.take('gaussian_scale_max', 30.0), f'{where}.gaussian_scale_max')
    entries.end()
    channels = 2 + 3 + 4 + 3 * (degree + 1) ** 2 + 1 + 1
    pyramid = _pyramid(head, f'{where}.gs_head', 'GSDPT', backbone, channels)
    return GaussianConfig(pyramid, degree, smallest, largest)


def _whole(value: Any, where: str) -> int:
    if type(value) is not int:
        raise CheckpointError(f'{where}: expected a whole number, got {value!r}')
    return value


def _wholes(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, (list, tuple)):
        raise CheckpointError(f'{where}: expected a list of whole numbers, got {values!r}')
    return tuple(_whole(value, where) for value in values)


def _real(value: Any, where: str) -> float:
    # YAML takes 1e-5, without a point, for text.
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f'{where}: expected a number, got {value!r}') from error


def upstream_from_config(config: NetworkConfig) -> Node:
    """Return a configuration of an upstream backbone in the upstream style."""
    any_view, single_view = config.any_view, config.single_view
    if single_view is None:
        assert any_view is not None
        return _upstream_any_view(any_view)
    if any_view is None:
        return _upstream_single_view(single_view)
    return {
        **_object('NestedDepthAnything3Net'),
        'anyview': _upstream_any_view(any_view),
        'metric': _upstream_single_view(single_view),
    }


def _upstream_single_view(config: SingleViewConfig) -> Node:
    head = _head('DPT', config.backbone.feature_dim, 1, config.head)
    return {**_upstream_backbone(config.backbone), 'head': head}


def _upstream_any_view(config: AnyViewConfig) -> Node:
    backbone, gaussian = config.backbone, config.gaussian
    dim = backbone.feature_dim
    node = {**_upstream_backbone(backbone), 'head': _head('DualDPT', dim, 2, config.head)}
    if config.camera is not None:
        encoder = {
            'dim_out': backbone.embed_dim,
            'trunk_depth': config.camera.trunk_depth,
            'num_heads': config.camera.num_heads,
        }
        node['cam_enc'] = {**_object('CameraEnc'), **encoder}
        node['cam_dec'] = {**_object('CameraDec'), 'dim_in': dim}
    if gaussian is None:
        return node
    return {
        **node,
        'gs_head': _head('GSDPT', dim, gaussian.raw_channels + 1, gaussian.pyramid),
        'gs_adapter': {
            **_object('GaussianAdapter'),
            'sh_degree': gaussian.sh_degree,
            'pred_offset_depth': True,
            'gaussian_scale_min': gaussian.scale_min,
            'gaussian_scale_max': gaussian.scale_max,
        },
    }


def _upstream_backbone(backbone: BackboneConfig) -> Node:
    size = (backbone.embed_dim, backbone.depth, backbone.num_heads, backbone.feed_forward)
    start = backbone.alt_start if backbone.sees_other_views else -1
    return {
        **_object('DepthAnything3Net'),
        'net': {
            **_object('DinoV2'),
            'name': next(name for name, known in BACKBONES.items() if known == size),
            'out_layers': list(backbone.out_layers),
            **dict.fromkeys(('alt_start', 'qknorm_start', 'rope_start'), start),
            'cat_token': backbone.sees_other_views,
        },
    }


def _object(name: str) -> Node:
    return {OBJECT_KEY: {'name': name}}


def _head(name: str, dim_in: int, output_dim: int, widths: PyramidConfig) -> Node:
    return {
        **_object(name),
        'dim_in': dim_in,
        'output_dim': output_dim,
        'features': widths.features,
        'out_channels': list(widths.out_channels),
    }
