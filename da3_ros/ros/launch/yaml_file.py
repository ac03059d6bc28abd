"""Files that people write for launch files: plain YAML, with errors that name the place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from da3_ros.errors import ConfigError
from da3_ros.foreign import plain_line, reason_of
from da3_ros.plain_data import PlainDataError, read_yaml

_MAX_MESSAGE = 1000


def load_yaml(path: Path, where: str) -> Any:
    """Return the mappings, lists, texts and numbers of a file.

    Args:
        path: the file.
        where: begins every message.

    Raises:
        ConfigError: it cannot be read, or is no YAML of plain data, each key once, within bounds.
    """
    try:
        return read_yaml(path)
    except PlainDataError as error:
        raise ConfigError(f'{where}: no valid YAML: {error}') from error
    except (OSError, ValueError) as error:
        raise ConfigError(f'{where}: cannot be read: {reason_of(error)}') from error


@contextmanager
def one_line() -> Iterator[None]:
    """Keep what is said of a file to one line, whatever values of the file it shows.

    Raises:
        ConfigError: for a ConfigError.
    """
    try:
        yield
    except ConfigError as error:
        raise ConfigError(plain_line(error, _MAX_MESSAGE)) from error


def mapping(value: object, where: str, keys: Sequence[str]) -> Mapping[str, Any]:
    """Return a value that is a mapping with these keys and no others.

    Raises:
        ConfigError: it is none, or has another key.
    """
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'{where}: expected a mapping with {", ".join(keys)}, got {plain_line(repr(value))}'
        )
    unknown = sorted(str(key) for key in value if key not in keys)
    if unknown:
        raise ConfigError(f'{where}: unknown {", ".join(unknown)}; known: {", ".join(keys)}')
    return value
