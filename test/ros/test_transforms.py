"""Where cameras are by TF: the rig, also of a head that moves, and the odometry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
import threading
import time
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_msgs')
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.notes import joined
from da3_ros.options import OutputOptions
from da3_ros.ros.messages.geometry_messages import transform_message
from da3_ros.ros.reason_board import Log, ReasonBoard
from da3_ros.ros.tf.joints import joint_of
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.types import FrameSet, PosePrior, RigCalibration
from helpers.recorded_tf import OPTICAL, START_NS, Recording, messages_of, random_tree
from helpers.ros_process import reserved_domain_id
from helpers.stream_builders import frame

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
MS = 1_000_000
T0 = 1_700_000_000_123_456_789
HALF = float(np.sqrt(0.5))
QUARTER_TURN = rigid(matrix_from_quaternion_xyzw([0, 0, HALF, HALF]), [1.0, 0.0, 0.0])
OPTIONS = replace(OutputOptions(), odom_frame='da3_odom', prior_frame='odom', tf_wait_s=0.0)
FRAME_IDS = {'front': 'front_optical_frame', 'left': 'left_optical_frame'}


class Reader(RigSource):
    """A rig source that takes its messages by hand."""

    def __init__(
        self, node: Node, options: OutputOptions, given: RigCalibration, log: Log
    ) -> None:
        self.tf = TfInput(node, options, ReasonBoard(log))
        super().__init__(options, given, self.tf)

    def take(self, message: TFMessage) -> None:
        self.tf.take_static(serialize_message(message))

    def take_moving(self, message: TFMessage) -> None:
        self.tf.take(serialize_message(message))


class Lines(list[str]):
    """A log that is kept."""

    info = warning = error = list.append


Make = Callable[..., Reader]


def shift(x: float, y: float = 0.0) -> Array:
    return rigid(np.eye(3), [x, y, 0.0])


def tf(*joints: tuple[str, str, int, Array]) -> TFMessage:
    """Return parent, child, stamp and pose of several joints as one message."""
    return TFMessage(transforms=[transform_message(j[3], j[2], j[0], j[1]) for j in joints])


def odometry(start_ns: int, count: int, speed: float = 1.0) -> TFMessage:
    """Return odom to base_link every 20 ms, at `speed` m/s along x."""
    return tf(
        *(
            ('odom', 'base_link', start_ns + i * 20 * MS, shift(speed * 0.02 * i))
            for i in range(count)
        )
    )


def frames(stamp_ns: int, *cameras: str) -> FrameSet:
    names = cameras or ('front',)
    return FrameSet(stamp_ns, tuple(frame(camera, stamp_ns) for camera in names))


@pytest.fixture(name='lines')
def lines_fixture() -> Lines:
    return Lines()


@pytest.fixture(name='make')
def make_fixture(lines: Lines) -> Iterator[Make]:
    context = Context()
    # It hears what is really on /tf: other tests must not publish there.
    stack = ExitStack()
    rclpy.init(context=context, domain_id=stack.enter_context(reserved_domain_id()))
    node = Node('bench', context=context)

    def make(options: OutputOptions = OPTIONS, given: RigCalibration | None = None) -> Reader:
        return Reader(node, options, given or RigCalibration(), lines)

    yield make
    node.destroy_node()
    rclpy.shutdown(context=context)
    stack.close()


def prior_of(source: Reader, frame_set: FrameSet) -> PosePrior:
    prior = source.prior(frame_set)
    assert prior is not None
    return prior


def test_the_rig_multiplies_from_the_base_to_the_optical_frame(make: Make) -> None:
    source = make()
    source.take(
        tf(
            ('base_link', 'mount', 0, QUARTER_TURN),
            ('/mount', '/front_optical_frame', 0, shift(2.0)),
            ('elsewhere', 'left_optical_frame', 0, shift(2.0)),
        )
    )
    rig = source.rig(FRAME_IDS).base_from_camera
    assert set(rig) == {'front'}
    # Two metres along the mount's x, which is the base's y.
    np.testing.assert_allclose(rig['front'][:3, 3], [1.0, 2.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(rig['front'][:3, 0], [0.0, 1.0, 0.0], atol=1e-12)
    assert source.only_given(FRAME_IDS).base_from_camera == {}


def test_parameters_come_first_and_need_no_tree(make: Make) -> None:
    given = RigCalibration({'front': shift(0.3), 'left': shift(0.0, 0.4)})
    source = make(given=given)
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(9.0))))
    source.take_moving(odometry(T0, 5))
    prior = prior_of(source, frames(T0 + 40 * MS, 'front', 'left'))
    np.testing.assert_array_equal(prior.base_from_camera['front'], shift(0.3))
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(0.34), atol=1e-12)
    np.testing.assert_allclose(prior.odometry_from_camera['left'], shift(0.04, 0.4), atol=1e-12)
    assert set(source.only_given(FRAME_IDS).base_from_camera) == {'left'}


def test_every_camera_gets_the_odometry_at_its_own_stamp(make: Make) -> None:
    source = make()
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.1))))
    source.take(tf(('base_link', 'left_optical_frame', 0, shift(0.2))))
    source.take_moving(odometry(T0, 10))
    views = (frame('front', T0 + 50 * MS), frame('left', T0 + 63 * MS))
    prior = prior_of(source, FrameSet(T0 + 50 * MS, views))
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(0.15), atol=1e-12)
    np.testing.assert_allclose(prior.odometry_from_camera['left'], shift(0.263), atol=1e-12)
    assert prior.notes == ()


def test_a_head_that_moves_is_where_it_was_at_the_stamp(make: Make) -> None:
    source = make(replace(OPTIONS, prior_frame=''))
    source.take(tf(('head', 'front_optical_frame', 0, shift(0.1))))
    for i in range(10):
        source.take_moving(tf(('base_link', 'head', T0 + i * 20 * MS, shift(0.0, 0.01 * i))))
    prior = prior_of(source, frames(T0 + 30 * MS))
    np.testing.assert_allclose(prior.base_from_camera['front'], shift(0.1, 0.015), atol=1e-12)
    # As part of the rig it counts with its newest place.
    rig = source.rig(FRAME_IDS).base_from_camera
    np.testing.assert_allclose(rig['front'], shift(0.1, 0.09), atol=1e-12)
    # Before the head was heard of, nobody knows where the camera was.
    unknown = prior_of(source, frames(T0 - 500 * MS))
    assert 'front' not in unknown.base_from_camera
    assert 'base_link to head: the oldest transform is 0.500 s newer' in joined(unknown.notes)


def test_without_anything_known_there_is_no_prior(make: Make) -> None:
    assert make(replace(OPTIONS, prior_frame='')).prior(frames(T0)) is None
    source = make()
    prior = prior_of(source, frames(T0))
    assert not prior.odometry_from_camera
    assert joined(prior.notes) == 'no transforms connect odom to front_optical_frame'


def test_a_late_transform_is_waited_for(make: Make) -> None:
    source = make(replace(OPTIONS, tf_wait_s=5.0))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.1))))
    source.take_moving(odometry(T0, 3))
    asked = threading.Event()
    found: list[PosePrior] = []

    def ask() -> None:
        asked.set()
        found.append(prior_of(source, frames(T0 + 70 * MS)))

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(5.0)
    source.take_moving(odometry(T0 + 60 * MS, 1))
    source.take_moving(odometry(T0 + 80 * MS, 2, speed=0.0))
    thread.join(5.0)
    assert found
    assert 'front' in found[0].odometry_from_camera


WAIT_S = 0.5


def test_what_stays_away_is_waited_for_once(make: Make) -> None:
    source = make(replace(OPTIONS, tf_wait_s=WAIT_S))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.1))))
    source.take_moving(odometry(T0, 3))

    def seconds(stamp_ns: int) -> float:
        start_s = time.monotonic()
        prior = prior_of(source, frames(stamp_ns))
        assert 'older than the image' in joined(prior.notes)
        assert set(prior.base_from_camera) == {'front'}
        return time.monotonic() - start_s

    assert seconds(T0 + 100 * MS) >= WAIT_S
    # Nothing came since: twenty images do not cost twenty waits.
    assert sum(seconds(T0 + (101 + i) * MS) for i in range(20)) < 10 * WAIT_S
    source.take_moving(odometry(T0 + 60 * MS, 1))
    assert seconds(T0 + 200 * MS) >= WAIT_S


def test_the_output_of_the_node_itself_is_never_followed(make: Make) -> None:
    """Not under the very name that the odometry has either."""
    source = make(replace(OPTIONS, odom_frame='odom'))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.1))))
    for stamp_ns in (T0, T0 + 100 * MS):
        own = tf(('odom', 'base_link', stamp_ns, shift(1.0)))
        source.tf.sent.add(joint_of(own.transforms[0]))
        source.take_moving(own)
    prior = prior_of(source, frames(T0 + 50 * MS))
    assert not prior.odometry_from_camera
    assert joined(prior.notes) == 'no transforms connect odom to front_optical_frame'
    # The same frames at the same stamps from somebody else are an odometry.
    for stamp_ns in (T0, T0 + 100 * MS):
        source.take_moving(tf(('odom', 'base_link', stamp_ns, shift(1.5))))
    prior = prior_of(source, frames(T0 + 50 * MS))
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(1.6), atol=1e-12)


def test_a_clock_that_is_set_back_is_survived_and_said(make: Make, lines: Lines) -> None:
    source = make(replace(OPTIONS, publish_tf=False))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.0))))
    source.take_moving(odometry(T0, 200))
    source.take_moving(odometry(T0, 10, speed=5.0))
    prior = prior_of(source, frames(T0 + 50 * MS))
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(0.25), atol=1e-12)
    assert any('stamps jumped back' in line for line in lines)


def test_transforms_that_are_none_are_reported_and_left_out(make: Make, lines: Lines) -> None:
    source = make(replace(OPTIONS, publish_tf=False))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.0))))
    bad = odometry(T0, 4)
    bad.transforms[0].transform.rotation.w = 0.5
    bad.transforms[1].transform.translation.x = float('nan')
    bad.transforms[2].header.stamp.sec = 0
    bad.transforms[2].header.stamp.nanosec = 0
    source.take_moving(bad)
    assert 'quaternion' in lines[0]
    prior = prior_of(source, frames(T0 + 60 * MS))
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(0.06), atol=1e-12)
    assert source.prior(frames(T0 + 20 * MS)) is not None
    assert not prior_of(source, frames(T0 + 20 * MS)).odometry_from_camera


def test_static_transforms_are_not_read_where_they_are_switched_off(make: Make) -> None:
    source = make(replace(OPTIONS, use_tf_static=False, publish_tf=False))
    source.take(tf(('base_link', 'front_optical_frame', 0, shift(0.1))))
    source.take_moving(odometry(T0, 4))
    assert source.rig(FRAME_IDS).base_from_camera == {}
    prior = prior_of(source, frames(T0 + 20 * MS))
    assert prior.base_from_camera == {}
    np.testing.assert_allclose(prior.odometry_from_camera['front'], shift(0.12), atol=1e-12)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**32 - 1), st.sampled_from(['odom', '']))
def test_a_recording_gives_what_a_node_knows_that_has_waited(
    make: Make, seed: int, prior_frame: str
) -> None:
    random = np.random.default_rng(seed)
    tree = random_tree(random)
    moving, static = (messages_of(tree, is_fixed) for is_fixed in (False, True))
    moving.sort(key=lambda message: message.stamp_ns)
    options = replace(OPTIONS, prior_frame=prior_frame, publish_tf=False)
    node = make(options)
    for message in static:
        node.tf.take_static(message.data)
    waits = replace(options, tf_wait_s=0.1)
    tape = Recording(waits, moving, static, start_ns=START_NS)
    recording = RigSource(waits, RigCalibration(), tape.tf)
    tape.tf.read()
    for stamp_ns in sorted(random.integers(START_NS + 900 * MS, START_NS + 1700 * MS, 10)):
        log_ns = max(tape.now_ns, int(stamp_ns) + int(random.integers(0, 400)) * MS)
        tape.play_to(log_ns)
        while moving and moving[0].stamp_ns <= log_ns + 100 * MS:
            node.tf.take(moving.pop(0).data)
        asked = frames(int(stamp_ns), *OPTICAL)
        expected, found = node.prior(asked), recording.prior(asked)
        assert (found is None) is (expected is None)
        if found is None or expected is None:
            continue
        assert found.notes == expected.notes
        for name in ('base_from_camera', 'odometry_from_camera'):
            ours, theirs = getattr(found, name), getattr(expected, name)
            assert set(ours) == set(theirs)
            for camera, pose in theirs.items():
                np.testing.assert_allclose(ours[camera], pose, atol=1e-9)
        rigs = [source.rig(OPTICAL).base_from_camera for source in (node, recording)]
        assert set(rigs[0]) == set(rigs[1])
