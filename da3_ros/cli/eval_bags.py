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
_REPORT = 'da3_ros/msg/WindowReport'
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


@dataclass(frozen=True, slots=True, eq=False)
class BagPoses:
    """A trajectory of a bag."""

    poses: tuple[StampedPose, ...]
    """At least one, in the order of the bag."""
    body: str
    """Frame that the poses are of; empty where messages do not say."""
    notes: tuple[str, ...]


def bag_poses(part: BagPart) -> BagPoses:
    """Return the poses of a topic, or of one frame in another.

    Odometry, stamped poses and transforms by their stamps; of paths the last one. Messages whose
    pose is none (NaN, a quaternion of zeros) are left out, and a note counts them.

    Raises:
        SourceError: the bag or the topic cannot be read, its type has no poses, or there are none.
    """
    found = _Poses()
    with BagReader(part.bag) as bag:
        if part.frames:
            _add_frames(found, bag, part)
        else:
            _add_topic(found, bag, part)
        notes = bag_notes(bag, part)
    if not found.poses:
        reason = f' that can be used: {found.reason}' if found.refused else ''
        raise SourceError(f'bag {plain_path(part.bag)}: {part.topic} holds no pose{reason}')
    if found.refused:
        notes.insert(0, f'{found.refused} poses are left out, first {found.reason}')
    if len(found.bodies) > 1:
        names = ', '.join(plain_line(name, 40) for name in sorted(found.bodies))
        notes.insert(0, f'the poses are of several frames: {names}')
    body = found.bodies.pop() if len(found.bodies) == 1 else ''
    return BagPoses(tuple(found.poses), body, tuple(notes))


def bag_notes(bag: BagReader, part: BagPart) -> list[str]:
    """Return what has to be known of figures of a bag: its damage, and a unit of its own."""
    notes = [note.text for note in bag.notes]
    folder = part.topic.rpartition('/')[0]
    reports = [
        topic.name
        for topic in bag.topics
        if topic.msgtype == _REPORT and topic.count
        and f'{folder}/'.startswith(f'{topic.name.rpartition("/")[0]}/')
    ]  # fmt: skip
    if not reports:
        return notes
    shared_definitions().require(_REPORT)
    topic = max(reports, key=len)
    are_metric = [bool(m.is_metric) for _, m in _messages(bag, (topic,), (_REPORT,))]
    without = are_metric.count(False)
    if without:
        share = 'all' if without == len(are_metric) else f'{without} of {len(are_metric)}'
        notes.append(f'{share} windows of {topic} are in a unit of their own, not metres')
    return notes


class _Poses:
    """Poses of a bag, and why there are none of some messages."""

    def __init__(self) -> None:
        self.poses: list[StampedPose] = []
        self.bodies: set[str] = set()
        self.refused = 0
        self.reason = ''

    def refuse(self, reason: str) -> None:
        """Count a message without a pose."""
        self.refused += 1
        self.reason = self.reason or reason

    def add(self, header: Any, pose: Any, body: str = '') -> None:
        """Take a Pose or a Transform at the stamp of a header."""
        try:
            self.poses.append(StampedPose(_stamp_ns(header), _pose(pose)))
        except GeometryError as error:
            self.refuse(f'at {_stamp_ns(header)} ns: {plain_line(error, 150)}')
            return
        self.bodies.add(body)


def _add_topic(found: _Poses, bag: BagReader, part: BagPart) -> None:
    for msgtype, message in _messages(bag, (part.topic,), _POSES):
        if msgtype.endswith('/Path'):
            found.poses.clear()
            found.refused, found.reason = 0, ''
            for pose in message.poses:
                found.add(pose.header, pose.pose)
        elif msgtype.endswith('/TransformStamped'):
            found.add(message.header, message.transform, message.child_frame_id)
        else:
            pose = message.pose
            pose = pose.pose if _kind(pose).endswith('WithCovariance') else pose
            body = message.child_frame_id if msgtype.endswith('/Odometry') else ''
            found.add(message.header, pose, body)


def _kind(message: Any) -> str:
    return type(message).__name__


def _add_frames(found: _Poses, bag: BagReader, part: BagPart) -> None:
    """Take where a frame stood in another at every stamp of a joint between them."""
    assert part.frames is not None
    parent, child = part.frames
    topics = [name for name in _TF_TOPICS if name in {info.name for info in bag.topics}]
    buffer = TransformBuffer(history_ns=_FOREVER_NS, clock=lambda: 0)
    stamps: set[int] = set()
    for static, transform in _transforms(bag, topics):
        names = transform.header.frame_id, transform.child_frame_id
        try:
            pose = _pose(transform.transform)
        except GeometryError as error:
            found.refuse(f'of {plain_line(names[1], 40)}: {plain_line(error, 150)}')
            continue
        if static:
            buffer.set_fixed(*names, pose)
        elif buffer.add(*names, _stamp_ns(transform.header), pose):
            stamps.add(_stamp_ns(transform.header))
    if not buffer.is_connected(parent, child):
        raise SourceError(
            f'bag {plain_path(part.bag)}: no transforms connect {plain_line(parent)} to '
            f'{plain_line(child)}'
        )
    looked_up = ((stamp, buffer.lookup(parent, child, stamp)) for stamp in sorted(stamps))
    found.poses += [StampedPose(ns, at.pose) for ns, at in looked_up if at.pose is not None]
    found.bodies.add(child)


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


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * _NS_PER_S + int(header.stamp.nanosec)


def _pose(message: Any) -> FloatArray:
    """Return the matrix (4, 4) of a Pose or a Transform.

    Raises:
        GeometryError: it is none.
    """
    is_transform = _kind(message).endswith('Transform')
    p = message.translation if is_transform else message.position
    q = message.rotation if is_transform else message.orientation
    return rigid_from_xyz_xyzw([p.x, p.y, p.z, q.x, q.y, q.z, q.w])


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
        self.notes: tuple[str, ...] = ()
        """What has to be known of the figures."""

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
        self.notes = tuple(bag_notes(self._bag, self._part))
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
