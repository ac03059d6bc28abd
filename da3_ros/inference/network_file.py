"""Configurations of networks in files: YAML or JSON, in two styles, and never any code.

Our style spells out the dataclasses of `model.config`, with `kind` to tell which:

    kind: any_view                # or single_view, nested
    name: my-network
    backbone: {embed_dim: 384, depth: 12, num_heads: 6, feed_forward: mlp,
               out_layers: [5, 7, 9, 11], alt_start: 4}
    head: {features: 64, out_channels: [48, 96, 192, 384]}
    camera: {trunk_depth: 4, num_heads: 16}
    process_res: 504          # image side by default; may be left out

The upstream style names Python classes (`__object__`) and parents (`__inherit__`); see
`upstream_config`. The hub's `config.json` names a preset (`model_name`), which decides alone as
it does in the upstream code; the configuration that may stand beside it (`config`) is only
looked at where that name is none of the presets. Files that we save hold `model_name`, or for
networks of one's own the configuration in our style under `network`.

A configuration may come from anybody: parents lie in its own folder, all are small and few, and
a network larger than any that could be used is refused before it is built.
"""

from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
import math
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.foreign import foreign_file, plain_line, read_bounded
from da3_ros.inference.network_size import check_size
from da3_ros.inference.upstream_config import (
    INHERIT_KEY,
    OBJECT_KEY,
    Node,
    config_from_upstream,
    resolve_parents,
)
from da3_ros.model.config import AnyViewConfig, NestedConfig, NetworkConfig, SingleViewConfig
from da3_ros.model.presets import NETWORKS, preset_name
from da3_ros.plain_data import json_of, yaml_of

KINDS: dict[str, type[AnyViewConfig] | type[SingleViewConfig] | type[NestedConfig]] = {
    'any_view': AnyViewConfig,
    'single_view': SingleViewConfig,
    'nested': NestedConfig,
}

MAX_FILES = 32
"""Files that one configuration may be made of, counted as often as they are named."""
MAX_BYTES = 1 << 20
"""Of all its files together."""
_MAX_MESSAGE = 1000

T = TypeVar('T')


def read_network_config(path: Path) -> NetworkConfig:
    """Read the configuration of a network.

    Args:
        path: YAML or JSON file in one of the styles of this module.

    Returns:
        The configuration.

    Raises:
        CheckpointError: The file cannot be read, or something in it is not known; it is named.
    """
    files = _Files(path)
    with foreign_file(path, 'configuration', CheckpointError):
        content = files.read(path)
        try:
            config = _network(content, files)
            check_size(config)
        except (CheckpointError, ModelError) as error:
            raise CheckpointError(plain_line(f'{path}: {error}', _MAX_MESSAGE)) from error
    return config


def read_merged(path: Path) -> Node:
    """Read a mapping and merge its parents into it, without asking what it describes.

    Raises:
        CheckpointError: A file cannot be read, or a parent is not known.
    """
    files = _Files(path)
    with foreign_file(path, 'configuration', CheckpointError):
        merged: Node = resolve_parents(files.read(path), path.parent, files.read_parent)
    return merged


