"""The hand-over between threads, the scene store, the numbers."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from da3_ros.errors import StreamError
from da3_ros.stream.latest_slot import LatestSlot
from da3_ros.stream.scene_store import SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.types import PosedSet


def test_the_newest_items_win() -> None:
    slot: LatestSlot[int] = LatestSlot(2)
    assert [slot.put(i) for i in range(5)] == [0, 0, 1, 1, 1]
    assert [slot.get(0.0), slot.get(0.0), slot.get(0.0)] == [3, 4, None]
    assert slot.dropped == 3


def test_every_item_is_taken_or_counted_as_dropped() -> None:
    slot: LatestSlot[int] = LatestSlot(3)
    taken: list[int] = []

    def work() -> None:
        while (item := slot.get(None)) is not None:
            taken.append(item)

    workers = [threading.Thread(target=work) for _ in range(2)]
    givers = [
        threading.Thread(target=lambda k=k: [slot.put(k * 2000 + i) for i in range(2000)])
        for k in range(3)
    ]
    for thread in workers + givers:
        thread.start()
    for thread in givers:
        thread.join(10)
    slot.close()
    for thread in workers:
        thread.join(10)
        assert not thread.is_alive()
    assert len(taken) == len(set(taken))
    assert len(taken) + slot.dropped == 6000


def test_closing_wakes_who_waits_and_refuses_new_items() -> None:
    slot: LatestSlot[int] = LatestSlot()
    got: list[int | None] = []
    waiting = threading.Thread(target=lambda: got.append(slot.get(None)))
    waiting.start()
    slot.close()
    waiting.join(10)
    assert got == [None]
    assert slot.is_closed
    assert slot.put(1) == 1
    assert slot.get(0.0) is None


def test_clear_drops_what_is_kept() -> None:
    slot: LatestSlot[int] = LatestSlot(3)
    slot.put(1)
    slot.put(2)
    assert slot.clear() == 2
    assert slot.get(0.0) is None
    assert slot.dropped == 2


def test_the_store_keeps_the_newest_and_snapshots_stay_as_they_are() -> None:
    store = SceneStore(3)
    for i in range(5):
        store.add(PosedSet(i, (), np.eye(4)))
    before = store.snapshot()
    store.add(PosedSet(9, (), np.eye(4)))
    assert [item.stamp_ns for item in before] == [2, 3, 4]
    assert [item.stamp_ns for item in store.snapshot()] == [3, 4, 9]
    store.clear()
    assert len(store) == 0


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
    store.add(PosedSet(1, (), np.eye(4)))
    assert store.snapshot() == ()


def test_impossible_capacities_are_refused() -> None:
    for make in (
        LatestSlot,
        lambda n: SceneStore(n - 1),
        lambda n: StreamStats(n + 1),
    ):
        with pytest.raises(StreamError, match='capacity'):
            make(0)
