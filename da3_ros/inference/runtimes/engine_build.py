"""Engines of checkpoints: found in the store, or made there by torch on first use.

Torch is loaded only when something has to be made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.foreign import foreign_file
from da3_ros.inference.hub import CheckpointFiles
from da3_ros.inference.network_file import read_network_config
from da3_ros.inference.runtimes.engine_files import (
    PLAIN_PRECISION,
    Engine,
    GraphPrecision,
    ImageSize,
    has_graphs,
)
from da3_ros.inference.runtimes.engine_store import EngineKey, EngineStore
from da3_ros.model.config import NetworkConfig
from da3_ros.model.presets import preset

if TYPE_CHECKING:
    from da3_ros.model.build import Network

BUILDERS = ('torch', 'onnx', 'onnxscript')
"""Packages that making an engine needs."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is done now, how many steps are done, and of how many."""


class CheckpointEngine:
    """The engine of a checkpoint, with graphs for the sizes that are asked for."""

    def __init__(
        self,
        checkpoint: CheckpointFiles,
        *,
        graph_precision: GraphPrecision = PLAIN_PRECISION,
        store: EngineStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Find out which engine it is; the weights are hashed once and remembered.

        Args:
            checkpoint: its files.
            graph_precision: format of the matrices in the graphs.
            store: where engines are kept; None for that of the user.
            progress: hears of what is made.

        Raises:
            CheckpointError: the checkpoint cannot be read.
            ModelError: its network has no graphs.
        """
        self.config = read_network_config(checkpoint.config)
        require_graphs(self.config)
        self.store = store or EngineStore()
        self._progress = progress
        with foreign_file(checkpoint.weights, 'weights', CheckpointError):
            sha256 = self.store.hashes.of(checkpoint.weights)
        self.key = EngineKey(self.config.name, sha256, graph_precision)
        self._network: Callable[[], Network] = partial(_load, checkpoint, self.config)

    def find(self, size: ImageSize | None = None) -> Engine | None:
        """Return the engine if it is there; see `EngineStore.find`."""
        return self.store.find(self.key, size)

    def get(self, size: ImageSize) -> Engine:
        """Return the engine with graphs for a size (H, W), made if need be.

        Raises:
            CheckpointError: it cannot be kept, or what makes it is not installed.
            ModelError: it cannot be exported.
        """
        return self.find(size) or self.store.build(
            self.key, size, lambda folder: self._export(folder, size)
        )

    def write(self, folder: Path, size: ImageSize) -> Engine:
        """Write an engine into any folder; one of the same weights there gets the size added.

        Raises:
            CheckpointError: what makes it is not installed, or the folder cannot be written.
            ModelError: it cannot be exported, or the folder holds an engine of other weights.
        """
        try:
            return self._export(folder, size)
        except OSError as error:
            raise CheckpointError(f'{folder}: cannot be written: {error.strerror}') from error

    def _export(self, folder: Path, size: ImageSize) -> Engine:
        missing = [name for name in BUILDERS if find_spec(name) is None]
        if missing:
            raise CheckpointError(
                f'{self.config.name}: no engine for images of {size[0]}x{size[1]} (height x '
                f'width, px), and {", ".join(missing)}, which would make it, is not installed; '
                'make it on another machine: da3 compile --out'
            )
        from da3_ros.inference.runtimes.graph_export import export_stages

        if self._progress is not None:
            self._progress('load weights', 0, 1)
        return export_stages(
            self._network(),
            size,
            folder,
            graph_precision=self.key.graph_precision,
            weights_sha256=self.key.weights_sha256,
            progress=self._progress,
        )


class RandomEngine(CheckpointEngine):
    """The engine of a network with seeded random weights."""

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        store: EngineStore | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Name the network.

        Args:
            name: of a preset.
            seed: of its weights.
            store: where engines are kept; None for that of the user.
            progress: hears of what is made.

        Raises:
            ModelError: there is no such preset, or its network has no graphs.
        """
        self.config = preset(name)
        require_graphs(self.config)
        self.store = store or EngineStore()
        self._progress = progress
        sha256 = hashlib.sha256(f'random weights of {self.config.name}, seed {seed}'.encode())
        self.key = EngineKey(self.config.name, sha256.hexdigest())
        self._network = partial(_draw, self.config, seed)


def require_graphs(config: NetworkConfig) -> None:
    """Raise ModelError for a network that runs in torch only."""
    if not has_graphs(config):
        raise ModelError(f'{config.name}: nested networks run in torch only')


def _load(checkpoint: CheckpointFiles, config: NetworkConfig) -> Network:
    from da3_ros.inference.checkpoint import load_weights
    from da3_ros.model.build import build_network

    network = build_network(config)
    load_weights(network, checkpoint.weights)
    return network


def _draw(config: NetworkConfig, seed: int) -> Network:
    from da3_ros.inference.random_weights import mark_random, random_network

    network = random_network(config, seed)
    mark_random(network)
    return network
