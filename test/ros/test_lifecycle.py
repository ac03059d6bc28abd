"""The node's lifecycle as a manager sees it: a process of its own, change_state and get_state."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import signal
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Image

from da3_ros.msg import WindowReport
from da3_ros.srv import ExportScene
from helpers.lifecycle_client import (
    ACTIVATE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    SHUTDOWN,
    LifecycleClient,
)
from helpers.patience import BLOCKED_S, PATIENCE_S
from helpers.ros_process import ROOT, RosProcess
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
NODE = 'da3_ros.ros.node.main'
SLOW_NODE = ROOT / 'test' / 'helpers' / 'slow_node.py'
ODD_NODE = ROOT / 'test' / 'helpers' / 'odd_node.py'


class Managed:
    """A node in a process, a robot with the camera `front`, and who manages the node."""

    def __init__(self, process: RosProcess, robot: RosRobot) -> None:
        self.process = process
        self.robot = robot
        self.client = LifecycleClient(robot)
        self.depth = ''

    def receive(self) -> int:
        """Send images until depth comes; return the stamp of one that came."""
        self.depth = self.depth or self.robot.listen(Image, 'front/depth/image')
        already = len(self.robot.messages(self.depth))
        deadline = time.monotonic() + 20.0
        while len(self.robot.messages(self.depth)) == already:
            assert time.monotonic() < deadline, self.process.output
            self.robot.send()
            time.sleep(0.1)
        header = self.robot.messages(self.depth)[-1].header
        return int(header.stamp.sec * 10**9 + header.stamp.nanosec)

    def stream(self, state: str) -> dict[str, str]:
        """Return what diagnostics say of the stream once they tell this state."""

        def values(message: DiagnosticArray) -> dict[str, str]:
            return {pair.key: pair.value for pair in message.status[0].values}

        message = self.robot.wait_for('/diagnostics', lambda m: values(m).get('state') == state)
        return {**values(message), 'message': message.status[0].message}


@contextmanager
def managed(
    domain_id: int, *parameters: str, program: tuple[Any, ...] = (NODE,)
) -> Iterator[Managed]:
    """Run a node that waits for transitions."""
    given = ['autostart:=false', 'cameras:=[front]', 'window:=2', *parameters]
    if program == (NODE,) and not any(p.startswith('model:=') for p in parameters):
        given.append('model:=truth')
    arguments = [*program[1:], '--ros-args', *(a for p in given for a in ('-p', p))]
    with (
        RosProcess(program[0], *arguments, domain_id=domain_id) as process,
        RosRobot(domain_id, ['front']) as robot,
    ):
        yield Managed(process, robot)


def test_two_rounds_through_all_states(ros_domain_id: int, tmp_path: Path) -> None:
    with managed(ros_domain_id, f'export_dir:={tmp_path}') as m:
        client = m.client
        assert client.state() == 'unconfigured'
        assert not client.publishes()
        m.robot.listen(DiagnosticArray, '/diagnostics')
        assert m.stream('unconfigured')['message'] == 'unconfigured'
        for turn in range(2):
            assert client.change(CONFIGURE), m.process.output
            assert client.state() == 'inactive'
            client.becomes(client.publishes, value=True, what='publishing')
            assert not client.subscribes()
            assert m.stream('inactive')['model'] == 'truth'
            for pause in range(2):
                assert client.change(ACTIVATE)
                assert client.state() == 'active'
                m.receive()
                values = m.stream('active')
                assert values['device'] == 'none'
                assert float(values['memory (MB)']) > 10
                assert client.change(DEACTIVATE)
                assert client.state() == 'inactive'
                client.becomes(client.subscribes, value=False, what='subscribing')
                # What was seen can still be exported.
                path = f'turn{turn}_{pause}'
                done = client.call(ExportScene, 'export_scene', format='npz', path=path)
                assert done.success, done.message
                assert (tmp_path / path).is_dir()
            assert client.change(CLEANUP)
            assert client.state() == 'unconfigured'
            client.becomes(client.publishes, value=False, what='publishing')
        # The process itself goes on until it is told to end.
        assert m.process.stop() == 0
        assert 'Traceback' not in m.process.output


def test_pausing_keeps_the_world_and_what_comes_meanwhile_is_not_seen(ros_domain_id: int) -> None:
    with managed(ros_domain_id) as m:
        assert m.client.change(CONFIGURE)
        assert m.client.change(ACTIVATE)
        m.robot.listen(WindowReport, 'window')
        m.receive()
        assert m.client.change(DEACTIVATE)
        before = len(m.robot.messages('window'))
        unseen_ns = max(m.robot.send() for _ in range(5))
        assert m.client.change(ACTIVATE)
        stamp_ns = m.receive()
        # Not 'first': the world of before goes on.
        report = m.robot.wait_stamp('window', stamp_ns)
        assert report.alignment_method == 'shared_views'
        stamps = [
            r.header.stamp.sec * 10**9 + r.header.stamp.nanosec
            for r in m.robot.messages('window')[before:]
        ]
        assert min(stamps) > unseen_ns


def test_a_failed_configure_says_why_and_works_once_that_is_mended(
    ros_domain_id: int, tmp_path: Path
) -> None:
    with managed(ros_domain_id, f'model:={tmp_path / "nowhere"}', 'window:=0') as m:
        client = m.client
        m.robot.listen(DiagnosticArray, '/diagnostics')
        assert not client.change(CONFIGURE)
        m.process.wait_for_line(r'configure failed: parameter window: expected int from 1 to 256')
        assert client.state() == 'unconfigured'
        m.robot.wait_for(
            '/diagnostics',
            lambda d: (
                d.status[0].level == DiagnosticStatus.ERROR
                and 'parameter window' in d.status[0].message
            ),
        )
        assert client.set(window=2)[0].successful
        assert not client.change(CONFIGURE)
        m.process.wait_for_line(r'configure failed: .*nowhere')
        assert client.state() == 'unconfigured'
        assert not client.publishes()
        assert client.set(model='truth')[0].successful
        assert client.change(CONFIGURE)
        (refused,) = client.set(model='da3-small')
        assert not refused.successful
        assert 'model: read-only; set it at start' in refused.reason
        assert client.set(max_depth_m=50.0)[0].successful
        assert client.change(ACTIVATE)
        m.receive()
        assert 'Traceback' not in m.process.output


def test_other_cameras_after_a_cleanup(ros_domain_id: int) -> None:
    with managed(ros_domain_id, 'input.back.rotation_deg:=45') as m:
        assert m.client.change(CONFIGURE)
        assert m.client.change(CLEANUP)
        assert m.client.set(cameras=['back'])[0].successful
        assert not m.client.change(CONFIGURE)
        m.process.wait_for_line(
            r'input\.back\.rotation_deg: expected one of 0, 90, 180, 270, got 45'
        )
        assert m.client.set(input__back__rotation_deg=180)[0].successful
        assert m.client.change(CONFIGURE)
        assert m.client.change(ACTIVATE)
        m.robot.wait(lambda: m.client.node.count_subscribers('back/image_raw') > 0, 'back')
        assert not m.client.subscribes()


def test_transitions_that_make_no_sense_are_refused_and_the_node_goes_on(
    ros_domain_id: int,
) -> None:
    with managed(ros_domain_id) as m:
        client = m.client
        for wrong in (ACTIVATE, DEACTIVATE, CLEANUP, SHUTDOWN['active'], 200):
            assert not client.change(wrong)
            assert client.state() == 'unconfigured'
        # In our words, or in those of a later rclpy, which refuses by itself.
        m.process.wait_for_line(
            'no transition 3 from the state unconfigured|Unable to start transition 3'
        )
        assert client.change(CONFIGURE)
        for wrong in (CONFIGURE, DEACTIVATE, SHUTDOWN['unconfigured']):
            assert not client.change(wrong)
            assert client.state() == 'inactive'
        assert client.change(ACTIVATE)
        assert not client.change(CLEANUP)
        m.receive()


@pytest.mark.parametrize('state', SHUTDOWN)
def test_shutdown_from_every_state(ros_domain_id: int, state: str) -> None:
    with managed(ros_domain_id) as m:
        way = {'unconfigured': (), 'inactive': (CONFIGURE,), 'active': (CONFIGURE, ACTIVATE)}
        assert all(m.client.change(transition) for transition in way[state])
        assert m.client.change(SHUTDOWN[state])
        assert m.client.state() == 'finalized'
        m.client.becomes(m.client.publishes, value=False, what='publishing')
        assert not m.client.subscribes()
        assert not m.client.change(CONFIGURE)
        assert m.process.stop() == 0


def test_deactivating_does_not_wait_for_a_long_window(
    ros_domain_id: int,
) -> None:
    with managed(ros_domain_id, program=(SLOW_NODE, str(BLOCKED_S), '1')) as m:
        client, robot = m.client, m.robot
        assert client.change(CONFIGURE)
        assert client.change(ACTIVATE)
        robot.listen(WindowReport, 'window')
        robot.wait_for_node()
        while 'cameras sit is not known' not in m.process.output:  # until the worker has one
            robot.send()
            time.sleep(0.2)
        for transition, state in ((DEACTIVATE, 'inactive'), (CLEANUP, 'unconfigured')):
            began = time.monotonic()
            assert client.change(transition)
            assert time.monotonic() - began < PATIENCE_S
            assert client.state() == state
        m.process.wait_for_line('still being estimated')
        # Configured anew while the old window is still in the works.
        assert client.change(CONFIGURE)
        assert client.change(ACTIVATE)
        robot.wait_for_node()
        stamp_ns = robot.send()
        robot.wait_stamp('window', stamp_ns)
        # Nothing of the window that was given up.
        assert len(robot.messages('window')) == 1
        began = time.monotonic()
        m.process.send(signal.SIGINT)
        assert m.process.wait(BLOCKED_S) == 0
        assert time.monotonic() - began < PATIENCE_S


def test_states_are_told_and_the_process_ends_while_weights_load(ros_domain_id: int) -> None:
    with managed(ros_domain_id, program=(ODD_NODE, str(BLOCKED_S), '0')) as m:
        m.client.begin_change(CONFIGURE)
        m.process.wait_for_line('loading')
        began = time.monotonic()
        assert m.client.state() == 'configuring'
        assert not m.client.change(CONFIGURE)
        assert not m.client.set(window=3)[0].successful
        assert m.client.set(max_depth_m=9.0)[0].successful
        assert time.monotonic() - began < PATIENCE_S
        began = time.monotonic()
        m.process.send(signal.SIGINT)
        assert m.process.wait(BLOCKED_S) == 0
        assert time.monotonic() - began < PATIENCE_S
        assert 'Traceback' not in m.process.output


def test_autostart_loads_beside_the_executor(ros_domain_id: int) -> None:
    arguments = [str(BLOCKED_S), '0', '--ros-args', '-p', 'cameras:=[front]']
    with (
        RosProcess(ODD_NODE, *arguments, domain_id=ros_domain_id) as process,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        process.wait_for_line('loading')
        assert LifecycleClient(robot).state() == 'configuring'
        began = time.monotonic()
        process.send(signal.SIGINT)
        assert process.wait(BLOCKED_S) == 0
        assert time.monotonic() - began < PATIENCE_S
        assert 'Traceback' not in process.output
