"""Images and clouds that go out from memory in which they were made.

Of a message in Python rclpy makes one in C, whose `data` it fills with zeros and then with a copy,
and of that one the middleware makes its bytes. Here whoever makes the pixels writes them behind
the head of a message that is in bytes already: one copy less, and no zeros.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from struct import Struct
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message

_NS_PER_S = 1_000_000_000
# CDR, little-endian: behind its four bytes of encapsulation a message begins with its stamp.
_STAMP_AT = 4
_STAMP = Struct('<iI')
_LENGTH = Struct('<I')
_PROBE = b'\xa5\x5a\xa5'
"""Data of no length that anything in a message is aligned to."""


class Layout(Protocol):
    """All of a message but its stamp and `data`; equal ones have equal messages."""

    @property
    def data_bytes(self) -> int:
        """Length of `data`."""
        ...

    def message(self) -> Any:
        """Return the message with an empty `data`; its stamp is zero."""
        ...


class DataPublisher:
    """Publishes messages with a header and a `data` (uint8[]), of any kind.

    The memory is kept for the next message as long as the layout is the same. Whether the
    middleware's bytes are as expected is tried with the first message; else messages go out as
    rclpy makes them.

    Args:
        publisher: of the messages; other readers and writers of the topic see no difference.
        bytes_behind: of the fields that follow `data`.

    Source: OMG DDS-XTypes, plain CDR: a sequence is its length, four bytes from a multiple of
    four on, then its items.
    """

    def __init__(self, publisher: Publisher, bytes_behind: int = 0) -> None:
        self._publisher = publisher
        self._bytes_behind = bytes_behind
        self._layout: Layout | None = None
        self._is_plain: bool | None = None
        self._buffer = bytearray()
        self._data: NDArray[np.uint8] = np.empty(0, np.uint8)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return bool(self._publisher.get_subscription_count())

    def publish(
        self, layout: Layout, stamp_ns: int, fill: Callable[[NDArray[np.uint8]], object]
    ) -> None:
        """Publish one message.

        Args:
            layout: of the message.
            stamp_ns: of its header.
            fill: writes `data`, all of it; is given the place, (layout.data_bytes,), at a multiple
                of four in memory.
        """
        if layout != self._layout:
            self._begin(layout)
        seconds, rest_ns = divmod(stamp_ns, _NS_PER_S)
        fill(self._data)
        if self._is_plain:
            _STAMP.pack_into(self._buffer, _STAMP_AT, seconds, rest_ns)
            self._send()
            return
        message = layout.message()
        message.header.stamp.sec, message.header.stamp.nanosec = seconds, rest_ns
        message.data = array('B', self._data.tobytes())
        self._publisher.publish(message)

    def _begin(self, layout: Layout) -> None:
        """Make the memory of a layout, with all that is in it beside stamp and data."""
        self._layout = None
        message = layout.message()
        empty = serialize_message(message)
        data_at = len(empty) - self._bytes_behind
        head, behind = empty[: data_at - _LENGTH.size], empty[data_at:]
        if self._is_plain is None:
            message.data = array('B', _PROBE)
            self._is_plain = _reads(head + _LENGTH.pack(len(_PROBE)) + _PROBE + behind, message)
        size = layout.data_bytes
        self._buffer = bytearray(data_at + size + len(behind))
        self._buffer[:data_at] = head + _LENGTH.pack(size)
        self._buffer[data_at + size :] = behind
        self._data = np.frombuffer(self._buffer, np.uint8, size, data_at)
        self._layout = layout

    def _send(self) -> None:
        handle = self._publisher.handle
        with handle:
            try:
                handle.publish_raw(self._buffer)
            except TypeError:
                # Before pybind11 2.10, as in Humble, only this one is taken: one more copy.
                handle.publish_raw(bytes(self._buffer))


def _reads(content: bytes, message: Any) -> bool:
    """Return whether the middleware takes bytes for a message.

    Other bytes may mean the same: between values stands anything.
    """
    try:
        found: bool = deserialize_message(content, type(message)) == message
    except RuntimeError:  # of the middleware
        return False
    return found
