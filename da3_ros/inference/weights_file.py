"""One safetensors file: what it holds, and its tensors one at a time.

A tensor that is wanted as it is stored becomes a view of the mapped file and takes no memory of
its own. Any other is read into a buffer, converted and forgotten, so that beside what was asked
for there is never more than one source tensor.

Source: the safetensors format, a length of 8 bytes, a JSON header, the tensors' bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
import math
from pathlib import Path
from typing import Any

from safetensors import safe_open
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError
from da3_ros.foreign import foreign_file, open_regular, plain_line
from da3_ros.plain_data import json_of

_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 16 << 20
_MAX_RANK = 16
_DTYPES = {
    'F64': torch.float64,
    'F32': torch.float32,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where a tensor lies in its file."""

    name: str
    kind: str
    """Type in the words of the file, e.g. `F32`."""
    shape: tuple[int, ...]
    start: int
    """First byte, from the beginning of the file."""
    size: int
    """Bytes."""

    @property
    def dtype(self) -> torch.dtype | None:
        """Type, None when it is no floating point type that can be read."""
        return _DTYPES.get(self.kind)


class WeightsFile:
    """An open file; use as a context."""

    def __init__(self, path: Path) -> None:
        """Check the file and read its header.

        Args:
            path: Safetensors file.

        Raises:
            CheckpointError: It cannot be read, is incomplete, or its header says what cannot be.
        """
        self._path = path
        self._mapping: Any
        self._buffer: Tensor | None = None
        with foreign_file(path, 'weights', CheckpointError):
            self._file = open_regular(path)
            try:
                # Looked at before a library believes it.
                self.tensors: Mapping[str, StoredTensor] = _read_header(self._file)
                self._mapping = safe_open(path, framework='pt')
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> 'WeightsFile':
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def read(self, name: str, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return a floating point tensor in a type and on a device.

        Raises:
            CheckpointError: The bytes cannot be read.
        """
        stored = self.tensors[name]
        if stored.dtype == dtype and device.type == 'cpu':
            with foreign_file(self._path, 'weights', CheckpointError):
                mapped: Tensor = self._mapping.get_tensor(name)
            return mapped
        assert stored.dtype is not None
        if self._buffer is None:
            # One for all: freed buffers among the results would leave holes.
            largest = max(tensor.size for tensor in self.tensors.values())
            self._buffer = torch.empty(largest, dtype=torch.uint8)
        source = self._buffer[: stored.size]
        self._file.seek(stored.start)
        buffer: Any = source.numpy()
        if self._file.readinto(buffer) != stored.size:
            raise CheckpointError(f'{self._path}: cannot read the weights: {name} is cut short')
        return source.view(stored.dtype).reshape(stored.shape).to(device).to(dtype)


def _read_header(file: BufferedReader) -> dict[str, StoredTensor]:
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
    return {
        name: _stored(name, entry, first, size)
        for name, entry in header.items()
        if name != '__metadata__'
    }


def _stored(name: str, entry: Any, first: int, size: int) -> StoredTensor:
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
    dtype = _DTYPES.get(kind)
    if dtype is not None and math.prod(shape) * dtype.itemsize != end - start:
        raise ValueError(
            f'{plain_line(name, 80)}: {end - start} bytes are no {kind} of shape {tuple(shape)}'
        )
    return StoredTensor(name, kind, tuple(shape), first + start, end - start)


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
