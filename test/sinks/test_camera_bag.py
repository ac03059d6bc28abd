"""Recordings of cameras: what a ROS subscriber will decode is what was given."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.sinks.camera_bag import (
    TRUTH_ODOMETRY_TOPIC,
    CameraBagWriter,
    truth_depth_topic,
)
from da3_ros.sources.bag import BagReader
from da3_ros.types import CameraFrame, RigCalibration
from helpers.raw_messages import STORE

STAMP_NS = 1_700_000_000_987_654_321
BASE_FROM_CAMERA = np.array([[0, 0, 1.0, 0.2], [-1, 0, 0, -0.1], [0, -1, 0, 0.5], [0, 0, 0, 1]])
CAMERA = PinholeCamera.from_focal(50.0, 51.0, 15.5, 11.25, ImageSize(24, 32))
Decode = Callable[[bytes, str], Any]
WITH_ROS = [
    pytest.mark.ros,
    # rosidl's Python package imports a parser library that uses a deprecated module.
    pytest.mark.filterwarnings('ignore:module .sre_:DeprecationWarning'),
]


def decode_with_rosbags(data: bytes, msgtype: str) -> Any:
    return STORE.deserialize_cdr(data, msgtype)


def decode_with_rclpy(data: bytes, msgtype: str) -> Any:
    from rclpy.serialization import deserialize_message

    from da3_ros.ros.messages.message_types import message_class

    return deserialize_message(data, message_class(msgtype))


@pytest.fixture(params=[decode_with_rosbags, pytest.param(decode_with_rclpy, marks=WITH_ROS)])
def decode(request: pytest.FixtureRequest) -> Decode:
    chosen: Decode = request.param
    return chosen


def smooth_image() -> np.ndarray:
    v, u = np.mgrid[:24, :32]
    return np.stack([8 * u, 10 * v, np.full_like(u, 90)], axis=-1).astype(np.uint8)


def recorded(tmp_path: Path, decode: Decode, *, is_compressed: bool = False) -> dict[str, Any]:
    path = tmp_path / 'bag.mcap'
    frame = CameraFrame('eye', STAMP_NS, 'eye_optical_frame', smooth_image(), CAMERA)
    with CameraBagWriter(path, is_compressed=is_compressed) as bag:
        bag.write_rig(
            RigCalibration({'eye': BASE_FROM_CAMERA}), {'eye': 'eye_optical_frame'}, STAMP_NS
        )
        bag.write_frame(frame)
        depth = np.arange(24 * 32, dtype=np.float32).reshape(24, 32)
        depth[0, 0] = np.nan
        bag.write_depth(truth_depth_topic('eye'), STAMP_NS, 'eye_optical_frame', depth)
        bag.write_odometry(STAMP_NS, BASE_FROM_CAMERA)
        assert bag.message_count == 5
    with BagReader(path) as reader:
        messages = list(reader.messages())
    assert {m.stamp_ns for m in messages} == {STAMP_NS}
    return {m.topic: decode(m.data, m.msgtype) for m in messages}


def stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def test_images_and_calibration(tmp_path: Path, decode: Decode) -> None:
    messages = recorded(tmp_path, decode)
    image, info = messages['/eye/image_raw'], messages['/eye/camera_info']
    assert (image.encoding, image.height, image.width, image.step) == ('rgb8', 24, 32, 96)
    assert not image.is_bigendian
    np.testing.assert_array_equal(
        np.asarray(image.data, np.uint8).reshape(24, 32, 3), smooth_image()
    )
    for message in (image, info):
        assert stamp_ns(message) == STAMP_NS
        assert message.header.frame_id == 'eye_optical_frame'
    assert (info.height, info.width, info.distortion_model) == (24, 32, 'plumb_bob')
    np.testing.assert_array_equal(np.asarray(info.k).reshape(3, 3), CAMERA.K)
    np.testing.assert_array_equal(np.asarray(info.r).reshape(3, 3), np.eye(3))
    np.testing.assert_array_equal(
        np.asarray(info.p).reshape(3, 4), np.hstack([CAMERA.K, np.zeros((3, 1))])
    )
    np.testing.assert_array_equal(info.d, np.zeros(5))


def test_compressed_images_decode_to_the_same_colours(tmp_path: Path, decode: Decode) -> None:
    messages = recorded(tmp_path, decode, is_compressed=True)
    assert '/eye/image_raw' not in messages
    message = messages['/eye/image_raw/compressed']
    assert stamp_ns(message) == STAMP_NS
    assert 'jpeg' in message.format
    decoded = cv2.imdecode(np.asarray(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    difference = np.abs(decoded[..., ::-1].astype(int) - smooth_image())
    assert difference.mean() < 4


def test_the_rig_is_one_latched_message(tmp_path: Path, decode: Decode) -> None:
    (transform,) = recorded(tmp_path, decode)['/tf_static'].transforms
    assert transform.header.frame_id == 'base_link'
    assert transform.child_frame_id == 'eye_optical_frame'
    t, q = transform.transform.translation, transform.transform.rotation
    np.testing.assert_array_equal([t.x, t.y, t.z], BASE_FROM_CAMERA[:3, 3])
    np.testing.assert_allclose(
        matrix_from_quaternion_xyzw([q.x, q.y, q.z, q.w]), BASE_FROM_CAMERA[:3, :3], atol=1e-12
    )
    with BagReader(tmp_path / 'bag.mcap') as reader:
        assert {t.name for t in reader.topics if t.is_latched} == {'/tf_static'}


def test_the_truth(tmp_path: Path, decode: Decode) -> None:
    messages = recorded(tmp_path, decode)
    depth = messages['/truth/eye/depth']
    assert (depth.encoding, depth.step) == ('32FC1', 128)
    values = np.frombuffer(bytes(depth.data), '<f4')
    assert np.isnan(values[0])
    np.testing.assert_array_equal(values[1:], np.arange(1, 24 * 32))
    odometry = messages[TRUTH_ODOMETRY_TOPIC]
    position = odometry.pose.pose.position
    np.testing.assert_array_equal([position.x, position.y, position.z], BASE_FROM_CAMERA[:3, 3])
    assert odometry.child_frame_id == 'base_link'


def test_an_uncalibrated_camera_has_no_camera_info(tmp_path: Path) -> None:
    with CameraBagWriter(tmp_path / 'bag.mcap') as bag:
        bag.write_frame(CameraFrame('eye', STAMP_NS, 'eye', smooth_image()))
    with BagReader(tmp_path / 'bag.mcap') as reader:
        assert [t.name for t in reader.topics] == ['/eye/image_raw']
