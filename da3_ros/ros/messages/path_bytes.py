"""A path that grows, as the bytes of its message.

rclpy converts every pose of a nav_msgs/Path whenever that goes out. Of a path that grows by one
pose at a time all but one are the same as before, and their bytes too.
"""

from __future__ import annotations

from struct import Struct

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import quaternion_xyzw_from_matrix

_NS_PER_S = 1_000_000_000
# CDR, little-endian.
_ENCAPSULATION = b'\x00\x01\x00\x00'
_STAMP = Struct('<iI')
_NUMBER = Struct('<I')
_POSE = Struct('<7d')


class PathBytes:
    """The newest poses of one frame as a serialised nav_msgs/Path.

    Args:
        frame_id: of the path and of all its poses.
        capacity: how many poses it keeps.

    Source: OMG DDS-XTypes, plain CDR: every number at a multiple of its size, counted behind the
    encapsulation; a string is its length with the final zero, then its bytes.
    """

    def __init__(self, frame_id: str, capacity: int) -> None:
        name = frame_id.encode() + b'\x00'
        self._name = _NUMBER.pack(len(name)) + name
        self._capacity = capacity
        # Stamp, name and pose, from a multiple of eight on, as all poses are but the first.
        self._head_bytes = _STAMP.size + len(self._name)
        self._pose_at = _aligned(self._head_bytes, 8)
        self._item_bytes = self._pose_at + _POSE.size
        self._items = bytearray()

    def __len__(self) -> int:
        """Return how many poses there are."""
        return len(self._items) // self._item_bytes

    def clear(self) -> None:
        """Begin another path."""
        self._items.clear()

    def append(self, stamp_ns: int, frame_from_body: FloatArray) -> None:
        """Add a pose (4, 4); the oldest goes when there are more than are kept."""
        head = _STAMP.pack(stamp_ns // _NS_PER_S, stamp_ns % _NS_PER_S) + self._name
        quaternion_xyzw = quaternion_xyzw_from_matrix(frame_from_body[:3, :3])
        self._items += head.ljust(self._pose_at, b'\x00')
        self._items += _POSE.pack(*frame_from_body[:3, 3], *quaternion_xyzw)
        if len(self) > self._capacity:
            del self._items[: self._item_bytes]

    def message(self) -> bytes:
        """Return the path with the stamp of its newest pose; at least one pose is needed."""
        items, size = self._items, self._item_bytes
        newest = items[len(items) - size :]
        head = bytes(newest[: self._head_bytes])
        head = head.ljust(_aligned(len(head), 4), b'\x00') + _NUMBER.pack(len(self))
        # The first pose begins wherever the head ends.
        head += items[: self._head_bytes]
        head = head.ljust(_aligned(len(head), 8), b'\x00')
        return b''.join((_ENCAPSULATION, head, memoryview(items)[self._pose_at :]))


def _aligned(position: int, size: int) -> int:
    return -(-position // size) * size
