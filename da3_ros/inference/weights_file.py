"""One safetensors file: what it holds, and its tensors one at a time.

A tensor that is wanted as it is stored becomes a view of the mapped file and takes no memory of
its own. Any other is read into a buffer, converted and forgotten, so that beside what was asked
for there is never more than one source tensor.

Source: the safetensors format, a length of 8 bytes, a JSON header, the tensors' bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError

_LENGTH_BYTES = 8
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
            CheckpointError: It cannot be read or is incomplete.
        """
        self._path = path
        self._mapping: Any
        self._buffer: Tensor | None = None
        try:
            self._mapping = safe_open(path, framework='pt')
            self._file = path.open('rb')
            self.tensors: Mapping[str, StoredTensor] = _read_header(self._file)
        except (OSError, SafetensorError, ValueError) as error:
            raise CheckpointError(f'{path}: cannot read the weights: {error}') from error

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
    length = int.from_bytes(file.read(_LENGTH_BYTES), 'little')
    header = json.loads(file.read(length))
    first = _LENGTH_BYTES + length
    tensors = {}
    for name, entry in header.items():
        if name != '__metadata__':
            start, end = entry['data_offsets']
            tensors[name] = StoredTensor(
                name, entry['dtype'], tuple(entry['shape']), first + start, end - start
            )
    return tensors
