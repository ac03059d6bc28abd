"""Engines of checkpoints: found in the store, or made there by torch on first use.

Torch is loaded only when something has to be made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
import logging
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from da3_ros.errors import CheckpointError, Da3Error, ModelError
from da3_ros.foreign import foreign_file, plain_path, reason_of
from da3_ros.inference.hub import CheckpointFiles
from da3_ros.inference.network_file import read_network_config
from da3_ros.inference.runtimes.engine_files import (
    MAX_SIDE,
    PLAIN_PRECISION,
    Engine,
    GraphPrecision,
    ImageSize,
    has_graphs,
    size_text,
)
from da3_ros.inference.runtimes.engine_store import EngineKey, EngineStore
from da3_ros.inference.runtimes.packages import missing_builders
from da3_ros.model.config import NetworkConfig

if TYPE_CHECKING:
    from da3_ros.model.build import Network

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with what is done now, how many steps are done, and of how many; at the end with all."""

_logger = logging.getLogger(__name__)


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
        self._weights = checkpoint.weights
        self.key = EngineKey(self.config.name, self._hash(checkpoint.weights), graph_precision)
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
            CheckpointError: what makes it is not installed, the weights have changed meanwhile, or
                the folder cannot be written.
            ModelError: it cannot be exported, or the folder holds an engine of other weights.
        """
        try:
            return self._export(folder, size)
        except OSError as error:
            raise CheckpointError(f'{folder}: cannot be written: {reason_of(error)}') from error

    def require_own(self, engine: Engine) -> None:
        """Raise ModelError for an engine of other weights or of other numbers."""
        if self.key.is_of(engine) and engine.config == self.config:
            return
        raise ModelError(
            f'{plain_path(engine.folder)}: holds graphs of other weights ({engine.config.name}, '
            f'{engine.precision}, {engine.weights_sha256[:12]}), expected {self.key.model_name}, '
            f'{self.key.graph_precision}, {self.key.weights_sha256[:12]}; use another folder'
        )

    def _export(self, folder: Path, size: ImageSize) -> Engine:
        require_builders(self.config, size)
        if max(size) > MAX_SIDE:
            raise ModelError(
                f'{self.config.name}: expected images of at most {MAX_SIDE} px a side for graphs, '
                f'got {size_text(size)} (height x width); runtime torch takes them'
            )
        if self._progress is None:
            _logger.warning(
                '%s: building graphs for images of %s (height x width, px); this takes a minute '
                'or more, once', self.config.name, size_text(size),
            )  # fmt: skip
        else:
            self._progress('load weights', 0, 1)
        try:
            self._require_unchanged()
            engine = self._exported(folder, size)
        except (Da3Error, OSError):
            raise
        except Exception as error:
            # Of the exporter and what it builds on, another version than was seen.
            raise ModelError(
                f'{self.config.name}: its graphs cannot be built: {reason_of(error)}'
            ) from error
        finally:
            # Also where it was interrupted: a bar is to go, and the cursor to come back.
            if self._progress is not None:
                self._progress('end', 1, 1)
        return engine

    def _exported(self, folder: Path, size: ImageSize) -> Engine:
        from da3_ros.inference.runtimes.graph_export import export_stages

        network = self._network()
        # What was loaded is of the key only if the file was the same before and after.
        self._require_unchanged()
        return export_stages(
            network,
            size,
            folder,
            graph_precision=self.key.graph_precision,
            weights_sha256=self.key.weights_sha256,
            progress=self._progress,
        )

    def _hash(self, weights: Path) -> str:
        with foreign_file(weights, 'weights', CheckpointError):
            return self.store.hashes.of(weights)

    def _require_unchanged(self) -> None:
        if self._hash(self._weights) != self.key.weights_sha256:
            raise CheckpointError(
                f'weights {plain_path(self._weights)}: they have changed since they were opened; '
                'load the model again'
            )


def require_graphs(config: NetworkConfig) -> None:
    """Raise ModelError for a network that runs in torch only."""
    if not has_graphs(config):
        raise ModelError(f'{config.name}: nested networks run in torch only')


def require_builders(config: NetworkConfig, size: ImageSize) -> None:
    """Raise CheckpointError when what makes engines is not installed."""
    missing = missing_builders()
    if missing:
        raise CheckpointError(
            f'{config.name}: there is no engine for images of {size_text(size)} (height x width, '
            f'px); to build one {", ".join(missing)} must be installed; else build it on another '
            'machine: da3 compile --out'
        )


def _load(checkpoint: CheckpointFiles, config: NetworkConfig) -> Network:
    from da3_ros.inference.checkpoint import load_weights
    from da3_ros.model.build import build_network

    network = build_network(config)
    load_weights(network, checkpoint.weights)
    return network
