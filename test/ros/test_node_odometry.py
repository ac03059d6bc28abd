"""The node with an odometry on /tf: metres for one camera, also on a head that moves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import transform_message
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import RELIABLE, RosRobot, matrix_of

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
CAMERA = 'front'
MS = 1_000_000
ODOM_FROM_WORLD = rigid(Rotation.from_euler('z', 1.0).as_matrix(), [12.0, 5.0, 0.0])


class Wheels:
    """Publishes wheel_odom to base_link, and base_link to a head that carries the camera."""

    def __init__(self, robot: RosRobot) -> None:
        self.robot = robot
        self._tf = robot.node.create_publisher(TFMessage, '/tf', RELIABLE)
        self.is_on = True

    def base_from_camera(self, stamp_ns: int) -> Array:
        """Return where the camera is on the robot: a head that turns by half a radian."""
        turn = 0.5 * np.sin((stamp_ns - self.robot.start_ns) / 1e9)
        neck = rigid(Rotation.from_euler('z', turn).as_matrix(), [0.0, 0.0, 0.3])
        return np.asarray(neck @ self.robot.world.rig.calibration.base_from_camera[CAMERA])

    def world_from_base(self, stamp_ns: int) -> Array:
        """Return where the robot is, given that the world moves the camera."""
        pose = self.robot.world.world_from_camera(CAMERA, stamp_ns)
        return np.asarray(pose @ invert(self.base_from_camera(stamp_ns)))

    def send(self) -> int:
        """Publish an instant: transforms around it, then the image; return its stamp."""
        stamp_ns = self.robot.next_stamp()
        if self.is_on:
            for at_ns in (stamp_ns - 20 * MS, stamp_ns, stamp_ns + 20 * MS):
                base = ODOM_FROM_WORLD @ self.world_from_base(at_ns)
                head = self.base_from_camera(at_ns)
                joints = [
                    transform_message(base, at_ns, 'wheel_odom', 'base_link'),
                    transform_message(head, at_ns, 'base_link', self.robot.frame_id(CAMERA)),
                ]
                self._tf.publish(TFMessage(transforms=joints))
        return self.robot.send(stamp_ns=stamp_ns)

    def window(self, stamp_ns: int) -> WindowReport:
        return self.robot.wait_stamp('window', stamp_ns)


@pytest.fixture(scope='module', name='wheels')
def wheels_fixture() -> Iterator[Wheels]:
    parameters = [
        'model:=truth',
        f'cameras:=[{CAMERA}]',
        'window:=3',
        'prior_frame:=wheel_odom',
        'scale_source:=odometry',
        'tf_wait_s:=0.3',
        'odom_frame:=wheel_odom',
        'publish_tf:=false',
    ]
    arguments = ['--ros-args', *(a for p in parameters for a in ('-p', p))]
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as process,
    ):
        process.wait_for_line('ready')
        with RosRobot(domain_id, [CAMERA]) as robot:
            found = Wheels(robot)
            robot.wait_for_node()
            robot.wait(lambda: robot.node.count_subscribers('/tf') > 0, 'the node to read /tf')
            robot.listen(WindowReport, 'window')
            robot.listen(Odometry, 'odometry')
            robot.listen(Image, f'{CAMERA}/depth/image')
            robot.prime(found.send)
            # The first windows tell the metre, the next ones are in it.
            for _ in range(8):
                found.window(found.send())
            yield found


def depth_of(message: Image) -> Array:
    return np.frombuffer(bytes(message.data), '<f4').reshape(message.height, message.width)


def test_one_moving_camera_gives_metres(wheels: Wheels) -> None:
    stamp_ns = wheels.send()
    report = wheels.window(stamp_ns)
    assert report.is_metric
    assert report.scale_source == WindowReport.SCALE_ODOMETRY
    assert report.conditioning == WindowReport.CONDITIONING_POSE
    assert (report.window_views, report.odometry_views) == (3, 3)
    assert 0 < report.scale_log_sigma < 0.1
    assert report.note == ''
    depth = depth_of(wheels.robot.wait_stamp(f'{CAMERA}/depth/image', stamp_ns))
    truth = wheels.robot.world.depth(CAMERA, stamp_ns, ImageSize(*depth.shape))
    np.testing.assert_allclose(depth, truth, rtol=1e-5)


def test_poses_agree_with_the_tree_that_others_publish(wheels: Wheels) -> None:
    for _ in range(3):
        stamp_ns = wheels.send()
        report = wheels.window(stamp_ns)
        (view,) = report.views
        odometry = wheels.robot.wait_stamp('odometry', stamp_ns)
        assert report.header.frame_id == odometry.header.frame_id == 'wheel_odom'
        base = ODOM_FROM_WORLD @ wheels.world_from_base(stamp_ns)
        np.testing.assert_allclose(matrix_of(odometry.pose.pose), base, atol=1e-6)
        camera = base @ wheels.base_from_camera(stamp_ns)
        np.testing.assert_allclose(matrix_of(view.world_from_camera), camera, atol=1e-6)


def test_without_odometry_the_scale_is_kept_and_the_report_says_why(wheels: Wheels) -> None:
    wheels.is_on = False
    for _ in range(4):
        stamp_ns = wheels.send()
        report = wheels.window(stamp_ns)
    wheels.is_on = True
    assert report.is_metric
    assert report.scale_source == WindowReport.SCALE_CHAIN
    assert (report.conditioning, report.odometry_views) == (WindowReport.CONDITIONING_NONE, 0)
    assert 'older than the image' in report.note
    depth = depth_of(wheels.robot.wait_stamp(f'{CAMERA}/depth/image', stamp_ns))
    truth = wheels.robot.world.depth(CAMERA, stamp_ns, ImageSize(*depth.shape))
    np.testing.assert_allclose(depth, truth, rtol=1e-5)
    for _ in range(4):
        report = wheels.window(wheels.send())
    assert report.scale_source == WindowReport.SCALE_ODOMETRY
    assert report.note == ''
