"""Both readers of TF, our own and tf2's, against poses that are known beforehand."""

from __future__ import annotations

from collections.abc import Callable
import threading
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

pytest.importorskip('rclpy')
pytest.importorskip('tf2_msgs')

from da3_ros.geometry.se3 import invert, rigid
from da3_ros.geometry.transform_buffer import HISTORY_NS, MAX_GAP_NS, TransformBuffer
from da3_ros.ros.optional import optional_module
from da3_ros.ros.tf.tf2_buffer import Tf2Buffer, make_buffer
from da3_ros.ros.tf.transforms import TransformReader

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
Make = Callable[[], TransformReader]
MS = 1_000_000
# A large odd number: a stamp that went through a float would show.
T0 = 1_700_000_000_123_456_789


def tf2_reader() -> TransformReader:
    tf2_ros = optional_module('tf2_ros')
    assert tf2_ros is not None
    return Tf2Buffer(tf2_ros)


@pytest.fixture(
    name='make',
    params=[
        pytest.param(TransformBuffer, id='own'),
        pytest.param(tf2_reader, id='tf2', marks=pytest.mark.ros_install('tf2_ros')),
    ],
)
def make_fixture(request: pytest.FixtureRequest) -> Make:
    make: Make = request.param
    return make


def pose(turn: Rotation, place: Array) -> Array:
    return rigid(turn.as_matrix(), place)


def add(reader: TransformReader, parent: str, child: str, stamp_ns: int, joint: Array) -> None:
    quaternion = Rotation.from_matrix(joint[:3, :3]).as_quat()
    reader.add_quaternion(parent, child, stamp_ns, joint[:3, 3].tolist(), quaternion.tolist())


def known(reader: TransformReader, a: str, b: str, stamp_ns: int) -> Array:
    found = reader.lookup(a, b, stamp_ns)
    assert found.pose is not None, found.problem
    return found.pose


