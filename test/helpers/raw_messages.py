"""Serialized messages to put into bags, made by the rosbags library alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.typesys import Stores, get_typestore

from da3_ros.sinks.bag import BagWriter

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_123_456_789


@dataclass(frozen=True)
class StampedMessage:
    topic: str
    msgtype: str
    stamp_ns: int
    data: bytes


def text(topic: str, stamp_ns: int, content: str) -> StampedMessage:
    kind = STORE.types['std_msgs/msg/String']
    data = STORE.serialize_cdr(kind(data=content), kind.__msgtype__)
    return StampedMessage(topic, kind.__msgtype__, stamp_ns, bytes(data))


def image(topic: str, stamp_ns: int, pixels: np.ndarray) -> StampedMessage:
    header = STORE.types['std_msgs/msg/Header'](
        stamp=STORE.types['builtin_interfaces/msg/Time'](
            sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9
        ),
        frame_id='camera_optical_frame',
    )
    kind = STORE.types['sensor_msgs/msg/Image']
    message = kind(
        header=header,
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding='rgb8',
        is_bigendian=0,
        step=3 * pixels.shape[1],
        data=pixels.reshape(-1),
    )
    data = STORE.serialize_cdr(message, kind.__msgtype__)
    return StampedMessage(topic, kind.__msgtype__, stamp_ns, bytes(data))


def cloud(topic: str, stamp_ns: int, xyz: np.ndarray) -> StampedMessage:
    """Return a cloud of one row with float32 points (P, 3) and nothing beside them."""
    types = STORE.types
    kind = types['sensor_msgs/msg/PointCloud2']
    stamp = types['builtin_interfaces/msg/Time'](sec=0, nanosec=stamp_ns)
    fields = [
        types['sensor_msgs/msg/PointField'](name=name, offset=4 * i, datatype=7, count=1)
        for i, name in enumerate('xyz')
    ]
    message = kind(
        header=types['std_msgs/msg/Header'](stamp=stamp, frame_id='lidar'),
        height=1,
        width=len(xyz),
        fields=fields,
        is_bigendian=False,
        point_step=12,
        row_step=12 * len(xyz),
        data=np.frombuffer(xyz.tobytes(), np.uint8),
        is_dense=False,
    )
    data = STORE.serialize_cdr(message, kind.__msgtype__)
    return StampedMessage(topic, kind.__msgtype__, stamp_ns, bytes(data))


def mixed_messages(count: int = 12, period_ns: int = 50_000_000) -> list[StampedMessage]:
    """Return images and texts in turn, in order of time."""
    rng = np.random.default_rng(7)
    messages = []
    for i in range(count):
        stamp_ns = START_NS + i * period_ns
        pixels = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        messages.append(image('/cam/image_raw', stamp_ns, pixels))
        messages.append(text('/note', stamp_ns + 1000, f'number {i}'))
    return messages


def write_bag(path: Path, messages: Iterable[StampedMessage]) -> Path:
    with BagWriter(path) as bag:
        for message in messages:
            bag.add_topic(message.topic, message.msgtype)
            bag.write(message.topic, message.stamp_ns, message.data)
    return path
