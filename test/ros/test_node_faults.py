"""Bad input of one camera: named by camera and field, and the others go on."""

from __future__ import annotations

import array
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import CameraInfo, Image

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from helpers.fault_rig import send_until, values_of
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import RosRobot

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left', 'right')


@pytest.fixture(scope='module', name='pair')
def pair_fixture() -> Iterator[tuple[RosProcess, RosRobot]]:
    parameters = [
        'model:=truth',
        'cameras:=[front, left, right, ghost]',
        'min_cameras:=2',
        'sync_wait_s:=0.0',
        'window:=2',
        'windw:=7',
        'rig.nose.base_from_camera:=[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]',
        'input.nose.rotation_deg:=90',
        'input.front.crop:=[0, 0, 8, 8]',
    ]
    arguments = ['--ros-args', *(a for p in parameters for a in ('-p', p))]
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, CAMERAS) as robot:
            robot.publish_rig(CAMERAS)
            robot.wait_for_node()
            robot.listen(WindowReport, 'window')
            robot.listen(Image, 'front/depth/image')
            robot.listen(Image, 'right/depth/image')
            robot.listen(DiagnosticArray, '/diagnostics')
            robot.prime(robot.send)
            yield node, robot


def others_go_on(robot: RosRobot) -> None:
    """Check that front and left still make windows."""
    stamp_ns = robot.send(['front', 'left'])
    robot.send(['front', 'left'])
    robot.wait_stamp('front/depth/image', stamp_ns)


def break_(message: Image, **fields: Any) -> Image:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ('field', 'change'),
    [
        ('encoding', {'encoding': 'nonsense'}),
        ('data', {'data': array.array('B', bytes(100))}),
        ('height', {'height': 0}),
        ('width', {'width': 0}),
        ('step', {'step': 3}),
    ],
)
def test_malformed_images_are_named_and_the_others_go_on(
    pair: tuple[RosProcess, RosRobot], field: str, change: dict[str, Any]
) -> None:
    node, robot = pair
    stamp_ns = robot.next_stamp()
    robot.images['right'].publish(break_(robot.image('right', stamp_ns), **change))
    node.wait_for_line(f'camera right, topic /right/image_raw, field {field}: expected')
    others_go_on(robot)


def test_an_image_without_stamp_is_named(pair: tuple[RosProcess, RosRobot]) -> None:
    node, robot = pair
    message = robot.image('right', robot.next_stamp())
    message.header.stamp.sec, message.header.stamp.nanosec = 0, 0
    robot.images['right'].publish(message)
    node.wait_for_line('camera right, topic /right/image_raw, field header.stamp: it is zero')
    others_go_on(robot)


def test_a_changed_resolution_waits_for_its_calibration(
    pair: tuple[RosProcess, RosRobot],
) -> None:
    node, robot = pair
    small = ImageSize(60, 80)
    cameras = ['front', 'left', 'right']
    send_until(robot, 'right/depth/image', lambda m: True, lambda: robot.send(cameras))
    robot.images['right'].publish(robot.image('right', robot.next_stamp(), small))
    node.wait_for_line(
        'camera right, topic /right/camera_info, fields width, height: .* for 160x120 pixels .*, '
        'but the image has 80x60'
    )
    others_go_on(robot)
    # With the calibration of the new size the camera is back.
    stamp_ns = robot.next_stamp()
    robot.infos['right'].publish(robot.info('right', stamp_ns, small))
    robot.images['right'].publish(robot.image('right', stamp_ns, small))
    robot.send(['front', 'left'], stamp_ns)
    robot.send(['front', 'left'])
    depth = robot.wait_stamp('right/depth/image', stamp_ns)
    assert (depth.height, depth.width) == (30, 40)


def test_a_calibration_of_zeros_means_uncalibrated(pair: tuple[RosProcess, RosRobot]) -> None:
    node, robot = pair

    def send() -> None:
        stamp_ns = robot.next_stamp()
        robot.infos['right'].publish(CameraInfo(height=120, width=160))
        robot.images['right'].publish(robot.image('right', stamp_ns))
        robot.send(['front', 'left'], stamp_ns)

    # No set waits here: an image of the next instant may overtake one of this.
    report = send_until(robot, 'window', lambda m: len(m.views) == 3, send)
    node.wait_for_line(
        'camera right, topic /right/camera_info, field k: .*not calibrated.*own intrinsics'
    )
    sources = {view.camera: view.k_source for view in report.views}
    assert sources == {'front': 'calibrated', 'left': 'calibrated', 'right': 'predicted'}


def test_cameras_that_nobody_publishes_are_named(pair: tuple[RosProcess, RosRobot]) -> None:
    node, robot = pair
    node.wait_for_line('camera ghost: no images on /ghost/image_raw for .*nobody publishes it')
    robot.wait_for(
        '/diagnostics',
        lambda m: any(
            s.name.endswith('camera ghost') and s.level == s.ERROR and 'nobody' in s.message
            for s in m.status
        ),
    )


def test_parameters_that_do_not_exist_are_named(pair: tuple[RosProcess, RosRobot]) -> None:
    node, _ = pair
    node.wait_for_line('parameter windw: not one of this node')
    node.wait_for_line('parameter rig.nose.base_from_camera: no such camera; .* front, left')
    node.wait_for_line('parameter input.nose.rotation_deg: no such camera; .* front, left')
    node.wait_for_line("parameter input.front.crop: not one of this node's")


def test_faults_are_counted_in_diagnostics(pair: tuple[RosProcess, RosRobot]) -> None:
    _, robot = pair
    for _ in range(5):
        robot.images['left'].publish(break_(robot.image('left', 1), encoding='nonsense'))

    def counted(message: DiagnosticArray) -> bool:
        # Dropped ones, or from some moment on all of them.
        values = values_of(message, 'camera left')
        names = (f'found: images_{what}: encoding' for what in ('dropped', 'refused'))
        return sum(int(values.get(name, 0)) for name in names) == 5

    robot.wait_for('/diagnostics', counted)
    others_go_on(robot)


def test_stamps_that_jump_back_start_the_world_anew(pair: tuple[RosProcess, RosRobot]) -> None:
    node, robot = pair
    others_go_on(robot)
    early_ns = robot.start_ns - 3_600_000_000_000
    for step in range(3):
        robot.send(['front', 'left'], early_ns + step * 100_000_000)
    node.wait_for_line(r'the world starts anew: stamps jumped back by 36\d\d\.\d+ s')
    report = robot.wait_for('window', lambda m: m.header.stamp.sec < early_ns // 10**9 + 2)
    assert report.alignment_method in {'first', 'shared_views'}
    assert node.running
