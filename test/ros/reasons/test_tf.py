"""Every reason about frames and TF is reached over DDS, and ends with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import re
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.se3 import rigid
from da3_ros.reasons import Reason
from da3_ros.ros.messages.geometry_messages import transform_message
from helpers.fault_rig import LONG_S, send_until, start_node
from helpers.foreign_tf import FixedTf, ForeignTf, own_stamps
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import LATCHED, RELIABLE, RosRobot

pytestmark = pytest.mark.ros
MS = 1_000_000
PERIOD_S = 0.1
"""Between two instants, as a camera has them; looking for a line goes on meanwhile."""


@pytest.fixture(name='domain_id')
def domain_id_fixture() -> Iterator[int]:
    with reserved_domain_id() as domain_id:
        yield domain_id


class Bench:
    """The node, and a robot whose images may carry any frame."""

    def __init__(self, robot: RosRobot, node: RosProcess) -> None:
        self.robot = robot
        self.node = node
        self.frames = {camera: robot.frame_id(camera) for camera in robot.cameras}
        node.wait_for_line('ready', LONG_S)
        robot.wait_for_node()
        robot.listen(TFMessage, '/tf')
        robot.listen(DiagnosticArray, '/diagnostics')

    def send(self) -> int:
        stamp_ns = self.robot.next_stamp()
        for camera, frame in self.frames.items():
            info, image = (f(camera, stamp_ns) for f in (self.robot.info, self.robot.image))
            info.header.frame_id = image.header.frame_id = frame
            self.robot.infos[camera].publish(info)
            self.robot.images[camera].publish(image)
        return stamp_ns

    def wait(self, pattern: str, send: Callable[[], object] | None = None) -> None:
        """Send images, or something else, until a line is in the log."""

        next_s = 0.0

        def is_said() -> bool:
            nonlocal next_s
            if time.monotonic() >= next_s:
                (send or self.send)()
                next_s = time.monotonic() + PERIOD_S
            return re.search(pattern, self.node.output) is not None

        self.robot.wait(is_said, f'a line {pattern}', LONG_S)

    def reaches(
        self, reason: Reason, pattern: str, send: Callable[[], object] | None = None
    ) -> None:
        """Send until the reason is in the log with its level, and on /diagnostics."""
        self.wait(rf'\[{reason.severity.name}\].*{pattern}', send)
        if reason.value.lasts:

            def shows(message: DiagnosticArray) -> bool:
                return any(re.search(pattern, status.message) for status in message.status)

            send_until(self.robot, '/diagnostics', shows, send or self.send)

    def leaves(self, pattern: str) -> None:
        """Send images until it is over."""
        self.wait(rf'\[INFO\].*over after .*{pattern}')

    def send_more(self, seen: str = '/tf') -> None:
        send_until(self.robot, seen, lambda message: True, self.send)


Make = Callable[..., Bench]


@pytest.fixture(name='make')
def make_fixture(domain_id: int) -> Iterator[Make]:
    open_nodes: list[RosProcess] = []
    open_robots: list[RosRobot] = []

    def make(*cameras: str, parameters: tuple[str, ...] = ()) -> Bench:
        open_nodes.append(start_node(domain_id, cameras, *parameters))
        open_robots.append(RosRobot(domain_id, cameras))
        return Bench(open_robots[-1], open_nodes[-1])

    yield make
    for robot in open_robots:
        robot.__exit__(None, None, None)
    for node in open_nodes:
        assert 'Traceback' not in node.output
        node.stop()


def fixed(robot: RosRobot, *joints: tuple[str, str, np.ndarray]) -> None:
    """Publish joints on /tf_static."""
    publisher = robot.node.create_publisher(TFMessage, '/tf_static', LATCHED)
    publisher.publish(
        TFMessage(transforms=[transform_message(pose, 0, a, b) for a, b, pose in joints])
    )


def children(bench: Bench) -> set[tuple[str, str]]:
    return {
        (joint.header.frame_id, joint.child_frame_id)
        for message in bench.robot.messages('/tf')
        for joint in message.transforms
    }


CAMERAS = ('front', 'left', 'right')


def test_cameras_that_share_a_frame(make: Make) -> None:
    bench = make(*CAMERAS)
    own = dict(bench.frames)
    for shared, slash in (('cam_optical_frame', ''), ('eye_optical_frame', '/')):
        bench.frames |= {'front': shared, 'left': f'{slash}{shared}', 'right': shared}
        # The first sets may be without one of them.
        bench.reaches(Reason.FRAME_SHARED, rf'frame {shared}: cameras \w+ and \w+.* have the')
        for _ in range(20):
            bench.send()
        assert not own_stamps(bench.robot, shared)
        # Each with its own: it is over, and their transforms go out.
        bench.frames = dict(own)
        bench.leaves(f'frame {shared}: cameras')
    bench.send_more()
    assert ('odom', own['left']) in children(bench)


@pytest.mark.parametrize(
    ('frame', 'words'),
    [
        ('front_link', 'its z axis points up in base_link'),
        ('front_optical_frame', 'its z axis points up in base_link'),
        ('base_link', 'it is base_frame'),
        ('odom', 'it is odom_frame'),
        ('body', 'body_optical is fixed to it'),
        ('some_link', 'its name is that of a body'),
    ],
)
def test_a_frame_that_is_not_optical(make: Make, frame: str, words: str) -> None:
    bench = make('front')
    level = rigid(np.eye(3), [0.1, 0.0, 0.3])
    fixed(
        bench.robot,
        ('base_link', 'front_link', level),
        ('base_link', 'front_optical_frame', level),
        ('body', 'body_optical', level),
    )
    good = rigid(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float), [0.1, 0.0, 0.3])
    fixed(bench.robot, ('base_link', 'good', good))
    bench.frames['front'] = frame
    pattern = f'camera front: frame {frame} does not look like an optical .*{words}'
    bench.reaches(Reason.FRAME_NOT_OPTICAL, pattern)
    bench.frames['front'] = 'good'
    bench.leaves('camera front: frame')


def test_two_parents_that_take_turns(make: Make) -> None:
    bench = make('front')
    with ForeignTf(bench.robot, [('map', 'cup')], [('table', 'cup')]):
        bench.node.wait_for_line(
            r'\[ERROR\].*frame cup: it has the parents (map|table) and .*/tf,'
        )
    bench.node.wait_for_line('over after .*frame cup')


def test_two_fixed_parents(make: Make) -> None:
    bench = make('front')
    first = FixedTf(bench.robot, [('base_link', 'camera')])
    bench.robot.wait(lambda: bench.robot.node.count_subscribers('/tf_static') > 0, 'the node')
    second = FixedTf(bench.robot, [('mast', 'camera')])
    pattern = r'frame camera: it has the parents \w+ and \w+ on /tf_static,'
    bench.reaches(Reason.TF_TWO_PARENTS, pattern)
    second.stop()
    bench.leaves(pattern)
    first.stop()


def test_a_loop(make: Make) -> None:
    bench = make('front')
    with ForeignTf(bench.robot, [('a', 'b'), ('b', 'c'), ('c', 'a')]):
        pattern = r'frame \w: (a|b|c) to (a|b|c) to (a|b|c) to .* is a loop'
        bench.reaches(Reason.TF_LOOP, pattern)
    bench.leaves(pattern)


def test_no_transform_closes_a_loop(make: Make) -> None:
    """The odometry of some is published upside down: base_link to odom."""
    bench = make('front')
    with ForeignTf(bench.robot, [('base_link', 'odom')]):
        bench.robot.publish_rig(['front'])
        bench.reaches(Reason.TF_LOOP, 'frame base_link: base_link to odom to base_link is a loop')
        assert own_stamps(bench.robot, 'base_link') == []
    bench.wait('over after .*base_link to odom to base_link is a loop')


def test_transforms_that_are_none(make: Make) -> None:
    bench = make('front')
    publisher = bench.robot.node.create_publisher(TFMessage, '/tf', RELIABLE)
    zero = transform_message(np.eye(4), 0, 'a', 'zero')
    bent, infinite = (transform_message(np.eye(4), 5, 'a', name) for name in ('bent', 'infinite'))
    bent.transform.rotation.w = 0.0
    infinite.transform.translation.y = float('nan')
    bad = TFMessage(transforms=[zero, bent, infinite])
    patterns = (
        'frame zero: header.stamp is zero',
        r'frame bent: the quaternion \(0, 0, 0, 0\) is not of length one',
        'frame infinite: .* not finite',
    )
    for pattern in patterns:
        whole = f'/tf, {pattern}.*; left out'
        bench.reaches(Reason.TF_BAD, whole, lambda: publisher.publish(bad))
    for pattern in patterns:
        bench.leaves(pattern)


def test_an_odometry_whose_stamps_jump_back_and_stay_away(make: Make) -> None:
    bench = make('front', parameters=('prior_frame:=wheels',))
    bench.robot.publish_rig(['front'])
    bench.reaches(Reason.POSE_MISSING, 'no transforms connect wheels to front_optical_frame')
    publisher = bench.robot.node.create_publisher(TFMessage, '/tf', RELIABLE)
    start_ns = bench.robot.next_stamp()

    def jump() -> None:
        # One stamp alone is none to go by: three follow one another on either side.
        ahead_ns = start_ns + 10_000 * MS
        for stamp_ns in [first + i * MS for first in (ahead_ns, start_ns) for i in range(4)]:
            joint = transform_message(np.eye(4), stamp_ns, 'wheels', 'base_link')
            publisher.publish(TFMessage(transforms=[joint]))

    bench.reaches(Reason.TF_CLOCK, '/tf: stamps jumped back', jump)


@pytest.mark.parametrize('switch', ['auto', 'true'])
def test_a_base_that_another_node_publishes(make: Make, switch: str) -> None:
    bench = make('front', parameters=(f'publish_tf:={switch}',))
    bench.robot.publish_rig(['front'])
    with ForeignTf(bench.robot, [('wheels', 'base_link')]):
        if switch == 'auto':
            pattern = 'frame base_link: wheels to base_link is published on /tf by /robot;'
            bench.reaches(Reason.TF_TAKEN, pattern)
        else:
            pattern = 'frame base_link: this node publishes odom to base_link, and /robot publ'
            bench.reaches(Reason.TF_CONFLICT, pattern)
    bench.leaves(pattern)


def test_the_topmost_frame_of_a_driver_is_published(make: Make) -> None:
    """A RealSense without a robot: camera_link, and optical frames below it."""
    bench = make('front')
    down = rigid(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float), [0.0, 0.015, 0.0])
    fixed(
        bench.robot,
        ('camera_link', 'camera_color_frame', np.eye(4)),
        ('camera_color_frame', bench.frames['front'], down),
    )
    bench.node.wait_for_line('ready')
    bench.wait(r'\[INFO\].*odom to camera_link is published in place of odom to front_optical')
    bench.send_more()
    assert children(bench) == {('odom', 'camera_link')}


def test_the_frame_above_the_base_is_published(make: Make) -> None:
    """A TurtleBot: base_footprint to base_link by its URDF."""
    bench = make('front')
    up = rigid(np.eye(3), [0.0, 0.0, 0.1])
    fixed(bench.robot, ('base_footprint', 'base_link', up))
    bench.robot.publish_rig(['front'])
    bench.send_more()
    found = bench.robot.messages('/tf')[-1].transforms
    assert [(j.header.frame_id, j.child_frame_id) for j in found] == [('odom', 'base_footprint')]
    assert children(bench) == {('odom', 'base_footprint')}
    assert 'odom to base_footprint is published in place of odom to base_link' in bench.node.output
