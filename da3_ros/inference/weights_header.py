"""The header of a safetensors file, checked against the file, without torch.

Source: the safetensors format, a length of 8 bytes, a JSON header, the tensors' bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedReader
import math
from pathlib import Path
from typing import Any

from da3_ros.errors import CheckpointError
from da3_ros.foreign import foreign_file, open_regular, plain_line
from da3_ros.plain_data import json_of

RANDOM_MARK = {'da3_ros_weights': 'random'}
"""Metadata of a file whose weights were drawn and not learned; other readers pass over it."""

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 << 20
_MAX_RANK = 16
_METADATA = '__metadata__'
_ITEM_BYTES = {'F64': 8, 'F32': 4, 'F16': 2, 'BF16': 2}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies in its file."""

    name: str
    kind: str
    """Type in the words of the file, e.g. `F32`."""
    shape: tuple[int, ...]
    start: int
    """First byte, from the beginning of the file."""
    size: int
    """Bytes."""


def read_entries(path: Path) -> list[TensorEntry]:
    """Return what a file says of its tensors.

    Raises:
        CheckpointError: It cannot be read, is incomplete, or its header says what cannot be.
    """
    with foreign_file(path, 'weights', CheckpointError), open_regular(path) as file:
        return entries_of(file)


def is_random_file(path: Path) -> bool:
    """Return whether a file says that its weights were drawn and not learned.

    Raises:
        CheckpointError: It cannot be read, or its header says what cannot be.
    """
    with foreign_file(path, 'weights', CheckpointError), open_regular(path) as file:
        metadata = _header_of(file)[0].get(_METADATA) or {}
        return RANDOM_MARK.items() <= metadata.items()


def entries_of(file: BufferedReader) -> list[TensorEntry]:
    """Return what an open file says of its tensors.

    Raises:
        Exception: Whatever a header is that cannot be.
    """
    header, first, size = _header_of(file)
    return [
        _entry(name, entry, first, size) for name, entry in header.items() if name != _METADATA
    ]


def _header_of(file: BufferedReader) -> tuple[dict[str, Any], int, int]:
    """Return the header, the first byte behind it, and the bytes of the file."""
    size = file.seek(0, 2)
    file.seek(0)
    length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
    first = _LENGTH_BYTES + length
    if first > size or length > _MAX_HEADER_BYTES:
        raise ValueError(
            f'its header declares {length} bytes, of at most {_MAX_HEADER_BYTES} and a file of '
            f'{size}'
        )
    header = json_of(file.read(length), _MAX_HEADER_BYTES)
    if not isinstance(header, dict):
        raise ValueError(f'its header is a {type(header).__name__}, expected a mapping')
    return header, first, size


def _entry(name: str, entry: Any, first: int, size: int) -> TensorEntry:
    """Return an entry of the header, which must fit the file.

    Args:
        name: Of the tensor.
        entry: What the header says of it.
        first: First byte of the tensors.
        size: Bytes of the file.
    """
    kind, shape, offsets = (entry[key] for key in ('dtype', 'shape', 'data_offsets'))
    is_sound = (
        isinstance(kind, str)
        and _are_counts(shape)
        and len(shape) <= _MAX_RANK
        and _are_counts(offsets)
        and len(offsets) == 2
        and offsets[0] <= offsets[1] <= size - first
    )
    if not is_sound:
        raise ValueError(
            f'{plain_line(name, 80)}: expected type, shape and place in a file of {size} bytes, '
            f'got {plain_line(repr(entry), 120)}'
        )
    start, end = offsets
    item_bytes = _ITEM_BYTES.get(kind)
    if item_bytes is not None and math.prod(shape) * item_bytes != end - start:
        raise ValueError(
            f'{plain_line(name, 80)}: {end - start} bytes are no {kind} of shape {tuple(shape)}'
        )
    return TensorEntry(name, kind, tuple(shape), first + start, end - start)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
