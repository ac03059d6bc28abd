"""A node and a robot for tests of reasons: said in the log, on /diagnostics, and when they end."""

from __future__ import annotations

from collections.abc import Callable
import re

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from da3_ros.reasons import Reason, Severity
from helpers.fault_rig import send_until, status_of
from helpers.ros_process import RosProcess
from helpers.ros_rig import RosRobot

LEVELS = {
    Severity.INFO: DiagnosticStatus.OK,
    Severity.WARN: DiagnosticStatus.WARN,
    Severity.ERROR: DiagnosticStatus.ERROR,
}
LOGGED = {Severity.INFO: 'INFO', Severity.WARN: 'WARN', Severity.ERROR: 'ERROR'}


class CameraPlace:
    """One camera of a node that runs, and what the node says of it.

    Args:
        node: under test.
        robot: beside it.
        camera: the one that is looked at.
    """

    def __init__(self, node: RosProcess, robot: RosRobot, camera: str = 'front') -> None:
        self.node, self.robot = node, robot
        self._part = f'camera {camera}'
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()

    def reaches(self, reason: Reason, fragment: str, send: Callable[[], object]) -> str:
        """Send until /diagnostics has this reason and the log its line; return the text."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment in status_of(message, self._part).message

        status = status_of(send_until(self.robot, '/diagnostics', fits, send), self._part)
        assert status.level >= LEVELS[reason.severity]
        self.node.wait_for_line(rf'\[{LOGGED[reason.severity]}\].*{re.escape(fragment)}')
        return str(status.message)

    def leaves(self, fragment: str, send: Callable[[], object]) -> None:
        """Send until the reason is no more on /diagnostics, and its end is in the log."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment not in status_of(message, self._part).message

        send_until(self.robot, '/diagnostics', fits, send)
        self.node.wait_for_line(rf'\[INFO\].*over after .*{re.escape(fragment)}')
