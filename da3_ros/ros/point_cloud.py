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
from da3_ros.geometry.voxel import first_per_voxel
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

    The same points as `geometry.unproject`, written plane by plane to where they are needed:
    rows and columns of rays are enough for a pinhole camera, so no image of rays is made.

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
    z = np.where(np.isfinite(depth), depth, np.float32(np.nan))
    inverse = np.linalg.inv(camera.K)
    across = (inverse[0, 0] * np.arange(size[1]) + inverse[0, 2]).astype(np.float32)
    down = (inverse[1, 1] * np.arange(size[0]) + inverse[1, 2]).astype(np.float32)[:, None]
    packed = np.empty((*size, len(_NAMES)), np.float32)
    np.multiply(z, across, out=packed[..., 0])
    np.multiply(z, down, out=packed[..., 1])
    packed[..., 2] = z
    if inverse[0, 1] != 0:  # skew: x depends on the row too
        rows = (inverse[0, 1] * np.arange(size[0])).astype(np.float32)[:, None]
        packed[..., 0] += z * rows
    packed[..., 3] = rgb_bits(colours)
    packed[..., 4] = np.nan if confidence is None else confidence
    return packed


def rgb_bits(colours: ColourImage) -> NDArray[np.float32]:
    """Return colours (H, W, 3) as floats (H, W) whose bits are 0x00RRGGBB."""
    bgra = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2BGRA)
    bits = bgra.view(np.uint32)[..., 0]
    bits &= 0x00FFFFFF
    return np.asarray(bits.view(np.float32))


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
    packed = np.concatenate([_world_points(item) for item in views])
    kept = packed[first_per_voxel(packed[:, :3], voxel_size_m)]
    return cloud_message(header, kept[None], True)


def _world_points(item: CloudView) -> PackedPoints:
    """Return the finite points of one view in the world, (P, 5)."""
    view = item.view
    packed = pack(item.depth, view.camera, view.image, view.confidence)
    known = packed[np.isfinite(item.depth)]
    rotation = view.world_from_camera[:3, :3]
    known[:, :3] = known[:, :3] @ rotation.T + view.world_from_camera[:3, 3]
    return known
