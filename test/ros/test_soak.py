"""Half an hour of work in little time: memory, queues and threads stay as they are.

A window without delay costs milliseconds, so that the windows of half an hour at one per second
pass within minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
import re
import threading
import time
from typing import Any

import numpy as np
import pytest
from scipy.stats import theilslopes

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image, PointCloud2
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from helpers.fault_rig import (
    LONG_S,
    TELLING_NODE,
    Sender,
    resident_mb,
    send_until,
    start_node,
    values_of,
)
from helpers.ros_process import RosProcess
from helpers.ros_rig import RELIABLE, RosRobot

pytestmark = pytest.mark.ros
CAMERAS = ['front', 'left']
SIZE = ImageSize(48, 64)
SCENE_SETS = 20
# Windows until everything that grows at first (scene, path, statistics, allocator) is full.
WARM = 300
EVERY = 50
# For few windows: one sample may catch the executor with hundreds of callbacks that wait for a
# thread, and a slope must rest on many others.
OFTEN = 10
# In a thousand windows. What is in use tells a leak: two poses that are kept of every window are
# 0.5 MB and 4000 blocks. What the process holds also rises by an allocator's arena, more than
# 1 MB at once, whenever more was needed at one instant than ever before.
GROWTH_OBJECTS = 200.0
GROWTH_BLOCKS = 1000.0
GROWTH_HEAP_MB = 0.5
GROWTH_RESIDENT_MB = 6.0
TOPICS = {
    'window': WindowReport,
    'odometry': Odometry,
    'points': PointCloud2,
    'front/depth/image': Image,
    'left/points': PointCloud2,
    '/tf': TFMessage,
    '/diagnostics': DiagnosticArray,
}


@dataclass
class Record:
    """What was seen of the node's process while windows went by."""

    windows: list[int] = field(default_factory=list)
    used_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def take(self, pid: int, window: int) -> None:
        """Look at the process."""
        self.windows.append(window)
        self.used_mb.append(resident_mb(pid))
        self.files.append(len(list(Path(f'/proc/{pid}/fd').iterdir())))
        self.threads.append(len(list(Path(f'/proc/{pid}/task').iterdir())))

    def growth_mb(self) -> float:
        """Return the growth of memory per thousand windows."""
        return per_thousand(self.windows, self.used_mb)


def per_thousand(windows: Sequence[float], values: Sequence[float]) -> float:
    """Return the growth of a value in a thousand windows.

    The median of the slopes between all pairs (Theil, 1950; Sen, 1968): what is held for an
    instant, while messages are under way, makes outliers to both sides.
    """
    return float(theilslopes(values, windows).slope * 1000.0)


@dataclass(frozen=True)
class Held:
    """How much more a node holds after a thousand windows."""

    objects: float
    """That Python's collector knows."""
    blocks: float
    """Of all of Python's small objects."""
    heap_mb: float | None
    """Given out by the C library; None where it does not say."""

    @staticmethod
    def told_by(node: RosProcess) -> Held:
        """Return what the lines of a node say, after the warm-up."""
        told = [re.match(r'window (\d+) begins, holds (\S+) (\S+) (\S+)', x) for x in node.lines]
        rows = [[int(text) for text in m.groups()] for m in told if m and int(m[1]) > WARM]
        windows, objects, blocks, heap = np.array(rows).T
        return Held(
            per_thousand(windows, objects),
            per_thousand(windows, blocks),
            per_thousand(windows, heap / 2**20) if heap.min() >= 0 else None,
        )


class Tally:
    """Counts what comes, and keeps nothing of it but the newest stamp."""

    def __init__(self, robot: RosRobot) -> None:
        self._changed = threading.Condition()
        self.counts = dict.fromkeys(TOPICS, 0)
        self.stamps = dict.fromkeys(TOPICS, 0)
        self.not_whole = 0
        self.diagnostics: DiagnosticArray | None = None
        for topic, kind in TOPICS.items():
            robot.node.create_subscription(
                kind,
                topic,
                lambda m, t=topic: self._take(t, m),
                RELIABLE,
            )

    def _take(self, topic: str, message: Any) -> None:
        with self._changed:
            self.counts[topic] += 1
            if isinstance(message, DiagnosticArray):
                self.diagnostics = message
            elif isinstance(message, TFMessage):
                self.stamps[topic] = ns_from_stamp(message.transforms[0].header.stamp)
            else:
                self.stamps[topic] = ns_from_stamp(message.header.stamp)
            if isinstance(message, WindowReport):
                whole = message.alignment_method == 'shared_views' and message.is_metric
                self.not_whole += not whole
            self._changed.notify_all()

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether a condition holds, after waiting for it."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def wait_stamp(self, stamp_ns: int) -> None:
        """Wait until the window, the pose and all else of a stamp came."""
        due = [topic for topic in TOPICS if topic != '/diagnostics']
        came = self.wait(lambda: all(self.stamps[t] == stamp_ns for t in due), LONG_S)
        assert came, f'{stamp_ns}: {self.stamps}'


