"""Clouds of other senders as arrays; our own are made in `point_cloud`."""

from __future__ import annotations

import numpy as np
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import PointCloud2

from da3_ros.geometry.arrays import FloatArray
from da3_ros.ros.optional import optional_module
from da3_ros.sources import clouds


def cloud_from_bytes(data: bytes) -> PointCloud2:
    """Return the message of recorded bytes."""
    return deserialize_message(data, PointCloud2)


def points_of(cloud: PointCloud2) -> FloatArray:
    """Return the points (P, 3) of a cloud that have a place, in its frame.

    By sensor_msgs_py where that is installed, else by `sources.clouds`; the same points. Gaps
    after rows are not for sensor_msgs_py, which takes the points as lying one behind the other.

    Raises:
        SourceError: a field x, y or z is missing, or is no number, or bytes are.
    """
    reader = optional_module('sensor_msgs_py.point_cloud2')
    names = [field.name for field in cloud.fields]
    is_plain = set('xyz') <= set(names) and cloud.row_step == cloud.width * cloud.point_step
    if reader is None or not is_plain or len(cloud.data) < cloud.height * cloud.row_step:
        return clouds.points_of(cloud)
    fields = reader.read_points(cloud, field_names=['x', 'y', 'z'])
    points = np.stack([fields[name] for name in 'xyz'], axis=-1).astype(np.float64)
    return np.asarray(points[np.isfinite(points).all(axis=1)])
