"""The tree of frames against scipy's interpolation and chains written out by hand."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from da3_ros.geometry.se3 import invert, rigid
from da3_ros.geometry.transform_buffer import HISTORY_NS, TransformBuffer
from helpers.rounding import assert_equal_to_rounding

Array = np.ndarray[Any, Any]
MS = 1_000_000
# A large odd number: a stamp that went through a float would show.
T0 = 1_700_000_000_123_456_789


def shift(x: float, y: float = 0.0) -> Array:
    return rigid(np.eye(3), [x, y, 0.0])


def known(buffer: TransformBuffer, a: str, b: str, stamp_ns: int) -> Array:
    found = buffer.lookup(a, b, stamp_ns)
    assert found.pose is not None, found.problem
    assert found.problem == ''
    return found.pose


def random_pose(rng: np.random.Generator) -> Array:
    return rigid(Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3))


def test_between_two_stamps_it_is_slerp_and_lerp() -> None:
    rng = np.random.default_rng(0)
    buffer = TransformBuffer()
    stamps = np.cumsum(rng.integers(1, 400, 30)) * MS
    poses = [random_pose(rng) for _ in stamps]
    # Every order of arrival gives the same history.
    for i in np.argsort(stamps // (500 * MS) * 1000 + rng.integers(0, 1000, 30)):
        buffer.add('odom', 'base', T0 + int(stamps[i]), poses[i])
    slerp = Slerp(stamps - stamps[0], Rotation.from_matrix(np.array(poses)[:, :3, :3]))
    for wanted in rng.integers(stamps[0], stamps[-1], 200):
        got = known(buffer, 'odom', 'base', T0 + int(wanted))
        turn = slerp(float(wanted - stamps[0])).as_matrix()
        centres = np.array([p[:3, 3] for p in poses])
        place = [np.interp(wanted - stamps[0], stamps - stamps[0], axis) for axis in centres.T]
        np.testing.assert_allclose(got[:3, :3], turn, atol=1e-9)
        np.testing.assert_allclose(got[:3, 3], place, atol=1e-9)


def test_at_a_stamp_it_is_what_was_told_to_the_nanosecond() -> None:
    buffer = TransformBuffer()
    for i in range(3):
        buffer.add('odom', 'base', T0 + i, shift(float(i)))
    for i in range(3):
        np.testing.assert_array_equal(known(buffer, 'odom', 'base', T0 + i), shift(float(i)))
    buffer.add('odom', 'base', T0 + 1, shift(7.0))
    np.testing.assert_array_equal(known(buffer, 'odom', 'base', T0 + 1), shift(7.0))


def test_chains_over_several_hops_and_branches() -> None:
    rng = np.random.default_rng(1)
    buffer = TransformBuffer()
    joints = {
        name: random_pose(rng) for name in ('map-odom', 'odom-base', 'base-neck', 'neck-eye')
    }
    mast = random_pose(rng)
    buffer.set_fixed('base', 'neck', joints['base-neck'])
    buffer.set_fixed('/base', '/mast', mast)
    for stamp_ns in (T0, T0 + 100 * MS):
        buffer.add('map', 'odom', stamp_ns, joints['map-odom'])
        buffer.add('odom', 'base', stamp_ns, joints['odom-base'])
        buffer.add('neck', 'eye', stamp_ns, joints['neck-eye'])
    stamp_ns = T0 + 33 * MS
    chain = joints['map-odom'] @ joints['odom-base'] @ joints['base-neck'] @ joints['neck-eye']
    np.testing.assert_allclose(known(buffer, 'map', 'eye', stamp_ns), chain, atol=1e-12)
    np.testing.assert_allclose(known(buffer, 'eye', 'map', stamp_ns), invert(chain), atol=1e-12)
    across = invert(mast) @ joints['base-neck'] @ joints['neck-eye']
    np.testing.assert_allclose(known(buffer, 'mast', '/eye', stamp_ns), across, atol=1e-12)
    # What is above the place where two frames meet does not matter: no stamp of odom is needed.
    assert_equal_to_rounding(known(buffer, 'base', 'mast', 5), mast)
    np.testing.assert_array_equal(known(buffer, 'base', 'base', 5), np.eye(4))


def test_a_head_that_turns_is_seen_where_it_was() -> None:
    buffer = TransformBuffer()
    buffer.set_fixed('head', 'eye', shift(0.1))
    for i in range(20):
        turn = Rotation.from_euler('z', 0.2 * i).as_matrix()
        buffer.add('base', 'head', T0 + 50 * MS * i, rigid(turn, [0.0, 0.0, 1.0]))
    angle = 0.2 * 7.5
    pose = known(buffer, 'base', 'eye', T0 + 375 * MS)
    expected = [0.1 * np.cos(angle), 0.1 * np.sin(angle), 1.0]
    np.testing.assert_allclose(pose[:3, 3], expected, atol=1e-12)


def test_nothing_is_extrapolated_and_the_reason_is_given() -> None:
    buffer = TransformBuffer()
    for stamp_ns in (T0, T0 + 50 * MS):
        buffer.add('odom', 'base', stamp_ns, shift(1.0))
    late = buffer.lookup('odom', 'base', T0 + 70 * MS)
    assert (late.pose, late.is_early) == (None, True)
    assert 'odom to base' in late.problem
    assert '0.020 s older' in late.problem
    old = buffer.lookup('odom', 'base', T0 - 10 * MS)
    assert (old.pose, old.is_early) == (None, False)
    assert '0.010 s newer' in old.problem
    other = buffer.lookup('odom', 'elsewhere', T0)
    assert (other.pose, other.is_early) == (None, False)
    assert 'no transforms connect odom to elsewhere' in other.problem
    assert buffer.newest_ns('odom', 'base') == T0 + 50 * MS
    assert buffer.newest_ns('odom', 'elsewhere') is None


def test_a_gap_is_not_bridged() -> None:
    buffer = TransformBuffer()
    for second in (0, 3):
        buffer.add('odom', 'base', T0 + second * 1000 * MS, shift(float(second)))
    found = buffer.lookup('odom', 'base', T0 + 1500 * MS)
    assert (found.pose, found.is_early) == (None, False)
    assert 'gap of 3.000 s' in found.problem


def test_history_is_bounded() -> None:
    buffer = TransformBuffer()
    step = 100 * MS
    for i in range(1000):
        buffer.add('odom', 'base', T0 + i * step, shift(float(i)))
    newest = T0 + 999 * step
    assert buffer.lookup('odom', 'base', newest - HISTORY_NS).pose is not None
    assert buffer.lookup('odom', 'base', newest - HISTORY_NS - 1).pose is None


def test_a_clock_that_is_set_back_forgets_all_that_moves() -> None:
    buffer = TransformBuffer()
    buffer.set_fixed('base', 'eye', shift(0.5))
    for i in range(50):
        buffer.add('map', 'odom', T0 + i * 100 * MS, shift(9.0))
        buffer.add('odom', 'base', T0 + i * 100 * MS, shift(1.0))
    assert [buffer.resets] + [
        buffer.add('odom', 'base', T0 + i * 100 * MS, shift(2.0)) and buffer.resets
        for i in (5, 6, 7, 8)
    ] == [0, False, False, 1, 1]
    # The old run was at 9: what came of it must not be mixed with the new one.
    assert buffer.lookup('map', 'base', T0 + 750 * MS).is_early
    np.testing.assert_allclose(known(buffer, 'odom', 'eye', T0 + 750 * MS), shift(2.5))
    # A second late is late, not a reset.
    buffer.add('odom', 'base', T0 - 400 * MS, shift(2.0))
    assert buffer.resets == 1


@pytest.mark.parametrize('odd_s', [-3600, -5, 5, 3600])
def test_one_odd_stamp_is_left_out_and_costs_nothing(odd_s: int) -> None:
    buffer = TransformBuffer(clock=lambda: 0)
    for i in range(50):
        assert buffer.add('odom', 'base', T0 + i * 100 * MS, shift(1.0))
    assert not buffer.add('odom', 'base', T0 + 4900 * MS + odd_s * 1000 * MS, shift(9.0))
    assert buffer.add('odom', 'base', T0 + 5000 * MS, shift(1.0))
    assert buffer.resets == 0
    for stamp_ns in (T0 + 50 * MS, T0 + 4950 * MS):
        np.testing.assert_allclose(known(buffer, 'odom', 'base', stamp_ns), shift(1.0))


def test_a_gap_that_arrivals_have_too_is_no_jump() -> None:
    now_ns = 0
    buffer = TransformBuffer(clock=lambda: now_ns)
    for i in (*range(10), 600):
        now_ns = i * 100 * MS
        assert buffer.add('map', 'odom', T0 + now_ns, shift(1.0))


def test_another_parent_takes_the_frame_with_its_history() -> None:
    buffer = TransformBuffer()
    buffer.add('odom', 'base', T0, shift(1.0))
    buffer.add('tracker', 'base', T0 + 1, shift(2.0))
    assert buffer.lookup('odom', 'base', T0).pose is None
    np.testing.assert_array_equal(known(buffer, 'tracker', 'base', T0 + 1), shift(2.0))


def test_fixed_joints_stay_fixed_and_a_newer_one_replaces_an_older() -> None:
    buffer = TransformBuffer()
    buffer.set_fixed('base', 'eye', shift(1.0))
    buffer.add('base', 'eye', T0, shift(5.0))
    np.testing.assert_array_equal(known(buffer, 'base', 'eye', T0), shift(1.0))
    buffer.set_fixed('base', 'eye', shift(2.0))
    np.testing.assert_array_equal(known(buffer, 'base', 'eye', T0), shift(2.0))


def test_loops_end() -> None:
    buffer = TransformBuffer()
    buffer.set_fixed('a', 'b', shift(1.0))
    buffer.set_fixed('b', 'a', shift(1.0))
    assert buffer.lookup('base', 'a', T0).pose is None
    assert buffer.lookup('a', 'base', T0).pose is None
    assert not buffer.is_connected('a', 'base')


def test_the_shorter_way_around_is_taken() -> None:
    buffer = TransformBuffer()
    for stamp_ns, degrees in ((T0, 170.0), (T0 + 100, -170.0)):
        turn = Rotation.from_euler('z', degrees, degrees=True).as_matrix()
        buffer.add('odom', 'base', stamp_ns, rigid(turn, np.zeros(3)))
    half = known(buffer, 'odom', 'base', T0 + 50)
    np.testing.assert_allclose(half[:3, :3], np.diag([-1.0, -1.0, 1.0]), atol=1e-9)


@pytest.mark.parametrize('angle', [0.0, 1e-12, 1e-6, 1e-4, 1e-2])
def test_tiny_angles_lose_no_precision(angle: float) -> None:
    buffer = TransformBuffer()
    turn = Rotation.from_rotvec([0.0, 0.0, angle]).as_matrix()
    buffer.add('odom', 'base', T0, np.eye(4))
    buffer.add('odom', 'base', T0 + 4, rigid(turn, np.zeros(3)))
    quarter = known(buffer, 'odom', 'base', T0 + 1)
    got = Rotation.from_matrix(quarter[:3, :3]).as_rotvec()
    np.testing.assert_allclose(got, [0.0, 0.0, angle / 4], atol=1e-12)


def test_reading_and_writing_at_once() -> None:
    buffer = TransformBuffer(history_ns=100)
    buffer.add('odom', 'base', 1, shift(0.0))
    errors: list[str] = []

    def read() -> None:
        for _ in range(2000):
            newest = buffer.newest_ns('odom', 'base')
            assert newest is not None
            found = buffer.lookup('odom', 'base', newest)
            if found.pose is None and 'newer' not in found.problem:
                errors.append(found.problem)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(2, 4000):
        buffer.add('odom', 'base', i, shift(float(i)))
    reader.join(30)
    assert not errors
