"""The process of the node: how it starts, how it keeps up, how it ends."""

from __future__ import annotations

from pathlib import Path
import signal
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from da3_ros.msg import WindowReport
from helpers.ros_process import ROOT, RosProcess
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
SLOW_NODE = ROOT / 'test' / 'helpers' / 'slow_node.py'
NODE = 'da3_ros.ros.main'


def test_an_overloaded_node_keeps_the_newest_counts_the_rest_and_ends_at_once(
    ros_domain_id: int,
) -> None:
    arguments = ['3.0', '--ros-args', '-p', 'cameras:=[front]', '-p', 'window:=2']
    with (
        RosProcess(SLOW_NODE, *arguments, domain_id=ros_domain_id) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        first_ns = robot.send()
        node.wait_for_line('cameras sit is not known')  # the worker has taken it
        stamps = [robot.send() for _ in range(6)]
        assert robot.wait_stamp('window', first_ns).dropped_sets <= 6
        report = robot.wait_stamp('window', stamps[-1])
        assert report.dropped_sets == 5
        # In the middle of the next window, three seconds long:
        robot.send()
        time.sleep(0.5)
        began = time.monotonic()
        node.send(signal.SIGINT)
        assert node.wait(10.0) == 0, node.output
        assert time.monotonic() - began < 2.0
        assert 'Traceback' not in node.output


@pytest.mark.parametrize(
    ('parameter', 'message'),
    [
        ('window:=0', 'parameter window: expected int from 1 to 256'),
        ('cameras:=[front, front]', 'parameter cameras: expected distinct names'),
        ('cameras:=["no name"]', "parameter cameras: 'no name' makes no topic name"),
    ],
)
def test_a_wrong_parameter_ends_the_start_with_one_line_and_status_1(
    ros_domain_id: int, parameter: str, message: str
) -> None:
    arguments = ['--ros-args', '-p', 'model:=truth', '-p', parameter]
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id) as node:
        assert node.wait(30.0) == 1
        assert message in node.output
        assert 'Traceback' not in node.output


def test_a_model_that_is_not_there_ends_the_start_with_status_1(
    ros_domain_id: int, tmp_path: Path
) -> None:
    arguments = ['--ros-args', '-p', f'model:={tmp_path / "nowhere"}']
    variables = {'HF_HUB_OFFLINE': '1'}
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id, variables=variables) as node:
        assert node.wait(60.0) == 1
        assert 'nowhere' in node.output
        assert 'Traceback' not in node.output
