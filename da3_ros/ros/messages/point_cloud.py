"""Depth images to the points of PointCloud2: organised per camera, and merged in the world frame.

Both kinds have the fields x, y, z (float32, metres), rgb (the bytes b, g, r, 0 in a float32, as
PCL and RViz read it) and confidence (float32, DA3's raw value, NaN when the network gives none):
20 bytes for each point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import MessageError
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.unproject import optical_planes, world_planes
from da3_ros.geometry.voxel import first_per_voxel, voxel_borders
from da3_ros.types import FloatImage, PosedView

if TYPE_CHECKING:
    from sensor_msgs.msg import PointCloud2

FIELD_NAMES = ('x', 'y', 'z', 'rgb', 'confidence')
_POINT_BYTES = 4 * len(FIELD_NAMES)

BYTES_BEHIND_DATA = 1
"""Of the fields of a PointCloud2 behind `data`: is_dense."""

PackedPoints = NDArray[np.float32]
"""(..., 5): x, y, z, rgb as bits of a float, confidence."""


@dataclass(frozen=True, slots=True)
class CloudLayout:
    """All of a PointCloud2 but its stamp and its points."""

    frame_id: str
    height: int
    width: int
    is_dense: bool
    """Whether all points have numbers only."""

    @property
    def data_bytes(self) -> int:
        """Of all points."""
        return _POINT_BYTES * self.height * self.width

    def message(self) -> PointCloud2:
        """Return rclpy's message without points; its stamp is zero."""
        from sensor_msgs.msg import PointCloud2, PointField
        from std_msgs.msg import Header

        header = Header(frame_id=self.frame_id)
        message = PointCloud2(header=header, is_bigendian=False, is_dense=self.is_dense)
        message.height, message.width = self.height, self.width
        message.fields = [
            PointField(name=name, offset=4 * i, datatype=PointField.FLOAT32, count=1)
            for i, name in enumerate(FIELD_NAMES)
        ]
        message.point_step = _POINT_BYTES
        message.row_step = _POINT_BYTES * self.width
        return message

    def points(self, data: NDArray[np.uint8]) -> PackedPoints:
        """Return the bytes of a message of this layout as points (height, width, 5), a view."""
        return data.view(np.float32).reshape(self.height, self.width, len(FIELD_NAMES))


def pack_into(
    target: PackedPoints,
    depth: FloatImage,
    camera: PinholeCamera,
    bits: NDArray[np.float32],
    confidence: FloatImage | None,
) -> None:
    """Write one point for every pixel, in the optical frame; NaN where unknown.

    Args:
        target: (H, W, 5), where to.
        depth: (H, W), z along the optical axis; NaN unknown, +Inf beyond range: neither is known.
        camera: intrinsics at (H, W).
        bits: (H, W), colours as `rgb_bits` gives them.
        confidence: (H, W), None for NaN.

    Raises:
        MessageError: the sizes differ.
    """
    size = (camera.size.height, camera.size.width)
    shapes = [target.shape[:2], depth.shape, bits.shape]
    shapes += [] if confidence is None else [confidence.shape]
    if any(shape != size for shape in shapes):
        raise MessageError(f'point cloud: the camera is {size}, its images are {shapes}')
    if confidence is None:
        confidence = np.full(size, np.nan, np.float32)
    _merge([*optical_planes(depth, camera), bits, confidence], target)


def _merge(planes: Sequence[NDArray[np.float32]], target: PackedPoints) -> None:
    """Write the fields of points, each (H, W) or (P,), beside each other in one pass."""
    height, width = target.shape[:2]
    if not (height and width):
        return
    fields = [np.asarray(plane, np.float32).reshape(height, width) for plane in planes]
    merged = cv2.merge(fields, target)
    if not np.may_share_memory(merged, target):
        # It writes elsewhere where the target is not in one piece.
        target[...] = merged


@dataclass(frozen=True, slots=True, eq=False)
class CloudView:
    """A view with the depth that is published: what a merged cloud is made of."""

    view: PosedView
    depth: FloatImage
    """(H, W) after range and confidence limits; only finite depth makes points."""
    bits: NDArray[np.float32]
    """(H, W), colours as `rgb_bits` gives them."""


@dataclass(frozen=True, slots=True, eq=False)
class MergedPoints:
    """The known points of several views in the world, thinned to one per voxel."""

    _views: Sequence[CloudView]
    _parts: Sequence[_WorldPoints]
    _points: NDArray[np.float32]
    """(3, P), of all parts."""
    _kept: NDArray[np.int64]
    """Ascending indices into them."""

    @staticmethod
    def of(views: Sequence[CloudView], voxel_size_m: float) -> MergedPoints:
        """Return the points of some views.

        Args:
            views: at least one.
            voxel_size_m: edge of the voxels; 0 keeps every point.
        """
        parts = [_WorldPoints.of(item, voxel_size_m) for item in views]
        # Thinned before colours and confidence are put beside the points: few of them remain.
        points = np.concatenate([part.points for part in parts], axis=1)
        return MergedPoints(views, parts, points, first_per_voxel(points.T, voxel_size_m))

    def __len__(self) -> int:
        """Return how many points there are."""
        return len(self._kept)

    def pack_into(self, target: PackedPoints) -> None:
        """Write all points, (1, P, 5)."""
        bits, confidence = np.empty((2, len(self)), np.float32)
        begin = end = 0
        for item, part in zip(self._views, self._parts, strict=True):
            begin, end = end, end + len(part.pixels)
            rows = slice(*np.searchsorted(self._kept, (begin, end)))
            part.fill(bits[rows], confidence[rows], item, self._kept[rows] - begin)
        places = np.take(self._points, self._kept, axis=1)
        _merge([*places, bits, confidence], target)


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

    def fill(
        self,
        bits: NDArray[np.float32],
        confidence: NDArray[np.float32],
        item: CloudView,
        chosen: NDArray[np.int64],
    ) -> None:
        """Write colour (as bits) and confidence, each (N,), of some of the points."""
        pixels = self.pixels[chosen]
        np.take(item.bits, pixels, out=bits, mode='clip')
        if item.view.confidence is None:
            confidence.fill(np.nan)
        else:
            np.take(item.view.confidence, pixels, out=confidence, mode='clip')
