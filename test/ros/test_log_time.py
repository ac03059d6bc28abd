"""The log time of a message: the newest tick that has arrived, served or not."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rosgraph_msgs.msg import Clock

from da3_ros.ros.bags.log_time import LogTime
from da3_ros.ros.messages.geometry_messages import stamp_from_ns
from helpers.ros_rig import RELIABLE, START_NS, RosRobot

pytestmark = pytest.mark.ros


@pytest.mark.parametrize('use_sim_time', [True, None])
def test_a_tick_counts_before_the_executor_serves_it(
    ros_domain_id: int, use_sim_time: bool | None
) -> None:
    """Of several topics that have something any is served first; here none ever is."""
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    recording = Node('recording', context=context)
    try:
        with RosRobot(ros_domain_id, []) as robot:
            clock = robot.node.create_publisher(Clock, '/clock', RELIABLE)
            log_time = LogTime(recording, use_sim_time)
            robot.wait(lambda: recording.count_publishers('/clock') == 1, 'the clock')
            assert log_time.now_ns() is None
            robot.wait(lambda: clock.get_subscription_count() == 1, 'a match')
            for stamp_ns in (START_NS, START_NS + 200_000_000):
                clock.publish(Clock(clock=stamp_from_ns(stamp_ns)))
                robot.wait(
                    lambda wanted=stamp_ns: log_time.now_ns() == wanted,  # type: ignore[misc]
                    f'the tick {stamp_ns}',
                )
    finally:
        recording.destroy_node()
        rclpy.shutdown(context=context)
