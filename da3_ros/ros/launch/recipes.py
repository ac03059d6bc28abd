"""Recipes: how a known consumer is joined to the node's topics, frames and QoS, as YAML.

The files are in config/recipes. Each names what the consumer subscribes to, what it needs of the
node and which frames must be there; tests hold a running node against them. `<camera>` and
`<camera_frame>` in them stand for a camera and its optical frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.foreign import foreign_file
from da3_ros.ros.launch.yaml_file import load_yaml, mapping, one_line

RELIABILITIES = ('reliable', 'best_effort', 'system_default')
_TOP_KEYS = ('consumer', 'node', 'parameters', 'topics', 'together', 'frames')
_CONSUMER_KEYS = ('package', 'executable', 'name')
_TOPIC_KEYS = ('to', 'type', 'encoding', 'reliability', 'depth', 'frame', 'child_frame')
_FRAME_KEYS = ('chain', 'theirs')


@dataclass(frozen=True, slots=True)
class ConsumedTopic:
    """One subscription of the consumer."""

    own: str
    """Name that the consumer uses, or parameter that holds the name."""
    to: str
    """Topic of the node."""
    type: str
    """For example sensor_msgs/msg/Image."""
    reliability: str = 'reliable'
    """What it asks for: one of RELIABILITIES."""
    depth: int = 10
    encoding: str | None = None
    """Encoding of images; None where it does not matter or for other messages."""
    frame: str | None = None
    """frame_id; None for the camera's."""
    child_frame: str | None = None
    """child_frame_id; None for messages without one."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One consumer and what it needs."""

    consumer: Mapping[str, str]
    """package, executable and name; empty where its parameters are part of a larger file."""
    node: Mapping[str, Any]
    """Parameters that da3_node must have."""
    parameters: Mapping[str, Any]
    """Parameters of the consumer."""
    topics: tuple[ConsumedTopic, ...]
    together: tuple[tuple[str, ...], ...]
    """Own names of topics whose messages have one stamp, frame and size."""
    chain: tuple[str, ...]
    """Frames that TF connects, parents first."""
    theirs: tuple[str, ...]
    """Parent and child that the consumer itself publishes; empty for none."""

    def remappings(self) -> list[tuple[str, str]]:
        """Return (name of the consumer, topic of the node)."""
        return [(topic.own, topic.to) for topic in self.topics if topic.own not in self.parameters]


def read_recipe(
    path: Path, camera: str = 'front', camera_frame: str = '', namespace: str = ''
) -> Recipe:
    """Read a recipe for one camera of a node.

    Args:
        path: the file.
        camera: name of the camera.
        camera_frame: its optical frame; empty for <camera>_optical_frame.
        namespace: of the node.

    Raises:
        ConfigError: it cannot be read or is none; names the place.
    """
    with foreign_file(path, 'recipe', ConfigError), one_line():
        return _recipe(path, camera, camera_frame, namespace)


def _recipe(path: Path, camera: str, camera_frame: str, namespace: str) -> Recipe:
    where = f'recipe {path}'
    names = {'<camera>': camera, '<camera_frame>': camera_frame or f'{camera}_optical_frame'}
    top = mapping(_filled(load_yaml(path, where), names), where, _TOP_KEYS)
    prefix = f'/{namespace.strip("/")}' if namespace.strip('/') else ''
    topics = tuple(
        _topic(own, values, prefix, f'{where}: {own}')
        for own, values in _named(top.get('topics'), f'{where}: topics').items()
    )
    if not topics:
        raise ConfigError(f'{where}: topics: expected at least one')
    moved = {topic.to.removeprefix(prefix): topic.to for topic in topics}
    frames = mapping(top.get('frames') or {}, f'{where}: frames', _FRAME_KEYS)
    return Recipe(
        mapping(top.get('consumer') or {}, f'{where}: consumer', _CONSUMER_KEYS),
        top.get('node') or {},
        _filled(top.get('parameters') or {}, moved),
        topics,
        tuple(tuple(group) for group in top.get('together') or ()),
        tuple(frames.get('chain') or ()),
        tuple(frames.get('theirs') or ()),
    )


def _named(value: object, where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f'{where}: expected a mapping of topics by name, got {value!r}')
    return value or {}


def _topic(own: str, values: object, prefix: str, where: str) -> ConsumedTopic:
    given = mapping(values, where, _TOPIC_KEYS)
    for key in ('to', 'type'):
        if not isinstance(given.get(key), str):
            raise ConfigError(f'{where}: {key}: expected a name, got {given.get(key)!r}')
    if given.get('reliability', 'reliable') not in RELIABILITIES:
        raise ConfigError(
            f'{where}: reliability: expected one of {", ".join(RELIABILITIES)}, '
            f'got {given["reliability"]!r}'
        )
    return ConsumedTopic(own, **{**given, 'to': prefix + given['to']})


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """Return plain data with placeholders replaced: inside texts where they have <>."""
    if isinstance(value, Mapping):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    if not isinstance(value, str):
        return value
    for name, text in names.items():
        if name.startswith('<'):
            value = value.replace(name, text)
        elif value == name:
            return text
    return value
