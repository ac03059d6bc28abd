"""Files that people write for launch files: plain YAML, with errors that name the place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from da3_ros.errors import ConfigError


def load_yaml(path: Path, where: str) -> Any:
    """Return the mappings, lists, texts and numbers of a file.

    Args:
        path: the file.
        where: begins every message.

    Raises:
        ConfigError: it cannot be read, is no YAML, names a type or gives a key twice.
    """
    try:
        return yaml.load(path.read_text(encoding='utf-8'), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f'{where}: cannot be read: {error}') from error
    except yaml.YAMLError as error:
        raise ConfigError(f'{where}: no valid YAML: {error}') from error


def mapping(value: object, where: str, keys: Sequence[str]) -> Mapping[str, Any]:
    """Return a value that is a mapping with these keys and no others.

    Raises:
        ConfigError: it is none, or has another key.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(f'{where}: expected a mapping with {", ".join(keys)}, got {value!r}')
    unknown = sorted(str(key) for key in value if key not in keys)
    if unknown:
        raise ConfigError(f'{where}: unknown {", ".join(unknown)}; known: {", ".join(keys)}')
    return value


class _Loader(yaml.SafeLoader):
    """Plain data; a key that comes twice is an error and not the last one."""


def _unique_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    twice = sorted({str(key) for key in keys if keys.count(key) > 1})
    if twice:
        raise yaml.constructor.ConstructorError(
            None, None, f'{", ".join(twice)}: given twice', node.start_mark
        )
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)
