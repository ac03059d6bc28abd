"""Why no window comes, or one with a doubt: in the log, on /diagnostics, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import re

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_srvs.srv import SetBool

from da3_ros.msg import WindowReport
from da3_ros.reasons import Reason, Severity
from helpers.fault_rig import HELPERS, send_until, start_node, status_of
from helpers.lifecycle_client import ACTIVATE, DEACTIVATE, LifecycleClient
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
LEVELS = {
    Severity.INFO: DiagnosticStatus.OK,
    Severity.WARN: DiagnosticStatus.WARN,
    Severity.ERROR: DiagnosticStatus.ERROR,
}
LOGGED = {Severity.INFO: 'INFO', Severity.WARN: 'WARN', Severity.ERROR: 'ERROR'}


class Place:
    """A node with moods, and a robot with one camera."""

    def __init__(self, node: RosProcess, robot: RosRobot, mood: Path) -> None:
        self.node, self.robot = node, robot
        self._mood = mood
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()
        self.feel('well')

    def feel(self, mood: str) -> None:
        beside = self._mood.with_suffix('.new')
        beside.write_text(mood, encoding='utf-8')
        beside.replace(self._mood)

    def reaches(self, reason: Reason, fragment: str) -> None:
        """Send images until the stream has this reason, with its level, also in the log."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment in status_of(message).message

        status = status_of(send_until(self.robot, '/diagnostics', fits))
        assert status.level >= LEVELS[reason.severity]
        self.node.wait_for_line(rf'\[{LOGGED[reason.severity]}\].*{re.escape(fragment)}')

    def leaves(self, fragment: str) -> None:
        """Send images until the stream is rid of the reason, and its end is in the log."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment not in status_of(message).message

        send_until(self.robot, '/diagnostics', fits)
        self.node.wait_for_line(rf'\[INFO\].*over after .*{re.escape(fragment)}')


@pytest.fixture(name='place', scope='module')
def place_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    mood = tmp_path_factory.mktemp('moods') / 'mood'
    mood.write_text('well', encoding='utf-8')
    program = (HELPERS / 'moody_node.py', mood)
    with (
        reserved_domain_id() as domain_id,
        start_node(domain_id, ['front'], program=program) as node,
        RosRobot(domain_id, ['front']) as robot,
    ):
        yield Place(node, robot, mood)
        assert node.stop() == 0
        assert 'Traceback' not in node.output


@pytest.mark.parametrize(
    ('reason', 'mood', 'fragment'),
    [
        (Reason.WINDOW_FAILED, 'burning', 'the network is on fire'),
        (Reason.NO_POSES, 'poseless', 'predicts no poses, and no odometry'),
        (Reason.WINDOW_REFUSED, 'nonsense', 'window refused'),
        (Reason.WINDOW_DOUBT, 'doubtful', 'one by one'),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else '',
)
def test_a_window_that_goes_wrong(place: Place, reason: Reason, mood: str, fragment: str) -> None:
    place.feel(mood)
    place.reaches(reason, fragment)
    place.feel('well')
    place.leaves(fragment)


def test_a_change_is_said_and_has_no_end(place: Place) -> None:
    assert Reason.WINDOW_NOTE.severity is Severity.INFO
    place.feel('changed')
    place.reaches(Reason.WINDOW_NOTE, 'followed a new source')
    place.feel('well')
    assert 'over after' not in '\n'.join(
        line for line in place.node.lines if 'followed a new source' in line
    )


def test_a_window_without_end(place: Place) -> None:
    place.feel('hanging')
    place.reaches(Reason.STALLED, 'no window has ended for')
    place.feel('well')
    place.leaves('no window has ended for')


def test_more_sets_than_windows(ros_domain_id: int) -> None:
    program = (HELPERS / 'slow_node.py', '1.0')
    with (
        start_node(ros_domain_id, ['front'], program=program) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()
        fragment = 'of the sets get no depth'
        send_until(robot, '/diagnostics', lambda m: fragment in status_of(m).message)
        assert Reason.OVERLOADED.severity is Severity.INFO
        node.wait_for_line(rf'\[INFO\].*windows at .*{fragment}')
        # It is not said again while it lasts, and its end is.
        robot.wait(
            lambda: fragment not in status_of(robot.messages('/diagnostics')[-1]).message,
            'the end of the load',
            timeout_s=40.0,
        )
        node.wait_for_line(f'over after .*{fragment}')


def test_no_metres_and_metres_that_come(ros_domain_id: int) -> None:
    fragment = 'in a unit of their own, not metres'
    with (
        start_node(ros_domain_id, ['front', 'left']) as node,
        RosRobot(ros_domain_id, ['front', 'left']) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.wait_for_node()

        def has_no_metres(message: DiagnosticArray) -> bool:
            return fragment in status_of(message).message

        found = status_of(send_until(robot, '/diagnostics', has_no_metres))
        assert Reason.RIG_UNKNOWN.severity is Severity.INFO
        node.wait_for_line(r'\[INFO\].*cameras sit is not known: front, left')
        assert found.level >= LEVELS[Reason.SCALE_UNKNOWN.severity]
        assert 'scale_source is auto' in found.message
        node.wait_for_line(rf'\[WARN\].*{fragment}')
        robot.publish_rig(['front', 'left'])
        send_until(robot, '/diagnostics', lambda m: not has_no_metres(m))
        node.wait_for_line(f'over after .*{fragment}')
        node.wait_for_line('over after .*cameras sit is not known')


def test_odometry_that_is_not_there(ros_domain_id: int) -> None:
    assert Reason.POSE_MISSING.severity is Severity.WARN
    parameters = ('prior_frame:=wheels', 'tf_wait_s:=0.0')
    with (
        start_node(ros_domain_id, ['front'], *parameters) as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.publish_rig(['front'])
        robot.wait_for_node()
        send_until(robot, '/diagnostics', lambda m: 'wheels' in status_of(m).message)
        node.wait_for_line(r'\[WARN\].*wheels')


@pytest.mark.parametrize('reason', [Reason.NOT_WANTED, Reason.DISABLED, Reason.INACTIVE])
def test_an_idle_node_says_once_why(ros_domain_id: int, reason: Reason) -> None:
    fragment = reason.value.text.format(state='inactive')
    with (
        start_node(ros_domain_id, ['front'], 'scene_sets:=0', 'publish_tf:=false') as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        client = LifecycleClient(robot)
        if reason is Reason.DISABLED:
            client.call(SetBool, 'enable', data=False)
        elif reason is Reason.INACTIVE:
            client.change(DEACTIVATE)
        robot.wait_for('/diagnostics', lambda m: fragment in status_of(m).message)
        node.wait_for_line(rf'\[INFO\].*{re.escape(fragment)}')
        if reason is Reason.NOT_WANTED:
            robot.listen(WindowReport, 'window')
        elif reason is Reason.DISABLED:
            client.call(SetBool, 'enable', data=True)
        else:
            client.change(ACTIVATE)
        node.wait_for_line(f'over after .*{re.escape(fragment)}')
        assert sum(line.endswith(fragment) for line in node.lines) == 2
