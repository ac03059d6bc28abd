"""One entry of the option table, and the check of a value against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from da3_ros.errors import ConfigError

OptionValue = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionSpec:
    """Declaration of one option."""

    name: str
    default: OptionValue
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False
    """Whether it may change while the node runs."""


def option(
    default: OptionValue,
    text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    dynamic: bool = False,
) -> Any:
    """Return the field of an options dataclass that is this entry of the table."""
    metadata = {
        'help': text,
        'minimum': minimum,
        'maximum': maximum,
        'choices': choices,
        'dynamic': dynamic,
    }
    return field(default=default, metadata=metadata)


def check_value(spec: OptionSpec, value: OptionValue) -> None:
    """Check one value against its declaration.

    Raises:
        ConfigError: wrong type, out of bounds or not one of the choices.
    """
    wanted = type(spec.default)
    fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        fits = True
    if not fits:
        raise ConfigError(f'{spec.name}: expected {wanted.__name__}, got {value!r}')
    if spec.choices and value not in spec.choices:
        raise ConfigError(f'{spec.name}: expected one of {", ".join(spec.choices)}, got {value!r}')
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        low = spec.minimum if spec.minimum is not None else float('-inf')
        high = spec.maximum if spec.maximum is not None else float('inf')
        if not low <= value <= high:
            raise ConfigError(f'{spec.name}: expected {low:g} to {high:g}, got {value}')
