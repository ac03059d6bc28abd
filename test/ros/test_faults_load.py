"""More images than can be used, readers that do not read, ends in the middle of work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import signal
import statistics
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from helpers.fault_rig import (
    HELPERS,
    LONG_S,
    NODE,
    TELLING_NODE,
    Sender,
    check_base,
    newest,
    resident_mb,
    send_until,
    start_node,
    values_of,
)
from helpers.patience import BLOCKED_S, PATIENCE_S
from helpers.ros_process import RosProcess
from helpers.ros_rig import PERIOD_NS, RosRobot

pytestmark = pytest.mark.ros
DEAF_READER = HELPERS / 'deaf_reader.py'
CAMERAS = ['front', 'left']
MEDIUM = ImageSize(240, 320)
INSTANTS = 15
# A wait for the reader's room, 0.1 s for every message, would make an instant far slower; noise
# of a loaded machine does not do that to the median.
SLOWER = 5.0


@contextmanager
def running(
    domain_id: int, *parameters: str, delay_s: float = 0.0
) -> Iterator[tuple[RosProcess, RosRobot]]:
    """Run a node that tells when windows begin, in a world that has begun."""
    program = (TELLING_NODE, str(delay_s), '1')
    with (
        start_node(domain_id, CAMERAS, *parameters, program=program) as node,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        for kind, topic in ((WindowReport, 'window'), (Odometry, 'odometry')):
            robot.listen(kind, topic)
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.prime(robot.send)
        yield node, robot


def stamp_of(message: WindowReport) -> int:
    return ns_from_stamp(message.header.stamp)


def test_ten_times_too_many_images_cost_neither_time_nor_memory_nor_the_world(
    ros_domain_id: int,
) -> None:
    window_s, sets = 0.4, 200
    with running(ros_domain_id, 'scene_sets:=2', 'queue_depth:=2', delay_s=window_s) as (
        node,
        robot,
    ):
        sender = Sender(robot, MEDIUM)
        before = len(robot.messages('window'))
        # What had been sent when a window was seen, and the memory after every set.
        sent: list[int] = []
        used_mb: list[float] = []
        for _ in range(sets):
            stamp_ns = sender.send()
            used_mb.append(resident_mb(node.pid))
            time.sleep(window_s / 10)
            sent += [stamp_ns] * (len(robot.messages('window')) - before - len(sent))
        report = robot.wait_stamp('window', sender.stamps[-1], LONG_S)
        windows = [stamp_of(m) for m in robot.messages('window')[before:]]
        # Newest wins: what comes next is of when the window before was done. Nothing piles up.
        assert len(sent) > 3
        late = [(s - after) // PERIOD_NS for s, after in zip(sent, windows[1:], strict=False)]
        assert max(late) < 15, late
        assert max(used_mb[sets // 4 :]) - used_mb[sets // 4] < 25, used_mb
        # Every set was used or counted.
        assert report.dropped_sets > 2 * len(windows)
        total = report.window_index + 1 + report.dropped_sets
        values = values_of(
            robot.wait_for('/diagnostics', lambda m: values_of(m).get('sets') == str(total))
        )
        assert values['dropped sets'] == str(report.dropped_sets)
        # One world all the way.
        methods = {m.alignment_method for m in robot.messages('window')[before:]}
        assert methods == {'shared_views'}
        for stamp_ns in windows:
            check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)


@pytest.mark.parametrize(
    'history', [pytest.param('keep_last', marks=pytest.mark.slow), 'keep_all']
)
def test_a_reader_that_never_reads_stops_nobody(ros_domain_id: int, history: str) -> None:
    topic = 'front/depth/image'
    with running(ros_domain_id, 'scene_sets:=2') as (node, robot):
        flow = Flow(node, robot, topic)
        alone_s = flow.check()
        with RosProcess(DEAF_READER, topic, history, '0', domain_id=ros_domain_id) as reader:
            reader.wait_for_line('subscribed')
            assert flow.check() < SLOWER * alone_s
        flow.check()


def test_a_reader_that_freezes_stops_nobody_and_reads_on_later(ros_domain_id: int) -> None:
    topic = 'front/depth/image'
    with running(ros_domain_id, 'scene_sets:=2') as (node, robot):
        flow = Flow(node, robot, topic)
        alone_s = flow.check()
        with RosProcess(DEAF_READER, topic, 'keep_all', '1', domain_id=ros_domain_id) as reader:
            reader.wait_for_line('subscribed')
            flow.check()
            reader.wait_for_line('read')
            # Not even its middleware answers any more.
            reader.send(signal.SIGSTOP)
            assert flow.check() < SLOWER * alone_s
            reader.lines.clear()
            reader.send(signal.SIGCONT)
            flow.check()
            reader.wait_for_line('read')


class Flow:
    """Instants that all have to come through, one after the other."""

    def __init__(self, node: RosProcess, robot: RosRobot, topic: str) -> None:
        self._node = node
        self._robot = robot
        self._keys = ('window', 'odometry', robot.listen(Image, topic))
        self._sender = Sender(robot, MEDIUM)
        send_until(robot, topic, lambda m: True, self._sender.send)

    def check(self) -> float:
        """Check that every instant gets window, pose and depth, in memory that stays.

        Returns:
            How long an instant took, the median, seconds.
        """
        robot = self._robot
        robot.wait_stamp('window', self._sender.send(), LONG_S)
        used_mb = resident_mb(self._node.pid)
        dropped = newest(robot, 'window').dropped_sets
        times: list[float] = []
        for _ in range(INSTANTS):
            began = time.monotonic()
            stamp_ns = self._sender.send()
            for key in self._keys:
                robot.wait_stamp(key, stamp_ns)
            times.append(time.monotonic() - began)
        assert newest(robot, 'window').dropped_sets == dropped
        assert resident_mb(self._node.pid) - used_mb < 15
        return statistics.median(times)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_process_ends_on_a_signal_without_waiting_for_its_window(
    ros_domain_id: int, number: signal.Signals
) -> None:
    with (
        start_node(ros_domain_id, CAMERAS, program=(TELLING_NODE, str(BLOCKED_S), '1')) as node,
        RosRobot(ros_domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        while not any(line.startswith('window 1 begins') for line in node.lines):
            robot.send()
            time.sleep(0.1)
        began = time.monotonic()
        node.send(number)
        assert node.wait(LONG_S) == 0, node.output
        assert time.monotonic() - began < PATIENCE_S
        assert 'Traceback' not in node.output


def test_readers_go_on_reading_when_a_killed_node_is_started_again(ros_domain_id: int) -> None:
    with RosRobot(ros_domain_id, CAMERAS) as robot:
        robot.publish_rig(CAMERAS)
        began: list[int] = []
        for round_ in range(2):
            with start_node(ros_domain_id, CAMERAS, program=(NODE,)) as node:
                node.wait_for_line('ready')
                if not round_:
                    for kind, topic in ((WindowReport, 'window'), (Odometry, 'odometry')):
                        robot.listen(kind, topic)
                report = send_until(robot, 'window', lambda m: m.window_index >= 3 and m.is_metric)
                first = next(m for m in reversed(robot.messages('window')) if m.window_index == 0)
                began.append(stamp_of(first))
                robot.start_ns = began[-1]
                stamp_ns = stamp_of(report)
                check_base(robot, robot.wait_stamp('odometry', stamp_ns), stamp_ns)
                node.kill()
        assert began[1] > began[0]


def test_two_nodes_fed_at_once_answer_each_its_own_camera(ros_domain_id: int) -> None:
    names, sizes = ('one', 'two'), (ImageSize(120, 160), ImageSize(60, 80))
    nodes = [
        start_node(ros_domain_id, ['front'], 'publish_tf:=false', remappings=[f'__ns:=/{name}'])
        for name in names
    ]
    with nodes[0], nodes[1], RosRobot(ros_domain_id, [f'{name}/front' for name in names]) as robot:
        for node in nodes:
            node.wait_for_line('ready')
        robot.wait_for_node()
        keys = [robot.listen(Image, f'{name}/front/depth/image') for name in names]
        reports = [robot.listen(WindowReport, f'{name}/window') for name in names]
        sent: list[list[int]] = [[], []]

        def send() -> None:
            for name, size, stamps in zip(names, sizes, sent, strict=True):
                stamps.append(robot.next_stamp())
                topic = f'{name}/front'
                robot.infos[topic].publish(robot.info('front', stamps[-1], size))
                robot.images[topic].publish(robot.image('front', stamps[-1], size))

        for key in (*keys, *reports):
            send_until(robot, key, lambda m: True, send)
        for _ in range(10):
            send()
            for key, report, stamps in zip(keys, reports, sent, strict=True):
                robot.wait_stamp(key, stamps[-1])
                robot.wait_stamp(report, stamps[-1])
        for key, report, size, stamps in zip(keys, reports, sizes, sent, strict=True):
            depths = robot.messages(key)
            assert {(m.height, m.width) for m in depths} == {(size.height // 2, size.width // 2)}
            assert {ns_from_stamp(m.header.stamp) for m in depths} <= set(stamps)
            assert {stamp_of(m) for m in robot.messages(report)} <= set(stamps)
