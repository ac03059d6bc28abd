"""Cameras that give nothing or do not come together, and clocks: said, on /diagnostics, ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import re
import time

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from da3_ros.msg import WindowReport
from da3_ros.reasons import Reason, Severity
from da3_ros.ros.messages.geometry_messages import ns_from_stamp, stamp_from_ns
from helpers.fault_rig import send_until, start_node, status_of
from helpers.lifecycle_client import LifecycleClient
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import BEST_EFFORT, PERIOD_NS, RosRobot

pytestmark = pytest.mark.ros
MS = 1_000_000
S = 1000 * MS
HOUR_NS = 3600 * S
CAMERAS = ('front', 'right')
LOGGED = {Severity.INFO: 'INFO', Severity.WARN: 'WARN', Severity.ERROR: 'ERROR'}
LATE = 'sets in a row went out without it, or with it alone'
Send = Callable[[], object]


class Place:
    """A node, and a robot that sends what a test wants."""

    def __init__(self, node: RosProcess, robot: RosRobot) -> None:
        self.node, self.robot = node, robot
        node.wait_for_line('ready')
        robot.listen(DiagnosticArray, '/diagnostics')
        robot.listen(WindowReport, 'window')

    def reaches(
        self, reason: Reason, fragment: str, send: Send, part: str = 'camera right'
    ) -> None:
        """Send until this is on /diagnostics, and in the log with its severity."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment in status_of(message, part).message

        status = status_of(send_until(self.robot, '/diagnostics', fits, send), part)
        assert status.level[0] >= (1 if reason.severity is Severity.WARN else 2)
        self.node.wait_for_line(rf'\[{LOGGED[reason.severity]}\].*{re.escape(fragment)}')

    def leaves(self, fragment: str, send: Send | None = None, part: str = 'camera right') -> None:
        """Send until it is not there any more, and its end is in the log."""

        def fits(message: DiagnosticArray) -> bool:
            return fragment not in status_of(message, part).message

        send_until(self.robot, '/diagnostics', fits, send)
        self.node.wait_for_line(rf'\[INFO\].*over after .*{re.escape(fragment)}')

    def says(self, reason: Reason, fragment: str) -> None:
        """Wait for a line about what happens and has no end."""
        assert not reason.value.lasts
        self.node.wait_for_line(rf'\[{LOGGED[reason.severity]}\].*{fragment}')

    def shift(self, offset_ns: int) -> None:
        """Send an instant, with another stamp for the camera right."""
        stamp_ns = self.robot.send(['front'])
        self.robot.send(['right'], stamp_ns + offset_ns)

    def gives_depth(self, cameras: list[str], sent: list[str] | None = None) -> None:
        """Send instants of all cameras, or of some, until a window of these is out."""

        def fits(message: WindowReport) -> bool:
            return sorted({view.camera for view in message.views}) == cameras

        send_until(self.robot, 'window', fits, lambda: self.robot.send(sent))


