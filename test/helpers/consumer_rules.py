"""What readers of our topics do with a message, said once more in few lines.

Each is the rule of the consumer that its docstring names, written from what the source of that
consumer does and with nothing of `da3_ros`. docs/consumers.md says where each rule stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT32 = 7
"""sensor_msgs/PointField.FLOAT32."""

Floats = NDArray[np.float64]


def ns(stamp: Any) -> int:
    """Return builtin_interfaces/Time in nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class ExactTime:
    """The policy ExactTime of message_filters: one tuple of messages for each stamp.

    A full tuple is handed on, and all older ones are dropped with it; beyond the queue the oldest
    is dropped.

    Args:
        count: inputs.
        queue_size: incomplete tuples that are kept.
        found: takes each full tuple.
    """

    def __init__(
        self, count: int, queue_size: int, found: Callable[[tuple[Any, ...]], None]
    ) -> None:
        self._count = count
        self._queue_size = queue_size
        self._found = found
        self._waiting: dict[int, dict[int, Any]] = {}
        self.dropped: list[int] = []
        """Stamps that came in part only."""

    def add(self, index: int, message: Any) -> None:
        """Take a message of one input."""
        stamp_ns = ns(message.header.stamp)
        parts = self._waiting.setdefault(stamp_ns, {})
        parts[index] = message
        if len(parts) == self._count:
            self._found(tuple(parts[i] for i in range(self._count)))
            del self._waiting[stamp_ns]
            self._drop([s for s in self._waiting if s < stamp_ns])
        self._drop(sorted(self._waiting)[: max(len(self._waiting) - self._queue_size, 0)])

    def _drop(self, stamps: Sequence[int]) -> None:
        self.dropped += stamps
        for stamp_ns in stamps:
            del self._waiting[stamp_ns]


def camera_info_topic(image_topic: str) -> str:
    """Return where image_transport (getCameraInfoTopic) looks for the calibration of an image."""
    return image_topic.rsplit('/', 1)[0] + '/camera_info'


@dataclass(frozen=True)
class Pinhole:
    """The rectified camera of image_geometry (PinholeCameraModel), neither cut nor binned."""

    fx: float
    fy: float
    cx: float
    cy: float
    tx: float
    """fx times the baseline, negative; 0 for a camera alone."""
    ty: float

    @staticmethod
    def of(info: Any) -> Pinhole:
        """Return the camera of a CameraInfo: P, never K."""
        assert info.binning_x in (0, 1)
        assert info.binning_y in (0, 1)
        assert (info.roi.x_offset, info.roi.y_offset) == (0, 0)
        p = info.p
        return Pinhole(p[0], p[5], p[2], p[6], p[3], p[7])


_PIXELS: dict[str, tuple[str, int]] = {
    '32FC1': ('<f4', 1),
    '16UC1': ('<u2', 1),
    'rgb8': ('u1', 3),
    'mono8': ('u1', 1),
}


def pixels(image: Any) -> NDArray[Any]:
    """Return an image as the readers index it: rows of `step` bytes, little-endian."""
    kind, channels = _PIXELS[image.encoding]
    assert not image.is_bigendian
    rows = np.frombuffer(bytes(image.data), np.uint8).reshape(image.height, image.step)
    used = image.width * channels * np.dtype(kind).itemsize
    values = np.ascontiguousarray(rows[:, :used]).view(kind)
    shape = (image.height, image.width)
    return values.reshape(shape if channels == 1 else (*shape, channels))


def points_by_depth_image_proc(depth: Any, info: Any) -> Floats:
    """Return the points (H, W, 3) that depth_image_proc (convertDepth) makes of a depth image.

    Float is valid where it is finite, and 0 is finite; uint16 where it is not 0, in millimetres.
    """
    camera = Pinhole.of(info)
    raw = pixels(depth)
    valid = np.isfinite(raw) if depth.encoding == '32FC1' else raw != 0
    metres = raw.astype(np.float64) * (1.0 if depth.encoding == '32FC1' else 0.001)
    v, u = np.mgrid[: depth.height, : depth.width]
    with np.errstate(invalid='ignore'):
        xyz = np.stack(
            [(u - camera.cx) * metres / camera.fx, (v - camera.cy) * metres / camera.fy, metres],
            axis=-1,
        )
    return np.where(valid[..., None], xyz, np.nan)


