"""Graphs first, torch behind them: for what they cannot do, have not built yet, or fail at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from da3_ros.errors import Da3Error
from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.window_network import WindowMaps, WindowNetwork, WindowRequest
from da3_ros.model.capabilities import Capabilities, capabilities
from da3_ros.model.config import NetworkConfig
from da3_ros.notes import Note
from da3_ros.types import Caution

if TYPE_CHECKING:
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.runtimes.stored_graphs import StoredGraphs


class TorchBehind:
    """A network over graphs where these are there, else over torch, with a note that says why.

    Torch is loaded when it is first needed.

    Args:
        make_torch: returns the network over torch.
        config: of the network.
        graphs: the network over graphs; None where torch alone computes.
        asked: the runtime that would compute otherwise.
        reason: why torch alone computes; empty with graphs.
    """

    def __init__(
        self,
        make_torch: Callable[[], WindowNetwork],
        config: NetworkConfig,
        graphs: StoredGraphs | None = None,
        *,
        asked: str = 'openvino',
        reason: str = '',
    ) -> None:
        self.config = config
        self._make_torch = make_torch
        self._torch: WindowNetwork | None = None
        self._graphs = graphs
        self._asked = asked
        self._reason = reason
        if graphs is not None and graphs.beside and not graphs.sizes:
            # Nobody waits for it at the first window.
            self._over_torch()

    @property
    def model_name(self) -> str:
        """Name of the preset."""
        return self.config.name

    @property
    def capabilities(self) -> Capabilities:
        """What it gives and takes."""
        return capabilities(self.config)

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._here.device

    @property
    def runtime(self) -> str:
        """What computes a window that would come now."""
        return self._here.runtime

    @property
    def precision(self) -> str:
        """Format of the matrices."""
        return precision_of(self._here)

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on it."""
        return self._here.caution

    @property
    def model(self) -> DepthAnything3:
        """The model of torch, for what only torch computes."""
        model: DepthAnything3 = self._over_torch().model  # type: ignore[attr-defined]
        return model

    def run(self, request: WindowRequest) -> WindowMaps:
        """Compute a window; errors as of the network over torch."""
        if request.use_ray_pose:
            return self._by_torch(request, 'use_ray_pose (cameras from rays)')
        graphs = self._graphs
        if graphs is None:
            return self._by_torch(request, self._reason)
        try:
            if not graphs.is_ready(request.images.shape[1:3]):
                graphs.forget()
                return self._over_torch().run(request)
            if self._torch is not None:
                self._torch.forget()
            return graphs.run(request)
        except MemoryExceededError:
            raise
        except (Da3Error, OSError) as error:
            result = self._over_torch().run(request)
            # Torch does not refuse it: not the window is wrong, but an engine or its place.
            self._graphs, self._reason = None, str(error)
            graphs.close()
            return self._noted(result, self._reason)

    def forget(self) -> None:
        """Drop what is kept of earlier windows."""
        for network in (self._graphs, self._torch):
            if network is not None:
                network.forget()

    @property
    def _here(self) -> WindowNetwork:
        """The network that computes windows of sizes that are known."""
        if self._graphs is not None and (self._graphs.sizes or not self._graphs.beside):
            return self._graphs
        return self._over_torch()

    def _over_torch(self) -> WindowNetwork:
        if self._torch is None:
            self._torch = self._make_torch()
        return self._torch

    def _by_torch(self, request: WindowRequest, reason: str) -> WindowMaps:
        return self._noted(self._over_torch().run(request), reason)

    def _noted(self, maps: WindowMaps, reason: str) -> WindowMaps:
        note = Note('runtime_torch', f'torch computed this, not {self._asked}: {reason}')
        return replace(maps, notes=(note, *maps.notes))


@runtime_checkable
class _OfPrecision(Protocol):
    """A network that says what its number format is."""

    precision: str


@runtime_checkable
class _OfTorch(Protocol):
    """A network over torch."""

    model: DepthAnything3


def precision_of(network: WindowNetwork) -> str:
    """Return the format of a network's matrices in the words of the option; empty if unknown."""
    if isinstance(network, _OfPrecision):
        return network.precision
    if isinstance(network, _OfTorch):
        name = str(network.model.dtype).removeprefix('torch.')
        return {'float32': 'fp32', 'bfloat16': 'bf16', 'float16': 'fp16'}.get(name, name)
    return ''
