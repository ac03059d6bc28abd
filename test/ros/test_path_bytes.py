"""Paths as bytes, read back by the middleware, which is the independent reader."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
from nav_msgs.msg import Path
from rclpy.serialization import deserialize_message

from da3_ros.geometry.rotation import rotation_from_rpy
from da3_ros.geometry.se3 import rigid
from da3_ros.ros.messages.geometry_messages import header, ns_from_stamp, pose_message
from da3_ros.ros.messages.path_bytes import PathBytes

pytestmark = pytest.mark.ros


def poses(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(count)
    return [rigid(rotation_from_rpy(rng.normal(size=3)), rng.normal(size=3)) for _ in range(count)]


@pytest.mark.parametrize('frame_id', ['', 'o', 'odo', 'odom', 'map_1', 'robot/odom', 'örtlich'])
def test_the_middleware_reads_what_was_put_in(frame_id: str) -> None:
    """Names of every length: what follows them is aligned in another way each time."""
    path = PathBytes(frame_id, capacity=3)
    for number, pose in enumerate(poses(5)):
        stamp_ns = 7_000_000_000 * (number - 1) + 999_999_999
        path.append(stamp_ns, pose)
        found = deserialize_message(path.message(), Path)
        assert found.header == header(stamp_ns, frame_id)
        assert len(found.poses) == len(path) == min(number + 1, 3)
        assert found.poses[-1].header == found.header
        assert found.poses[-1].pose == pose_message(pose)
    stamps = [ns_from_stamp(item.header.stamp) for item in found.poses]
    assert np.diff(stamps).tolist() == [7_000_000_000] * 2
    assert [item.pose for item in found.poses] == [pose_message(pose) for pose in poses(5)[2:]]


def test_another_path_has_nothing_of_the_one_before() -> None:
    path = PathBytes('odom', capacity=2)
    path.append(1, np.eye(4))
    path.clear()
    path.append(2, np.eye(4))
    assert len(deserialize_message(path.message(), Path).poses) == 1
