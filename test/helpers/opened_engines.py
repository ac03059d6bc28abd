"""Engines opened in one of the runtimes, skipping where it is not installed."""

import pytest

from da3_ros.inference.runtimes.engine_files import Engine
from da3_ros.inference.runtimes.graph_compiler import GraphCompiler
from da3_ros.inference.runtimes.graph_runtime import (
    EngineGraphs,
    GraphAnyView,
    GraphSingleView,
    graph_network,
)
from helpers.computing_threads import THREADS

RUNTIMES = ('openvino', 'onnxruntime')


def open_engine(
    engine: Engine, runtime: str, precision: str = 'fp32'
) -> GraphAnyView | GraphSingleView:
    pytest.importorskip(runtime, reason=f'{runtime} is not installed')
    compiler: GraphCompiler
    if runtime == 'openvino':
        from da3_ros.inference.runtimes.openvino_graphs import OpenVinoCompiler

        compiler = OpenVinoCompiler(precision=precision, threads=THREADS)
    else:
        from da3_ros.inference.runtimes.onnxruntime_graphs import OnnxRuntimeCompiler

        compiler = OnnxRuntimeCompiler(precision=precision, threads=THREADS)
    return graph_network(EngineGraphs(engine, compiler))
