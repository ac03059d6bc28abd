"""Depth images to PointCloud2: organised per camera, and merged in the world frame.

Both kinds have the fields x, y, z (float32, metres), rgb (the bytes b, g, r, 0 in a float32, as
PCL and RViz read it) and confidence (float32, DA3's raw value, NaN when the network gives none):
20 bytes for each point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import Header

from da3_ros.errors import MessageError
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.unproject import optical_planes, world_planes
from da3_ros.geometry.voxel import first_per_voxel, voxel_borders
from da3_ros.ros.conversions import fill_data
from da3_ros.types import ColourImage, FloatImage, PosedView

_NAMES = ('x', 'y', 'z', 'rgb', 'confidence')
_POINT_BYTES = 4 * len(_NAMES)

PackedPoints = NDArray[np.float32]
"""(..., 5): x, y, z, rgb as bits of a float, confidence."""


def pack(
    depth: FloatImage,
    camera: PinholeCamera,
    colours: ColourImage,
    confidence: FloatImage | None,
) -> PackedPoints:
    """Return one point for every pixel, (H, W, 5), in the optical frame; NaN where unknown.

    Args:
        depth: (H, W), z along the optical axis; anything not finite is unknown.
        camera: intrinsics at (H, W).
        colours: (H, W, 3) uint8 RGB.
        confidence: (H, W), None for NaN.

    Raises:
        MessageError: the sizes differ.
    """
    size = (camera.size.height, camera.size.width)
    shapes = [depth.shape, colours.shape[:2]] + ([] if confidence is None else [confidence.shape])
    if any(shape != size for shape in shapes):
        raise MessageError(f'point cloud: the camera is {size}, its images are {shapes}')
    if confidence is None:
        confidence = np.full(size, np.nan, np.float32)
    planes = (*optical_planes(depth, camera), rgb_bits(colours), confidence)
    # One pass over the points, and not one for each of their fields.
    packed = cv2.merge([np.asarray(plane, np.float32) for plane in planes])
    return np.asarray(packed, dtype=np.float32)


def rgb_bits(colours: ColourImage) -> NDArray[np.float32]:
    """Return colours (H, W, 3) as floats (H, W) whose bits are 0x00RRGGBB."""
    bgra = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2BGRA)
    bits = np.asarray(bgra).view(np.uint32)[..., 0]
    bits &= 0x00FFFFFF
    return bits.view(np.float32)


def organised_cloud(
    header: Header,
    depth: FloatImage,
    camera: PinholeCamera,
    colours: ColourImage,
    confidence: FloatImage | None,
) -> PointCloud2:
    """Return one point for every pixel, in the optical frame; NaN where depth is not finite.

    Args:
        header: stamp and frame id of the image.
        depth: (H, W), z along the optical axis; NaN unknown, +Inf beyond range.
        camera: intrinsics at (H, W).
        colours: (H, W, 3) uint8 RGB.
        confidence: (H, W), None when the network gives none.
    """
    return cloud_message(header, pack(depth, camera, colours, confidence), False)


def cloud_message(header: Header, packed: PackedPoints, is_dense: bool) -> PointCloud2:
    """Return packed points (H, W, 5) as a message, copied once."""
    message = PointCloud2(header=header, is_bigendian=False, is_dense=is_dense)
    message.height, message.width = packed.shape[0], packed.shape[1]
    message.fields = [
        PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
        for i, name in enumerate(_NAMES)
    ]
    message.point_step = _POINT_BYTES
    message.row_step = _POINT_BYTES * packed.shape[1]
    fill_data(message, packed)
    return message


@dataclass(frozen=True, slots=True, eq=False)
class CloudView:
    """A view with the depth that is published: what a merged cloud is made of."""

    view: PosedView
    depth: FloatImage
    """(H, W) after range and confidence limits; only finite depth makes points."""


def merged_cloud(header: Header, views: Sequence[CloudView], voxel_size_m: float) -> PointCloud2:
    """Return the known points of all views in the world frame, thinned to one per voxel.

    Args:
        header: stamp, and the world frame's id.
        views: at least one.
        voxel_size_m: edge of the voxels; 0 keeps every point.
    """
    parts = [_WorldPoints.of(item, voxel_size_m) for item in views]
    # Thinned before colours and confidence are put beside the points: few of them remain.
    points = np.concatenate([part.points for part in parts], axis=1)
    kept = first_per_voxel(points.T, voxel_size_m)
    packed = np.empty((1, len(kept), len(_NAMES)), np.float32)
    packed[0, :, :3] = np.take(points, kept, axis=1).T
    begin = end = 0
    for item, part in zip(views, parts, strict=True):
        begin, end = end, end + len(part.pixels)
        rows = slice(*np.searchsorted(kept, (begin, end)))
        part.fill(packed[0, rows], item.view, kept[rows] - begin)
    return cloud_message(header, packed, True)


@dataclass(frozen=True, slots=True, eq=False)
class _WorldPoints:
    """The points of one view that may be the first of their voxels."""

    points: NDArray[np.float32]
    """(3, P), in the world."""
    pixels: NDArray[np.int64]
    """(P,), flat indices."""

    @staticmethod
    def of(item: CloudView, voxel_size_m: float) -> _WorldPoints:
        """Return the points with finite depth of a view."""
        planes = world_planes(item.depth, item.view.camera, item.view.world_from_camera)
        pixels = voxel_borders(planes, voxel_size_m)
        return _WorldPoints(np.take(planes.reshape(3, -1), pixels, axis=1), pixels)

    def fill(self, packed: PackedPoints, view: PosedView, chosen: NDArray[np.int64]) -> None:
        """Write colour and confidence of some of the points, (N, 5), beside their places."""
        if not len(chosen):
            return
        pixels = self.pixels[chosen]
        packed[:, 3] = rgb_bits(np.take(view.image.reshape(1, -1, 3), pixels, axis=1))[0]
        confidence = view.confidence
        packed[:, 4] = np.nan if confidence is None else np.take(confidence, pixels)
