"""The node with cameras that are cropped, distorted and rotated, at the input's size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.ros.messages.geometry_messages import header, info_from_camera
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import SIZE, RosRobot

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
HELPERS = Path(__file__).resolve().parents[1] / 'helpers'
CROP = (12, 8, 140, 100)
DISTORTION = [-0.2, 0.05, 0.001, -0.001, 0.0]
TOPICS = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/confidence': Image,
    'depth/debug': Image,
    'color/image': Image,
    'color/camera_info': CameraInfo,
    'points': PointCloud2,
}


def arguments(*parameters: str) -> list[str]:
    return ['--ros-args', *(a for p in parameters for a in ('-p', p))]


def pixels_of(message: Image) -> Array:
    dtype, channels = {'32FC1': ('<f4', 1), 'rgb8': ('u1', 3)}[message.encoding]
    shape = (message.height, message.width, channels)
    array = np.frombuffer(bytes(message.data), dtype).reshape(shape)
    return array[..., 0] if channels == 1 else array


def k_of(info: CameraInfo) -> Array:
    k = np.reshape(info.k, (3, 3))
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], k)
    assert list(info.d) == [0.0] * 5
    return k


def listen(robot: RosRobot, camera: str) -> None:
    for topic, kind in TOPICS.items():
        robot.listen(kind, f'{camera}/{topic}')


@pytest.fixture(scope='module', name='robot')
def robot_fixture() -> Iterator[RosRobot]:
    given = arguments(
        'model:=truth',
        'cameras:=[front, left]',
        'window:=2',
        'rectify:=true',
        'depth_size:=input',
        f'input.front.crop_px:={list(CROP)}',
    )
    with (
        reserved_domain_id() as domain_id,
        RosProcess('da3_ros.ros.node.main', *given, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, ['front', 'left']) as robot:
            robot.publish_rig(['front', 'left'])
            robot.wait_for_node()
            for camera in ('front', 'left'):
                listen(robot, camera)
            robot.prime(lambda: send(robot))
            yield robot


def send(robot: RosRobot) -> int:
    """Send an instant: front as bgr8, left with a calibration that speaks of distortion."""
    stamp_ns = robot.next_stamp()
    for camera in ('front', 'left'):
        info, image = robot.info(camera, stamp_ns), robot.image(camera, stamp_ns)
        if camera == 'left':
            info.d = DISTORTION
        else:
            image.encoding = 'bgr8'
        robot.infos[camera].publish(info)
        robot.images[camera].publish(image)
    return stamp_ns


def test_a_cropped_camera_comes_out_at_the_crops_size_with_its_k(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    left, top, width, height = CROP
    camera = robot.world.intrinsics('front', SIZE).cropped(left, top, ImageSize(height, width))
    for topic in ('depth/camera_info', 'color/camera_info'):
        info = robot.wait_stamp(f'front/{topic}', stamp_ns)
        assert (info.height, info.width) == (height, width)
        np.testing.assert_array_equal(k_of(info), camera.K)
        assert info.header.frame_id == robot.frame_id('front')
    colour = pixels_of(robot.wait_stamp('front/color/image', stamp_ns))
    sent = robot.world.frame('front', stamp_ns, SIZE).image
    # Its bytes were said to be bgr8.
    np.testing.assert_array_equal(colour, sent[top : top + height, left : left + width, ::-1])
    depth = pixels_of(robot.wait_stamp('front/depth/image', stamp_ns))
    assert depth.shape == colour.shape[:2]
    pose = robot.world.world_from_camera('front', stamp_ns)
    truth = robot.world.renderer.depth(camera, pose)
    error = np.abs(depth / truth - 1)
    # The truth was told at half the size: edges of objects may be off by one of its pixels.
    assert np.median(error) < 1e-5
    assert (error < 1e-3).mean() > 0.85
    assert robot.wait_stamp('front/depth/confidence', stamp_ns).width == width
    cloud = robot.wait_stamp('front/points', stamp_ns)
    assert (cloud.height, cloud.width) == (height, width)
    debug = robot.wait_stamp('front/depth/debug', stamp_ns)
    assert (debug.encoding, debug.height, debug.width) == ('rgb8', height, width)


def test_a_distorted_camera_comes_out_rectified(robot: RosRobot) -> None:
    stamp_ns = send(robot)
    known = robot.world.intrinsics('left', SIZE)
    info = robot.wait_stamp('left/depth/camera_info', stamp_ns)
    np.testing.assert_array_equal(k_of(info), known.K)
    sent = robot.world.frame('left', stamp_ns, SIZE).image
    wanted = cv2.undistort(sent, known.K, np.array(DISTORTION))
    colour = pixels_of(robot.wait_stamp('left/color/image', stamp_ns))
    assert np.abs(colour.astype(int) - wanted).mean() < 0.5
    assert np.abs(colour.astype(int) - sent).mean() > 2


def test_the_size_changes_while_the_node_runs(robot: RosRobot) -> None:
    client = AsyncParameterClient(robot.node, '/da3_node')
    assert client.wait_for_services(10.0)

    def change(**values: Any) -> None:
        future = client.set_parameters([Parameter(n, value=v) for n, v in values.items()])
        robot.wait(future.done, 'the answer of set_parameters')
        assert all(result.successful for result in future.result().results)

    change(depth_size='network', min_depth_m=1.5)
    stamp_ns = send(robot)
    depth = pixels_of(robot.wait_stamp('front/depth/image', stamp_ns))
    assert depth.shape == (50, 70)
    assert depth[np.isfinite(depth)].min() >= 1.5
    assert np.isnan(depth).any()
    assert robot.wait_stamp('front/color/image', stamp_ns).width == 70
    change(depth_size='input', min_depth_m=0.0)


def test_a_rotated_camera_is_upright_for_the_network_and_as_it_was_for_everybody_else() -> None:
    given = arguments(
        'cameras:=[front]', 'window:=1', 'input.front.rotation_deg:=90', 'edge_filter:=0.0'
    )
    camera = PinholeCamera.from_focal(70.0, 72.0, 30.5, 22.25, ImageSize(40, 60))
    image = np.random.default_rng(0).integers(10, 200, (40, 60, 3), dtype=np.uint8)
    with (
        reserved_domain_id() as domain_id,
        RosProcess(HELPERS / 'pixel_node.py', *given, domain_id=domain_id) as node,
    ):
        node.wait_for_line('ready')
        with RosRobot(domain_id, ['front']) as robot:
            robot.wait_for_node()
            listen(robot, 'front')

            def send_one() -> int:
                stamp_ns = robot.next_stamp()
                head = header(stamp_ns, 'sideways')
                message = Image(header=head, height=40, width=60, step=180, encoding='rgb8')
                message.data.frombytes(image.tobytes())
                robot.infos['front'].publish(info_from_camera(camera, head))
                robot.images['front'].publish(message)
                return stamp_ns

            robot.prime(send_one)
            stamp_ns = send_one()
            got = {t: robot.wait_stamp(f'front/{t}', stamp_ns) for t in TOPICS}
    assert {message.header.frame_id for message in got.values()} == {'sideways'}
    np.testing.assert_allclose(k_of(got['depth/camera_info']), camera.K, atol=1e-12)
    np.testing.assert_array_equal(pixels_of(got['color/image']), image)
    np.testing.assert_allclose(pixels_of(got['depth/image']), image[..., 0] / 10, rtol=1e-6)
    # Turned clockwise by a quarter, the lowest row of the image is the first column; the rows
    # that the network counted are the columns of what the camera sent.
    columns = np.broadcast_to(np.arange(1, 61), (40, 60))
    np.testing.assert_array_equal(pixels_of(got['depth/confidence']), columns)
    floats = np.frombuffer(bytes(got['points'].data), '<f4').reshape(40, 60, 5)
    wanted = camera.rays() * (image[..., :1] / 10)
    np.testing.assert_allclose(floats[..., :3], wanted, atol=1e-5)
