"""What goes out on /tf and /tf_static, given what others publish there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
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

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.messages.geometry_messages import rigid_from_transform, transform_message
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.claims import TransformClaim, TransformClaims
from da3_ros.ros.tf.frame_tree import GONE_AFTER_S
from da3_ros.ros.tf.listener import MOST_PATIENCE_S, TfInput
from da3_ros.ros.tf.ownership import LISTENS_S
from da3_ros.ros.tf.publisher import TransformPublisher
from da3_ros.synthetic.world import make_world
from da3_ros.types import RigCalibration
from helpers.posed_results import posed_set
from helpers.recorded_tf import START_NS, Recording, fixed, recorded
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
Sent = dict[tuple[str, str], Array]
WORLD = make_world()
CAMERAS = tuple(WORLD.rig.cameras)
RIG = WORLD.rig.calibration
NO_RIG = RigCalibration()
FRAMES = {camera: WORLD.rig.frame_id(camera) for camera in CAMERAS}
POSED = posed_set(WORLD, 1_700_000_000_123_456_789, ImageSize(8, 10))
BASE = POSED.world_from_base
UP = rigid(np.eye(3), [0.0, 0.1, 0.2])


class KeptPublisher:
    """Keeps what it publishes; to nobody, since every test has the same topics."""

    def __init__(self) -> None:
        self.messages: list[Sent] = []

    def publish(self, message: TFMessage) -> None:
        self.messages.append(
            {
                (j.header.frame_id, j.child_frame_id): rigid_from_transform(j.transform)
                for j in message.transforms
            }
        )


class KeepingNode(Node):  # type: ignore[misc]  # rclpy has no types
    """A node that keeps what is published, by topic."""

    def __init__(self, context: Context) -> None:
        self.kept: dict[str, KeptPublisher] = {}
        super().__init__('bench', context=context)

    def create_publisher(self, kind: Any, topic: str, *arguments: Any, **options: Any) -> Any:
        if kind is not TFMessage:
            return super().create_publisher(kind, topic, *arguments, **options)
        self.kept[topic] = KeptPublisher()
        return self.kept[topic]


class Lines(list[str]):
    """A log that is kept."""

    info = warning = error = list.append


class Bench:
    """A publisher under a clock that is set by hand, a second after activation."""

    def __init__(self, node: KeepingNode, **options: Any) -> None:
        self.now_s = 50.0
        self.node = node
        for subscription in list(node.subscriptions):
            node.destroy_subscription(subscription)
        self.board = ReasonBoard(Lines(), lambda: self.now_s)
        given_options = replace(OutputOptions(), **options)
        self.tf = TfInput(node, given_options, self.board, lambda: self.now_s)
        self.publisher = TransformPublisher(given_options, self.tf)
        self.tf.ownership.activate()
        self.now_s += LISTENS_S

    def fixed(self, *joints: tuple[str, str, Array]) -> None:
        self.tf.take_static(_data(*joints, stamp_ns=0))

    def moving(self, *joints: tuple[str, str]) -> None:
        self.tf.take(_data(*((a, b, np.eye(4)) for a, b in joints), stamp_ns=1))

    def sent(self, rig: RigCalibration = RIG) -> Sent:
        """Return what goes out for a set."""
        kept = self.node.kept['/tf'].messages
        before = len(kept)
        self.publisher.publish(POSED, rig)
        return kept[-1] if len(kept) > before else {}

    @property
    def rig_sent(self) -> list[Sent]:
        return self.node.kept['/tf_static'].messages

    def holds(self, reason: Reason) -> list[str]:
        return [a.owner for a in self.board.active() if a.reason is reason]


def _data(*joints: tuple[str, str, Array], stamp_ns: int) -> bytes:
    transforms = [transform_message(pose, stamp_ns, a, b) for a, b, pose in joints]
    return bytes(serialize_message(TFMessage(transforms=transforms)))


@pytest.fixture(name='node', scope='module')
def node_fixture() -> Iterator[KeepingNode]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = KeepingNode(context)
        yield node
        node.destroy_node()
        rclpy.shutdown(context=context)


def test_alone_the_base_goes_out_or_every_camera(node: KeepingNode) -> None:
    bench = Bench(node)
    ((joint, pose),) = bench.sent().items()
    assert joint == ('odom', 'base_link')
    np.testing.assert_allclose(pose, BASE, atol=1e-12)
    found = bench.sent(NO_RIG)
    assert set(found) == {('odom', frame) for frame in FRAMES.values()}
    for view in POSED.views:
        np.testing.assert_allclose(
            found['odom', view.id.frame_id], view.world_from_camera, atol=1e-12
        )


def test_the_first_second_is_for_listening(node: KeepingNode) -> None:
    bench = Bench(node)
    bench.tf.ownership.activate()
    assert bench.sent() == {}
    assert bench.publisher.is_wanted
    bench.now_s += LISTENS_S
    assert bench.sent()
    loud = Bench(node, publish_tf=True)
    loud.tf.ownership.activate()
    assert loud.sent()


def test_switched_off_nothing_goes_out(node: KeepingNode) -> None:
    bench = Bench(node, publish_tf=False)
    bench.publisher.publish_rig(RIG, FRAMES)
    assert (bench.sent(), bench.rig_sent) == ({}, [])
    assert not bench.publisher.is_wanted
    assert set(Bench(node, publish_tf=False, publish_map_tf=True).sent()) == {('map', 'odom')}


def test_a_frame_of_another_node_is_left_to_it_and_taken_over(node: KeepingNode) -> None:
    bench = Bench(node)
    bench.moving(('odom', 'base_link'), ('base_link', 'wheel'))
    assert bench.sent() == {}
    assert not bench.publisher.is_wanted
    assert bench.holds(Reason.TF_TAKEN) == ['base_link']
    bench.now_s += GONE_AFTER_S
    bench.publisher.tick()
    assert bench.sent() == {}
    bench.now_s += MOST_PATIENCE_S + 0.001
    bench.publisher.tick()
    assert not bench.holds(Reason.TF_TAKEN)
    assert set(bench.sent()) == {('odom', 'base_link')}


def test_a_frame_stays_left_to_another_node_while_its_camera_misses_sets(
    node: KeepingNode,
) -> None:
    bench = Bench(node)
    name = FRAMES[CAMERAS[0]]
    bench.moving(('odom', name))
    assert ('odom', name) not in bench.sent(NO_RIG)
    others = replace(POSED, views=POSED.views[1:])
    for _ in range(3):
        bench.publisher.publish(others, NO_RIG)
        bench.publisher.tick()
        assert bench.holds(Reason.TF_TAKEN) == [name]
    # Once the rig is known, the frame of the camera is not asked for.
    bench.publisher.publish_rig(NO_RIG, FRAMES)
    bench.sent()
    bench.publisher.tick()
    assert not bench.holds(Reason.TF_TAKEN)


def test_with_true_both_publish_and_it_is_an_error(node: KeepingNode) -> None:
    bench = Bench(node, publish_tf=True)
    bench.moving(('wheels', 'base_link'))
    assert set(bench.sent()) == {('odom', 'base_link')}
    assert bench.holds(Reason.TF_CONFLICT) == ['base_link']
    (active,) = bench.board.active()
    assert 'publishes wheels to base_link on /tf' in active.text
    assert 'set publish_tf to auto or false' in active.text


@pytest.mark.parametrize('switch', ['auto', True])
def test_the_frame_that_the_base_is_fixed_to_goes_out_instead(
    node: KeepingNode, switch: bool | str
) -> None:
    bench = Bench(node, publish_tf=switch)
    bench.fixed(('base_footprint', '/base_link', UP))
    ((joint, pose),) = bench.sent().items()
    assert joint == ('odom', 'base_footprint')
    np.testing.assert_allclose(pose @ UP, BASE, atol=1e-12)
    if switch is not True:
        bench.moving(('odom', 'base_footprint'))
        assert bench.sent() == {}
        assert bench.holds(Reason.TF_TAKEN) == ['base_footprint']


def test_cameras_on_one_body_lead_to_one_transform(node: KeepingNode) -> None:
    bench = Bench(node)
    bodies = {camera: rigid(np.eye(3), [0, 0.1 * i, 0]) for i, camera in enumerate(CAMERAS)}
    bench.fixed(*(('camera_link', FRAMES[camera], pose) for camera, pose in bodies.items()))
    ((joint, pose),) = bench.sent(NO_RIG).items()
    assert joint == ('odom', 'camera_link')
    first = POSED.views[0]
    np.testing.assert_allclose(pose @ bodies[first.id.camera], first.world_from_camera, atol=1e-12)


def test_a_base_that_is_fixed_to_odom_is_another_nodes(node: KeepingNode) -> None:
    bench = Bench(node)
    bench.fixed(('map', 'odom', UP), ('odom', 'base_footprint', UP))
    bench.fixed(('base_footprint', 'base_link', UP))
    bench.now_s += 1e6
    assert bench.sent() == {}
    assert bench.holds(Reason.TF_TAKEN) == ['base_footprint']


def test_no_transform_closes_a_loop(node: KeepingNode) -> None:
    bench = Bench(node, publish_tf=True, publish_map_tf=True)
    bench.moving(('base_link', 'middle'), ('middle', 'odom'))
    assert set(bench.sent()) == {('map', 'odom')}
    assert bench.holds(Reason.TF_LOOP) == ['base_link']
    assert any('base_link to middle to odom to base_link' in a.text for a in bench.board.active())
    own = Bench(node, base_frame='odom')
    assert own.sent() == {}
    assert own.holds(Reason.TF_LOOP) == ['odom']


def test_a_frame_of_two_cameras_has_no_place(node: KeepingNode) -> None:
    bench = Bench(node)
    name = FRAMES[CAMERAS[0]]
    bench.tf.frames.take({CAMERAS[0]: name, CAMERAS[1]: f'/{name}'})
    assert ('odom', name) not in bench.sent(NO_RIG)
    bench.publisher.publish_rig(RIG, FRAMES)
    assert ('base_link', name) not in bench.rig_sent[-1]
    assert ('base_link', FRAMES[CAMERAS[1]]) in bench.rig_sent[-1]


def test_the_map_alike(node: KeepingNode) -> None:
    bench = Bench(node, publish_map_tf='auto')
    assert set(bench.sent()) == {('map', 'odom'), ('odom', 'base_link')}
    bench.moving(('map', 'odom'))
    assert set(bench.sent()) == {('odom', 'base_link')}
    (active,) = bench.board.active()
    assert 'publish_map_tf is auto' in active.text
    # The base still goes out, so that windows are wanted.
    assert bench.publisher.is_wanted


def test_the_rig_of_parameters_follows_what_the_driver_publishes(node: KeepingNode) -> None:
    bench = Bench(node)
    bench.rig_sent.clear()
    camera = CAMERAS[0]
    frame, pose = FRAMES[camera], RIG.base_from_camera[camera]
    only = RigCalibration({camera: pose})
    bench.tf.ownership.activate()
    bench.publisher.publish_rig(only, FRAMES)
    assert bench.rig_sent == []
    bench.now_s += LISTENS_S
    for _ in range(3):
        bench.publisher.tick()
    assert [set(sent) for sent in bench.rig_sent] == [{('base_link', frame)}]
    np.testing.assert_allclose(bench.rig_sent[0]['base_link', frame], pose, atol=1e-12)
    # What comes back from the middleware is not taken for another node's.
    bench.fixed(('base_link', frame, bench.rig_sent[0]['base_link', frame]))
    bench.publisher.tick()
    assert len(bench.rig_sent) == 1
    # The driver starts: its frame hangs below its own body, and that below the base.
    bench.fixed(('camera_link', frame, UP))
    bench.publisher.tick()
    assert set(bench.rig_sent[1]) == {('base_link', 'camera_link')}
    np.testing.assert_allclose(
        bench.rig_sent[1]['base_link', 'camera_link'], pose @ invert(UP), atol=1e-12
    )
    # A URDF says all of it: what is latched says nothing more.
    bench.fixed(('base_link', 'camera_link', UP))
    bench.publisher.tick()
    assert bench.rig_sent[2:] == [{}]


NAMES = ('map', 'odom', 'base_footprint', 'base_link', *FRAMES.values(), 'camera_link')
JOINTS = st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.booleans())


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(JOINTS, max_size=7), st.booleans())
def test_no_frame_ever_gets_a_second_parent(
    node: KeepingNode, joints: list[tuple[str, str, bool]], has_rig: bool
) -> None:
    """Whatever tree others publish, what is added leaves it a tree."""
    bench = Bench(node, publish_map_tf='auto')
    for parent, child, is_fixed in joints:
        if is_fixed:
            bench.fixed((parent, child, UP))
        else:
            bench.moving((parent, child))
    tree = bench.tf.tree
    theirs = {child: above for child in NAMES if (above := tree.parent_of(child))}
    sent = bench.sent(RIG if has_rig else NO_RIG)
    children = [child for _, child in sent]
    assert len(children) == len(set(children))
    assert not set(children) & set(theirs)
    parents = {**theirs, **{child: parent for parent, child in sent}}
    for child in children:
        chain = [child]
        while (top := parents.get(chain[-1], '')) and top not in chain:
            chain.append(top)
        assert top != child, f'a loop through {child}: {parents}'


# Nobody knows to the second when a node takes over; a recording is exact there.
PAUSES_S = st.one_of(st.floats(0.1, 4.9), st.floats(GONE_AFTER_S + MOST_PATIENCE_S + 0.1, 20.0))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.tuples(PAUSES_S, JOINTS, st.booleans()), max_size=7),
    st.sampled_from(['auto', True, False]),
)
def test_a_recording_has_sent_what_the_node_sends(
    node: KeepingNode, events: list[tuple[float, tuple[str, str, bool], bool]], switch: Any
) -> None:
    """Whatever others published, and however long ago: one rule, on two clocks."""
    options = replace(OutputOptions(), publish_tf=switch, publish_map_tf='auto')
    bench = Bench(node, publish_tf=switch, publish_map_tf='auto')
    bench.rig_sent.clear()
    # Fixed joints are known from the start in a recording, so the node hears them then.
    static = [fixed(START_NS, (a, b, UP)) for _, (a, b, is_fixed), _ in events if is_fixed]
    for message in static:
        bench.tf.take_static(message.data)
    pauses_ns = [round(pause_s * 1e9) for pause_s, _, _ in events]
    times_ns = [START_NS + 1_100_000_000 + log for log in accumulate(pauses_ns)]
    moving = [
        recorded(log_ns, log_ns, (a, b, np.eye(4)))
        for log_ns, (_, (a, b, is_fixed), _) in zip(times_ns, events, strict=True)
        if not is_fixed
    ]
    tape = Recording(options, moving, static, start_ns=START_NS)
    tape.tf.read()
    claims = TransformClaims(options, tape.tf)
    begin_s = bench.now_s
    latched: list[list[TransformClaim]] = []
    for log_ns, (_, _, has_rig) in zip(times_ns, events, strict=True):
        tape.play_to(log_ns)
        bench.now_s = begin_s + (log_ns - START_NS) / 1e9
        while moving and moving[0].stamp_ns <= log_ns:
            bench.tf.take(moving.pop(0).data)
        bench.publisher.publish_rig(RIG, FRAMES)
        bench.publisher.tick()
        anew = (claims.of_rig(RIG, FRAMES), claims.tick())
        latched += [found for found in anew if found is not None]
        rig = RIG if has_rig else NO_RIG
        assert_same(claims.of_set(POSED, rig), bench.sent(rig))
    assert len(latched) == len(bench.rig_sent)
    for ours, theirs in zip(latched, bench.rig_sent, strict=True):
        assert_same(ours, theirs)


def assert_same(claims: list[TransformClaim], sent: Sent) -> None:
    assert {(c.parent, c.child) for c in claims} == set(sent)
    for claim in claims:
        np.testing.assert_allclose(claim.pose, sent[claim.parent, claim.child], atol=1e-9)
