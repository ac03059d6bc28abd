"""Clouds as whole messages, as those who read them get them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sensor_msgs.msg import PointCloud2

from da3_ros.geometry.camera import PinholeCamera
from da3_ros.pipeline.shown_view import rgb_bits
from da3_ros.ros.conversions import fill_data
from da3_ros.ros.messages.point_cloud import (
    CloudLayout,
    CloudView,
    MergedPoints,
    pack_into,
)


def organised_cloud(
    frame_id: str,
    depth: np.ndarray[Any, Any],
    camera: PinholeCamera,
    colours: np.ndarray[Any, Any],
    confidence: np.ndarray[Any, Any] | None,
) -> PointCloud2:
    """Return the cloud of a camera."""
    layout = CloudLayout(frame_id, depth.shape[0], depth.shape[1], is_dense=False)
    data = np.empty(layout.data_bytes, np.uint8)
    pack_into(layout.points(data), depth, camera, rgb_bits(colours), confidence)
    return _message(layout, data)


def merged_cloud(frame_id: str, views: Sequence[CloudView], voxel_size_m: float) -> PointCloud2:
    """Return the cloud of several views."""
    points = MergedPoints.of(views, voxel_size_m)
    layout = CloudLayout(frame_id, 1, len(points), is_dense=True)
    data = np.empty(layout.data_bytes, np.uint8)
    points.pack_into(layout.points(data))
    return _message(layout, data)


def _message(layout: CloudLayout, data: np.ndarray[Any, Any]) -> PointCloud2:
    message = layout.message()
    fill_data(message, data)
    return message
