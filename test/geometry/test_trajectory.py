"""The record of the trajectory: whole, in order, bounded, and safe between threads."""

from __future__ import annotations

from itertools import pairwise
import threading

import numpy as np
import pytest
from scipy.linalg import expm

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.trajectory import Trajectory
from helpers.stream_builders import PERIOD_NS, drive


def twist_matrix(v: FloatArray) -> FloatArray:
    (x, y, z), t = v[:3], v[3:]
    return np.array([[0, -z, y, t[0]], [z, 0, -x, t[1]], [-y, x, 0, t[2]], [0, 0, 0, 0]])


def stamps_of(trajectory: Trajectory) -> list[int]:
    return [pose.stamp_ns for pose in trajectory.poses()]


def test_it_keeps_every_newer_pose_to_the_last_bit(rng: np.random.Generator) -> None:
    trajectory = Trajectory()
    stamps_ns = np.cumsum(rng.integers(1, 10**12, 5000)) + 10**18
    poses = np.array([expm(twist_matrix(rng.normal(size=6))) for _ in stamps_ns])
    poses[:, 3] = (0, 0, 0, 1)
    for stamp_ns, pose in zip(stamps_ns, poses, strict=True):
        assert trajectory.append(int(stamp_ns), pose)
        assert not trajectory.append(int(stamp_ns), np.eye(4))
        assert not trajectory.append(int(stamp_ns) - 1, np.eye(4))
    assert stamps_of(trajectory) == stamps_ns.tolist()
    kept = trajectory.poses()
    np.testing.assert_array_equal([p.world_from_base for p in kept], poses)
    assert trajectory.dropped == 0


@pytest.mark.parametrize('capacity', [2, 3, 7, 1024, 1500])
def test_a_full_one_keeps_the_newest_and_counts_the_others(capacity: int) -> None:
    trajectory = Trajectory(capacity)
    for count in range(1, 3001):
        assert trajectory.append(count, drive(count * PERIOD_NS))
        if count < 12 or count % 500 == 0 or abs(count - 1024) < 2:
            assert stamps_of(trajectory) == list(range(max(1, count - capacity + 1), count + 1))
            assert trajectory.dropped == max(0, count - capacity)
    for pose in trajectory.poses():
        np.testing.assert_allclose(pose.world_from_base, drive(pose.stamp_ns * PERIOD_NS))
    start = trajectory.start
    assert start is not None
    assert start.stamp_ns == 1
    np.testing.assert_allclose(start.world_from_base, drive(PERIOD_NS))


def test_nothing_of_before_is_left_after_clear() -> None:
    trajectory = Trajectory(4)
    for i in range(9):
        trajectory.append(10**18 + i, drive(i * PERIOD_NS))
    before = trajectory.poses()
    trajectory.clear()
    assert (trajectory.poses(), trajectory.start, trajectory.motion()) == ((), None, None)
    assert trajectory.dropped == 0
    # Another clock, and poses of a world that begins elsewhere.
    assert trajectory.append(1, np.eye(4))
    assert trajectory.motion() is None
    assert trajectory.append(2, np.eye(4))
    assert stamps_of(trajectory) == [1, 2]
    # What was asked for before is as it was.
    assert [pose.stamp_ns - 10**18 for pose in before] == [5, 6, 7, 8]
    np.testing.assert_allclose(before[-1].world_from_base, drive(8 * PERIOD_NS))


@pytest.mark.parametrize('count', [0, 1, 3, 4, 5, 9])
def test_a_copy_is_not_touched_by_what_follows(count: int) -> None:
    trajectory = Trajectory(4)
    for i in range(count):
        trajectory.append(i, drive(i * PERIOD_NS))
    copy, expected, dropped = trajectory.copy(), stamps_of(trajectory), trajectory.dropped
    trajectory.append(100, np.eye(4))
    assert stamps_of(copy) == expected
    assert copy.dropped == dropped
    trajectory.clear()
    trajectory.append(1, np.eye(4))
    assert stamps_of(copy) == expected
    # Both go on by themselves.
    copy.append(200, np.eye(4))
    assert stamps_of(copy) == [*expected, 200][-4:]
    assert stamps_of(trajectory) == [1]


def test_motion_is_the_twist_that_carries_one_pose_into_the_next() -> None:
    linear, angular = np.array([0.5, -0.2, 0.1]), np.array([0.02, -0.01, 0.3])
    start = drive(3 * PERIOD_NS)
    trajectory = Trajectory(2)
    for later in range(3):  # the last two count, also where the record has come round
        moved = expm(0.01 * later * twist_matrix(np.concatenate([angular, linear])))
        trajectory.append(later * 10_000_000, start @ moved)
    motion = trajectory.motion()
    assert motion is not None
    assert motion.duration_s == 0.01
    np.testing.assert_allclose(motion.angular_rad_per_s, angular, atol=1e-9)
    np.testing.assert_allclose(motion.linear_per_s, linear, atol=2e-3)


def test_readers_on_other_threads_see_whole_trajectories() -> None:
    """Stamp and x are the same number, so that a pose of two halves would show."""
    trajectory = Trajectory(50)
    is_over = threading.Event()
    torn: list[str] = []

    def read() -> None:
        while not is_over.is_set():
            poses = trajectory.poses()
            stamps_ns = [pose.stamp_ns for pose in poses]
            if any(later - before != 1 for before, later in pairwise(stamps_ns)):
                torn.append(f'gaps in {stamps_ns}')
            if any(pose.world_from_base[0, 3] != pose.stamp_ns for pose in poses):
                torn.append('a pose with the stamp of another')

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    pose = np.eye(4)
    for world in range(20):
        trajectory.clear()
        for step in range(200):
            pose[0, 3] = 1000 * world + step
            trajectory.append(1000 * world + step, pose)
    is_over.set()
    for reader in readers:
        reader.join(60)
        assert not reader.is_alive()
    assert torn == []


def test_the_record_does_not_follow_an_array_that_its_giver_changes() -> None:
    trajectory, pose = Trajectory(), np.eye(4)
    trajectory.append(1, pose)
    pose[0, 3] = 5.0
    assert trajectory.start is not None
    for kept in (trajectory.start, *trajectory.poses()):
        np.testing.assert_array_equal(kept.world_from_base, np.eye(4))


def test_what_is_no_pose_is_refused() -> None:
    trajectory = Trajectory()
    with pytest.raises(GeometryError, match='world_from_base'):
        trajectory.append(1, 2 * np.eye(4))
    assert trajectory.poses() == ()
    with pytest.raises(GeometryError, match='capacity >= 2'):
        Trajectory(1)
