"""Reading TF by tf2 where that is installed, so that all nodes of a robot get one answer."""

from __future__ import annotations

from collections.abc import Sequence
import threading
from types import ModuleType

from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.time import Time

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.transform_buffer import HISTORY_NS, Found, TransformBuffer
from da3_ros.ros.messages.geometry_messages import (
    rigid_from_transform,
    stamp_from_ns,
    transform_message,
)
from da3_ros.ros.optional import optional_module
from da3_ros.ros.tf.transforms import TransformReader

_AUTHORITY = 'da3_ros'


def make_buffer() -> TransformReader:
    """Return an empty tree: tf2's where tf2_ros can be loaded, else this package's own."""
    tf2_ros = optional_module('tf2_ros')
    return TransformBuffer() if tf2_ros is None else Tf2Buffer(tf2_ros)


class Tf2Buffer:
    """tf2's buffer under the rules of `TransformBuffer`; safe to use from several threads.

    tf2 does not say how far apart the transforms around a stamp are, nor that a clock was set
    back. A `TransformBuffer` beside it therefore decides whether there is an answer, with the
    same reasons as everywhere in this package, and tf2 gives the answer. The subscriptions of
    `listener` fill both; a TransformListener of tf2_ros could not leave out what this node
    itself publishes.

    Of two transforms of one joint with one stamp, tf2 keeps the first.

    Args:
        tf2_ros: the package.
    """

    def __init__(self, tf2_ros: ModuleType) -> None:
        self._tf2 = tf2_ros.Buffer(cache_time=Duration(nanoseconds=HISTORY_NS))
        self._no_answer = tf2_ros.TransformException
        self._known = TransformBuffer()
        self._fixed: set[str] = set()
        # Both change together: a transform that one has and the other does not is no answer.
        self._lock = threading.Lock()

    @property
    def resets(self) -> int:
        """How often the clock was set back."""
        return self._known.resets

    def set_fixed(self, parent: str, child: str, parent_from_child: FloatArray) -> None:
        """Take a joint that does not move; a newer one replaces an older one.

        Raises:
            GeometryError: it is not rigid.
        """
        message = transform_message(parent_from_child, 0, _plain(parent), _plain(child))
        with self._lock:
            self._known.set_fixed(parent, child, parent_from_child)
            self._fixed.add(_plain(child))
            self._tf2.set_transform_static(message, _AUTHORITY)

    def add_quaternion(
        self,
        parent: str,
        child: str,
        stamp_ns: int,
        translation: Sequence[float],
        quaternion_xyzw: Sequence[float],
    ) -> bool:
        """Take where a moving joint stood at a stamp; a fixed joint stays fixed.

        Returns:
            False when it was left out.

        Raises:
            GeometryError: the numbers are not finite, or the quaternion is zero.
        """
        with self._lock:
            before = self._known.resets
            is_taken = self._known.add_quaternion(
                parent, child, stamp_ns, translation, quaternion_xyzw
            )
            if self._known.resets != before:
                self._tf2.clear()  # of all that moves; what is fixed stays
            if is_taken and _plain(child) not in self._fixed:
                message = _message(parent, child, stamp_ns, translation, quaternion_xyzw)
                self._tf2.set_transform(message, _AUTHORITY)
            return is_taken

    def is_connected(self, a: str, b: str) -> bool:
        """Return whether joints of any kind connect two frames."""
        return self._known.is_connected(a, b)

    def newest_ns(self, a: str, b: str) -> int | None:
        """Return the newest stamp at which all moving joints between two frames are known."""
        return self._known.newest_ns(a, b)

    def lookup(self, a: str, b: str, stamp_ns: int) -> Found:
        """Return a_from_b at a stamp."""
        stamp = Time(nanoseconds=stamp_ns)
        with self._lock:
            found = self._known.lookup(a, b, stamp_ns)
            if found.pose is None:
                return found
            try:
                message = self._tf2.lookup_transform(_plain(a), _plain(b), stamp)
            except self._no_answer as error:
                return Found(None, f'{a} to {b}: tf2 has no answer: {error}')
        return Found(rigid_from_transform(message.transform))


def _message(
    parent: str,
    child: str,
    stamp_ns: int,
    translation: Sequence[float],
    quaternion_xyzw: Sequence[float],
) -> TransformStamped:
    message = TransformStamped(child_frame_id=_plain(child))
    message.header.stamp, message.header.frame_id = stamp_from_ns(stamp_ns), _plain(parent)
    place, turn = message.transform.translation, message.transform.rotation
    place.x, place.y, place.z = translation
    # tf2 refuses what is not of length one.
    length = sum(value * value for value in quaternion_xyzw) ** 0.5
    turn.x, turn.y, turn.z, turn.w = (value / length for value in quaternion_xyzw)
    return message


def _plain(frame: str) -> str:
    return frame.lstrip('/')
