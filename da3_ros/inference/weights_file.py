"""One safetensors file: what it holds, and its tensors one at a time.

A tensor that is wanted as it is stored becomes a view of the mapped file and takes no memory of
its own. Any other is read into a buffer, converted and forgotten, so that beside what was asked
for there is never more than one source tensor.
"""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
import torch
from torch import Tensor

from da3_ros.errors import CheckpointError
from da3_ros.foreign import foreign_file, open_regular
from da3_ros.inference.weights_header import TensorEntry, entries_of

_DTYPES = {
    'F64': torch.float64,
    'F32': torch.float32,
    'F16': torch.float16,
    'BF16': torch.bfloat16,
}


@dataclass(frozen=True, slots=True)
class StoredTensor(TensorEntry):
    """Where a tensor lies in its file, and what torch calls its type."""

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
                self.tensors: Mapping[str, StoredTensor] = {
                    entry.name: StoredTensor(*astuple(entry)) for entry in entries_of(self._file)
                }
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
