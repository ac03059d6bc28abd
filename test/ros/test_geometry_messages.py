"""Stamps, intrinsics and poses against their message definitions."""

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from geometry_msgs.msg import Transform
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.messages.geometry_messages import (
    camera_from_info,
    has_distortion,
    header,
    info_from_camera,
    ns_from_stamp,
    pose_message,
    rigid_from_transform,
    stamp_from_ns,
    transform_message,
)

pytestmark = pytest.mark.ros
SOURCE = 'camera front, topic /front/camera_info'
SIZE = ImageSize(48, 64)


def calibration() -> CameraInfo:
    info = CameraInfo(height=48, width=64, distortion_model='plumb_bob')
    info.k = [50.0, 0.0, 31.0, 0.0, 52.0, 24.5, 0.0, 0.0, 1.0]
    # A rectified P beside it: K is the one that belongs to image_raw.
    info.p = [40.0, 0.0, 30.0, 0.0, 0.0, 40.0, 20.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


@pytest.mark.parametrize(
    'stamp_ns', [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, 2**31 * 10**9 - 1]
)
def test_stamps_go_round_to_the_nanosecond(stamp_ns: int) -> None:
    stamp = stamp_from_ns(stamp_ns)
    assert stamp.sec == stamp_ns // 10**9
    assert 0 <= stamp.nanosec < 10**9
    assert ns_from_stamp(stamp) == stamp_ns
    assert header(stamp_ns, 'a').stamp == stamp


def test_k_is_taken_as_it_is() -> None:
    camera = camera_from_info(calibration(), SIZE, SOURCE)
    np.testing.assert_array_equal(camera.K, [[50, 0, 31], [0, 52, 24.5], [0, 0, 1]])
    assert camera.size == SIZE


def test_region_and_binning_move_k_so_that_a_ray_meets_its_pixel() -> None:
    info = calibration()
    info.roi.x_offset, info.roi.y_offset = 8, 4
    info.roi.width, info.roi.height = 40, 24
    info.binning_x, info.binning_y = 2, 3
    camera = camera_from_info(info, ImageSize(8, 20), SOURCE)
    point = np.array([0.1, -0.07, 1.0])
    u, v = 50 * 0.1 + 31, 52 * -0.07 + 24.5
    # Pixel borders are at -0.5: binning keeps borders on borders.
    wanted = [(u - 8 + 0.5) / 2 - 0.5, (v - 4 + 0.5) / 3 - 0.5]
    np.testing.assert_allclose(camera.project(point), wanted, atol=1e-12)


@pytest.mark.parametrize(
    ('field', 'change'),
    [
        ('height', {'height': 0}),
        ('width', {'width': 0}),
        ('k', {'k': [0.0] * 9}),
        ('k', {'k': [50.0, 0, 31, 0, -52, 24, 0, 0, 1]}),
        ('k', {'k': [50.0, 0, float('nan'), 0, 52, 24, 0, 0, 1]}),
        ('width, height', {'width': 128}),
        ('width, height', {'binning_x': 2, 'binning_y': 2}),
    ],
)
def test_useless_calibrations_name_topic_and_field(field: str, change: dict[str, object]) -> None:
    info = calibration()
    for name, value in change.items():
        setattr(info, name, value)
    with pytest.raises(FieldError, match=f'topic /front/camera_info, field {field}'):
        camera_from_info(info, SIZE, SOURCE)


def test_another_size_than_the_images_names_both() -> None:
    with pytest.raises(FieldError, match='for 64x48 pixels, but the image has 80x60'):
        camera_from_info(calibration(), ImageSize(60, 80), SOURCE)


def test_distortion_is_seen() -> None:
    info = calibration()
    assert not has_distortion(info)
    info.d = [0.0, 0.0]
    assert not has_distortion(info)
    info.d = [0.0, 0.1, 0.0, 0.0, 0.0]
    assert has_distortion(info)


def test_published_camera_info_is_an_ideal_camera_and_goes_round() -> None:
    camera = PinholeCamera.from_focal(51.5, 52.5, 30.25, 20.75, SIZE)
    info = info_from_camera(camera, Header(frame_id='optical'))
    assert info.header.frame_id == 'optical'
    assert info.distortion_model == 'plumb_bob'
    assert list(info.d) == [0.0] * 5
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], camera.K)
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, 3], 0)
    np.testing.assert_array_equal(camera_from_info(info, SIZE, SOURCE).K, camera.K)


def test_tf_carries_the_childs_pose_in_the_parent() -> None:
    half = np.sqrt(0.5)
    a_from_b = rigid(matrix_from_quaternion_xyzw([0, 0, half, half]), [1.0, 2.0, 3.0])
    message = transform_message(a_from_b, 1_000_000_007, 'odom', 'base_link')
    assert message.header.frame_id == 'odom'
    assert message.child_frame_id == 'base_link'
    assert (message.header.stamp.sec, message.header.stamp.nanosec) == (1, 7)
    t, q = message.transform.translation, message.transform.rotation
    assert (t.x, t.y, t.z) == (1.0, 2.0, 3.0)
    np.testing.assert_allclose([q.x, q.y, q.z, q.w], [0, 0, half, half], atol=1e-12)
    np.testing.assert_allclose(rigid_from_transform(message.transform), a_from_b, atol=1e-12)
    pose = pose_message(a_from_b)
    assert (pose.position.x, pose.position.y, pose.position.z) == (1.0, 2.0, 3.0)
    np.testing.assert_allclose(pose.orientation.w, half)


def test_a_zero_quaternion_is_no_transform() -> None:
    message = Transform()
    message.rotation.w = 0.0
    with pytest.raises(GeometryError, match='quaternion'):
        rigid_from_transform(message)
