"""Graphs compiled by OpenVINO for the CPU."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.foreign import reason_of
from da3_ros.inference.runtimes.engine_files import WEIGHTS_NAME, StageName
from da3_ros.inference.runtimes.file_pages import forget_pages
from da3_ros.inference.runtimes.graph_compiler import Floats, Shape
from da3_ros.inference.runtimes.packages import load_runtime

NARROW_STAGES: frozenset[str] = frozenset(('fuse',))
"""Stages that compute in 16 bit where that is asked for.

In bf16 the class tokens of `encode` change the choice of the reference view, and `decode` and
`encode` cost more of the depth's accuracy than all of `fuse`.
"""


class OpenVinoGraph:
    """A graph compiled by OpenVINO."""

    def __init__(self, compiled: Any) -> None:
        """Make a compiled model ready to run."""
        import openvino

        self._tensor = openvino.Tensor
        self._request = compiled.create_infer_request()
        # Of two threads one would compute with the other's inputs.
        self._lock = threading.Lock()
        self._outputs = len(compiled.outputs)

    def run(self, inputs: Mapping[str, NDArray[np.generic]], *shapes: Shape) -> list[Floats]:
        """Compute; see `Graph.run`."""
        results: list[Floats] = [np.empty(shape, np.float32) for shape in shapes]
        try:
            with self._lock:
                for name, array in inputs.items():
                    self._request.set_tensor(name, self._tensor(array, shared_memory=True))
                for index, result in enumerate(results):
                    out = self._tensor(result, shared_memory=True)
                    self._request.set_output_tensor(index, out)
                self._request.infer()
        except RuntimeError as error:
            raise ModelError(f'OpenVINO cannot compute a graph: {reason_of(error)}') from error
        return results


class OpenVinoCompiler:
    """Compiles graphs for the CPU."""

    name = 'openvino'
    device = 'cpu'

    def __init__(self, *, precision: str, threads: int | None = None) -> None:
        """Start OpenVINO.

        Args:
            precision: `fp32`, or `bf16` for 16 bit where that keeps its bounds.
            threads: that compute; None for OpenVINO's own choice.

        Raises:
            ModelError: OpenVINO is not installed, or the precision is not one of the two.
        """
        if precision not in ('fp32', 'bf16'):
            raise ModelError(f'runtime openvino: precision must be fp32 or bf16, got {precision}')
        self._core = load_runtime('openvino').Core()
        self._precision = precision
        self._settings: dict[str, Any] = {'PERFORMANCE_HINT': 'LATENCY', 'NUM_STREAMS': 1}
        if threads is not None:
            self._settings['INFERENCE_NUM_THREADS'] = threads

    def load(self, path: Path, stage: StageName, batch: int | None) -> OpenVinoGraph:
        """Compile a graph; see `GraphCompiler.load`."""
        is_narrow = self._precision == 'bf16' and stage in NARROW_STAGES
        # By default OpenVINO computes in bf16 wherever the CPU can.
        settings = {**self._settings, 'INFERENCE_PRECISION_HINT': 'bf16' if is_narrow else 'f32'}
        try:
            model = self._core.read_model(path)
            if batch is not None:
                model.reshape(
                    {
                        port.get_any_name(): [batch, *list(port.get_partial_shape())[1:]]
                        for port in model.inputs
                    }
                )
            compiled = self._core.compile_model(model, 'CPU', settings)
        except RuntimeError as error:
            raise ModelError(f'{path}: OpenVINO cannot compile it: {reason_of(error)}') from error
        # The compiled graph has the weights in a layout of its own.
        forget_pages(path.parent / WEIGHTS_NAME)
        return OpenVinoGraph(compiled)