def test_between_two_stamps_it_is_slerp_and_lerp(make: Make) -> None:
    rng = np.random.default_rng(0)
    reader = make()
    stamps = np.cumsum(rng.integers(1, 400, 20)) * MS
    turns, places = Rotation.random(20, random_state=rng), rng.normal(size=(20, 3))
    # Within half a second every order of arrival gives the same history.
    for i in np.argsort(stamps // (500 * MS) * 1000 + rng.integers(0, 1000, 20)):
        add(reader, 'odom', 'base', T0 + int(stamps[i]), pose(turns[int(i)], places[i]))
    slerp = Slerp(stamps - stamps[0], turns)
    for wanted in rng.integers(stamps[0], stamps[-1], 100):
        since = float(wanted - stamps[0])
        place = [np.interp(since, stamps - stamps[0], axis) for axis in places.T]
        got = known(reader, 'odom', 'base', T0 + int(wanted))
        np.testing.assert_allclose(got, pose(slerp(since), np.array(place)), atol=1e-9)


def test_chains_go_up_and_down_and_fixed_joints_hold_at_any_stamp(
    make: Make,
) -> None:
    rng = np.random.default_rng(1)
    reader = make()
    odom_from_base, base_from_neck, neck_from_eye, base_from_mast = (
        pose(Rotation.random(random_state=rng), rng.normal(size=3)) for _ in range(4)
    )
    reader.set_fixed('/base', 'neck', base_from_neck)
    reader.set_fixed('base', '/mast', base_from_mast)
    for stamp_ns in (T0, T0 + 100 * MS):
        add(reader, 'odom', 'base', stamp_ns, odom_from_base)
        add(reader, '/neck', 'eye', stamp_ns, neck_from_eye)

    down = odom_from_base @ base_from_neck @ neck_from_eye
    across = invert(base_from_mast) @ base_from_neck @ neck_from_eye
    stamp_ns = T0 + 33 * MS
    np.testing.assert_allclose(known(reader, 'odom', 'eye', stamp_ns), down, atol=1e-9)
    np.testing.assert_allclose(known(reader, 'eye', 'odom', stamp_ns), invert(down), atol=1e-9)
    np.testing.assert_allclose(known(reader, 'mast', 'eye', stamp_ns), across, atol=1e-9)
    np.testing.assert_allclose(known(reader, 'base', 'mast', 1), base_from_mast, atol=1e-9)
    assert reader.newest_ns('odom', 'eye') == T0 + 100 * MS
    assert reader.newest_ns('base', 'mast') is None


def test_nothing_is_extrapolated_and_no_gap_is_bridged(
    make: Make,
) -> None:
    reader = make()
    far = T0 + 100 * MS + MAX_GAP_NS + 1
    for stamp_ns in (T0, T0 + 100 * MS, far):
        add(reader, 'odom', 'base', stamp_ns, np.eye(4))
    late, early, gap = (
        reader.lookup('odom', 'base', stamp_ns) for stamp_ns in (far + 1, T0 - 1, far - 1)
    )
    assert (late.pose, early.pose, gap.pose) == (None, None, None)
    assert (late.is_early, early.is_early, gap.is_early) == (True, False, False)
    assert 'odom to base' in gap.problem
    assert reader.lookup('odom', 'moon', T0).pose is None
    assert not reader.is_connected('odom', 'moon')


def test_what_is_older_than_the_history_is_forgotten(make: Make) -> None:
    reader = make()
    for step in range(30):
        add(reader, 'odom', 'base', T0 + step * 500 * MS, np.eye(4))
    newest = T0 + 29 * 500 * MS
    assert reader.lookup('odom', 'base', newest - HISTORY_NS).pose is not None
    assert reader.lookup('odom', 'base', newest - HISTORY_NS - 1).pose is None


def test_a_clock_that_is_set_back_forgets_what_moved_and_keeps_what_is_fixed(
    make: Make,
) -> None:
    reader = make()
    mount = pose(Rotation.from_euler('z', 0.3), np.array([0.1, 0.2, 0.3]))
    reader.set_fixed('base', 'eye', mount)
    for step in range(5):
        add(reader, 'odom', 'base', T0 + step * 500 * MS, np.eye(4))
    assert reader.resets == 0
    again = T0 - 60_000 * MS
    moved = rigid(np.eye(3), [7.0, 0.0, 0.0])
    # Several in a row: one alone is a message with a faulty stamp.
    for step in range(3):
        assert reader.resets == 0
        add(reader, 'odom', 'base', again + (step - 2) * MS, moved)
    assert reader.resets == 1
    assert reader.lookup('odom', 'eye', T0).pose is None
    np.testing.assert_allclose(known(reader, 'odom', 'eye', again), moved @ mount, atol=1e-12)


def test_a_fixed_joint_stays_fixed(make: Make) -> None:
    reader = make()
    mount = rigid(np.eye(3), [1.0, 0.0, 0.0])
    reader.set_fixed('base', 'eye', mount)
    add(reader, 'base', 'eye', T0, rigid(np.eye(3), [5.0, 0.0, 0.0]))
    np.testing.assert_array_equal(known(reader, 'base', 'eye', T0), mount)
    newer = rigid(np.eye(3), [2.0, 0.0, 0.0])
    reader.set_fixed('base', 'eye', newer)
    np.testing.assert_array_equal(known(reader, 'base', 'eye', T0), newer)


def test_quaternions_of_any_length_name_their_rotation(
    make: Make,
) -> None:
    reader = make()
    turn = Rotation.from_euler('xyz', [0.1, -0.7, 2.0])
    reader.add_quaternion('a', 'b', T0, (0.0, 0.0, 0.0), tuple(-3 * turn.as_quat()))
    np.testing.assert_allclose(known(reader, 'a', 'b', T0)[:3, :3], turn.as_matrix(), atol=1e-12)


def test_what_is_said_to_be_known_is_known_while_more_comes_in(make: Make) -> None:
    reader = make()
    add(reader, 'odom', 'base', T0, np.eye(4))

    def write() -> None:
        for step in range(1, 500):
            add(reader, 'odom', 'base', T0 + step * MS, np.eye(4))

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        newest_ns = reader.newest_ns('odom', 'base')
        assert newest_ns is not None
        known(reader, 'odom', 'base', newest_ns)
    writer.join()


@pytest.mark.ros_install('tf2_ros')
def test_tf2_reads_where_it_is_installed() -> None:
    assert isinstance(make_buffer(), Tf2Buffer)
