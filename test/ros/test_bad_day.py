"""A robot's bad day: faults of all kinds in random order, and the robot is well after each.

After every fault each camera has depth again, its reason was in the log, and no gap of depth was
without a word on /diagnostics. Memory is as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import random
import re
import time

import pytest
from scipy.stats import theilslopes

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from std_srvs.srv import SetBool, Trigger

from da3_ros.reasons import Reason
from helpers import bad_day
from helpers.bad_day import HOUR_NS, Cameras, Foreigner, Spoil, Witness, pattern_of
from helpers.fault_rig import HELPERS, LONG_S, resident_mb, start_node
from helpers.lifecycle_client import ACTIVATE, DEACTIVATE, LifecycleClient
from helpers.ros_process import RosProcess
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
CAMERAS = ['front', 'left', 'right']
LASTS_S = 8.0
# Longer than a camera may be away before that is an error.
GAP_S = 4.0
# An hour. A shorter one finds what does not work, but hardly memory that grows slowly.
LENGTH_S = float(os.environ.get('DA3_BAD_DAY_S', '3600'))
GROWTH_MB = 40.0


class Day:
    """A node, its robot, and all that can go wrong with them."""

    def __init__(self, node: RosProcess, robot: RosRobot, mood: Path) -> None:
        self.node, self.robot, self._mood = node, robot, mood
        self.witness, self.cameras = Witness(robot), Cameras(robot)
        self.client, self.foreigner = LifecycleClient(robot), Foreigner(robot)

    def feel(self, mood: str) -> None:
        beside = self._mood.with_suffix('.new')
        beside.write_text(mood, encoding='utf-8')
        beside.replace(self._mood)

    def spoil(self, camera: str, how: Spoil) -> Callable[[], None]:
        return lambda: self.cameras.spoil(camera, how)

    def wait_for_depth(self, what: str) -> None:
        """Wait until every camera has had three more depth images."""
        before = {camera: self.witness.count(camera) for camera in CAMERAS}
        self.robot.wait(
            lambda: all(self.witness.count(c) >= before[c] + 3 for c in CAMERAS),
            f'depth of all cameras after {what}',
            LONG_S,
        )


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong for a while."""

    name: str
    begin: Callable[[], object]
    end: Callable[[], object]
    said: tuple[str, ...]
    """Regular expressions, one of which has to be in the log; empty for what needs no word."""


def faults_of(day: Day) -> list[Fault]:
    """Return everything that goes wrong on such a day."""

    def camera(name: str, how: Spoil, *said: str) -> Fault:
        return Fault(name, day.spoil('left', how), day.cameras.mend, said)

    def mood(name: str, *said: str) -> Fault:
        return Fault(name, lambda: day.feel(name), lambda: day.feel('well'), said)

    def enable(*, value: bool) -> Callable[[], object]:
        return lambda: day.client.call(SetBool, 'enable', data=value)

    row = pattern_of
    frame = day.robot.frame_id('front')
    return [
        camera('a camera stops', bad_day.silent, row(Reason.CAMERA_STOPPED)),
        camera('half of the bytes', bad_day.cut_short, 'camera left.*field data'),
        camera('an unknown encoding', bad_day.unknown_encoding, 'camera left.*field encoding'),
        camera('no stamp', bad_day.no_stamp, 'camera left.*field header.stamp'),
        camera('0.4 s late', bad_day.late_clock(-4 * 10**8), row(Reason.CLOCKS_APART)),
        camera('an hour ahead', bad_day.late_clock(HOUR_NS), row(Reason.CLOCKS_APART)),
        camera('hours behind', bad_day.late_clock(-5 * HOUR_NS), row(Reason.CLOCKS_APART)),
        camera('half a period', bad_day.late_clock(5 * 10**7), row(Reason.CAMERAS_OUT_OF_PHASE)),
        camera('an identity', bad_day.identity_k, 'camera left.*focal length'),
        camera('another size', bad_day.other_size, 'camera left.*640x480'),
        camera('a real lens', bad_day.distorted, row(Reason.DISTORTION_LEFT)),
        camera('no frame', bad_day.without_frame, row(Reason.FRAME_MISSING)),
        camera('the same frame', bad_day.in_frame(frame), row(Reason.FRAME_SHARED)),
        # The truth needs no common shape, so that nothing is cut off.
        camera('a camera stands', day.cameras.portrait),
        mood('burning', 'the network is on fire'),
        mood('nonsense', 'window refused'),
        mood('doubtful', 'one by one'),
        Fault(
            'somebody else knows the pose',
            day.foreigner.begin,
            day.foreigner.end,
            (row(Reason.TF_TAKEN),),
        ),
        Fault('disabled', enable(value=False), enable(value=True), (row(Reason.DISABLED),)),
        Fault(
            'deactivated',
            lambda: day.client.change(DEACTIVATE),
            lambda: day.client.change(ACTIVATE),
            (row(Reason.INACTIVE),),
        ),
        Fault('a reset', lambda: day.client.call(Trigger, 'reset'), lambda: None, ()),
        Fault(
            'the clock goes back',
            lambda: day.cameras.jump(-30.0),
            lambda: day.cameras.jump(30.0),
            (row(Reason.WORLD_RESTARTED),),
        ),
    ]


@contextmanager
def bad_day_of(domain_id: int, folder: Path) -> Iterator[Day]:
    """Start a node and a robot on which all is well."""
    mood = folder / 'mood'
    mood.write_text('well', encoding='utf-8')
    program = (HELPERS / 'moody_node.py', mood)
    with (
        start_node(domain_id, CAMERAS, 'scene_sets:=20', program=program) as node,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        node.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        day = Day(node, robot, mood)
        try:
            day.wait_for_depth('the start')
            yield day
        finally:
            day.cameras.stop()
        assert node.stop() == 0
        assert 'Traceback' not in node.output


def suffer(day: Day, fault: Fault) -> None:
    """Let a fault begin, last and end; check what was said and that all is well again."""
    start = len(day.node.lines)
    fault.begin()
    began_s = time.monotonic()

    def said() -> bool:
        lines = day.node.lines[start:]
        return not fault.said or any(re.search(p, x) for p in fault.said for x in lines)

    day.robot.wait(said, f'a line about {fault.name}: {fault.said}', LONG_S)
    time.sleep(max(0.0, began_s + LASTS_S - time.monotonic()))
    fault.end()
    day.wait_for_depth(fault.name)
    assert day.witness.unexplained(GAP_S) == [], fault.name


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_every_fault_is_said_and_got_over(ros_domain_id: int, tmp_path: Path) -> None:
    with bad_day_of(ros_domain_id, tmp_path) as day:
        for fault in faults_of(day):
            suffer(day, fault)


@pytest.mark.slow
@pytest.mark.timeout(5400)
def test_an_hour_of_faults_leaves_the_node_as_it_was(ros_domain_id: int, tmp_path: Path) -> None:
    chance = random.Random(15)
    with bad_day_of(ros_domain_id, tmp_path) as day:
        faults = faults_of(day)
        began_s = time.monotonic()
        shares: list[float] = []
        used_mb: list[float] = []
        while (passed_s := time.monotonic() - began_s) < LENGTH_S:
            suffer(day, chance.choice(faults))
            shares.append(passed_s / LENGTH_S)
            used_mb.append(resident_mb(day.node.pid))
        # What the first minutes fill: code, queues, statistics, the scene.
        settled = [i for i, share in enumerate(shares) if share > 0.2]
        growth = theilslopes([used_mb[i] for i in settled], [shares[i] for i in settled])
        assert growth.slope < GROWTH_MB, used_mb
