"""An estimator that forgets goes on like one that begins: bit by bit, over every runtime."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes.engine_files import Engine
from da3_ros.inference.runtimes.graph_runtime import GraphAnyView
from da3_ros.inference.staged_network import SingleViewStaged, StagedNetwork
from da3_ros.inference.window_cache import WindowCache
from da3_ros.model.config import NetworkConfig
from da3_ros.pipeline.every_frame import every_result
from da3_ros.types import CameraFrame, ForgetsViews, WindowResult
from helpers.opened_engines import RUNTIMES, open_engine
from helpers.tiny import NESTED
from helpers.whole_runs import bits, offline

from .conftest import ANY_VIEW, SINGLE_VIEW, SIZES

HEIGHT, WIDTH = SIZES[0]
CAMERA = PinholeCamera.from_focal(60, 60, WIDTH / 2, HEIGHT / 2, ImageSize(HEIGHT, WIDTH))
SETS = 6
EVERY = 2
"""Windows between two moments at which a run may be cut."""
Cut = tuple[int, bytes | None]
"""How many results there were, and the state."""


class Computed(list[tuple[int, int]]):
    """Of every look into what is kept of views: how many there were, how many were computed."""


@pytest.fixture(autouse=True)
def computed(monkeypatch: pytest.MonkeyPatch) -> Computed:
    looks = Computed()
    plain = WindowCache.results

    def counted(
        cache: WindowCache[object],
        count: int,
        keys: Sequence[Hashable] | None,
        state: Hashable,
        compute: Callable[[Sequence[int]], Sequence[object]],
    ) -> list[object]:
        missing: list[int] = []

        def noted(places: Sequence[int]) -> Sequence[object]:
            missing.extend(places)
            return compute(places)

        found = plain(cache, count, keys, state, noted)
        looks.append((count, len(missing)))
        return found

    monkeypatch.setattr(WindowCache, 'results', counted)
    return looks


def frames(cameras: tuple[str, ...]) -> list[CameraFrame]:
    rng = np.random.default_rng(7)
    return [
        CameraFrame(
            camera,
            index * 100_000_000,
            f'{camera}_optical_frame',
            rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8),
            CAMERA,
        )
        for index in range(SETS)
        for camera in cameras
    ]


def graphs(engine: Engine, runtime: str) -> Da3Estimator:
    opened = open_engine(engine, runtime)
    if isinstance(opened, GraphAnyView):
        return Da3Estimator(StagedNetwork(opened, model_name='any'), process_res=WIDTH)
    return Da3Estimator(SingleViewStaged(opened, model_name='single'), process_res=WIDTH)


def torch_of(config: NetworkConfig) -> Callable[[], Da3Estimator]:
    return lambda: Da3Estimator(
        DepthAnything3(network=random_network(config, 3)),
        process_res=WIDTH,
    )


def cut_run(
    estimator: Da3Estimator, cameras: tuple[str, ...], window: int, resumed: Cut | None = None
) -> tuple[list[WindowResult], list[Cut]]:
    """Return what comes of an input by an estimator that forgets at every cut, and the cuts."""
    pipeline = offline(estimator, cameras, window=window)
    results: list[WindowResult] = []
    cuts: list[Cut] = []
    before, state = resumed or (0, None)
    for result in every_result(pipeline, frames(cameras), print, state):
        assert result.new_sets
        results.append(result)
        if (before + len(results)) % EVERY == 0:
            assert isinstance(estimator, ForgetsViews)
            estimator.forget()
            cuts.append((before + len(results), pipeline.state()))
    return results, cuts


def require_same_from_every_cut(
    make: Callable[[], Da3Estimator], cameras: tuple[str, ...], window: int
) -> None:
    """Require that an estimator that begins at a cut gives what one gives that forgot there."""
    results, cuts = cut_run(make(), cameras, window)
    assert len(results) == SETS
    assert len(cuts) == SETS // EVERY
    for cut in cuts:
        rest, _ = cut_run(make(), cameras, window, cut)
        assert bits(rest) == bits(results[cut[0] :])


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_graphs(any_view_engine: Engine, single_view_engine: Engine, runtime: str) -> None:
    require_same_from_every_cut(lambda: graphs(any_view_engine, runtime), ('a', 'b'), 2)
    require_same_from_every_cut(lambda: graphs(single_view_engine, runtime), ('a',), 1)


@pytest.mark.parametrize(
    ('config', 'cameras', 'window'),
    [(ANY_VIEW, ('a', 'b'), 2), (SINGLE_VIEW, ('a',), 1), (NESTED, ('a',), 3)],
    ids=['any view', 'single view', 'nested'],
)
def test_torch(config: NetworkConfig, cameras: tuple[str, ...], window: int) -> None:
    require_same_from_every_cut(torch_of(config), cameras, window)


@pytest.mark.parametrize('config', [ANY_VIEW, NESTED], ids=['any view', 'nested'])
def test_views_are_computed_again_and_once(config: NetworkConfig, computed: Computed) -> None:
    estimator = torch_of(config)()
    last: list[Computed] = []
    for _ in every_result(offline(estimator, ('a',), window=3), frames(('a',)), print):
        last.append(Computed(computed))
        computed.clear()
        if len(last) == 4:
            estimator.forget()
    assert {count - new for count, new in last[3]} == {2}
    assert {count - new for count, new in last[4]} == {0}
    assert {count - new for count, new in last[5]} == {2}


@pytest.mark.parametrize('runtime', RUNTIMES)
def test_views_of_graphs_are_computed_again(
    any_view_engine: Engine, runtime: str, computed: Computed
) -> None:
    estimator = graphs(any_view_engine, runtime)
    for number, _ in enumerate(every_result(offline(estimator, ('a',)), frames(('a',)), print)):
        if number == 3:
            computed.clear()
            estimator.forget()
    assert [count - new for count, new in computed] == [0, 0, 2, 2]
