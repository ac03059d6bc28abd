"""One camera whose place on the robot is unknown, windows of two views, compressed images."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.ros.messages.geometry_messages import header, ns_from_stamp
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import SIZE, RosRobot, matrix_of

pytestmark = pytest.mark.ros


@pytest.fixture(scope='module', name='robot')
def robot_fixture() -> Iterator[RosRobot]:
    parameters = [
        'model:=truth',
        'cameras:=[front]',
        'window:=2',
        'image_transport:=compressed',
        'depth_encoding:=16UC1',
        'publish_map_tf:=true',
    ]
    arguments = ['--ros-args', *(a for p in parameters for a in ('-p', p))]
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, [], compressed='front') as robot:
            robot.listen(TFMessage, '/tf')
            robot.listen(WindowReport, 'window')
            robot.listen(Odometry, 'odometry')
            robot.listen(Image, 'front/depth/image')
            robot.prime(lambda: publish(robot))
            node.wait_for_line('these cameras sit is not known: front')
            yield robot


def publish(robot: RosRobot) -> int:
    """Publish the next image as PNG and return its stamp."""
    stamp_ns = robot.next_stamp()
    frame = robot.world.frame('front', stamp_ns, SIZE)
    ok, content = cv2.imencode('.png', frame.image[..., ::-1])
    assert ok
    message = CompressedImage(header=header(stamp_ns, frame.frame_id), format='png')
    message.data.frombytes(content.tobytes())
    robot.compressed.publish(message)
    return stamp_ns


def send(robot: RosRobot) -> int:
    """Publish the next image and wait until its window is out."""
    stamp_ns = publish(robot)
    robot.wait_stamp('window', stamp_ns)
    return stamp_ns


def test_a_window_of_two_views_shares_one(robot: RosRobot) -> None:
    report = robot.wait_stamp('window', send(robot))
    assert (report.sets, report.new_sets, report.shared_views) == (2, 1, 1)
    assert report.alignment_method == 'shared_views'
    assert not report.is_metric
    assert report.views[0].k_source == 'predicted'


def test_tf_goes_to_the_optical_frame_up_to_the_unknown_scale(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    transforms = robot.wait_stamp('/tf', stamp_ns).transforms
    names = [(t.header.frame_id, t.child_frame_id) for t in transforms]
    assert names == [('map', 'odom'), ('odom', 'front_optical_frame')]
    assert all(ns_from_stamp(t.header.stamp) == stamp_ns for t in transforms)
    np.testing.assert_array_equal(matrix_of(transforms[0].transform), np.eye(4))
    first = robot.wait_stamp('/tf', robot.start_ns).transforms[1]
    got = np.linalg.inv(matrix_of(first.transform)) @ matrix_of(transforms[1].transform)
    start = robot.world.world_from_camera('front', robot.start_ns)
    truth = np.linalg.inv(start) @ robot.world.world_from_camera('front', stamp_ns)
    np.testing.assert_allclose(got[:3, :3], truth[:3, :3], atol=1e-6)
    direction = got[:3, 3] / np.linalg.norm(got[:3, 3])
    np.testing.assert_allclose(direction, truth[:3, 3] / np.linalg.norm(truth[:3, 3]), atol=1e-3)
    # REP 103: body axes of the first camera are the world's: forward is the optical z.
    optical = matrix_of(first.transform)[:3, :3]
    np.testing.assert_allclose(optical[:, 2], [1, 0, 0], atol=1e-6)


def test_depth_in_millimetres_is_that_of_the_window(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    message = robot.wait_stamp('front/depth/image', stamp_ns)
    assert (message.encoding, message.step) == ('16UC1', message.width * 2)
    mm = np.frombuffer(bytes(message.data), '<u2').reshape(message.height, message.width)
    truth = robot.world.depth('front', stamp_ns, ImageSize(message.height, message.width))
    known = mm > 0
    assert known.mean() > 0.9
    ratio = mm[known] / truth[known]
    # The unit is unknown, but one for the whole image.
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.01)


def test_odometry_without_a_unit_says_so_by_its_covariance(robot: RosRobot) -> None:
    odometry = robot.wait_stamp('odometry', send(robot))
    assert np.diag(np.reshape(odometry.pose.covariance, (6, 6))).min() == 1e6
    assert np.diag(np.reshape(odometry.twist.covariance, (6, 6))).min() == 1e6
