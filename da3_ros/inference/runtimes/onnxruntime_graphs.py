"""Graphs run by ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.foreign import reason_of
from da3_ros.inference.runtimes.engine_files import StageName
from da3_ros.inference.runtimes.graph_compiler import Floats, Shape, checked
from da3_ros.inference.runtimes.packages import load_runtime


class OnnxRuntimeGraph:
    """A session of ONNX Runtime."""

    def __init__(self, session: Any) -> None:
        """Take a session."""
        self._session = session
        self._names = [output.name for output in session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[np.generic]], *shapes: Shape) -> list[Floats]:
        """Compute; see `Graph.run`."""
        try:
            results: list[Floats] = self._session.run(self._names, dict(inputs))
        except Exception as error:
            # Of classes of its own that all derive from Exception.
            raise ModelError(f'ONNX Runtime cannot compute a graph: {reason_of(error)}') from error
        return checked(results, shapes)


class OnnxRuntimeCompiler:
    """Makes sessions on the CPU."""

    name = 'onnxruntime'
    device = 'cpu'

    def __init__(self, *, precision: str, threads: int | None = None) -> None:
        """Start ONNX Runtime.

        Args:
            precision: `fp32`; it has no fast 16 bit on CPUs.
            threads: that compute; None for its own choice.

        Raises:
            ModelError: it is not installed, or the precision is not `fp32`.
        """
        if precision != 'fp32':
            raise ModelError(f'runtime onnxruntime: computes in fp32 on a CPU, got {precision}')
        onnxruntime = load_runtime('onnxruntime')
        self._session = onnxruntime.InferenceSession
        self._options = onnxruntime.SessionOptions()
        self._options.log_severity_level = 3
        if threads is not None:
            self._options.intra_op_num_threads = threads

    def load(
        self, path: Path, stage: StageName, batch: int | None, identity: str
    ) -> OnnxRuntimeGraph:
        """Make a session; see `GraphCompiler.load`. The size of the first dimension stays free."""
        del stage, batch, identity
        try:
            session = self._session(str(path), self._options, providers=['CPUExecutionProvider'])
        except Exception as error:
            # Of classes of its own that all derive from Exception.
            raise ModelError(f'{path}: ONNX Runtime cannot load it: {reason_of(error)}') from error
        return OnnxRuntimeGraph(session)
