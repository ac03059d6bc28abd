"""The scene store and the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from da3_ros.errors import StreamError
from da3_ros.stream.scene_store import SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.types import PosedSet


def posed(*stamps_ns: int) -> list[PosedSet]:
    return [PosedSet(stamp_ns, (), np.eye(4)) for stamp_ns in stamps_ns]


def test_the_store_keeps_the_newest_and_snapshots_stay_as_they_are() -> None:
    store = SceneStore(3)
    store.add(posed(*range(5)), is_metric=True)
    before = store.snapshot()
    store.add(posed(9), is_metric=False)
    after = store.snapshot()
    assert [item.stamp_ns for item in before.sets] == [2, 3, 4]
    assert [item.stamp_ns for item in after.sets] == [3, 4, 9]
    # Unit and trajectory are those of the same instant; the trajectory is whole.
    assert (before.is_metric, after.is_metric) == (True, False)
    assert [pose.stamp_ns for pose in before.trajectory.poses()] == [0, 1, 2, 3, 4]
    assert [pose.stamp_ns for pose in after.trajectory.poses()] == [0, 1, 2, 3, 4, 9]
    store.begin(7)
    store.add(posed(2), is_metric=True)
    anew = store.snapshot()
    assert (anew.generation, len(anew.sets), len(anew.trajectory.poses())) == (7, 1, 1)
    assert (before.generation, len(before.sets), len(before.trajectory.poses())) == (0, 3, 5)


def test_stats_give_counters_rates_and_percentiles() -> None:
    stats = StreamStats(100)
    for i in range(1000):
        stats.event('set', 0.05 * i)
        stats.latency('estimate', i / 1000)
    stats.count('drop', 3)
    snapshot = stats.snapshot(0.05 * 999)
    assert snapshot.counters == {'set': 1000, 'drop': 3}
    assert snapshot.rates_hz['set'] == pytest.approx(20.0)
    latency = snapshot.latencies['estimate']
    assert latency.count == 100
    assert latency.p50_s == pytest.approx(np.percentile(np.arange(900, 1000) / 1000, 50))
    assert latency.p95_s == pytest.approx(np.percentile(np.arange(900, 1000) / 1000, 95))
    assert latency.max_s == 0.999
    # A source that stopped falls towards zero.
    assert stats.snapshot(0.05 * 999 + 100).rates_hz['set'] < 1.0
    stats.clear()
    assert stats.snapshot(0.0).counters == {}


def test_a_scene_store_of_none_keeps_none() -> None:
    store = SceneStore(0)
    store.add(posed(1, 2), is_metric=True)
    assert store.snapshot().sets == ()
    assert len(store.snapshot().trajectory.poses()) == 2


def test_impossible_capacities_are_refused() -> None:
    for make in (
        lambda n: SceneStore(n - 1),
        lambda n: StreamStats(n + 1),
    ):
        with pytest.raises(StreamError, match='capacity'):
            make(0)
