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
from da3_ros.geometry.unproject import unproject, unproject_into
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
    packed = np.empty((*size, len(_NAMES)), np.float32)
    unproject_into(packed, depth, camera)
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
    parts = [_world_points(item) for item in views]
    # Thinned before colours and confidence are put beside the points: few of them remain.
    points = np.concatenate([part.points for part in parts])
    kept = first_per_voxel(points, voxel_size_m)
    packed = np.empty((1, len(kept), len(_NAMES)), np.float32)
    packed[0, :, :3] = points[kept]
    packed[0, :, 3] = np.concatenate([part.rgb for part in parts])[kept]
    packed[0, :, 4] = np.concatenate([part.confidence for part in parts])[kept]
    return cloud_message(header, packed, True)


@dataclass(frozen=True, slots=True, eq=False)
class _WorldPoints:
    points: NDArray[np.float32]
    """(P, 3)."""
    rgb: NDArray[np.float32]
    """(P,), bits as in `rgb_bits`."""
    confidence: NDArray[np.float32]
    """(P,)."""


def _world_points(item: CloudView) -> _WorldPoints:
    """Return the points with finite depth of one view in the world."""
    view = item.view
    known = np.isfinite(item.depth)
    organised = unproject(item.depth, view.camera)
    world = np.asarray(cv2.transform(organised, view.world_from_camera[:3]), np.float32)
    nothing = np.full(item.depth.shape, np.nan, np.float32)
    confidence = nothing if view.confidence is None else view.confidence
    return _WorldPoints(world[known], rgb_bits(view.image)[known], confidence[known])
