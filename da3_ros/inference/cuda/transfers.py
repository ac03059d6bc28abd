"""Copies between host and device that nobody waits for, by way of page-locked memory.

The device copies from and to page-locked memory by itself, while host and device do other things;
from other memory the host copies piece by piece and waits for all that was enqueued before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from da3_ros.inference.cuda.device import Device, Mark

UPLOADS = 4
"""Buffers that are filled in turn: images and cameras of this window and of the next."""

_ALIGNMENT = 256
_MOST_IDLE = 4


@dataclass
class _Buffer:
    memory: Tensor
    in_use: Mark | None = None
    """Until the device is here."""


class Uploads:
    """Arrays to a device, through a ring of buffers."""

    def __init__(self, device: Device, count: int = UPLOADS) -> None:
        """Make a ring; its buffers become as large as what is copied through them."""
        self._device = device
        self._lock = threading.Lock()
        self._ring = [_Buffer(torch.empty(0, dtype=torch.uint8)) for _ in range(count)]
        self._next = 0

    def put(self, array: NDArray[Any], place: torch.device) -> Tensor:
        """Return an array on a device; it may be changed as soon as this returns."""
        with self._lock:
            buffer = self._ring[self._next]
            self._next = (self._next + 1) % len(self._ring)
            if buffer.in_use is not None and not buffer.in_use.done():
                buffer.in_use.wait()
            if buffer.memory.numel() < array.nbytes:
                buffer.memory = self._device.host_memory(array.nbytes)
            staged = _typed(buffer.memory, 0, array.shape, _dtype(array))
            np.copyto(staged.numpy(), array)
            there = staged.to(place, non_blocking=True, copy=True)
            buffer.in_use = self._device.mark()
            return there


class Downloads:
    """Tensors from a device, all of a result at once."""

    def __init__(self, device: Device) -> None:
        """Begin without buffers."""
        self._device = device
        self._lock = threading.Lock()
        self._idle: list[Tensor] = []

    def start(self, tensors: Sequence[Tensor | None]) -> Fetched:
        """Enqueue copies of tensors to the host, and return what waits for them."""
        ends = np.cumsum([_aligned(x) for x in tensors], dtype=np.int64)
        memory = self._memory(int(ends[-1]) if len(tensors) else 0)
        staged: list[Tensor | None] = []
        for tensor, end in zip(tensors, ends, strict=True):
            if tensor is None:
                staged.append(None)
                continue
            place = _typed(memory, int(end) - _aligned(tensor), tensor.shape, tensor.dtype)
            place.copy_(tensor, non_blocking=True)
            staged.append(place)
        return Fetched(self, memory, staged, self._device.mark())

    def give_back(self, memory: Tensor) -> None:
        """Keep a buffer for another result."""
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(memory)

    def _memory(self, size: int) -> Tensor:
        with self._lock:
            for index, memory in enumerate(self._idle):
                if memory.numel() >= size:
                    return self._idle.pop(index)
            # All are too small, and will be for the next result of this kind, too.
            self._idle.clear()
        return self._device.host_memory(size)


class Fetched:
    """Tensors on their way to the host."""

    def __init__(
        self, owner: Downloads, memory: Tensor, staged: Sequence[Tensor | None], mark: Mark
    ) -> None:
        """Keep what the copies write into."""
        self._owner = owner
        self._memory = memory
        self._staged = staged
        self._mark = mark
        self._arrays: list[NDArray[Any] | None] | None = None

    def arrays(self) -> list[NDArray[Any] | None]:
        """Wait once, and return arrays in ordinary memory, in the order of the tensors."""
        if self._arrays is None:
            self._mark.wait()
            # Page-locked memory is scarce, and results are kept.
            self._arrays = [None if x is None else x.numpy().copy() for x in self._staged]
            self._owner.give_back(self._memory)
            self._staged, self._memory = (), torch.empty(0)
        return self._arrays


def _aligned(tensor: Tensor | None) -> int:
    """Return the bytes of a tensor, rounded up so that the next one begins where it may."""
    size = 0 if tensor is None else tensor.numel() * tensor.element_size()
    return (size + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


def _dtype(array: NDArray[Any]) -> torch.dtype:
    return torch.from_numpy(np.empty(0, array.dtype)).dtype


def _typed(memory: Tensor, start: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return part of a buffer of bytes as a tensor."""
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return memory[start : start + size].view(dtype).view(tuple(shape))
