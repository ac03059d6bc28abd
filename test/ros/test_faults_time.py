"""Stamps that jump, repeat or start again, with and without simulated time: over real DDS."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from rosgraph_msgs.msg import Clock
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp, stamp_from_ns
from helpers.fault_rig import check_base, newest, send_until, start_node, values_of
from helpers.ros_rig import PERIOD_NS, START_NS, RosRobot

pytestmark = pytest.mark.ros
HOUR_NS = 3_600_000_000_000
CAMERAS = ['front', 'left', 'right']


def listen(robot: RosRobot) -> None:
    """Listen to what the tests look at, and wait until it comes."""
    robot.publish_rig(robot.cameras)
    robot.wait_for_node()
    robot.listen(WindowReport, 'window')
    robot.listen(Odometry, 'odometry')
    robot.listen(DiagnosticArray, '/diagnostics')
    robot.prime(robot.send)


def stamps(robot: RosRobot) -> list[int]:
    """Return the stamps of all windows so far."""
    return [ns_from_stamp(report.header.stamp) for report in robot.messages('window')]


def test_stamps_that_jump_forward_keep_the_world(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, CAMERAS[:2]) as node,
        RosRobot(ros_domain_id, CAMERAS[:2]) as robot,
    ):
        node.wait_for_line('ready')
        listen(robot)
        before = newest(robot, 'window')
        ahead_ns = robot.next_stamp() + HOUR_NS
        # Fewer could be images with a faulty stamp.
        for step in range(-IN_A_ROW, 0):
            robot.send(stamp_ns=ahead_ns + step * PERIOD_NS)
        for step in range(3):
            stamp_ns = robot.send(stamp_ns=ahead_ns + step * PERIOD_NS)
            report = robot.wait_stamp('window', stamp_ns)
            assert (report.alignment_method, report.is_metric) == ('shared_views', True)
            check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
        assert report.window_index > before.window_index + 3
        assert 'time jumped forward by 3599.' in node.output
        assert 'the world starts anew' not in node.output


def test_repeated_and_older_stamps_are_left_out_and_counted(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, CAMERAS[:2]) as node,
        RosRobot(ros_domain_id, CAMERAS[:2]) as robot,
    ):
        node.wait_for_line('ready')
        listen(robot)
        first_ns = robot.send()
        robot.wait_stamp('window', first_ns)
        for _ in range(3):
            robot.send(stamp_ns=first_ns)
        for step in (1, 2):
            robot.send(stamp_ns=first_ns - step * PERIOD_NS // 2)
        last_ns = robot.send()
        report = robot.wait_stamp('window', last_ns)
        assert report.alignment_method == 'shared_views'
        found = stamps(robot)
        assert found == sorted(set(found))
        # Two cameras: three repeats and two steps back of each.
        counted = send_until(
            robot,
            '/diagnostics',
            lambda m: values_of(m).get('dropped: out_of_order') == '4',
        )
        assert values_of(counted)['dropped: duplicate'] == '6'
        for camera in CAMERAS[:2]:
            values = values_of(counted, f'camera {camera}')
            assert (values['dropped: duplicate'], values['dropped: out_of_order']) == ('3', '2')
        assert 'jumped' not in node.output
        check_base(robot, robot.wait_stamp('odometry', last_ns), last_ns)


@pytest.mark.parametrize('min_cameras', [1, 2])
def test_one_camera_with_a_wrong_clock_is_named_and_the_others_go_on(
    ros_domain_id: int, min_cameras: int
) -> None:
    parameters = (f'min_cameras:={min_cameras}', 'sync_wait_s:=0.05')
    with (
        start_node(ros_domain_id, CAMERAS, *parameters) as node,
        RosRobot(ros_domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        listen(robot)
        before = newest(robot, 'window')

        def send_ahead() -> None:
            stamp_ns = robot.send(['front', 'left'])
            robot.send(['right'], stamp_ns + HOUR_NS)

        for _ in range(5):
            sent_ns = robot.next_stamp()

            def of_the_others(report: WindowReport, since_ns: int = sent_ns) -> bool:
                cameras = [view.camera for view in report.views]
                stamp_ns = ns_from_stamp(report.header.stamp)
                return cameras == ['front', 'left'] and since_ns < stamp_ns < since_ns + HOUR_NS

            report = send_until(robot, 'window', of_the_others, send_ahead)
            assert list(report.late_cameras) == ['right']
        # With its clock set right it is back, in the same world.
        whole = send_until(robot, 'window', lambda m: len(m.views) == 3 and not m.late_cameras)
        assert whole.alignment_method == 'shared_views'
        assert whole.window_index > before.window_index
        stamp_ns = ns_from_stamp(whole.header.stamp)
        # Where the world began: anew, when /tf_static came after the first images.
        begun = [m for m in robot.messages('window') if m.alignment_method == 'first']
        if begun:
            robot.start_ns = ns_from_stamp(begun[-1].header.stamp)
        check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)


def test_a_bag_that_loops_under_sim_time_starts_the_world_anew_each_time(
    ros_domain_id: int,
) -> None:
    rounds, instants = 3, 20
    with (
        start_node(ros_domain_id, CAMERAS[:2], 'use_sim_time:=true') as node,
        RosRobot(ros_domain_id, CAMERAS[:2]) as robot,
    ):
        clock = robot.node.create_publisher(Clock, '/clock', 10)

        def play(stamp_ns: int) -> None:
            clock.publish(Clock(clock=stamp_from_ns(stamp_ns)))
            robot.send(stamp_ns=stamp_ns)

        node.wait_for_line('ready')
        robot.wait(lambda: clock.get_subscription_count() > 0, 'a subscriber of /clock')
        robot.publish_rig(robot.cameras)
        robot.wait_for_node()
        for kind, topic in (
            (WindowReport, 'window'),
            (Odometry, 'odometry'),
            (DiagnosticArray, '/diagnostics'),
            (TFMessage, '/tf'),
        ):
            robot.listen(kind, topic)
        # Later than what is played then, so that every round begins with a jump back.
        early_ns = [START_NS + HOUR_NS + step * PERIOD_NS for step in range(200)]
        robot.prime(lambda: play(early_ns.pop(0)))
        loop_ns = [START_NS + step * PERIOD_NS for step in range(instants)]
        for round_ in range(rounds):
            clock.publish(Clock(clock=stamp_from_ns(loop_ns[0])))
            _wait_for_clock(robot, loop_ns[0])
            for stamp_ns in loop_ns:
                play(stamp_ns)
                robot.wait(
                    lambda s=stamp_ns, n=round_: stamps(robot).count(s) > n,  # type: ignore[misc]
                    f'window {stamp_ns} of round {round_}',
                )
            robot.wait(
                lambda n=round_: _count(robot, 'odometry', loop_ns[-1]) > n,  # type: ignore[misc]
                'the last pose',
            )
            robot.start_ns = loop_ns[0]
            check_base(robot, newest(robot, 'odometry'), loop_ns[-1])
            latest = newest(robot, 'window')
            # By the clock of the bag: never the hour, or the loop, that it was set back by.
            assert abs(latest.stamp_to_publish_s) < 1.0
        begun = [m for m in robot.messages('window') if m.alignment_method == 'first']
        assert [ns_from_stamp(m.header.stamp) for m in begun][-rounds:] == [loop_ns[0]] * rounds
        node.wait_for_line('the world starts anew: /clock jumped back by')
        assert 'stamps jumped back' not in node.output
        assert _count(robot, '/tf', loop_ns[0]) == rounds
        seen = len(robot.messages('/diagnostics'))
        robot.wait(lambda: len(robot.messages('/diagnostics')) > seen + 1, 'diagnostics')
        assert 'Traceback' not in node.output


def _wait_for_clock(robot: RosRobot, now_ns: int) -> None:
    """Wait until the node says something by the new time of /clock."""
    seen = len(robot.messages('/diagnostics'))

    def has_it() -> bool:
        newer = robot.messages('/diagnostics')[seen:]
        return any(ns_from_stamp(message.header.stamp) == now_ns for message in newer)

    robot.wait(has_it, 'diagnostics by the new clock')


def _count(robot: RosRobot, key: str, stamp_ns: int) -> int:
    def stamp(message: object) -> int:
        head = message.transforms[0].header if isinstance(message, TFMessage) else message.header  # type: ignore[attr-defined]
        return ns_from_stamp(head.stamp)

    return sum(stamp(message) == stamp_ns for message in robot.messages(key))
