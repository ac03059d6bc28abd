"""Graphs are run by several threads, as a server does that answers two users."""

from __future__ import annotations

from threading import Event, Thread
from typing import Any

import numpy as np
import pytest

from helpers.computing_threads import THREADS

openvino = pytest.importorskip('openvino')

SIZE = 16
# For a thread that must not come: it is not waited for any longer.
PATIENCE_S = 0.3


def compiled() -> Any:
    """Return a graph that doubles its input."""
    opset = openvino.opset13
    given = opset.parameter([SIZE], np.float32, name='images')
    model = openvino.Model([opset.add(given, given)], [given])
    model.inputs[0].set_names({'images'})
    return openvino.Core().compile_model(model, 'CPU', {'INFERENCE_NUM_THREADS': THREADS})


class Interrupted:
    """A request between whose inputs and computation another thread wants its turn."""

    def __init__(self, request: Any, other: Thread) -> None:
        self._request = request
        self._other: Thread | None = other
        self.has_come = Event()

    def set_tensor(self, name: str, tensor: Any) -> None:
        self._request.set_tensor(name, tensor)

    def set_output_tensor(self, index: int, tensor: Any) -> None:
        self._request.set_output_tensor(index, tensor)
        other, self._other = self._other, None
        if other is None:
            self.has_come.set()
        else:
            other.start()
            self.has_come.wait(PATIENCE_S)

    def infer(self) -> None:
        self._request.infer()


def test_a_thread_gets_the_answer_to_its_own_input() -> None:
    from da3_ros.inference.runtimes.openvino_graphs import OpenVinoGraph

    graph = OpenVinoGraph(compiled())
    found: dict[float, np.ndarray] = {}

    def ask(value: float) -> None:
        (found[value],) = graph.run({'images': np.full(SIZE, value, np.float32)}, (SIZE,))

    other = Thread(target=ask, args=(3.0,))
    graph._request = Interrupted(graph._request, other)
    ask(1.0)
    other.join()
    for value, answer in found.items():
        np.testing.assert_array_equal(answer, 2 * value)
    assert len(found) == 2
