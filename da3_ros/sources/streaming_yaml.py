"""Configurations of DA3-Streaming (`base_config.yaml`) as options of `da3 stream`.

Keys that have a meaning here are used, the others are named. `inherit_from` names another file,
whose values count where the inheriting one says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.foreign import plain_line, plain_path, reason_of
from da3_ros.inference.hub import CONFIG_NAME, WEIGHTS_NAME
from da3_ros.options.table import OptionValue
from da3_ros.plain_data import PlainDataError, read_yaml

_MOST_PARENTS = 8
_CHUNK, _OVERLAP = 'Model.chunk_size', 'Model.overlap'
_WEIGHTS, _WEIGHTS_CONFIG = 'Weights.DA3', 'Weights.DA3_CONFIG'
_SAME: Mapping[str, str] = {
    _CHUNK: 'window',
    'Model.ref_view_strategy': 'ref_view_strategy',
    'Model.save_depth_conf_result': 'save_frames',
    'Model.Pointcloud_Save.sample_ratio': 'sample_ratio',
    'Model.Pointcloud_Save.conf_threshold_coef': 'conf_threshold_coef',
}
"""Keys that are options of ours, with the name of the option."""
USED_KEYS = (*_SAME, _OVERLAP, _WEIGHTS, _WEIGHTS_CONFIG)
"""Every key that is used."""


@dataclass(frozen=True, slots=True)
class StreamingConfig:
    """What a configuration asks for."""

    options: Mapping[str, OptionValue]
    """Option of `da3 stream` to its value; not checked against its bounds."""
    ignored: tuple[str, ...]
    """Keys that mean nothing here, in the order of the file."""
    notes: tuple[str, ...] = ()
    """What a user should know."""


def read_streaming_config(path: Path) -> StreamingConfig:
    """Read a configuration with those that it inherits from.

    Raises:
        ConfigError: a file cannot be read, is no such configuration, or contradicts itself.
    """
    values = dict(_flat(_merged(path)))
    options: dict[str, OptionValue] = {
        option: values[key] for key, option in _SAME.items() if key in values
    }
    options |= _stride(path, values)
    model, notes = _weights(path, values)
    if model is not None:
        options['model'] = str(model)
    ignored = tuple(key for key in values if key not in USED_KEYS)
    return StreamingConfig(options, ignored, notes)


def _merged(path: Path, depth: int = 0) -> dict[str, Any]:
    """Return the content of a file over that of the one it inherits from."""
    if depth > _MOST_PARENTS:
        raise ConfigError(
            f'{plain_path(path)}: inherit_from: expected at most {_MOST_PARENTS} files in a row'
        )
    try:
        content = read_yaml(path)
    except (OSError, PlainDataError, ValueError) as error:
        raise ConfigError(
            f'config {plain_path(path)}: cannot be read: {reason_of(error)}'
        ) from error
    if not isinstance(content, dict):
        raise ConfigError(f'config {plain_path(path)}: expected Weights, Model and Loop in it')
    parent = content.pop('inherit_from', None)
    if parent is None:
        return content
    if not isinstance(parent, str):
        raise ConfigError(f'config {plain_path(path)}: inherit_from: expected a file')
    return _over(_merged(_place(path, parent), depth + 1), content)


def _over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _over(dict(old or {}), value) if both else value
    return merged


def _flat(content: Mapping[Any, Any], before: str = '') -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        name = f'{before}{plain_line(key)}'
        if isinstance(value, dict):
            yield from _flat(value, f'{name}.')
        else:
            yield name, value


def _stride(path: Path, values: Mapping[str, Any]) -> dict[str, OptionValue]:
    """Return the stride of chunk size and overlap.

    Raises:
        ConfigError: they are no numbers, or the overlap is not less than the chunk.
    """
    if _OVERLAP not in values:
        return {}
    chunk, overlap = values.get(_CHUNK), values[_OVERLAP]
    are_whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (chunk, overlap))
    if not are_whole or not 0 <= overlap < chunk:
        raise ConfigError(
            f'config {plain_path(path)}: expected {_OVERLAP} at least 0 and less than {_CHUNK}, '
            f'got {plain_line(overlap)} and {plain_line(chunk)}'
        )
    return {'stride': chunk - overlap}


def _weights(path: Path, values: Mapping[str, Any]) -> tuple[Path | None, tuple[str, ...]]:
    """Return the folder of the network, and why there is none, or what of it is not used.

    Raises:
        ConfigError: the weights are no file.
    """
    weights = values.get(_WEIGHTS)
    if weights is None:
        return None, ()
    if not isinstance(weights, str):
        raise ConfigError(
            f'config {plain_path(path)}: {_WEIGHTS}: expected a file, got {plain_line(weights)}'
        )
    found = _place(path, weights)
    folder = found if found.is_dir() else found.parent
    if not ((folder / CONFIG_NAME).is_file() and found.exists()):
        return None, (
            f'{_WEIGHTS}: {plain_line(weights)} is not there with a {CONFIG_NAME} beside it; '
            '--model names the network',
        )
    config = values.get(_WEIGHTS_CONFIG)
    others = [
        f'{key}: {plain_line(value)} is not used, but {used.name} in {plain_path(folder)}'
        for key, value, used in (
            (_WEIGHTS, weights if found.is_file() else None, folder / WEIGHTS_NAME),
            (_WEIGHTS_CONFIG, config, folder / CONFIG_NAME),
        )
        if isinstance(value, str) and not _is_same(_place(path, value), used)
    ]
    return folder, tuple(others)


def _is_same(file: Path, other: Path) -> bool:
    try:
        return file.samefile(other)
    except OSError:
        return False


def _place(path: Path, name: str) -> Path:
    """Return a file that a configuration names, by the current folder or else by its own."""
    given = Path(name)
    return given if given.exists() else path.parent / given