@pytest.fixture(name='place', scope='module')
def place_fixture() -> Iterator[Place]:
    with (
        reserved_domain_id() as domain_id,
        start_node(domain_id, CAMERAS) as node,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        place = Place(node, robot)
        robot.publish_rig(CAMERAS)
        robot.wait_for_node()
        yield place
        assert node.stop() == 0
        assert 'Traceback' not in node.output


@pytest.mark.parametrize(
    ('reason', 'offset_ns', 'fragment'),
    [
        (Reason.CAMERAS_OUT_OF_PHASE, 50 * MS, 'always 50.0 ms from those of camera front'),
        (Reason.CLOCKS_APART, 400 * MS, 's from those of camera front that arrive at the same'),
        (Reason.CLOCKS_APART, 2 * HOUR_NS, 'clocks differ (a time zone: 2 hours, as it seems)'),
        (
            Reason.CLOCKS_APART,
            30_000 * S - 1_700_000_000 * S,
            'clocks differ (its stamps count since boot',
        ),
    ],
)
def test_cameras_that_never_meet(
    place: Place, reason: Reason, offset_ns: int, fragment: str
) -> None:
    place.gives_depth(['front', 'right'])

    def send() -> None:
        place.shift(offset_ns)

    place.reaches(reason, fragment, send)
    # That of the other camera: nobody knows which of two is right.
    other = 'of camera right' if reason is Reason.CAMERAS_OUT_OF_PHASE else 'camera right that'
    place.reaches(reason, other, send, 'camera front')
    # Neither one nor the other makes sets by itself.
    seen = len(place.robot.messages('window'))
    for _ in range(5):
        send()
    last_ns = place.robot.next_stamp()
    place.leaves(fragment)
    place.leaves(other, part='camera front')
    between = place.robot.messages('window')[seen:]
    assert not [m for m in between if ns_from_stamp(m.header.stamp) < last_ns]
    place.gives_depth(['front', 'right'])


def test_a_camera_that_stopped(place: Place) -> None:
    place.gives_depth(['front', 'right'])
    fragment = 'no images on /right/image_raw for'
    place.reaches(Reason.CAMERA_STOPPED, fragment, lambda: place.robot.send(['front']))
    place.node.wait_for_line(rf'{fragment}.*came before\. Sets go out without it \(min_cam')
    place.gives_depth(['front'], ['front'])
    place.leaves(fragment)


def test_a_camera_that_comes_late_now_and_then(place: Place) -> None:
    place.gives_depth(['front', 'right'])
    sent = 0

    def send() -> None:
        nonlocal sent
        sent += 1
        place.shift(0 if sent % 12 == 0 else 45 * MS)

    place.reaches(Reason.CAMERA_LATE, LATE, send)
    place.leaves(LATE)


@pytest.mark.parametrize('offset_ns', [HOUR_NS, -HOUR_NS])
def test_one_image_with_an_odd_stamp(place: Place, offset_ns: int) -> None:
    place.gives_depth(['front', 'right'])
    before = len(place.node.lines)
    place.shift(offset_ns)
    place.gives_depth(['front', 'right'])
    direction = 'behind' if offset_ns < 0 else 'ahead of'
    place.says(Reason.STAMP_OUTLIER, rf'camera right: .* stamp 3(599|600)\.\d\d\d s {direction}')
    assert 'the world starts anew' not in '\n'.join(place.node.lines[before:])


def test_a_world_that_starts_anew(place: Place) -> None:
    place.gives_depth(['front', 'right'])
    back_ns = place.robot.next_stamp() - HOUR_NS
    for step in range(5):
        place.robot.send(stamp_ns=back_ns + step * PERIOD_NS)
    place.says(
        Reason.CLOCK_JUMPED, r'camera right: time jumped back by 3599\.\d\d\d s \(3 images in a'
    )
    place.says(Reason.WORLD_RESTARTED, r'the world starts anew: stamps jumped back by 3599\.')
    # Forward again: the world goes on.
    for _ in range(5):
        place.robot.send()
    place.gives_depth(['front', 'right'])
    place.says(Reason.CLOCK_JUMPED, r'camera front: time jumped forward by 3\d\d\d\.')
    LifecycleClient(place.robot).call(Trigger, 'reset')
    place.says(Reason.WORLD_RESTARTED, 'the world starts anew: ~/reset was called')


def test_of_two_cameras_with_two_clocks_that_of_the_node_counts(place: Place) -> None:
    def send() -> None:
        now_ns = time.time_ns()
        place.robot.send(['front'], now_ns)
        place.robot.send(['right'], now_ns + 2 * HOUR_NS)

    fragment = 's from those of camera front that arrive at the same'
    place.reaches(Reason.CLOCKS_APART, fragment, send)

    def fits(message: WindowReport) -> bool:
        return {view.camera for view in message.views} == {'front'}

    send_until(place.robot, 'window', fits, send)
    place.leaves(fragment, lambda: place.robot.send(stamp_ns=time.time_ns()))


def test_stamps_that_are_not_of_today(place: Place) -> None:
    place.reaches(
        Reason.CLOCK_FAR_OFF,
        "s behind this node's clock (limit 2 s) (a bag that is played without /clock",
        place.robot.send,
    )

    def send_now() -> None:
        place.robot.send(stamp_ns=time.time_ns())

    place.leaves("s behind this node's clock", send_now)

    def send_ahead() -> None:
        place.robot.send(stamp_ns=time.time_ns() + 2 * S)

    place.reaches(Reason.CLOCK_FAR_OFF, "s ahead of this node's clock", send_ahead)
    place.leaves("s ahead of this node's clock", send_now)


def test_images_that_are_refused_have_no_stamps_to_judge(place: Place) -> None:
    """The last good stamp of a camera grows old when nothing of it can be used any more."""
    robot = place.robot

    def send_now() -> None:
        robot.send(stamp_ns=time.time_ns())

    def send_bad() -> None:
        stamp_ns = robot.send(['front'], time.time_ns())
        image = robot.image('right', stamp_ns)
        image.encoding = 'infrared7'
        robot.images['right'].publish(image)

    def is_well(message: DiagnosticArray) -> bool:
        return bool(status_of(message, 'camera right').message == 'images come')

    send_until(robot, 'window', lambda report: len(report.views) == 2, send_now)
    send_until(robot, '/diagnostics', is_well, send_now)
    start = len(place.node.lines)
    place.reaches(Reason.IMAGES_REFUSED, "got 'infrared7'; dropped (none of the last", send_bad)
    seen = len(robot.messages('/diagnostics'))
    send_until(
        robot,
        '/diagnostics',
        lambda _: len(robot.messages('/diagnostics')) > seen + 5,
        send_bad,
    )
    said = [line for line in place.node.lines[start:] if 'over after' not in line]
    assert not [line for line in said if "this node's clock" in line or LATE in line]
    place.leaves('infrared7', send_now)


def test_cameras_that_never_came(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, [*CAMERAS, 'mute'], 'image_reliability:=reliable') as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        place = Place(node, robot)
        nothing = 'no images on /right/image_raw for'
        place.reaches(Reason.CAMERA_NOT_PUBLISHED, f'camera right: {nothing}', lambda: None)
        node.wait_for_line(rf'{nothing}.*nobody publishes it')
        robot.node.create_publisher(Image, 'mute/image_raw', 10)
        place.reaches(
            Reason.CAMERA_UNHEARD, 'though robot publishes it', lambda: None, 'camera mute'
        )
        unheard = robot.node.create_publisher(Image, 'right/image_raw', BEST_EFFORT)
        place.reaches(
            Reason.CAMERA_QOS,
            'incompatible QoS: robot publishes best effort',
            lambda: unheard.publish(robot.image('right', robot.next_stamp())),
        )
        heard = robot.node.create_publisher(Image, 'right/image_raw', 10)
        place.leaves('incompatible QoS', lambda: heard.publish(robot.image('right', 10**18)))


def test_a_camera_that_is_awaited(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, CAMERAS) as node,
        RosRobot(ros_domain_id, CAMERAS) as robot,
    ):
        place = Place(node, robot)
        robot.wait_for_node()
        stamp_ns = robot.next_stamp()

        def send_slowly() -> None:
            # Two seconds of stamps take longer than that.
            nonlocal stamp_ns
            stamp_ns += MS
            robot.send(['front'], stamp_ns)

        fragment = 'no image that can be used has come; sets wait for it'
        place.reaches(Reason.CAMERA_AWAITED, fragment, send_slowly)
        assert not robot.messages('window')
        # After two seconds of stamps the sets of the other one go out.
        place.leaves(fragment, lambda: robot.send(['front']))
        place.gives_depth(['front'], ['front'])


def test_time_that_stands_still_and_jumps(ros_domain_id: int) -> None:
    with (
        start_node(ros_domain_id, ['front'], 'use_sim_time:=true') as node,
        RosRobot(ros_domain_id, ['front']) as robot,
    ):
        place = Place(node, robot)
        clock = robot.node.create_publisher(Clock, '/clock', 10)
        robot.publish_rig(['front'])
        robot.wait_for_node()
        fragment = 'use_sim_time is true, and no /clock has come for'
        place.reaches(Reason.NO_CLOCK, fragment, robot.send, 'stream')
        # Depth comes all the same: stamps of images decide.
        place.gives_depth(['front'])

        def tick() -> None:
            clock.publish(Clock(clock=stamp_from_ns(robot.send())))

        place.leaves(fragment, tick, 'stream')
        back_ns = robot.next_stamp() - HOUR_NS
        clock.publish(Clock(clock=stamp_from_ns(back_ns)))
        place.says(Reason.WORLD_RESTARTED, r'the world starts anew: /clock jumped back by 3\d\d\d')
        clock.publish(Clock(clock=stamp_from_ns(back_ns + HOUR_NS)))
        place.says(Reason.CLOCK_JUMPED, r'/clock: time jumped forward by 3600\.000 s')
