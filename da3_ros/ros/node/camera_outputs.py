"""What is published of one camera: depth, confidence, sky, colour, cloud, each with its K.

Every message carries the stamp and the frame id of the input image. Nothing is computed that
nobody subscribes to.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from da3_ros.export.depth_colours import coloured_depth
from da3_ros.geometry.arrays import extremes
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.edges import flying_pixels
from da3_ros.geometry.resample import DepthResampler
from da3_ros.options import OutputOptions
from da3_ros.ros.conversions import ImageLayout
from da3_ros.ros.messages.data_publisher import DataPublisher
from da3_ros.ros.messages.geometry_messages import header, info_from_camera
from da3_ros.ros.messages.point_cloud import BYTES_BEHIND_DATA, CloudLayout, pack_into, rgb_bits
from da3_ros.ros.messages.qos import data_output, overridable
from da3_ros.types import ColourImage, FloatImage, Mask, PosedView

_MM_PER_M = np.float32(1000.0)
_UINT16_MAX = 65535


def published_depth(view: PosedView, options: OutputOptions) -> FloatImage:
    """Return the depth (H, W) as it goes out, world units.

    NaN where unknown, in the sky, nearer than `min_depth_m` and below `min_confidence`; +Inf
    beyond `max_depth_m` (REP 117). The view's own depth where nothing of it is beyond a limit: not
    to be written to.
    """
    depth = np.asarray(view.depth, np.float32)
    nearest, farthest = extremes(depth)
    is_near = not (nearest > 0 and nearest >= options.min_depth_m)
    is_far = farthest > options.max_depth_m
    unknown: list[Mask] = []
    if is_near:
        # Zero, and what is less, also where nothing is too near.
        unknown.append(~((depth > 0) & (depth >= options.min_depth_m)))
    if view.confidence is not None and options.min_confidence > 1:
        unknown.append(~(view.confidence >= options.min_confidence))
    if view.sky is not None and view.sky.any():
        unknown.append(view.sky)
    if not (is_far or unknown):
        return depth
    limited: FloatImage = depth.copy()
    if is_far:
        np.copyto(limited, np.float32(np.inf), where=depth > options.max_depth_m)
    for mask in unknown:
        np.copyto(limited, np.float32(np.nan), where=mask)
    return limited


def points_depth(view: PosedView, depth: FloatImage, options: OutputOptions) -> FloatImage:
    """Return the depth (H, W) that becomes points: NaN also where pixels fly behind an edge.

    Args:
        view: its own depth says where edges are, also where none is published.
        depth: as it is published.
        options: `edge_filter`.
    """
    if options.edge_filter == 0:
        return depth
    flying = flying_pixels(view.depth, options.edge_filter)
    return np.where(flying, np.float32(np.nan), depth) if flying.any() else depth


def depth_in_mm(depth: FloatImage) -> NDArray[np.uint16]:
    """Return depth (H, W) in whole millimetres, 0 where it is unknown or not representable."""
    mm: FloatImage = np.multiply(depth, _MM_PER_M, dtype=np.float32)
    np.rint(mm, out=mm)
    # Neither of NaN nor of +Inf.
    np.copyto(mm, np.float32(0), where=~(mm <= _UINT16_MAX))
    return mm.astype(np.uint16)


class ShownView:
    """A view with what several outputs make of its depth, each made once and when it is wanted.

    Args:
        view: one size of depth, colour and camera.
        options: limits of depth, the edge filter.
    """

    def __init__(self, view: PosedView, options: OutputOptions) -> None:
        self.view = view
        self.options = options

    @cached_property
    def depth(self) -> FloatImage:
        """See `published_depth`."""
        return published_depth(self.view, self.options)

    @cached_property
    def points_depth(self) -> FloatImage:
        """See `points_depth`."""
        return points_depth(self.view, self.depth, self.options)

    @cached_property
    def bits(self) -> FloatImage:
        """Colours as clouds have them, see `rgb_bits`."""
        return rgb_bits(self.view.image)


def input_camera(view: PosedView) -> PinholeCamera:
    """Return the intrinsics of the image that a view was made from.

    They are the camera's own where it has some, else the network's, carried over.
    """
    place = view.input
    if place is None:
        return view.camera
    if view.is_calibrated and place.calibration is not None:
        return place.calibration
    return place.pixel_map.camera(view.camera, place.size)


def at_input_size(view: PosedView, image: ColourImage) -> PosedView:
    """Return a view with depth, confidence, sky, colour and K at the size of its input image.

    Depth is interpolated inside surfaces only (`geometry.resample`); the colour is the input image
    itself. Depth is unknown where the network did not see the image, at most at its margins.

    Args:
        view: as the network sees it.
        image: (H, W, 3) that it was made from.
    """
    place = view.input
    if place is None:
        return view
    depth = view.depth if view.sky is None else np.where(view.sky, np.float32(np.nan), view.depth)
    resampler = DepthResampler(depth, place.pixel_map, place.size)
    confidence = view.confidence
    return replace(
        view,
        depth=resampler.depth(),
        image=image,
        camera=input_camera(view),
        confidence=None if confidence is None else resampler.along(confidence),
        sky=None if view.sky is None else resampler.mask(view.sky),
    )


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
_OF_DEPTH = frozenset({'depth/image', 'depth/debug', 'points'})
_RESAMPLED = _OF_DEPTH | {'depth/confidence', 'depth/sky_mask'}


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
        view, options = shown.view, shown.options
        if options.depth_size == 'input':
            if wanted & _RESAMPLED:
                view = at_input_size(view, image)
            else:
                view = replace(view, image=image, camera=input_camera(view))
            shown = ShownView(view, options)
        if wanted & _INFOS:
            head = header(view.id.stamp_ns, view.id.frame_id)
            info = info_from_camera(view.camera, head)
            for topic in wanted & _INFOS:
                self._publishers[topic].publish(info)
        if wanted & _OF_DEPTH:
            self._publish_depth(shown, wanted)
        self._publish_images(view, wanted)

    def _publish_images(self, view: PosedView, wanted: set[str]) -> None:
        if 'color/image' in wanted:
            self._image('color/image', view, view.image, 'rgb8')
        if view.confidence is not None and 'depth/confidence' in wanted:
            confidence = view.confidence.astype(np.float32, copy=False)
            self._image('depth/confidence', view, confidence, '32FC1')
        if view.sky is not None and 'depth/sky_mask' in wanted:
            mask = view.sky.astype(np.uint8) * np.uint8(255)
            self._image('depth/sky_mask', view, mask, 'mono8')

    def _publish_depth(self, shown: ShownView, wanted: set[str]) -> None:
        view, encoding = shown.view, shown.options.depth_encoding
        if 'depth/image' in wanted:
            pixels = depth_in_mm(shown.depth) if encoding == '16UC1' else shown.depth
            self._image('depth/image', view, pixels, encoding)
        if 'depth/debug' in wanted:
            self._image('depth/debug', view, coloured_depth(shown.depth), 'rgb8')
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
