"""Reading TF: /tf and /tf_static as a tree of frames, without what this node publishes itself."""

from __future__ import annotations

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

from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.messages.qos import latched
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.ownership import LISTENS_S
from da3_ros.ros.tf.tf2_buffer import make_buffer
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC, Transforms

_STATIC_DEPTH = 100
# What may come between two looks.
_DEPTH = 1000
MOST_PATIENCE_S = 2.0
"""Of two nodes that give way to each other one waits longer by chance, by at most this."""
_PERIOD_S = 0.1
_WAIT_STEP_S = 0.005


class TfInput(Transforms):
    """What others publish on /tf_static and /tf of a running graph.

    The executor is left out: to wake it for every message costs more than half a core at the 200
    messages per second of a usual robot. Messages are taken together ten times per second while
    the node is active, and whenever somebody asks: `read` first, then look.

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
        # Of two nodes that give way to each other one waits longer.
        patience_s = random.uniform(0.0, MOST_PATIENCE_S)
        super().__init__(
            options, reasons, make_buffer(), clock, patience_s=patience_s, listens_s=LISTENS_S
        )
        self.node = node
        self._changed = threading.Condition()
        self._subscriptions: dict[str, Subscription] = {}
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
            self.end_what_is_over()
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
        super().take_static(data)
        self._notify()

    def take(self, data: bytes) -> None:
        """Take a message of /tf."""
        super().take(data)
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()


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
