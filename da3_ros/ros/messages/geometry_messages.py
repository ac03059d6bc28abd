"""Stamps, intrinsics and poses as messages, and back; pixels are in `conversions`.

What is read may be of any maker; what is made is rclpy's, and only that needs ROS. What intrinsics
a CameraInfo gives is in `calibration`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw, quaternion_xyzw_from_matrix
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.message_fields import StampFields

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time
    from geometry_msgs.msg import Pose, Transform, TransformStamped
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

_NS_PER_S = 1_000_000_000


def ns_from_stamp(stamp: StampFields) -> int:
    """Return a stamp as integer nanoseconds, exactly."""
    return int(stamp.sec) * _NS_PER_S + int(stamp.nanosec)


def stamp_from_ns(stamp_ns: int) -> Time:
    """Return integer nanoseconds as a stamp, exactly; also before 1970."""
    from builtin_interfaces.msg import Time

    return Time(sec=stamp_ns // _NS_PER_S, nanosec=stamp_ns % _NS_PER_S)


def header(stamp_ns: int, frame_id: str) -> Header:
    """Return a header."""
    from std_msgs.msg import Header

    return Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)


def info_from_camera(camera: PinholeCamera, info_header: Header) -> CameraInfo:
    """Return the CameraInfo of an ideal camera: R identity, no distortion, P = [K | 0]."""
    from sensor_msgs.msg import CameraInfo

    info = CameraInfo(header=info_header, distortion_model='plumb_bob')
    info.height, info.width = camera.size.height, camera.size.width
    info.d = [0.0] * 5
    info.k = camera.K.reshape(-1)
    info.r = np.eye(3).reshape(-1)
    info.p = np.hstack([camera.K, np.zeros((3, 1))]).reshape(-1)
    return info


def pose_message(a_from_b: FloatArray) -> Pose:
    """Return a rigid transform (4, 4) as the pose of frame b in frame a."""
    from geometry_msgs.msg import Pose

    pose = Pose()
    x, y, z = (float(value) for value in a_from_b[:3, 3])
    pose.position.x, pose.position.y, pose.position.z = x, y, z
    _fill_quaternion(pose.orientation, a_from_b)
    return pose


def transform_message(a_from_b: FloatArray, stamp_ns: int, a: str, b: str) -> TransformStamped:
    """Return a rigid transform (4, 4) as TF from parent a to child b.

    TF's transform is the pose of the child in the parent: it takes points of b to a, so it is
    a_from_b and not its inverse.
    """
    from geometry_msgs.msg import TransformStamped

    message = TransformStamped(header=header(stamp_ns, a), child_frame_id=b)
    x, y, z = (float(value) for value in a_from_b[:3, 3])
    translation = message.transform.translation
    translation.x, translation.y, translation.z = x, y, z
    _fill_quaternion(message.transform.rotation, a_from_b)
    return message


def _fill_quaternion(target: object, a_from_b: FloatArray) -> None:
    quaternion_xyzw = quaternion_xyzw_from_matrix(a_from_b[:3, :3])
    for name, value in zip('xyzw', quaternion_xyzw, strict=True):
        setattr(target, name, float(value))


def rigid_from_transform(transform: Transform) -> FloatArray:
    """Return geometry_msgs/Transform as (4, 4).

    Raises:
        GeometryError: the quaternion is zero or not finite.
    """
    q, t = transform.rotation, transform.translation
    return rigid(matrix_from_quaternion_xyzw([q.x, q.y, q.z, q.w]), [t.x, t.y, t.z])
