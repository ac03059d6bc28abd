"""The floor of `bench_node`: a node that sends everything that ours does, made beforehand.

Nothing is computed for an image: its stamp is put into messages that are there already. What that
costs is rclpy's and the middleware's, whatever is published.
"""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Odometry
import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from benchmarks.bench_messages import ConstantEstimator
from benchmarks.served_nodes import Cameras
from da3_ros.ros.conversions import fill_data, image_message
from da3_ros.ros.messages.point_cloud import CloudLayout

_MERGED_POINTS = 16_000
"""About what 5 cm voxels leave of the wall that the other node publishes."""


def _messages(cameras: Cameras) -> dict[str, Any]:
    """Return what goes out for one image, by topic behind the camera's name."""
    size = cameras.network_size
    head = Header()
    depth = ConstantEstimator(size).depth
    colour = np.full((size.height, size.width, 3), 120, np.uint8)
    return {
        'depth/image': image_message(head, depth, '32FC1'),
        'depth/camera_info': CameraInfo(height=size.height, width=size.width, d=[0.0] * 5),
        'depth/confidence': image_message(head, np.full_like(depth, 5.0), '32FC1'),
        'color/image': image_message(head, colour, 'rgb8'),
        'points': _cloud(size.height, size.width),
    }


def _cloud(height: int, width: int) -> PointCloud2:
    layout = CloudLayout('', height, width, is_dense=True)
    message = layout.message()
    fill_data(message, np.ones(layout.data_bytes // 4, np.float32))
    return message


class ConstantNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Sends the same for every image, and more for every set, when its last image comes."""

    def __init__(self, cameras: Cameras) -> None:
        super().__init__('constant_node')
        self._messages = _messages(cameras)
        self._last = cameras.names[-1]
        self._cloud = _cloud(1, _MERGED_POINTS)
        self._clouds = self.create_publisher(PointCloud2, 'points', 10)
        self._odometry = self.create_publisher(Odometry, 'odometry', 10)
        self._tf = self.create_publisher(TFMessage, '/tf', 10)
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        kind, suffix = (CompressedImage, '/compressed') if cameras.is_jpeg else (Image, '')
        for camera in cameras.names:
            publishers = {
                topic: self.create_publisher(type(message), f'{camera}/{topic}', 10)
                for topic, message in self._messages.items()
            }
            self.create_subscription(
                kind,
                f'{camera}/image_raw{suffix}',
                lambda image, c=camera, p=publishers: self._answer(image, c, p),
                best_effort,
            )

    def _answer(self, image: Any, camera: str, publishers: dict[str, Any]) -> None:
        for topic, publisher in publishers.items():
            if publisher.get_subscription_count():
                message = self._messages[topic]
                message.header = image.header
                publisher.publish(message)
        if camera == self._last:
            self._publish_set(image.header)

    def _publish_set(self, head: Header) -> None:
        if self._clouds.get_subscription_count():
            self._cloud.header = head
            self._clouds.publish(self._cloud)
        if self._odometry.get_subscription_count():
            self._odometry.publish(Odometry(header=head))
        transform = TransformStamped(header=head, child_frame_id='base_link')
        self._tf.publish(TFMessage(transforms=[transform]))