@dataclass(frozen=True)
class Soaked:
    """What a soak saw."""

    windows: int
    record: Record
    held: Held
    seconds: float
    diagnostics: int
    """Messages."""


def soak(domain_id: int, most: int, least: int, limit_s: float, every: int = EVERY) -> Soaked:
    """Run windows until there are enough or the time is over; check what has to come of each."""
    program = (TELLING_NODE, '0', str(every))
    with (
        start_node(domain_id, CAMERAS, f'scene_sets:={SCENE_SETS}', program=program) as node,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        tally, sender, record = Tally(robot), Sender(robot, SIZE), Record()
        deadline = time.monotonic() + LONG_S
        while not all(tally.counts.values()):
            assert time.monotonic() < deadline, tally.counts
            sender.send()
            tally.wait(lambda: all(tally.counts.values()), 0.2)
        tally.wait_stamp(sender.send())
        before, tally.not_whole, began = dict(tally.counts), 0, time.monotonic()
        windows = 0
        while windows < least or (windows < most and time.monotonic() - began < limit_s):
            tally.wait_stamp(sender.send())
            windows += 1
            if windows > WARM and windows % 10 == 0:
                record.take(node.pid, windows)
        seconds = time.monotonic() - began
        came = {t: tally.counts[t] - before[t] for t in TOPICS}
        diagnostics = came.pop('/diagnostics')
        # Nothing was lost, nothing came twice, and it is still the world of the beginning.
        assert came == dict.fromkeys(came, windows)
        assert tally.not_whole == 0
        assert tally.diagnostics is not None
        values = values_of(tally.diagnostics)
        assert (values['failed windows'], values['refused windows']) == ('0', '0')
        total = len(sender.stamps)
        assert int(values['sets']) <= total
        assert node.stop() == 0
        assert 'Traceback' not in node.output
        return Soaked(windows, record, Held.told_by(node), seconds, diagnostics)


def check_flat(soaked: Soaked) -> None:
    """Check that nothing grew with the number of windows."""
    record, held = soaked.record, soaked.held
    assert held.objects < GROWTH_OBJECTS
    assert held.blocks < GROWTH_BLOCKS
    assert held.heap_mb is None or held.heap_mb < GROWTH_HEAP_MB
    assert record.growth_mb() < GROWTH_RESIDENT_MB
    assert len(set(record.files)) == 1
    assert len(set(record.threads)) == 1
    assert soaked.diagnostics > 0.5 * soaked.seconds


@pytest.mark.timeout(240)
def test_some_minutes_leave_no_objects_files_or_threads(ros_domain_id: int) -> None:
    """The everyday part: slopes of memory need more windows than a minute has on most machines."""
    soaked = soak(ros_domain_id, most=900, least=450, limit_s=60.0, every=OFTEN)
    assert soaked.held.objects < GROWTH_OBJECTS
    assert len(set(soaked.record.files)) == 1
    assert len(set(soaked.record.threads)) == 1
    assert soaked.diagnostics > 0.5 * soaked.seconds


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_half_an_hour_at_a_window_per_second_leaves_the_node_as_it_was(
    ros_domain_id: int,
) -> None:
    check_flat(soak(ros_domain_id, most=1800, least=1800, limit_s=0.0))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_half_an_hour_at_ten_windows_per_second_leaves_the_node_as_it_was(
    ros_domain_id: int,
) -> None:
    check_flat(soak(ros_domain_id, most=18000, least=18000, limit_s=0.0))


THREE_CAMERAS = ['front', 'left', 'right']
LARGE = ImageSize(720, 1280)
LARGE_WINDOWS = 40
LARGE_GROWTH_MB = 100.0
"""What 30 sets of three images of 1280x720 may add; the images alone are 249 MB."""


@pytest.mark.timeout(240)
def test_input_images_end_with_their_window(ros_domain_id: int) -> None:
    """At defaults, which keep 100 sets for exports; depth is tiny here, so that images show."""
    program = (TELLING_NODE, '0', '1000000')
    with (
        start_node(ros_domain_id, THREE_CAMERAS, 'window:=3', program=program) as node,
        RosRobot(ros_domain_id, THREE_CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.wait_for_node()
        key, sender = robot.listen(WindowReport, 'window'), Sender(robot, LARGE)
        used_mb: list[float] = []
        while len(used_mb) < LARGE_WINDOWS:
            send_until(robot, key, lambda message: True, sender.send)
            used_mb.append(resident_mb(node.pid))
        # The first windows load code, and fill queues of the middleware.
        assert max(used_mb) - used_mb[10] < LARGE_GROWTH_MB
