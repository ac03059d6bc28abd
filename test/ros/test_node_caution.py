"""A node with the network for tests says what it is, wherever its results are seen."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
pytest.importorskip('viser', reason='the live viewer needs viser: pip install "viser>=1.1"')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from da3_ros.model.presets import CAUTIONS
from da3_ros.msg import WindowReport
from helpers.ros_process import RosProcess
from helpers.ros_rig import RosRobot
from helpers.viser_client import SceneClient

pytestmark = [pytest.mark.ros, pytest.mark.weights]
CAUTION = CAUTIONS['da3-nano']
PARAMETERS = ['cameras:=[front, left]', 'window:=2', 'viewer:=true']


def _stream(message: DiagnosticArray) -> tuple[DiagnosticStatus, dict[str, str]]:
    status = message.status[0]
    return status, {pair.key: pair.value for pair in status.values}


def test_log_reports_diagnostics_and_page_say_it(ros_domain_id: int) -> None:
    arguments = ['--ros-args', *(a for p in [*PARAMETERS, 'viewer_port:=0'] for a in ('-p', p))]
    # The parameter names no model: the rule of the default one is tested with it.
    start = RosProcess(
        'da3_ros.ros.node.main', *arguments, domain_id=ros_domain_id,
        variables={'DA3_MODEL': 'da3-nano'},
    )  # fmt: skip
    with start as process:
        process.wait_for_line(r'model: da3-nano \(named by DA3_MODEL\)', 60.0)
        url = process.wait_for_line(r'the live viewer is at (http://\S+)', 60.0).group(1)
        process.wait_for_line('ready')
        [line] = [line for line in process.output.splitlines() if CAUTION.brief in line]
        assert CAUTION.text in line
        assert '[WARN]' in line
        with RosRobot(ros_domain_id, ('front', 'left')) as robot, SceneClient(url) as client:
            client.wait_for(lambda: f'**{CAUTION.text}**' in client.status())
            robot.publish_rig(('front', 'left'))
            robot.wait_for_node()
            windows = robot.listen(WindowReport, 'window')
            states = robot.listen(DiagnosticArray, '/diagnostics')
            robot.prime(robot.send)
            notes = [window.note for window in robot.messages(windows)]
            assert all(note.endswith(CAUTION.brief) for note in notes)
            last = robot.wait_for(states, lambda m: CAUTION.brief in _stream(m)[0].message)
            status, values = _stream(last)
            assert status.level == DiagnosticStatus.WARN
            assert values['caution'] == CAUTION.text
        # Once in the log, not with every window.
        assert process.output.count(CAUTION.brief) == 1
