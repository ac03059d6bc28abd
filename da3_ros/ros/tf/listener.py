"""Reading TF: /tf and /tf_static as a tree of frames, without what this node publishes itself."""

from __future__ import annotations

from collections.abc import Callable
import threading

from geometry_msgs.msg import TransformStamped
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from tf2_msgs.msg import TFMessage

from da3_ros.errors import GeometryError
from da3_ros.options import OutputOptions
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.messages.geometry_messages import ns_from_stamp, rigid_from_transform
from da3_ros.ros.messages.qos import latched
from da3_ros.ros.tf.tf2_buffer import make_buffer

_STATIC_DEPTH = 100
_DEPTH = 200


class TfInput:
    """Subscriptions to /tf_static, and to /tf once somebody needs it.

    Transforms that this node itself publishes are left out, so that it never follows its own
    output, however long the chain of frames is.

    Args:
        node: owns the subscriptions.
        options: frames and switches.
        group: callback group.
        faults: takes transforms that are none, and frames with two parents.
    """

    def __init__(
        self, node: Node, options: OutputOptions, group: CallbackGroup, faults: FaultLog
    ) -> None:
        self._node = node
        self._options = options
        self._group = group
        self._faults = faults
        self._changed = threading.Condition()
        self._subscriptions: list[Subscription] = []
        self._resets = 0
        self.buffer = make_buffer()
        """All joints so far."""
        self.has_left_out = False
        """Whether transforms of this node's own came and were left out."""

    def listen_static(self) -> None:
        """Read /tf_static."""
        self._subscribe('/tf_static', self.take_static, latched(_STATIC_DEPTH))

    def listen_moving(self) -> None:
        """Read /tf; a second call does nothing."""
        # Best effort receives from every publisher.
        profile = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscribe('/tf', self.take, profile)

    def _subscribe(
        self, topic: str, take: Callable[[TFMessage], None], profile: QoSProfile
    ) -> None:
        if any(subscription.topic_name == topic for subscription in self._subscriptions):
            return
        self._subscriptions.append(
            self._node.create_subscription(
                TFMessage, topic, take, profile, callback_group=self._group
            )
        )

    def take_static(self, message: TFMessage) -> None:
        """Take joints of /tf_static."""
        for transform in message.transforms:
            self._add('/tf_static', transform)
        self._notify()

    def take(self, message: TFMessage) -> None:
        """Take joints of /tf."""
        for transform in message.transforms:
            if self._is_own(transform):
                self.has_left_out = True
            else:
                self._add('/tf', transform)
        if self.buffer.resets != self._resets:
            self._resets = self.buffer.resets
            self._faults.report(
                'tf', 'clock', '/tf: stamps jumped back, so that its history is forgotten'
            )
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether a condition holds, after waiting for transforms that make it hold."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def _is_own(self, transform: TransformStamped) -> bool:
        o = self._options
        parent, child = _names(transform)
        is_pose = o.publish_tf and parent == o.odom_frame.lstrip('/')
        is_map = o.publish_map_tf and parent == o.map_frame.lstrip('/')
        return is_pose or (is_map and child == o.odom_frame.lstrip('/'))

    def _add(self, topic: str, transform: TransformStamped) -> None:
        parent, child = _names(transform)
        stamp_ns = ns_from_stamp(transform.header.stamp)
        try:
            if topic == '/tf_static':
                self.buffer.set_fixed(parent, child, rigid_from_transform(transform.transform))
            elif stamp_ns == 0:
                text = f'{topic}, frame {child}: header.stamp is zero; left out'
                self._faults.report('tf', child, text)
            else:
                self._warn_of_two_parents(parent, child)
                t, q = transform.transform.translation, transform.transform.rotation
                self.buffer.add_quaternion(
                    parent, child, stamp_ns, (t.x, t.y, t.z), (q.x, q.y, q.z, q.w)
                )
        except GeometryError as error:
            self._faults.report(topic.strip('/'), child, f'{topic}, frame {child}: {error}')

    def _warn_of_two_parents(self, parent: str, child: str) -> None:
        o = self._options
        if o.publish_tf and child == o.base_frame.lstrip('/'):
            self._faults.report(
                'tf',
                'parents',
                f'/tf: frame {child} has the parents {parent} (published by another node) and '
                f'{o.odom_frame} (published by this one), and a frame may have one only; set '
                'publish_tf to false',
            )


def _names(transform: TransformStamped) -> tuple[str, str]:
    return transform.header.frame_id.lstrip('/'), transform.child_frame_id.lstrip('/')
