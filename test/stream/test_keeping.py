"""The hand-over between threads, the scene store, the trajectory, the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.stream.latest_slot import LatestSlot
from da3_ros.stream.pose_log import PoseLog
from da3_ros.stream.scene_store import SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.trajectory import Trajectory
from da3_ros.types import PosedSet
from helpers.stream_builders import PERIOD_NS, drive


def test_the_newest_items_win() -> None:
    slot: LatestSlot[int] = LatestSlot(2)
    assert [slot.put(i) for i in range(5)] == [0, 0, 1, 1, 1]
    assert [slot.take(), slot.take(), slot.take()] == [3, 4, None]
    assert slot.dropped == 3


def test_clear_drops_what_is_kept() -> None:
    slot: LatestSlot[int] = LatestSlot(3)
    slot.put(1)
    slot.put(2)
    assert slot.clear() == 2
    assert slot.take() is None
    assert slot.dropped == 2


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
    assert (anew.generation, len(anew.sets), len(anew.trajectory)) == (7, 1, 1)
    assert (before.generation, len(before.sets), len(before.trajectory)) == (0, 3, 5)


def test_a_trajectory_is_bounded_and_goes_forward_only() -> None:
    trajectory = Trajectory(4)
    assert trajectory.latest is None
    assert all(trajectory.append(i * PERIOD_NS, drive(i * PERIOD_NS)) for i in range(9))
    assert not trajectory.append(8 * PERIOD_NS, np.eye(4))
    assert not trajectory.append(0, np.eye(4))
    assert [pose.stamp_ns // PERIOD_NS for pose in trajectory.poses()] == [5, 6, 7, 8]
    trajectory.clear()
    assert trajectory.motion() is None


def test_motion_is_the_twist_that_carries_one_pose_into_the_next() -> None:
    linear, angular = np.array([0.5, -0.2, 0.1]), np.array([0.02, -0.01, 0.3])
    twist = np.zeros((4, 4))
    twist[:3, :3] = np.cross(np.eye(3), angular)
    twist[:3, 3] = linear
    start = drive(3 * PERIOD_NS)
    trajectory = Trajectory(2)
    trajectory.append(0, start)
    trajectory.append(10_000_000, start @ expm(0.01 * twist))
    motion = trajectory.motion()
    assert motion is not None
    np.testing.assert_allclose(motion.angular_rad_per_s, angular, atol=1e-9)
    np.testing.assert_allclose(motion.linear_per_s, linear, atol=2e-3)
    np.testing.assert_allclose(
        start @ motion.previous_from_latest, trajectory.poses()[-1].world_from_base, atol=1e-12
    )


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
    assert len(store.snapshot().trajectory) == 2


def test_the_pose_log_keeps_every_newer_pose_to_the_last_bit(rng: np.random.Generator) -> None:
    log = PoseLog()
    stamps_ns = np.cumsum(rng.integers(1, 10**12, 5000)) + 10**18
    poses = np.array([expm(_twist(rng.normal(size=6))) for _ in stamps_ns])
    poses[:, 3] = (0, 0, 0, 1)
    for stamp_ns, pose in zip(stamps_ns, poses, strict=True):
        assert log.append(int(stamp_ns), pose)
        assert not log.append(int(stamp_ns), np.eye(4))
    kept = log.poses()
    assert [p.stamp_ns for p in kept] == stamps_ns.tolist()
    np.testing.assert_array_equal([p.world_from_base for p in kept], poses)
    assert (len(log), log.dropped) == (5000, 0)
    log.clear()
    assert log.append(1, np.eye(4))
    assert len(log.poses()) == 1


def test_a_snapshot_of_the_pose_log_is_not_touched_by_what_follows() -> None:
    """Across the block in which both begin, and after the log forgets."""
    log = PoseLog()
    taken = {}
    for stamp_ns in range(10_000):
        log.append(stamp_ns, np.eye(4))
        if stamp_ns % 1117 == 0 or stamp_ns in (4094, 4095, 4096):
            taken[stamp_ns] = log.snapshot()
    log.clear()
    log.append(1, np.eye(4))
    for last_ns, snapshot in taken.items():
        assert [pose.stamp_ns for pose in snapshot.poses()] == list(range(last_ns + 1))


def test_a_full_pose_log_keeps_the_newest_and_counts_the_others() -> None:
    log = PoseLog(10)
    for stamp_ns in range(100):
        log.append(stamp_ns, np.eye(4))
        stamps_ns = [pose.stamp_ns for pose in log.poses()]
        assert stamps_ns == list(range(log.dropped, stamp_ns + 1))
        assert min(stamp_ns + 1, 10) <= len(stamps_ns) <= 20


def _twist(v: FloatArray) -> FloatArray:
    (x, y, z), t = v[:3], v[3:]
    return np.array([[0, -z, y, t[0]], [z, 0, -x, t[1]], [-y, x, 0, t[2]], [0, 0, 0, 0]])


def test_impossible_capacities_are_refused() -> None:
    for make in (
        LatestSlot,
        PoseLog,
        lambda n: SceneStore(n - 1),
        lambda n: Trajectory(n + 1),
        lambda n: StreamStats(n + 1),
    ):
        with pytest.raises(StreamError, match='capacity'):
            make(0)
