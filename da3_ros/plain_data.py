"""YAML and JSON of others as plain data: mappings, lists, texts, numbers, and no more than fits.

Both are read within bounds of size, nesting and number of values, so that a small file takes
neither minutes nor gigabytes: aliases of YAML count with all that they stand for. No tag names a
type, and a key that comes twice is an error of YAML.

YAML takes many texts for something else: dates, `12:30` as sixty-fold numbers, `010` as an octal
one. Here these are texts, so that whoever asks for a number refuses them by name. Numbers are
decimal, or hexadecimal with digits behind `0x`; `1e-3` is one, as in ROS 2 and YAML 1.2.
"""

from __future__ import annotations

import json
from pathlib import Path
import re
from typing import Any, ClassVar

import yaml

from da3_ros.foreign import plain_line, read_bounded, reason_of

MAX_YAML_BYTES = 1 << 20
MAX_JSON_BYTES = 16 << 20
MAX_DEPTH = 50
"""Lists and mappings within each other."""
MAX_VALUES = 100_000
"""Of a YAML file, those behind its aliases included."""

_MAX_DIGITS = 400
"""Of a number; long ones take long to read, and no double has more."""
_TAG = 'tag:yaml.org,2002:'
_NUMBERS = (f'{_TAG}int', f'{_TAG}float')


class PlainDataError(ValueError):
    """Raised when a text is no plain data within the bounds; one line, with the line's number."""


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no YAML within the bounds.
    """
    return yaml_of(read_bounded(path, MAX_YAML_BYTES))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON within the bounds.
    """
    return json_of(read_bounded(path, MAX_JSON_BYTES))


def yaml_of(data: bytes | str) -> Any:
    """Return what YAML says.

    Raises:
        PlainDataError: It is none within the bounds.
    """
    text = _text(data, MAX_YAML_BYTES)
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        reason = error.problem or error.context or 'it is no YAML'
        raise _refused(reason, error.problem_mark or error.context_mark) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise PlainDataError(reason_of(error)) from error


def json_of(data: bytes | str, limit: int = MAX_JSON_BYTES) -> Any:
    """Return what JSON says; NaN and infinity are none.

    Args:
        data: UTF-8, or the text.
        limit: Bytes that it may have.

    Raises:
        PlainDataError: It is none within the bounds.
    """
    text = _text(data, limit)
    try:
        content = json.loads(text, parse_int=_whole, parse_constant=_no_constant)
    except PlainDataError:
        raise
    except (ValueError, RecursionError) as error:
        raise PlainDataError(reason_of(error)) from error
    level: list[Any] = [content]
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _inside(outer)]
        if not level:
            return content
    raise PlainDataError(_too_deep())


def _text(data: bytes | str, limit: int) -> str:
    if len(data) > limit:
        raise PlainDataError(f'expected at most {limit} bytes, got {len(data)}')
    if isinstance(data, str):
        return data
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b'\n') + 1
        byte = data[error.start]
        raise PlainDataError(f'line {line}: expected UTF-8 text, got byte 0x{byte:02x}') from error


def _refused(reason: str, mark: Any) -> PlainDataError:
    place = '' if mark is None else f'line {mark.line + 1}: '
    return PlainDataError(f'{place}{plain_line(reason)}')


def _inside(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return []
    return [item for item in items if isinstance(item, (dict, list))]


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise PlainDataError(f'a number has {len(digits)} digits')
    return int(digits)


def _no_constant(name: str) -> None:
    raise PlainDataError(f'{name} is no JSON')


def _too_deep() -> str:
    return f'expected at most {MAX_DEPTH} lists and mappings within each other, there are more'


class _Loader(yaml.SafeLoader):
    """Plain data within bounds."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._values = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a node and count it; an alias counts with all that it stands for."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        if self._depth > MAX_DEPTH:
            raise _refused(_too_deep(), event.start_mark)
        self._depth += 1
        before = self._values
        node = super().compose_node(parent, index)
        self._depth -= 1
        assert node is not None
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise _refused('an alias stands inside itself', event.start_mark)
            self._values += self._sizes[node]
        else:
            self._values += 1
            self._sizes[node] = self._values - before
        if self._values > MAX_VALUES:
            reason = f'expected at most {MAX_VALUES} values, aliases counted, there are more'
            raise _refused(reason, event.start_mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct an object; what its own text does not allow has its place."""
        try:
            if node.tag in _NUMBERS and len(node.value) > _MAX_DIGITS:
                raise ValueError('too many digits')
            return super().construct_object(node, deep)
        except PlainDataError:
            raise
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            shown = plain_line(node.value, 60) if isinstance(node, yaml.ScalarNode) else node.tag
            reason = f'{shown!r} is no {node.tag.removeprefix(_TAG)}'
            raise _refused(reason, node.start_mark) from error

    def construct_unique_mapping(self, node: yaml.MappingNode) -> dict[Any, Any]:
        """Construct a mapping none of whose own keys comes twice."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _refused('a key is no text', key_node.start_mark)
            if key_node.tag == f'{_TAG}merge':
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                reason = f'{plain_line(key, 60)}: given twice'
                raise _refused(reason, key_node.start_mark)
            seen.add(key)
        return dict(self.construct_mapping(node, deep=True))

    def construct_whole_sequence(self, node: yaml.SequenceNode) -> list[Any]:
        """Construct a list with all that is inside."""
        return self.construct_sequence(node, deep=True)


def _resolve(name: str, pattern: str, firsts: str) -> None:
    """Say which plain texts are of a type."""
    characters: list[Any] = [*firsts]
    _Loader.add_implicit_resolver(f'{_TAG}{name}', re.compile(rf'(?:{pattern})\Z'), characters)


_resolve(
    'bool',
    'yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF',
    'yYnNtTfFoO',
)
_resolve('int', r'[-+]?(?:0x[0-9a-fA-F]{1,16}|0|[1-9][0-9_]{0,30})', '-+0123456789')
_resolve(
    'float',
    r'[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?'
    r'|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)',
    '-+0123456789.',
)
_resolve('merge', '<<', '<')
_resolve('null', '~|null|Null|NULL|', '~nN')
_Loader.yaml_implicit_resolvers[''] = [(f'{_TAG}null', re.compile(r'\Z'))]
for _name, _constructor in (
    ('null', _Loader.construct_yaml_null),
    ('bool', _Loader.construct_yaml_bool),
    ('int', _Loader.construct_yaml_int),
    ('float', _Loader.construct_yaml_float),
    ('str', _Loader.construct_yaml_str),
    ('seq', _Loader.construct_whole_sequence),
    ('map', _Loader.construct_unique_mapping),
):
    _Loader.add_constructor(f'{_TAG}{_name}', _constructor)
_Loader.add_constructor(None, _Loader.construct_undefined)  # type: ignore[type-var]
