"""The process of the node: how it starts, how it keeps up, how it ends."""

from __future__ import annotations

from pathlib import Path
import signal
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray

from da3_ros.msg import WindowReport
from helpers.ros_process import ROOT, RosProcess
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
SLOW_NODE = ROOT / 'test' / 'helpers' / 'slow_node.py'
NODE = 'da3_ros.ros.node.main'


def stream(message: DiagnosticArray) -> dict[str, str]:
    return {pair.key: pair.value for pair in message.status[0].values}


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
        robot.listen(DiagnosticArray, '/diagnostics')
        while 'cameras sit is not known' not in node.output:  # until the worker has one
            robot.send()
            time.sleep(0.2)
        stamps = [robot.send() for _ in range(6)]
        report = robot.wait_stamp('window', stamps[-1])
        assert report.dropped_sets >= 5
        assert report.window_index < 5
        # Every set was used or counted.
        windows = report.window_index + 1
        values = robot.wait_for('/diagnostics', lambda m: stream(m)['windows'] == str(windows))
        assert int(stream(values)['sets']) == windows + report.dropped_sets
        assert int(stream(values)['dropped sets']) == report.dropped_sets
        robot.send()
        node.send(signal.SIGINT)
        assert node.wait() == 0, node.output
        assert 'Traceback' not in node.output


def test_a_wrong_parameter_ends_the_start_with_one_line_and_status_1(ros_domain_id: int) -> None:
    arguments = ['--ros-args', '-p', 'model:=truth', '-p', 'window:=0']
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id) as node:
        assert node.wait(30.0) == 1
        (line,) = [line for line in node.lines if '[da3_node]' in line]
        assert 'parameter window: expected int from 1 to 256' in line
        assert 'Traceback' not in node.output, node.output


def test_arguments_that_cannot_be_read_end_the_start_with_one_line_and_status_1(
    ros_domain_id: int,
) -> None:
    # For YAML y is no text.
    arguments = ['--ros-args', '-p', 'cameras:=[x, y]']
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id) as node:
        assert node.wait(30.0) == 1
        assert "cameras:=['y']" in node.output
        assert 'Traceback' not in node.output, node.output


def test_a_model_that_is_not_there_ends_the_start_with_status_1(
    ros_domain_id: int, tmp_path: Path
) -> None:
    arguments = ['--ros-args', '-p', f'model:={tmp_path / "nowhere"}']
    variables = {'HF_HUB_OFFLINE': '1'}
    with RosProcess(NODE, *arguments, domain_id=ros_domain_id, variables=variables) as node:
        assert node.wait(60.0) == 1
        assert 'nowhere' in node.output
        assert 'Traceback' not in node.output
