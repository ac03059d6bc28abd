"""Stamps, intrinsics and poses against their message definitions."""

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from geometry_msgs.msg import Transform
from std_msgs.msg import Header

from da3_ros.errors import GeometryError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.messages.geometry_messages import (
    header,
    info_from_camera,
    ns_from_stamp,
    pose_message,
    rigid_from_transform,
    stamp_from_ns,
    transform_message,
)

pytestmark = pytest.mark.ros
SIZE = ImageSize(48, 64)


@pytest.mark.parametrize(
    'stamp_ns', [0, 1, 999_999_999, 1_000_000_000, 1_700_000_000_123_456_789, 2**31 * 10**9 - 1]
)
def test_stamps_go_round_to_the_nanosecond(stamp_ns: int) -> None:
    stamp = stamp_from_ns(stamp_ns)
    assert stamp.sec == stamp_ns // 10**9
    assert 0 <= stamp.nanosec < 10**9
    assert ns_from_stamp(stamp) == stamp_ns
    assert header(stamp_ns, 'a').stamp == stamp


def test_published_camera_info_is_an_ideal_camera_and_goes_round() -> None:
    camera = PinholeCamera.from_focal(51.5, 52.5, 30.25, 20.75, SIZE)
    info = info_from_camera(camera, Header(frame_id='optical'))
    assert info.header.frame_id == 'optical'
    assert info.distortion_model == 'plumb_bob'
    assert list(info.d) == [0.0] * 5
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], camera.K)
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, 3], 0)
    assert (info.height, info.width) == (48, 64)
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), camera.K)


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
