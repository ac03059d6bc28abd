"""Graphs are run by several threads, as a server does that answers two users."""

from __future__ import annotations

from threading import Thread
from typing import Any

import numpy as np
import pytest

from helpers.computing_threads import THREADS

openvino = pytest.importorskip('openvino')

SIZE = 1_000_000


def compiled() -> Any:
    """Return a graph whose output is its input, after long enough work for threads to meet."""
    opset = openvino.opset13
    given = opset.parameter([SIZE], np.float32, name='images')
    value = given
    for _ in range(4):
        value = opset.log(opset.exp(value))
    model = openvino.Model([value], [given])
    model.inputs[0].set_names({'images'})
    return openvino.Core().compile_model(model, 'CPU', {'INFERENCE_NUM_THREADS': THREADS})


def test_a_thread_gets_the_answer_to_its_own_input() -> None:
    from da3_ros.inference.runtimes.openvino_graphs import OpenVinoGraph

    graph = OpenVinoGraph(compiled())
    wrong: list[float] = []

    def ask(value: float) -> None:
        given = np.full(SIZE, value, np.float32)
        for _ in range(20):
            (found,) = graph.run({'images': given}, (SIZE,))
            if not np.allclose(found, value, atol=1e-3):
                wrong.append(value)

    threads = [Thread(target=ask, args=(value,)) for value in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
