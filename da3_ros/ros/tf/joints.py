"""Transforms of tf2_msgs/TFMessage, read from the bytes of the message.

A robot sends hundreds of these messages per second. Making objects of messages that are only
looked through costs several times as much as reading the bytes.
"""

from __future__ import annotations

import math
import struct
from struct import Struct
from typing import Any, NamedTuple

from da3_ros.errors import GeometryError

_NS_PER_S = 1_000_000_000
# tf2 leaves out quaternions whose squared length is further from one.
_QUATERNION_TOLERANCE = 1e-2


class Joint(NamedTuple):
    """Where a frame stands in its parent at a stamp."""

    parent: str
    """Without a leading slash, as `child`."""
    child: str
    stamp_ns: int
    values: tuple[float, ...]
    """Translation x y z (m) and quaternion x y z w of parent_from_child, as sent."""

    @property
    def fault(self) -> str:
        """Why it is no transform by the rules of tf2; empty when it is one. The stamp may be 0."""
        if not (self.parent and self.child):
            return f'header.frame_id is {self.parent!r} and child_frame_id {self.child!r}'
        if self.parent == self.child:
            return 'header.frame_id and child_frame_id are the same'
        x, y, z, w = self.values[3:]
        if not math.isfinite(sum(self.values)):
            return f'the transform has numbers that are not finite: {self.values}'
        if abs(x * x + y * y + z * z + w * w - 1.0) > _QUATERNION_TOLERANCE:
            return f'the quaternion ({x:g}, {y:g}, {z:g}, {w:g}) is not of length one'
        return ''


def joint_of(message: Any) -> Joint:
    """Return one transform of a message: a geometry_msgs/TransformStamped of any library."""
    t, q = message.transform.translation, message.transform.rotation
    stamp = message.header.stamp
    return Joint(
        message.header.frame_id.lstrip('/'),
        message.child_frame_id.lstrip('/'),
        int(stamp.sec) * _NS_PER_S + int(stamp.nanosec),
        (t.x, t.y, t.z, q.x, q.y, q.z, q.w),
    )


class _Order(NamedTuple):
    """Readers for one order of bytes."""

    number: Struct
    head: Struct
    """Stamp, and length of the name that follows."""
    pose: Struct


_ORDERS = tuple(_Order(Struct(f'{o}I'), Struct(f'{o}iII'), Struct(f'{o}7d')) for o in '><')


def joints_of(data: bytes) -> list[Joint]:
    """Return the transforms of a serialised tf2_msgs/TFMessage.

    Args:
        data: the message as it comes from the middleware.

    Raises:
        GeometryError: these bytes are no such message.

    Source: OMG, DDS-RTPS 2.5, 9.3 and 10.2 (CDR): values stand at multiples of their size, counted
    from behind the four bytes of the encapsulation, whose second says the order of bytes.
    """
    found: list[Joint] = []
    try:
        if data[0] != 0 or data[1] > 1:
            raise GeometryError(f'TFMessage: encapsulation {data[:2].hex()} is not plain CDR')
        number, head, pose = _ORDERS[data[1]]
        at = 8
        for _ in range(number.unpack_from(data, 4)[0]):
            at += -at % 4
            sec, nanosec, length = head.unpack_from(data, at)
            at += 12
            parent, at = data[at : at + length], at + length
            at += -at % 4
            (length,) = number.unpack_from(data, at)
            at += 4
            child, at = data[at : at + length], at + length
            at += (4 - at) % 8
            values = pose.unpack_from(data, at)
            at += 56
            found.append(Joint(_name(parent), _name(child), sec * _NS_PER_S + nanosec, values))
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise GeometryError(f'TFMessage: {len(data)} bytes are no message: {error}') from error
    return found


def _name(data: bytes) -> str:
    return data.rstrip(b'\0').decode().lstrip('/')
