"""Trajectories and depth images in bags, read without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from da3_ros.errors import GeometryError, SourceError
from da3_ros.foreign import foreign_file, plain_line, plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid_from_xyz_xyzw
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.geometry.transform_buffer import TransformBuffer
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import BagReader
from da3_ros.sources.bag_files import looks_like_bag
from da3_ros.types import FloatImage

_NS_PER_S = 1_000_000_000
_METRES_FROM_MM = np.float32(0.001)
_FOREVER_NS = 1 << 62
_TF_TOPICS = ('/tf', '/tf_static')

_IMAGE, _COMPRESSED = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage'
_DEPTH_DTYPES = {'32FC1': '{}f4', '16UC1': '{}u2', 'mono16': '{}u2'}
_PNG = b'\x89PNG'
_POSES = (
    'nav_msgs/msg/Odometry',
    'geometry_msgs/msg/PoseStamped',
    'geometry_msgs/msg/PoseWithCovarianceStamped',
    'geometry_msgs/msg/TransformStamped',
    'nav_msgs/msg/Path',
)


@dataclass(frozen=True, slots=True)
class BagPart:
    """A topic of a bag, or the transforms between two frames."""

    bag: Path
    topic: str
    frames: tuple[str, str] | None = None
    """Parent and child, of `#/tf:PARENT:CHILD`."""


def bag_part(text: str) -> BagPart | None:
    """Return what `BAG#TOPIC` or `BAG#/tf:PARENT:CHILD` names; None for another text.

    Raises:
        SourceError: the part before `#` is a bag and what follows is no topic, or a bag is named
            without a topic.
    """
    name, mark, rest = text.rpartition('#')
    if not mark:
        if looks_like_bag(Path(text)):
            raise SourceError(
                f'{plain_path(text)}: expected a topic of the bag, as in '
                f'{plain_path(text)}#/TOPIC; `da3 info {plain_path(text)}` lists them'
            )
        return None
    path = Path(name)
    if Path(text).exists() or not looks_like_bag(path):
        return None
    topic, *frames = rest.split(':')
    if not topic or len(frames) not in (0, 2) or not all(frames):
        raise SourceError(
            f'{plain_line(text)}: expected BAG#/TOPIC, or BAG#/tf:PARENT:CHILD for transforms'
        )
    topic = topic if topic.startswith('/') else f'/{topic}'
    if topic in _TF_TOPICS and not frames:
        raise SourceError(f'{plain_line(text)}: expected two frames, as in {topic}:odom:base_link')
    return BagPart(path, topic, (frames[0], frames[1]) if frames else None)


def bag_poses(part: BagPart) -> list[StampedPose]:
    """Return the poses of a topic, or of one frame in another.

    Odometry, stamped poses and transforms by their stamps; of paths the last one.

    Raises:
        SourceError: the bag or the topic cannot be read, its type has no poses, or there are none.
    """
    with BagReader(part.bag) as bag:
        poses = _of_frames(bag, part) if part.frames else _of_topic(bag, part)
    if not poses:
        raise SourceError(f'bag {plain_path(part.bag)}: {part.topic} holds no pose')
    return poses


def _of_topic(bag: BagReader, part: BagPart) -> list[StampedPose]:
    poses: list[StampedPose] = []
    for msgtype, message in _messages(bag, (part.topic,), _POSES):
        if msgtype.endswith('/Path'):
            poses = [_stamped(pose.header, pose.pose) for pose in message.poses]
        elif msgtype.endswith('/TransformStamped'):
            poses.append(_stamped(message.header, message.transform))
        else:
            pose = message.pose
            pose = pose.pose if _kind(pose).endswith('WithCovariance') else pose
            poses.append(_stamped(message.header, pose))
    return poses


def _kind(message: Any) -> str:
    return type(message).__name__


def _of_frames(bag: BagReader, part: BagPart) -> list[StampedPose]:
    """Return where a frame stood in another at every stamp of a joint between them."""
    assert part.frames is not None
    parent, child = part.frames
    topics = [name for name in _TF_TOPICS if name in {info.name for info in bag.topics}]
    buffer = TransformBuffer(history_ns=_FOREVER_NS, clock=lambda: 0)
    stamps: set[int] = set()
    for static, transform in _transforms(bag, topics):
        names = transform.header.frame_id, transform.child_frame_id
        pose = _pose(transform.transform)
        if static:
            buffer.set_fixed(*names, pose)
        elif buffer.add(*names, _stamp_ns(transform.header), pose):
            stamps.add(_stamp_ns(transform.header))
    if not buffer.is_connected(parent, child):
        raise SourceError(
            f'bag {plain_path(part.bag)}: no transforms connect {plain_line(parent)} to '
            f'{plain_line(child)}'
        )
    found = ((stamp, buffer.lookup(parent, child, stamp)) for stamp in sorted(stamps))
    return [StampedPose(stamp, at.pose) for stamp, at in found if at.pose is not None]


def _transforms(bag: BagReader, topics: list[str]) -> Iterator[tuple[bool, Any]]:
    store = shared_definitions().typestore
    for raw in bag.messages(topics):
        with foreign_file(bag.path, 'bag'):
            message: Any = store.deserialize_cdr(raw.data, raw.msgtype)
        for transform in message.transforms:
            yield raw.topic == '/tf_static', transform


def _messages(
    bag: BagReader, topics: tuple[str, ...], types: tuple[str, ...]
) -> Iterator[tuple[str, Any]]:
    store = shared_definitions().typestore
    for raw in bag.messages(topics):
        if raw.msgtype not in types:
            raise SourceError(
                f'bag {plain_path(bag.path)}: {raw.topic} is a {raw.msgtype}, expected one of '
                f'{", ".join(types)}'
            )
        with foreign_file(bag.path, 'bag'):
            message = store.deserialize_cdr(raw.data, raw.msgtype)
        yield raw.msgtype, message


def _stamped(header: Any, pose: Any) -> StampedPose:
    return StampedPose(_stamp_ns(header), _pose(pose))


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * _NS_PER_S + int(header.stamp.nanosec)


def _pose(message: Any) -> FloatArray:
    """Return the matrix (4, 4) of a Pose or a Transform."""
    is_transform = _kind(message).endswith('Transform')
    p = message.translation if is_transform else message.position
    q = message.rotation if is_transform else message.orientation
    try:
        return rigid_from_xyz_xyzw([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
    except GeometryError as error:
        raise SourceError(f'a pose of the bag is none: {error}') from error


class BagImages:
    """Depth images of a topic; use as a context manager.

    Args:
        part: of the bag.

    Raises:
        SourceError: on entering, when the bag or the topic cannot be read.
    """

    def __init__(self, part: BagPart) -> None:
        self._part = part
        self._bag = BagReader(part.bag)
        self.stamps_ns: list[int] = []
        """Of the headers, in the order of the bag."""
        self._recorded_ns: list[int] = []

    def __enter__(self) -> BagImages:
        self._bag.__enter__()
        store = shared_definitions().typestore
        for raw in self._bag.messages((self._part.topic,)):
            if raw.msgtype not in (_IMAGE, _COMPRESSED):
                self.__exit__()
                raise SourceError(
                    f'bag {plain_path(self._part.bag)}: {raw.topic} is a {raw.msgtype}, expected '
                    f'{_IMAGE} or {_COMPRESSED} of depth'
                )
            with foreign_file(self._part.bag, 'bag'):
                message: Any = store.deserialize_cdr(raw.data, raw.msgtype)
            self.stamps_ns.append(_stamp_ns(message.header))
            self._recorded_ns.append(raw.stamp_ns)
        return self

    def __exit__(self, *_: object) -> None:
        self._bag.__exit__(None, None, None)

    def depth(self, place: int) -> FloatImage:
        """Return the depth (H, W) of one of the images, metres; NaN and 0 unknown.

        Raises:
            SourceError: it is no depth.
        """
        at_ns, wanted = self._recorded_ns[place], self.stamps_ns[place]
        store = shared_definitions().typestore
        for raw in self._bag.messages((self._part.topic,), at_ns, at_ns + 1):
            with foreign_file(self._part.bag, 'bag'):
                message: Any = store.deserialize_cdr(raw.data, raw.msgtype)
                if _stamp_ns(message.header) == wanted:
                    is_raw = raw.msgtype == _IMAGE
                    return _raw_depth(message) if is_raw else _packed_depth(message)
        raise SourceError(f'bag {plain_path(self._part.bag)}: image {wanted} ns is gone')


def _raw_depth(message: Any) -> FloatImage:
    kind = _DEPTH_DTYPES.get(message.encoding)
    if kind is None:
        known = ', '.join(_DEPTH_DTYPES)
        raise SourceError(f'expected depth as {known}, got {plain_line(message.encoding, 40)!r}')
    dtype = np.dtype(kind.format('>' if message.is_bigendian else '<'))
    rows = np.asarray(message.data, np.uint8)[: message.step * message.height]
    rows = rows.reshape(message.height, message.step)[:, : message.width * dtype.itemsize]
    values = np.ascontiguousarray(rows).view(dtype)
    if dtype.kind == 'f':
        return np.asarray(values, np.float32)
    return np.asarray(values.astype(np.float32) * _METRES_FROM_MM, np.float32)


def _packed_depth(message: Any) -> FloatImage:
    """Return depth of `compressedDepth`, or of a PNG of 16 bits.

    Source: compressed_depth_image_transport, codec.cpp: 12 bytes with two floats, then a PNG; of
    floats it holds the quantised inverse depth.
    """
    data = bytes(memoryview(message.data))
    start = data.find(_PNG)
    values = None
    if start >= 0:
        values = cv2.imdecode(np.frombuffer(data[start:], np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.ndim != 2:
        raise SourceError(
            f'expected compressedDepth as a PNG of 16 bits, got {plain_line(message.format, 80)!r}'
        )
    if not message.format.startswith('32FC1'):
        return np.asarray(values.astype(np.float32) * _METRES_FROM_MM, np.float32)
    a, b = np.frombuffer(data[:start][-8:], '<f4')
    with np.errstate(divide='ignore'):
        depth = np.float32(a) / (values.astype(np.float32) - np.float32(b))
    return np.asarray(np.where(values > 0, depth, np.float32(np.nan)), np.float32)
