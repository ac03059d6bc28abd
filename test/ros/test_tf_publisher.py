"""What goes out on /tf and /tf_static, given what others publish there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('tf2_msgs')

from da3_ros.geometry.se3 import invert, rigid
from da3_ros.reasons import Reason
from da3_ros.ros.tf.frame_tree import GONE_AFTER_S
from da3_ros.ros.tf.listener import MOST_PATIENCE_S
from da3_ros.ros.tf.ownership import LISTENS_S
from da3_ros.types import RigCalibration
from helpers.tf_bench import (
    BASE,
    CAMERAS,
    FRAMES,
    NO_RIG,
    POSED,
    RIG,
    UP,
    Bench,
    KeepingNode,
    keeping_node,
)

pytestmark = pytest.mark.ros


@pytest.fixture(name='node', scope='module')
def node_fixture() -> Iterator[KeepingNode]:
    with keeping_node() as node:
        yield node


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
