"""All that is asked of `torch.cuda`, behind an interface small enough to be stood in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import gc
from typing import Protocol, TypeVar

import torch
from torch import Tensor

Result = TypeVar('Result')


class Mark(Protocol):
    """A point in the work of a device."""

    def done(self) -> bool:
        """Return whether the device is past it."""
        ...

    def wait(self) -> None:
        """Let the host wait until the device is past it."""
        ...


class Device(Protocol):
    """What graphs and copies need of a device."""

    def takes(self, tensor: Tensor) -> bool:
        """Return whether what is computed from a tensor now can be recorded and replayed."""
        ...

    def record(self, run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record what a function enqueues.

        Args:
            run: Reads and writes the same memory at every call, and never looks at a value.

        Returns:
            What enqueues the same work again, and the function's result, which is only filled by
            that.

        Raises:
            RuntimeError: It cannot be recorded.
        """
        ...

    def renew(self) -> None:
        """Use other memory for what is recorded from now on."""
        ...

    def give_back(self) -> None:
        """Let others have the memory that is not used now."""
        ...

    def host_memory(self, size: int) -> Tensor:
        """Return (size,) bytes on the host that the device copies from and to by itself."""
        ...

    def mark(self) -> Mark:
        """Mark the work enqueued so far."""
        ...


class CudaDevice:
    """A CUDA device. Nothing of it is touched before the first call."""

    def __init__(self, device: torch.device) -> None:
        """Name the device."""
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: object = None

    def takes(self, tensor: Tensor) -> bool:
        """Return whether a tensor is on a CUDA device, and nothing unusual is going on.

        Graphs write into memory of their own, so the order of their replays counts: that of one
        stream, the device's default one. What autocast adds to a stage would be recorded with it,
        and a recording within a recording is not possible.
        """
        return (
            tensor.is_cuda
            and not torch.is_autocast_enabled()
            and torch.cuda.current_stream(tensor.device)
            == torch.cuda.default_stream(tensor.device)
            and not torch.cuda.is_current_stream_capturing()
        )

    def record(self, run: Callable[[], Result]) -> tuple[Callable[[], None], Result]:
        """Record a CUDA graph, after a call on the same stream that makes what is made once.

        Other threads may use the device meanwhile. All graphs share one pool: each result has to
        be copied away before another graph is replayed.
        """
        with torch.cuda.device(self._device), _no_collection():
            here = torch.cuda.current_stream()
            if self._stream is None:
                self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
                self._pool = torch.cuda.graph_pool_handle()
            self._stream.wait_stream(here)
            with torch.cuda.stream(self._stream):
                run()
            here.wait_stream(self._stream)
            graph = torch.cuda.CUDAGraph()
            recording = torch.cuda.graph(
                graph,
                pool=self._pool,  # type: ignore[arg-type]
                stream=self._stream,
                capture_error_mode='thread_local',
            )
            with recording:
                result = run()
        return graph.replay, result

    def renew(self) -> None:
        """Take another pool: one that no graph uses any more cannot be used again."""
        self._stream = self._pool = None

    def give_back(self) -> None:
        """Empty the allocator's cache."""
        torch.cuda.empty_cache()

    def host_memory(self, size: int) -> Tensor:
        """Return page-locked memory."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def mark(self) -> Mark:
        """Record an event on the device's current stream."""
        with torch.cuda.device(self._device):
            # Who waits for it sleeps: a core is worth more to a robot than some microseconds.
            event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            event.record()
        return _Event(event)


class _Event:
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def done(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def wait(self) -> None:
        self._event.synchronize()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from destroying other graphs and events in the middle of a recording."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
