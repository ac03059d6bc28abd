"""The node beside another publisher of its transforms: the base never jumps between the two."""

from __future__ import annotations

from collections.abc import Iterator
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from tf2_msgs.msg import TFMessage

from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from helpers.fault_rig import LONG_S, send_until, start_node, values_of
from helpers.foreign_tf import ForeignTf, own_stamps
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
BASE = 'base_link'
ODOMETRY = [('odom', BASE), (BASE, 'left_wheel')]


@pytest.fixture(name='domain_id')
def domain_id_fixture() -> Iterator[int]:
    with reserved_domain_id() as domain_id:
        yield domain_id


@pytest.fixture(name='robot')
def robot_fixture(domain_id: int) -> Iterator[RosRobot]:
    with RosRobot(domain_id, ['front']) as robot:
        robot.publish_rig(['front'])
        yield robot


def begin(robot: RosRobot, node: RosProcess) -> None:
    """Listen to everything, and wait until windows come."""
    node.wait_for_line('ready', LONG_S)
    robot.wait_for_node()
    robot.listen(TFMessage, '/tf')
    robot.listen(WindowReport, 'window')
    send_until(robot, 'window', lambda message: True)


def send_sets(robot: RosRobot, count: int) -> list[int]:
    """Send instants, each once the window of the one before is there; return their stamps."""
    stamps = []
    for _ in range(count):
        stamps.append(robot.send())
        robot.wait_stamp('window', stamps[-1])
    return stamps


def send_for(robot: RosRobot, seconds: float) -> list[int]:
    stamps: list[int] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        stamps += send_sets(robot, 1)
    return stamps


def test_the_base_is_left_to_the_odometry_as_long_as_that_lives(
    robot: RosRobot, domain_id: int
) -> None:
    with start_node(domain_id, ['front']) as node:
        with ForeignTf(robot, ODOMETRY):
            begin(robot, node)
            send_for(robot, 3.0)
            assert own_stamps(robot, BASE) == []
            node.wait_for_line(
                r'\[INFO\].*frame base_link: odom to base_link .* by /robot; .*publish_tf is auto'
            )
        gone_s = time.monotonic()
        message = send_until(
            robot, '/tf', lambda m: [j.child_frame_id for j in m.transforms] == [BASE]
        )
        # Lower bounds only: a slow machine may be later.
        assert time.monotonic() - gone_s >= 5.0
        assert message.transforms[0].header.frame_id == 'odom'
        node.wait_for_line('frame base_link: nobody has published it for 5 s.*Its pose jumps')
        node.wait_for_line('over after .*frame base_link: odom to base_link')
        with ForeignTf(robot, ODOMETRY):
            stamps = send_for(robot, 2.0)
        assert len(set(stamps) & set(own_stamps(robot, BASE))) <= 1


def test_alone_it_listens_for_a_second_and_then_publishes(robot: RosRobot, domain_id: int) -> None:
    with start_node(domain_id, ['front']) as node:
        begin(robot, node)
        send_until(robot, '/tf', lambda message: True)
        stamps = send_sets(robot, 5)
        robot.wait_for('/tf', lambda m: ns_from_stamp(m.transforms[0].header.stamp) == stamps[-1])
        assert set(stamps) <= set(own_stamps(robot, BASE))
        assert 'no more' not in node.output


def test_the_odometry_is_followed_and_never_its_own_output(
    robot: RosRobot, domain_id: int
) -> None:
    """prior_frame and odom_frame are one under the defaults: poses stand in that of the robot."""
    with start_node(domain_id, ['front'], 'prior_frame:=odom', 'tf_wait_s:=0.0') as node:
        begin(robot, node)
        send_until(robot, '/tf', lambda message: True)
        for stamp_ns in send_sets(robot, 4):
            report = robot.wait_stamp('window', stamp_ns)
            # It publishes odom to base_link itself now, and does not take that for an odometry.
            assert report.odometry_views == 0
            assert 'no transforms connect odom' in report.note


def test_nothing_is_computed_for_a_base_that_another_node_publishes(
    robot: RosRobot, domain_id: int
) -> None:
    with start_node(domain_id, ['front'], 'scene_sets:=0') as node, ForeignTf(robot, ODOMETRY):
        node.wait_for_line('ready', LONG_S)
        robot.wait_for_node()
        robot.listen(DiagnosticArray, '/diagnostics')

        def unwanted(message: DiagnosticArray) -> int:
            return int(values_of(message).get('unwanted windows', 0))

        first = send_until(robot, '/diagnostics', lambda m: unwanted(m) > 0)
        windows = values_of(first)['windows']
        last = send_until(robot, '/diagnostics', lambda m: unwanted(m) > unwanted(first) + 5)
        assert values_of(last)['windows'] == windows


def test_the_map_is_left_to_the_localisation(robot: RosRobot, domain_id: int) -> None:
    with start_node(domain_id, ['front'], 'publish_map_tf:=auto') as node:
        with ForeignTf(robot, [('map', 'odom')]):
            begin(robot, node)
            send_until(robot, '/tf', lambda m: any(j.child_frame_id == BASE for j in m.transforms))
            send_sets(robot, 5)
            assert own_stamps(robot, 'odom') == []
        found = send_until(
            robot,
            '/tf',
            lambda m: [j.child_frame_id for j in m.transforms] == ['odom', BASE],
        )
        assert found.transforms[0].header.frame_id == 'map'


def test_with_true_it_goes_on_and_says_so(robot: RosRobot, domain_id: int) -> None:
    with start_node(domain_id, ['front'], 'publish_tf:=true') as node:
        with ForeignTf(robot, ODOMETRY):
            begin(robot, node)
            stamps = send_sets(robot, 5)
            node.wait_for_line(
                r'\[ERROR\].*frame base_link: this node publishes odom to base_link, and /robot '
                'publishes odom to base_link on /tf'
            )
        robot.wait_for('/tf', lambda m: ns_from_stamp(m.transforms[0].header.stamp) == stamps[-1])
        assert set(stamps) <= set(own_stamps(robot, BASE))
        send_until(robot, 'window', lambda m: 'over after' in node.output)
        node.wait_for_line('over after .*frame base_link: this node publishes')


def test_of_two_nodes_one_gives_way_to_the_other(robot: RosRobot, domain_id: int) -> None:
    """Another instance is another publisher, whatever its name; which one goes on is chance."""
    second = [f'{name}:=/second/{name}' for name in ('window', 'odometry', 'path', 'points')]
    gives_way = 'frame base_link: odom to base_link is published'
    with start_node(domain_id, ['front']) as node:
        begin(robot, node)
        with start_node(domain_id, ['front'], remappings=second) as other:
            send_until(robot, 'window', lambda m: gives_way in node.output + other.output)

            def is_settled() -> bool:
                stamps = send_sets(robot, 11)[:-1]
                sent = own_stamps(robot, BASE)
                return [sent.count(stamp_ns) for stamp_ns in stamps] == [1] * 10

            # Where each heard the other at once, both wait, and not for the same time.
            robot.wait(is_settled, 'one publisher of the base', LONG_S)
            assert is_settled()
