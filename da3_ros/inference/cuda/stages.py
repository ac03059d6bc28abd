"""What a runtime of torch needs of a device: arrays there, stages run, results back.

On a CUDA device arrays go through page-locked memory, stages are replayed from graphs, and the
host waits once for a result. Elsewhere arrays and tensors share memory, and stages are called.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
import os
from typing import Any, Protocol, TypeVar

from numpy.typing import NDArray
import torch
from torch import Tensor, nn

from da3_ros.inference.cuda.device import CudaDevice, Device
from da3_ros.inference.cuda.graphs import StageGraphs
from da3_ros.inference.cuda.transfers import Downloads, Uploads
from da3_ros.notes import Note

Result = TypeVar('Result')

VARIABLE = 'DA3_CUDA_GRAPHS'
"""Environment variable that switches graphs off: `0`."""


class Fetched(Protocol):
    """Tensors on their way to the host."""

    def arrays(self) -> list[NDArray[Any] | None]:
        """Wait for them, and return them in the order in which they were asked for."""
        ...


class DeviceStages:
    """Runs stages of a network where it is now; follows it to another device."""

    def __init__(
        self, network: nn.Module, make: Callable[[torch.device], Device | None] | None = None
    ) -> None:
        """Begin without graphs and buffers.

        Args:
            network: Whose stages are run.
            make: Returns what is asked of a device, None where the plain thing is done; that is
                everywhere but on CUDA when it is None itself.
        """
        self._network = network
        self._make = _cuda_device if make is None else make
        self._place: torch.device | None = None
        self._engine: _Engine | None = None
        self._state: Hashable = None
        self._within = 0.0

    def use(self, state: Hashable, within: float) -> None:
        """Say what stages depend on besides keys and inputs, before every window.

        Args:
            state: Equal as long as weights, their formats and places, and kernels are the same.
            within: How far apart answers in these formats may be, see `graphs.tolerance`.
        """
        self._state, self._within = state, within
        if self._engine is not None:
            self._engine.graphs.use(state)

    def put(self, array: NDArray[Any], place: torch.device) -> Tensor:
        """Return an array on a device, which shares its memory on a CPU."""
        engine = self._at(place)
        if engine is None:
            return torch.from_numpy(array).to(place)
        return engine.uploads.put(array, place)

    def run(self, key: Hashable, stage: Callable[..., Result], *inputs: Tensor) -> Result:
        """Return `stage(*inputs)`, see `StageGraphs.run`.

        Args:
            key: What the stage depends on beside its inputs and the state.
            stage: Computes tensors of tensors.
            inputs: Where the network is.
        """
        engine = self._at(inputs[0].device)
        if engine is None or not _are_wanted():
            return stage(*inputs)
        return engine.graphs.run(key, stage, *inputs, within=self._within)

    def fetch(self, *tensors: Tensor | None) -> Fetched:
        """Let tensors come to the host, and return what waits for them."""
        places = [x.device for x in tensors if x is not None]
        engine = self._at(places[0]) if places else None
        return _Here(tensors) if engine is None else engine.downloads.start(tensors)

    def are_enqueued(self, place: torch.device) -> bool:
        """Return whether a device goes on by itself, so that the host should not look at it."""
        return self._at(place) is not None

    def forget(self) -> None:
        """Drop graphs and buffers; memory that they hold can be given back."""
        self._place = self._engine = None

    def take_notes(self) -> tuple[Note, ...]:
        """Return what was done otherwise than meant since this was asked last."""
        return () if self._engine is None else self._engine.graphs.take_notes()

    @property
    def graphs(self) -> StageGraphs | None:
        """Graphs of the device used last; None where there are none."""
        return None if self._engine is None else self._engine.graphs

    def _at(self, place: torch.device) -> _Engine | None:
        if place != self._place:
            # On another device nothing of the one before is of use.
            device = self._make(place)
            self._engine = None if device is None else _Engine(self._network, device)
            self._place = place
            self.use(self._state, self._within)
        return self._engine


class _Engine:
    """Graphs and buffers of one device."""

    def __init__(self, network: nn.Module, device: Device) -> None:
        self.graphs = StageGraphs(network, device)
        self.uploads = Uploads(device)
        self.downloads = Downloads(device)


class _Here:
    """Tensors that the host can read already."""

    def __init__(self, tensors: tuple[Tensor | None, ...]) -> None:
        self._tensors = tensors

    def arrays(self) -> list[NDArray[Any] | None]:
        return [None if x is None else x.cpu().numpy() for x in self._tensors]


def _cuda_device(place: torch.device) -> Device | None:
    return CudaDevice(place) if place.type == 'cuda' else None


def _are_wanted() -> bool:
    return os.environ.get(VARIABLE, '').strip() != '0'
