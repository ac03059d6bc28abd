"""Reading TF: /tf and /tf_static as a tree of frames, without what this node publishes itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
import random
import threading
import time
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from tf2_msgs.msg import TFMessage

from da3_ros.errors import GeometryError
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import rigid
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.messages.qos import latched
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.camera_frames import CameraFrames
from da3_ros.ros.tf.frame_tree import FrameTree
from da3_ros.ros.tf.joints import Joint, joints_of
from da3_ros.ros.tf.ownership import SentTransforms, TransformOwnership
from da3_ros.ros.tf.tf2_buffer import make_buffer

STATIC_TOPIC, MOVING_TOPIC = '/tf_static', '/tf'
_STATIC_DEPTH = 100
# What may come between two looks.
_DEPTH = 1000
MOST_PATIENCE_S = 2.0
"""Of two nodes that give way to each other one waits longer by chance, by at most this."""
# Transforms of the last seconds.
_RECENT = 2000
_PERIOD_S = 0.1
_WAIT_STEP_S = 0.005


class TfInput:
    """What others publish on /tf_static and /tf.

    The executor is left out: to wake it for every message costs more than half a core at the 200
    messages per second of a usual robot. Messages are taken together ten times per second while
    the node is active, and whenever somebody asks: `read` first, then look.

    Transforms that this node itself publishes (`sent`) are left out, so that it never follows its
    own output, however long the chain of frames is.

    Args:
        node: owns the subscriptions.
        options: frames and switches.
        reasons: takes transforms that are none, loops, and frames with two parents.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        node: Node,
        options: OutputOptions,
        reasons: ReasonBoard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = node
        self.reasons = reasons
        self.buffer = make_buffer()
        """All joints so far; those of /tf only from `keep_moving` on, which costs a little."""
        self.tree = FrameTree(clock, random.uniform(0.0, MOST_PATIENCE_S))
        self.sent = SentTransforms()
        self.ownership = TransformOwnership(self.tree, clock)
        self.frames = CameraFrames(options, reasons)
        self._changed = threading.Condition()
        self._reading = threading.RLock()
        self._subscriptions: dict[str, Subscription] = {}
        # What came on /tf before anybody wanted it; None once it goes into the buffer.
        self._recent: deque[Joint] | None = deque(maxlen=_RECENT)
        self._loops: dict[str, str] = {}
        # Frames with two fixed parents, and how many published /tf_static then.
        self._contested: dict[str, int] = {}
        self._resets = 0
        self._ended: threading.Event | None = None
        publishes = bool(options.publish_tf or options.publish_map_tf)
        if publishes or options.use_tf_static or options.prior_frame:
            self._subscribe(STATIC_TOPIC, latched(_STATIC_DEPTH))
        if publishes or options.prior_frame:
            self.listen_moving()
        if options.prior_frame:
            self.keep_moving()

    # ---- from the middleware

    def _subscribe(self, topic: str, profile: QoSProfile) -> None:
        if topic not in self._subscriptions:
            self._subscriptions[topic] = self.node.create_subscription(
                TFMessage, topic, _nobody, profile, callback_group=_NoExecutor(), raw=True
            )

    def listen_moving(self) -> None:
        """Look at /tf too; a second call does nothing."""
        # Best effort receives from every publisher.
        profile = QoSProfile(depth=_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._subscribe(MOVING_TOPIC, profile)

    def keep_moving(self) -> None:
        """Let /tf into the buffer from now on."""
        with self._reading:
            self.listen_moving()
            recent, self._recent = self._recent or (), None
            for joint in recent:
                self._add_moving(joint)

    def activate(self, tick: Callable[[], object] = lambda: None) -> None:
        """Look at the topics all the time.

        Args:
            tick: called after every look, on the thread that looks.
        """
        self.deactivate()
        self.read()
        self.ownership.activate()
        ended = self._ended = threading.Event()
        threading.Thread(target=self._run, args=(ended, tick), name='da3_tf', daemon=True).start()

    def deactivate(self) -> None:
        """Look no more, but when asked."""
        if self._ended is not None:
            self._ended.set()

    def _run(self, ended: threading.Event, tick: Callable[[], object]) -> None:
        while not ended.wait(_PERIOD_S):
            self._look(ended, tick)

    def _look(self, ended: threading.Event, tick: Callable[[], object]) -> None:
        try:
            self.read()
            self._end_what_is_over()
            tick()
        except Exception as error:
            # An exception would end the thread, and nothing of TF be heard any more.
            if not ended.is_set() and self.node.context.ok():
                self.reasons.happened(Reason.TF_BAD, 'tf', problem=f'/tf: {error}')

    def read(self) -> None:
        """Take all messages that have come."""
        with self._reading:
            for topic, take in ((STATIC_TOPIC, self.take_static), (MOVING_TOPIC, self.take)):
                for data in _waiting(self._subscriptions.get(topic)):
                    take(data)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Return whether a condition holds, after waiting for transforms that make it hold."""
        end_s = time.monotonic() + timeout_s
        while True:
            self.read()
            if condition():
                return True
            left_s = end_s - time.monotonic()
            if left_s <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left_s, _WAIT_STEP_S))

    def publishers(self, topic: str) -> str:
        """Return who else publishes a topic, as far as is known, in words."""
        own = (self.node.get_name(), self.node.get_namespace())
        infos = self.node.get_publishers_info_by_topic(self._resolved(topic))
        names = [(info.node_name, info.node_namespace) for info in infos]
        if own in names:
            names.remove(own)
        others = sorted({f'{space.rstrip("/")}/{name}' for name, space in names})
        if not others:
            return 'a node that is not known'
        return others[0] if len(others) == 1 else f'one of {", ".join(others)}'

    def count_publishers(self, topic: str) -> int:
        """Return how many publishers a topic has, this node's own among them."""
        return int(self.node.count_publishers(self._resolved(topic)))

    def _resolved(self, topic: str) -> str:
        subscription = self._subscriptions.get(topic)
        return topic if subscription is None else str(subscription.topic_name)

    # ---- messages

    def take_static(self, data: bytes) -> None:
        """Take a message of /tf_static."""
        for joint in self._foreign(STATIC_TOPIC, data):
            pose = rigid(matrix_from_quaternion_xyzw(joint.values[3:]), joint.values[:3])
            self.buffer.set_fixed(joint.parent, joint.child, pose)
            self._put(joint, is_fixed=True)
        self._notify()

    def take(self, data: bytes) -> None:
        """Take a message of /tf."""
        for joint in self._foreign(MOVING_TOPIC, data):
            if self._recent is None:
                self._add_moving(joint)
            else:
                self._recent.append(joint)
            self._put(joint, is_fixed=False)
        if self.buffer.resets != self._resets:
            self._resets = self.buffer.resets
            self.reasons.happened(Reason.TF_CLOCK, 'tf')
        self._notify()

    def _add_moving(self, joint: Joint) -> None:
        place, quaternion_xyzw = joint.values[:3], joint.values[3:]
        self.buffer.add_quaternion(
            joint.parent, joint.child, joint.stamp_ns, place, quaternion_xyzw
        )

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _foreign(self, topic: str, data: bytes) -> Iterator[Joint]:
        """Return the transforms of a message that are some, and not this node's own."""
        try:
            joints = joints_of(data)
        except GeometryError as error:
            self._say_bad(topic, 'tf', f'{topic}: {error}')
            return
        for joint in joints:
            if self.sent.has(joint):
                continue
            fault = joint.fault
            if not fault and not joint.stamp_ns and topic == MOVING_TOPIC:
                fault = 'header.stamp is zero'
            if fault:
                self._say_bad(topic, joint.child, f'{topic}, frame {joint.child}: {fault}')
            else:
                yield joint

    def _say_bad(self, topic: str, owner: str, text: str) -> None:
        self.reasons.happened(Reason.TF_BAD, owner, topic, problem=f'{text}; left out')

    def _put(self, joint: Joint, *, is_fixed: bool) -> None:
        if not self.tree.seen(joint.parent, joint.child, is_fixed=is_fixed):
            return
        two, loop = self.tree.two_parents(joint.child), self.tree.loop(joint.child)
        if two is not None:
            self._say_two(joint.child, two, are_fixed=is_fixed and self.tree.is_fixed(joint.child))
        if loop is not None:
            chain = ' to '.join((*reversed(loop), loop[-1]))
            self._loops[joint.child] = chain
            self.reasons.hold(Reason.TF_LOOP, joint.child, chain=chain)

    def _say_two(self, child: str, parents: tuple[str, str], *, are_fixed: bool) -> None:
        topic = STATIC_TOPIC if are_fixed else MOVING_TOPIC
        said = {'parents': f'{parents[0]} and {parents[1]}', 'topic': topic}
        if are_fixed:
            # Each comes once, so that only the end of a publisher can end it.
            self._contested[child] = self.count_publishers(topic)
            self.reasons.hold(Reason.TF_TWO_PARENTS, child, **said)
        else:
            self.reasons.happened(Reason.TF_TWO_PARENTS, child, **said)

    def _end_what_is_over(self) -> None:
        with self._reading:
            self.tree.forget_old()
            for child in [c for c in self._loops if self.tree.loop(c) is None]:
                del self._loops[child]
                self.reasons.end(Reason.TF_LOOP, child)
            for child, count in tuple(self._contested.items()):
                if self.count_publishers(STATIC_TOPIC) < count:
                    del self._contested[child]
                    self.tree.settle(child)
                    self.reasons.end(Reason.TF_TWO_PARENTS, child)


class _NoExecutor(CallbackGroup):  # type: ignore[misc]  # rclpy has no types
    """A group whose members wake no executor: what comes is taken by `TfInput.read`."""

    def can_execute(self, entity: Any) -> bool:
        """Refuse."""
        del entity
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Refuse."""
        del entity
        return False

    def ending_execution(self, entity: Any) -> None:
        """Do nothing: nothing begins."""


def _nobody(data: bytes) -> None:
    """Stand for the callback, which no executor calls."""


def _waiting(subscription: Subscription | None) -> Iterator[bytes]:
    """Return the messages that wait; none of a subscription that was destroyed meanwhile."""
    while subscription is not None:
        try:
            with subscription.handle:
                found = subscription.handle.take_message(TFMessage, True)
        except rclpy_implementation.InvalidHandle:
            return
        if found is None:
            return
        yield found[0]
