"""Two threads compute windows by the same graphs, as a server does that answers two users."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from da3_ros.inference.runtimes.engine_files import Engine
from da3_ros.inference.runtimes.graph_runtime import GraphAnyView
from da3_ros.inference.staged_network import StagedNetwork
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from helpers.opened_engines import RUNTIMES, open_engine

SIZE = (42, 70)
WINDOWS = 12


def windows(seed: int) -> list[WindowRequest]:
    """Return windows of one to three views of noise."""
    rng = np.random.default_rng(seed)
    return [
        WindowRequest(rng.integers(0, 256, (1 + index % 3, *SIZE, 3), np.uint8))
        for index in range(WINDOWS)
    ]


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_threads_get_the_answers_to_their_own_windows(
    runtime: str, any_view_engine: Engine
) -> None:
    compiled = open_engine(any_view_engine, runtime)
    assert isinstance(compiled, GraphAnyView)
    network = StagedNetwork(compiled, model_name='graph-any')

    def answers(seed: int) -> list[WindowMaps]:
        return [network.run(window) for window in windows(seed)]

    expected = [answers(seed) for seed in (1, 2)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(answers, (1, 2)))
    for mine, alone in zip(found, expected, strict=True):
        for result, right in zip(mine, alone, strict=True):
            np.testing.assert_array_equal(result.depth, right.depth)
            np.testing.assert_array_equal(result.extrinsics, right.extrinsics)
