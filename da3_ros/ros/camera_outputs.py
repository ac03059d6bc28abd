"""What is published of one camera: depth, confidence, sky, colour, cloud, each with its K.

Every message carries the stamp and the frame id of the input image. Nothing is computed that
nobody subscribes to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from da3_ros.config import OutputOptions
from da3_ros.ros.conversions import image_message
from da3_ros.ros.geometry_messages import header, info_from_camera
from da3_ros.ros.point_cloud import organised_cloud
from da3_ros.ros.qos import data_output, overridable
from da3_ros.types import FloatImage, PosedView

_MM_PER_M = 1000.0
_UINT16_MAX = 65535


def published_depth(view: PosedView, options: OutputOptions) -> FloatImage:
    """Return the depth (H, W) as it goes out, world units.

    NaN where unknown, in the sky and below `min_confidence`; +Inf beyond `max_depth_m` (REP 117).
    """
    depth = view.depth
    unknown = ~(depth > 0)
    if view.confidence is not None and options.min_confidence > 1:
        unknown |= ~(view.confidence >= options.min_confidence)
    if view.sky is not None:
        unknown |= view.sky
    limited = np.where(depth > options.max_depth_m, np.float32(np.inf), depth)
    return np.asarray(np.where(unknown, np.float32(np.nan), limited), dtype=np.float32)


def depth_in_mm(depth: FloatImage) -> NDArray[np.uint16]:
    """Return depth (H, W) in whole millimetres, 0 where it is unknown or not representable."""
    mm = np.rint(depth.astype(np.float64) * _MM_PER_M)
    return np.where(np.isfinite(mm) & (mm <= _UINT16_MAX), mm, 0).astype(np.uint16)


class CameraOutputs:
    """The publishers of one camera.

    Args:
        node: owns the publishers.
        camera: topic prefix.
        options: queue depth.
    """

    def __init__(self, node: Node, camera: str, options: OutputOptions) -> None:
        def publisher(kind: type[Any], topic: str) -> Publisher:
            return node.create_publisher(
                kind,
                f'{camera}/{topic}',
                data_output(options.queue_depth),
                qos_overriding_options=overridable(),
            )

        self._depth = publisher(Image, 'depth/image')
        self._depth_info = publisher(CameraInfo, 'depth/camera_info')
        self._confidence = publisher(Image, 'depth/confidence')
        self._sky = publisher(Image, 'depth/sky_mask')
        self._colour = publisher(Image, 'color/image')
        self._colour_info = publisher(CameraInfo, 'color/camera_info')
        self._points = publisher(PointCloud2, 'points')

    def publish(self, view: PosedView, options: OutputOptions) -> None:
        """Publish what somebody subscribes to of one view."""
        head = header(view.frame.stamp_ns, view.frame.frame_id)
        for publisher in (self._depth_info, self._colour_info):
            if publisher.get_subscription_count():
                publisher.publish(info_from_camera(view.camera, head))
        self._publish_depth(view, options, head)
        if self._colour.get_subscription_count():
            self._colour.publish(image_message(head, view.image, 'rgb8'))
        if view.confidence is not None and self._confidence.get_subscription_count():
            confidence = view.confidence.astype(np.float32, copy=False)
            self._confidence.publish(image_message(head, confidence, '32FC1'))
        if view.sky is not None and self._sky.get_subscription_count():
            mask = view.sky.astype(np.uint8) * np.uint8(255)
            self._sky.publish(image_message(head, mask, 'mono8'))

    def _publish_depth(self, view: PosedView, options: OutputOptions, head: Header) -> None:
        wants_image = self._depth.get_subscription_count() > 0
        wants_points = self._points.get_subscription_count() > 0
        if not (wants_image or wants_points):
            return
        depth = published_depth(view, options)
        if wants_image and options.depth_encoding == '16UC1':
            self._depth.publish(image_message(head, depth_in_mm(depth), '16UC1'))
        elif wants_image:
            self._depth.publish(image_message(head, depth, '32FC1'))
        if wants_points:
            cloud = organised_cloud(head, depth, view.camera, view.image, view.confidence)
            self._points.publish(cloud)
