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

from da3_ros.options import OutputOptions
from da3_ros.pipeline.shown_view import ImageTopic, ShownView, at_published_size, image_of
from da3_ros.ros.conversions import ImageLayout
from da3_ros.ros.messages.data_publisher import DataPublisher
from da3_ros.ros.messages.geometry_messages import header, info_from_camera
from da3_ros.ros.messages.point_cloud import BYTES_BEHIND_DATA, CloudLayout, pack_into
from da3_ros.ros.messages.qos import data_output, overridable
from da3_ros.types import ColourImage, PosedView

_TOPICS: dict[str, type[Any]] = {
    'depth/image': Image,
    'depth/camera_info': CameraInfo,
    'depth/confidence': Image,
    'depth/sky_mask': Image,
    'depth/debug': Image,
    'color/image': Image,
    'color/camera_info': CameraInfo,
    'points': PointCloud2,
}
_INFOS = frozenset({'depth/camera_info', 'color/camera_info'})
_IMAGES: tuple[ImageTopic, ...] = (
    'depth/image',
    'depth/debug',
    'color/image',
    'depth/confidence',
    'depth/sky_mask',
)
_MAPS = frozenset(_TOPICS) - _INFOS - {'color/image'}


class CameraOutputs:
    """The publishers of one camera.

    Args:
        node: owns the publishers.
        camera: topic prefix.
        options: queue depth.
    """

    def __init__(self, node: Node, camera: str, options: OutputOptions) -> None:
        self._publishers: dict[str, Publisher] = {
            topic: node.create_publisher(
                kind,
                f'{camera}/{topic}',
                data_output(options.queue_depth),
                qos_overriding_options=overridable(),
            )
            for topic, kind in _TOPICS.items()
        }
        self._images = {
            topic: DataPublisher(self._publishers[topic])
            for topic, kind in _TOPICS.items()
            if kind is Image
        }
        self._points = DataPublisher(self._publishers['points'], BYTES_BEHIND_DATA)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes to any of it."""
        return any(p.get_subscription_count() for p in self._publishers.values())

    def publish(self, shown: ShownView, image: ColourImage) -> None:
        """Publish what somebody subscribes to of one view.

        Args:
            shown: as the network sees it, with limits, encoding and size of what goes out.
            image: (H, W, 3) the input image that the view was made from.
        """
        wanted = {t for t, p in self._publishers.items() if p.get_subscription_count()}
        if not wanted:
            return
        shown = at_published_size(shown, image, needs_maps=bool(wanted & _MAPS))
        view = shown.view
        if wanted & _INFOS:
            head = header(view.id.stamp_ns, view.id.frame_id)
            info = info_from_camera(view.camera, head)
            for topic in wanted & _INFOS:
                self._publishers[topic].publish(info)
        for name in _IMAGES:
            found = image_of(shown, name) if name in wanted else None
            if found is not None:
                self._image(name, view, *found)
        if 'points' in wanted:
            self._publish_points(shown)

    def _publish_points(self, shown: ShownView) -> None:
        view, depth = shown.view, shown.points_depth
        layout = CloudLayout(view.id.frame_id, depth.shape[0], depth.shape[1], is_dense=False)

        def fill(data: NDArray[np.uint8]) -> None:
            pack_into(layout.points(data), depth, view.camera, shown.bits, view.confidence)

        self._points.publish(layout, view.id.stamp_ns, fill)

    def _image(self, topic: str, view: PosedView, pixels: NDArray[Any], encoding: str) -> None:
        layout = ImageLayout.of(pixels, encoding, view.id.frame_id)
        content = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        self._images[topic].publish(
            layout, view.id.stamp_ns, lambda data: np.copyto(data, content)
        )
