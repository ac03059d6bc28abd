"""Graphs compiled by OpenVINO for the CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ModelError
from da3_ros.foreign import reason_of
from da3_ros.inference.runtimes.compiled_forms import CompiledForm, let_go, processor_name
from da3_ros.inference.runtimes.engine_files import WEIGHTS_NAME, StageName
from da3_ros.inference.runtimes.file_pages import forget_code, forget_pages, trim_heap
from da3_ros.inference.runtimes.graph_compiler import Floats, Shape, checked
from da3_ros.inference.runtimes.packages import load_runtime

NARROW_STAGES: frozenset[str] = frozenset(('fuse',))
"""Stages that compute in 16 bit where that is asked for.

The choice of the reference view compares views by smaller differences than bf16 moves the class
tokens of `encode`: of windows of photographs, 3 to 5 in 100 had another reference, and half were
nearer to a tie than that error. What stays is less than `decode` in bf16 takes of the depth's
accuracy alone.
"""


class OpenVinoGraph:
    """A graph compiled by OpenVINO."""

    def __init__(
        self, compiled: Any, settle: Callable[[], None], *, is_fixed: bool, form: Any = None
    ) -> None:
        """Make a compiled model ready to run.

        Args:
            compiled: it.
            settle: gives memory back that only loading and the first run need.
            is_fixed: whether all its shapes are. Where they are not, OpenVINO computes into memory
                of its own, and would copy from there into any other.
            form: memory that it was loaded from, which it goes on using.
        """
        import openvino

        self._tensor = openvino.Tensor
        self._request = compiled.create_infer_request()
        self._is_fixed = is_fixed
        self._form = form
        self._settle: Callable[[], None] | None = settle
        settle()

    def run(self, inputs: Mapping[str, NDArray[np.generic]], *shapes: Shape) -> list[Floats]:
        """Compute; see `Graph.run`."""
        results: list[Floats] = []
        try:
            for name, array in inputs.items():
                self._set(name, array)
            if self._is_fixed:
                results = [np.empty(shape, np.float32) for shape in shapes]
                for index, result in enumerate(results):
                    tensor = self._tensor(result, shared_memory=True)
                    self._request.set_output_tensor(index, tensor)
            # Else it would copy all outputs to return them.
            self._request.infer(share_outputs=True)
            if not self._is_fixed:
                found = (self._request.get_output_tensor(place) for place in range(len(shapes)))
                results = [tensor.data for tensor in found]
        except RuntimeError as error:
            raise ModelError(f'OpenVINO cannot compute a graph: {reason_of(error)}') from error
        if self._settle is not None:
            self._settle()
            self._settle = None
        return checked(results, shapes)

    def _set(self, name: str, array: NDArray[np.generic]) -> None:
        """Hand an input over."""
        if self._is_fixed:
            # It has memory for it, and would keep the array alive until there is another.
            self._request.get_tensor(name).data[...] = array
        else:
            self._request.set_tensor(name, self._tensor(array, shared_memory=True))


class OpenVinoCompiler:
    """Compiles graphs for the CPU."""

    name = 'openvino'
    device = 'cpu'

    def __init__(self, *, precision: str, threads: int | None = None) -> None:
        """Start OpenVINO.

        Args:
            precision: `fp32`, or `bf16` for 16 bit where that keeps its bounds and the processor
                has instructions for it: emulated it would take longer than float32.
            threads: that compute; None for OpenVINO's own choice.

        Raises:
            ModelError: OpenVINO is not installed, or the precision is not one of the two.
        """
        if precision not in ('fp32', 'bf16'):
            raise ModelError(f'runtime openvino: precision must be fp32 or bf16, got {precision}')
        openvino = load_runtime('openvino')
        self._core = openvino.Core()
        self._tensor = openvino.Tensor
        self._libraries = Path(str(openvino.__file__)).parent
        self._compiled_by = f'OpenVINO {openvino.get_version()} for {processor_name()}'
        self._is_narrow = precision == 'bf16' and _has_bf16(self._core)
        self._settings: dict[str, Any] = {
            'PERFORMANCE_HINT': 'LATENCY',
            'NUM_STREAMS': 1,
            # What is kept of a compiled graph refers to the engine's weights, and holds none.
            'CACHE_MODE': 'OPTIMIZE_SIZE',
        }
        if threads is not None:
            self._settings['INFERENCE_NUM_THREADS'] = threads

    def load(
        self, path: Path, stage: StageName, batch: int | None, identity: str
    ) -> OpenVinoGraph:
        """Compile a graph, or take its compiled form; see `GraphCompiler.load`."""
        is_narrow = self._is_narrow and stage in NARROW_STAGES
        # By default OpenVINO computes in bf16 wherever the CPU can.
        settings = {**self._settings, 'INFERENCE_PRECISION_HINT': 'bf16' if is_narrow else 'f32'}
        made_of = (identity, self._compiled_by, str(batch), str(sorted(settings.items())))
        form = CompiledForm(path, self.name, made_of)
        graph = self._imported(path, form, settings, is_fixed=batch is not None)
        return self._compiled(path, form, settings, batch) if graph is None else graph

    def _imported(
        self, path: Path, form: CompiledForm, settings: Mapping[str, Any], *, is_fixed: bool
    ) -> OpenVinoGraph | None:
        """Return a graph from its compiled form; None where there is none that can be loaded."""
        content = form.read()
        if content is None:
            return None

        def settle() -> None:
            let_go(content)
            self._settle(path)

        weights = {'WEIGHTS_PATH': str(path.parent / WEIGHTS_NAME)}
        tensor = self._tensor(np.frombuffer(content, np.uint8), shared_memory=True)
        try:
            compiled = self._core.import_model(tensor, 'CPU', {**settings, **weights})
            return OpenVinoGraph(compiled, settle, is_fixed=is_fixed, form=tensor)
        except RuntimeError:
            return None

    def _compiled(
        self, path: Path, form: CompiledForm, settings: Mapping[str, Any], batch: int | None
    ) -> OpenVinoGraph:
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
            # It computes also where nothing can be kept of it.
            with suppress(RuntimeError, MemoryError):
                form.write(compiled.export_model().getbuffer())
            settle = partial(self._settle, path)
            return OpenVinoGraph(compiled, settle, is_fixed=batch is not None)
        except RuntimeError as error:
            raise ModelError(f'{path}: OpenVINO cannot compile it: {reason_of(error)}') from error

    def _settle(self, graph: Path) -> None:
        # The compiled graph has the weights in a layout of its own.
        forget_pages(graph.parent / WEIGHTS_NAME)
        forget_code(self._libraries)
        trim_heap()


def _has_bf16(core: Any) -> bool:
    return 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
