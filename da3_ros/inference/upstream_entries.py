"""Arguments of a node in a configuration of the upstream style, taken one by one.

There a node names the class that takes them (`__object__`); they stand beside it, or in a mapping
of their own, `args`, beside the name of the class or beside `__object__`.
"""

from collections.abc import Mapping
from typing import Any

from da3_ros.errors import CheckpointError

OBJECT_KEY = '__object__'
ARGS_KEY = 'args'
ARGS_STYLES = ('as_params', 'as_config')
"""How the upstream code hands the arguments over; here they are read the same way."""

Node = Mapping[str, Any]
"""Part of a file: names to anything that YAML knows."""


class Entries:
    """The arguments of one node, taken one by one; what is left over is unknown."""

    def __init__(self, node: Any, where: str, class_name: str) -> None:
        if not isinstance(node, Mapping):
            raise CheckpointError(f'{where}: expected a mapping, got {node!r}')
        described = node.get(OBJECT_KEY)
        found = described.get('name') if isinstance(described, Mapping) else None
        if found != class_name:
            raise CheckpointError(f'{where}.{OBJECT_KEY}: expected {class_name}, got {found!r}')
        self._rest = _arguments(node, where)
        self._where = where

    def take(self, key: str, default: Any = None) -> Any:
        """Return an entry, or the default; without either it is missing."""
        value = self._rest.pop(key, default)
        if value is None:
            raise CheckpointError(f'{self._where}: {key} is missing')
        return value

    def optional(self, key: str) -> Any:
        """Return an entry, None where it is absent or null."""
        return self._rest.pop(key, None)

    def fixed(self, key: str, expected: Any, default: Any = None) -> None:
        """Accept an entry only with the one value that is supported.

        Args:
            key: The entry.
            expected: What is supported.
            default: What the upstream class takes when the entry is absent.
        """
        value = self._rest.pop(key, default)
        if value != expected:
            raise CheckpointError(
                f'{self._where}.{key}: only {expected!r} is supported, got {value!r}'
            )

    def end(self) -> None:
        """Refuse what was not taken."""
        if self._rest:
            names = ', '.join(f'{self._where}.{key}' for key in self._rest)
            raise CheckpointError(f'unknown entries {names}')


def _arguments(node: Node, where: str) -> dict[str, Any]:
    """Return the arguments of a node: beside its class, below `args`, or both."""
    described = node[OBJECT_KEY]
    style = described.get(ARGS_KEY)
    arguments = {key: value for key, value in node.items() if key not in (OBJECT_KEY, ARGS_KEY)}
    for nested in (style, node.get(ARGS_KEY)):
        if nested is None or nested in ARGS_STYLES:
            continue
        if not isinstance(nested, Mapping):
            raise CheckpointError(
                f'{where}.{ARGS_KEY}: expected a mapping or one of {", ".join(ARGS_STYLES)}, got '
                f'{nested!r}'
            )
        twice = [f'{where}.{key}' for key in nested if key in arguments]
        if twice:
            raise CheckpointError(f'given twice, also below {ARGS_KEY}: {", ".join(twice)}')
        arguments.update(nested)
    return arguments