def depth_by_rtabmap(depth: Any) -> Floats:
    """Return the depth (H, W) in metres as RTAB-Map (util2d::getDepth) reads it, 0 for none.

    Float is none where it is 0 or not finite; uint16 where it is 0 or 65535.
    """
    raw = pixels(depth)
    if depth.encoding == '32FC1':
        return np.where(np.isfinite(raw), raw, 0.0).astype(np.float64)
    return np.where(raw < 65535, raw * 0.001, 0.0)


def column(cloud: Any, name: str) -> NDArray[np.float32]:
    """Return a field (H, W) as sensor_msgs::PointCloud2ConstIterator<float> walks over it.

    It looks the field up by name, takes its datatype for granted and steps by `point_step`.
    """
    (field,) = [f for f in cloud.fields if f.name == name]
    content = np.frombuffer(bytes(cloud.data), np.uint8)
    points = content.reshape(cloud.height * cloud.width, cloud.point_step)
    values = np.ascontiguousarray(points[:, field.offset : field.offset + 4]).view('<f4')
    return np.asarray(values.reshape(cloud.height, cloud.width), np.float32)


def xyz(cloud: Any) -> NDArray[np.float32]:
    """Return the points (H, W, 3) of a cloud."""
    return np.stack([column(cloud, axis) for axis in 'xyz'], axis=-1)


def pcl_mapping(cloud: Any, wanted: Sequence[tuple[str, int]]) -> dict[str, int]:
    """Return the offsets that pcl::createMapping finds for fields of a point type.

    A field matches by name, datatype and count; rgb also under the name rgba.

    Raises:
        AssertionError: a field has no match; PCL then warns and leaves it as it is.
    """
    found: dict[str, int] = {}
    for name, datatype in wanted:
        names = ('rgb', 'rgba') if name == 'rgb' else (name,)
        matches = [
            f for f in cloud.fields if f.name in names and f.datatype == datatype and f.count == 1
        ]
        assert matches, f'Failed to find match for field {name}'
        found[name] = matches[0].offset
    return found


def pcd_of(cloud: Any) -> bytes:
    """Return a cloud as pcl::PCDWriter::writeBinary stores it, version 0.7."""
    assert all(f.datatype == FLOAT32 and f.count == 1 for f in cloud.fields)
    names = [f.name for f in cloud.fields]
    head = [
        '# .PCD v0.7 - Point Cloud Data file format',
        'VERSION 0.7',
        f'FIELDS {" ".join(names)}',
        f'SIZE {" ".join("4" for _ in names)}',
        f'TYPE {" ".join("F" for _ in names)}',
        f'COUNT {" ".join("1" for _ in names)}',
        f'WIDTH {cloud.width}',
        f'HEIGHT {cloud.height}',
        'VIEWPOINT 0 0 0 1 0 0 0',
        f'POINTS {cloud.width * cloud.height}',
        'DATA binary',
    ]
    return ('\n'.join(head) + '\n').encode('ascii') + bytes(cloud.data)


def rgb_by_rviz(cloud: Any) -> NDArray[np.uint8]:
    """Return the colours (H, W, 3) that RViz (RGB8PCTransformer) takes out of the field rgb."""
    bits = column(cloud, 'rgb').view(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=-1).astype(np.uint8)


class Tree:
    """A TF tree that is asked at stamps it has: no interpolation, no extrapolation, no waiting.

    Args:
        fixed: messages of /tf_static.
        moving: messages of /tf.
    """

    def __init__(self, fixed: Sequence[Any], moving: Sequence[Any]) -> None:
        self._fixed = {t.child_frame_id: t for m in fixed for t in m.transforms}
        self._moving = {
            (t.child_frame_id, ns(t.header.stamp)): t for m in moving for t in m.transforms
        }

    def a_from_b(self, a: str, b: str, stamp_ns: int) -> Floats:
        """Return the transform (4, 4) from frame b up to its ancestor a.

        Raises:
            AssertionError: the chain ends before a.
        """
        pose = np.eye(4)
        frame = b
        while frame != a:
            joint = self._moving.get((frame, stamp_ns)) or self._fixed.get(frame)
            assert joint is not None, f'{b}: {frame} has no parent at {stamp_ns}, wanted {a}'
            pose = rigid(joint.transform.translation, joint.transform.rotation) @ pose
            frame = joint.header.frame_id
        return pose


def rigid(translation: Any, rotation: Any) -> Floats:
    """Return a translation and a quaternion as (4, 4), by the textbook formula."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), translation.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), translation.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), translation.z],
            [0, 0, 0, 1],
        ]
    )


def norm(rotation: Any) -> float:
    """Return the length of a quaternion."""
    return float(np.linalg.norm([rotation.x, rotation.y, rotation.z, rotation.w]))