class _Files:
    """The files that one configuration is made of: few, small, and in one folder.

    Args:
        path: The file that names the others.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = path.parent.resolve()
        self._count = 0
        self._bytes = 0

    def read(self, path: Path) -> Node:
        """Return the mapping in a YAML or JSON file.

        Raises:
            CheckpointError: The file cannot be read, is one too many or holds no mapping.
        """
        self._count += 1
        if self._count > MAX_FILES:
            raise CheckpointError(f'expected at most {MAX_FILES} files, {INHERIT_KEY} names more')
        with foreign_file(path, 'configuration', CheckpointError):
            data = read_bounded(path, MAX_BYTES - self._bytes)
            self._bytes += len(data)
            content = json_of(data) if path.suffix == '.json' else yaml_of(data)
        if not isinstance(content, dict):
            raise CheckpointError(f'{path}: expected a mapping, got {type(content).__name__}')
        return content

    def read_parent(self, path: Path) -> Node:
        """Return the mapping in a file that another one names.

        Raises:
            CheckpointError: As for `read`, and where it lies outside the folder, by a link too.
        """
        with foreign_file(path, 'configuration', CheckpointError):
            is_inside = path.resolve().is_relative_to(self._folder)
        if not is_inside:
            raise CheckpointError(
                f'{INHERIT_KEY}: expected a file in {self._folder}, got {plain_line(path)}'
            )
        return self.read(path)


def config_content(config: NetworkConfig) -> Node:
    """Return what a `config.json` says of a network."""
    if NETWORKS.get(config.name) == config:
        return {'model_name': config.name}
    kind = next(kind for kind, cls in KINDS.items() if type(config) is cls)
    return {'model_name': config.name, 'network': {'kind': kind, **asdict(config)}}


def _network(content: Node, files: _Files) -> NetworkConfig:
    if 'network' in content:
        network = content['network']
        if not isinstance(network, Mapping):
            raise CheckpointError(f'network: expected a mapping, got {network!r}')
        return _own_style(network)
    if 'kind' in content:
        return _own_style(content)
    name = content.get('model_name')
    plain = preset_name(name) if isinstance(name, str) else None
    if plain is not None:
        return NETWORKS[plain]
    upstream = content.get('config', content)
    is_upstream = isinstance(upstream, Mapping) and {OBJECT_KEY, INHERIT_KEY} & set(upstream)
    if not is_upstream:
        raise CheckpointError(
            f'expected model_name to be one of {", ".join(NETWORKS)}, got {name!r}'
        )
    own_name = name if isinstance(name, str) else files.path.stem
    resolved = resolve_parents(upstream, files.path.parent, files.read_parent)
    return config_from_upstream(resolved, own_name)


def _own_style(content: Node) -> NetworkConfig:
    kind = content.get('kind')
    if not isinstance(kind, str) or kind not in KINDS:
        raise CheckpointError(f'kind: expected one of {", ".join(KINDS)}, got {kind!r}')
    rest = {key: value for key, value in content.items() if key != 'kind'}
    return _dataclass(KINDS[kind], rest, '')


def _dataclass(cls: type[T], content: Any, where: str) -> T:
    if not isinstance(content, Mapping):
        raise CheckpointError(f'{where or "network"}: expected a mapping, got {content!r}')
    known = {field.name: field for field in fields(cls)}  # type: ignore[arg-type]
    prefix = f'{where}.' if where else ''
    unknown = [f'{prefix}{key}' for key in content if key not in known]
    if unknown:
        raise CheckpointError(
            f'unknown entries {", ".join(unknown)}; known are {", ".join(known)}'
        )
    missing = [
        f'{prefix}{name}'
        for name, field in known.items()
        if name not in content and _is_required(field)
    ]
    if missing:
        raise CheckpointError(f'missing entries {", ".join(missing)}')
    hints = get_type_hints(cls)
    values = {key: _value(hints[key], value, f'{prefix}{key}') for key, value in content.items()}
    return cls(**values)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _value(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is UnionType:
        if value is None:
            return None
        [hint] = [argument for argument in arguments if argument is not NoneType]
        return _value(hint, value, where)
    if is_dataclass(hint):
        assert isinstance(hint, type)
        return _dataclass(hint, value, where)
    if origin is tuple:
        return _whole_numbers(value, where)
    if origin is Literal:
        if value not in arguments:
            raise CheckpointError(f'{where}: expected one of {arguments}, got {value!r}')
        return value
    return _plain(hint, value, where)


def _plain(hint: type[Any], value: Any, where: str) -> Any:
    if hint is float:
        return real_number(value, where)
    if not isinstance(value, hint) or isinstance(value, bool):
        raise CheckpointError(f'{where}: expected {hint.__name__}, got {value!r}')
    return value


def _whole_numbers(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)) or not all(type(item) is int for item in value):
        raise CheckpointError(f'{where}: expected a list of whole numbers, got {value!r}')
    return tuple(value)


def real_number(value: Any, where: str) -> float:
    """Return a number; YAML takes 1e-5, without a point, for text.

    Raises:
        CheckpointError: It is none.
    """
    try:
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise CheckpointError(f'{where}: expected a number, got {value!r}')
