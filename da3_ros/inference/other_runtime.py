"""Scenes of a `DepthAnything3` in another runtime than torch, where its option says so."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
import shutil
import tempfile
import weakref

import torch

from da3_ros.errors import CheckpointError, Da3Error, ModelError
from da3_ros.inference.forward_pass import Answer, ForwardPass
from da3_ros.inference.given_cameras import GivenCameras
from da3_ros.inference.hub import HubOptions, find_checkpoint
from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.preprocess import ProcessedImages
from da3_ros.inference.runner import NetworkRunner
from da3_ros.inference.runtimes.engine_store import MAX_SIZES
from da3_ros.inference.runtimes.graph_runtime import image_size_of
from da3_ros.inference.runtimes.packages import asked_runtime, is_installed, require_runtime
from da3_ros.inference.runtimes.stored_graphs import StoredGraphs
from da3_ros.inference.runtimes.weight_state import WeightState
from da3_ros.inference.scene_request import SceneRequest
from da3_ros.inference.window_pass import by_windows, torch_reason
from da3_ros.model.presets import BUNDLED
from da3_ros.notes import Note
from da3_ros.options.choices import RUNTIMES, Runtime
from da3_ros.options.network import NETWORK

_TOO_MANY_SIZES = (
    f'graphs of {MAX_SIZES} image sizes are made of a model, and these images are of one more; '
    'runtime openvino makes them too'
)


class OtherRuntime:
    """Which runtime computes the scenes of a model, opened when a scene first needs it.

    With `auto` that is OpenVINO for a checkpoint on the CPU whose weights nobody has changed since
    it was loaded, where OpenVINO is installed; what it cannot do, torch does, and da3-nano. A
    runtime that is named also takes weights that are in memory only.

    Args:
        runtime: as the option.
        source: checkpoint that the weights are of; None for weights of no file.
        hub: how the hub was asked for it.

    Raises:
        ModelError: there is no such runtime, or it is not installed.
    """

    def __init__(
        self,
        runtime: Runtime,
        source: str | Path | None = None,
        hub: HubOptions | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise ModelError(f'runtime: expected one of {", ".join(RUNTIMES)}, got {runtime!r}')
        if runtime != 'auto':
            require_runtime(runtime)
        self.runtime = runtime
        self._source = source
        # It is here now.
        self._hub = replace(hub or HubOptions(), force_download=False, local_files_only=True)
        self._weights: WeightState | None = None
        self._loaded: Hashable = None
        self._path: Path | None = None
        self._file: Hashable = None
        self._opened: Hashable = None
        self._network: StoredGraphs | None = None
        self._remove_weights: Callable[[], object] = _nothing
        self._failure = ''

    @property
    def opened(self) -> str:
        """Which runtime is in use now; torch before any scene."""
        if self._network is None or self._failure:
            return 'torch'
        return self._network.runtime

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Copy what was asked for; a copy opens its own."""
        return type(self), (self.runtime, self._source, self._hub)

    def watch(self, model: NetworkRunner) -> None:
        """Take the weights that a model has now for those of its checkpoint."""
        if self.runtime != 'torch':
            self._loaded = self._now(model)
            if self._source is not None:
                # Where it is gone already, its weights are in memory only.
                with suppress(CheckpointError):
                    self._path = find_checkpoint(self._source, self._hub).weights
            self._file = self._file_now()

    def forward_pass(
        self,
        model: NetworkRunner,
        request: SceneRequest,
        by_torch: ForwardPass,
        save: Callable[[str], None],
    ) -> ForwardPass:
        """Return what computes a request.

        Args:
            model: which is asked.
            request: what of it.
            by_torch: computes it too.
            save: writes the checkpoint of the model into a folder.

        Raises:
            ModelError: the model is where the runtime that was named is not.
        """
        runtime = asked_runtime(self.runtime)
        if runtime == 'torch' or (runtime == 'auto' and not self._suits(model)):
            return by_torch
        reason = torch_reason(model.model.config, request.forward)
        if reason:
            return by_torch if runtime == 'auto' else _noting(by_torch, runtime, reason)
        if model.device.type != 'cpu':
            raise ModelError(
                f'runtime {runtime} computes on the CPU, the model is on {model.device}; use '
                'runtime torch, or model.to("cpu")'
            )
        if runtime != 'auto':
            return by_windows(self._current(model, save), request)

        def run(processed: ProcessedImages, given: GivenCameras) -> Answer:
            if not self._has_failed(model):
                try:
                    network = self._current(model, save)
                    if not network.is_ready(image_size_of(processed.images)):
                        return _noting(by_torch, 'openvino', _TOO_MANY_SIZES)(processed, given)
                    return by_windows(network, request)(processed, given)
                except MemoryExceededError:
                    raise
                except (Da3Error, OSError) as error:
                    # Whatever the reason is, torch is there: no engine, no place to keep one.
                    self._failure = str(error)
            return _noting(by_torch, 'openvino', self._failure)(processed, given)

        return run

    def _suits(self, model: NetworkRunner) -> bool:
        """Whether `auto` is another runtime than torch."""
        return (
            self._source is not None
            and self._source not in BUNDLED
            and model.device.type == 'cpu'
            and is_installed('openvino')
            and self._has_weights_of_file(model)
        )

    def _has_weights_of_file(self, model: NetworkRunner) -> bool:
        """Whether the weights are those of the checkpoint as it was when they were loaded."""
        is_same = self._file is not None and self._file_now() == self._file
        return is_same and self._now(model) == self._loaded

    def _file_now(self) -> Hashable:
        """Return what is equal as long as nobody changes the weights file; None without one."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns

    def _now(self, model: NetworkRunner) -> Hashable:
        """Return what is equal as long as nobody changes the weights."""
        if self._weights is None:
            self._weights = WeightState(model)
        return self._weights.now()

    def _current(self, model: NetworkRunner, save: Callable[[str], None]) -> StoredGraphs:
        """Return the network of the weights that a model has now."""
        self._has_failed(model)
        if self._network is None:
            self._network = self._open(model, save)
        return self._network

    def _has_failed(self, model: NetworkRunner) -> bool:
        """Whether the weights that a model has now could not be computed here; drops others."""
        state = (self._now(model), model.precision)
        if state != self._opened:
            self._remove_weights()
            self._network, self._remove_weights, self._failure = None, _nothing, ''
            self._opened = state
        return bool(self._failure)

    def _open(self, model: NetworkRunner, save: Callable[[str], None]) -> StoredGraphs:
        asked = asked_runtime(self.runtime)
        runtime: Runtime = 'openvino' if asked == 'auto' else asked
        options = replace(
            NETWORK,
            runtime=runtime,
            precision=model.precision,
            threads=torch.get_num_threads(),
        )
        config = model.model.config
        if self._source is not None and self._has_weights_of_file(model):
            checkpoint = find_checkpoint(self._source, self._hub)
            return StoredGraphs(str(checkpoint.weights.parent), config, options)
        # Engines are made of a file, and known by its hash.
        folder = tempfile.mkdtemp(prefix='da3_ros-weights-')
        self._remove_weights = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        save(folder)
        return StoredGraphs(folder, config, options)


def _nothing() -> None:
    pass


def _noting(forward: ForwardPass, runtime: str, reason: str) -> ForwardPass:
    """Return a forward pass of torch that says why it is not that of another runtime."""
    note = Note('runtime_torch', f'torch computed this, not {runtime}: {reason}')

    def run(processed: ProcessedImages, given: GivenCameras) -> Answer:
        answer = forward(processed, given)
        notes = (note.text, *answer.prediction.notes)
        return replace(answer, prediction=replace(answer.prediction, notes=notes))

    return run
