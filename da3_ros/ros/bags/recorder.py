"""Recording topics to a bag over real DDS: received bytes are stored as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
import threading
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from da3_ros.errors import NodeError, SinkError
from da3_ros.ros.bags.log_time import HeldMessages, LogTime
from da3_ros.ros.messages.message_types import message_class
from da3_ros.sinks.bag import BagWriter

_LOG = logging.getLogger(__name__)
_DISCOVERY_PERIOD_S = 0.1
_SPIN_S = 0.05
_DEPTH = 200


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What to record and how long."""

    topics: tuple[str, ...] = ()
    """Names to record; each is waited for until it has a publisher."""
    all_topics: bool = False
    """Record whatever has a publisher, now or later."""
    seconds: float | None = None
    """End after this time, None for no limit."""
    max_messages: int | None = None
    """End after this many messages on all topics, None for no limit."""
    use_sim_time: bool | None = None
    """Whether log times are those of /clock; None: where /clock is published or awaited."""

    def __post_init__(self) -> None:
        """Check that there is something to record and that limits are positive.

        Raises:
            NodeError: no topic, both topics and all, or a limit that is not positive.
        """
        if bool(self.topics) == self.all_topics:
            raise NodeError('record: expected either names of topics or all topics')
        if self.seconds is not None and not self.seconds > 0:
            raise NodeError(f'record seconds: expected more than 0, got {self.seconds}')
        if self.max_messages is not None and self.max_messages < 1:
            raise NodeError(f'record max messages: expected at least 1, got {self.max_messages}')


@dataclass(frozen=True, slots=True)
class RecordSummary:
    """What was recorded."""

    messages: int
    seconds: float
    counts: tuple[tuple[str, int], ...]
    """Topic and number of messages, by name."""
    missing_topics: tuple[str, ...]
    """Topics asked for that never had a publisher, or whose type is not installed here."""
    clock: str
    """What the log times are: `/clock` or `system time`."""


class BagRecorder:
    """Subscribes to topics as they appear and writes what comes.

    A message's time in the bag is when it was received, by /clock or by the system's clock: see
    `LogTime`.

    Args:
        node: subscribes.
        executor: spins the node.
        bag: where messages go; left open.
        options: what to record.
        stop: ends the recording when set.
        on_topic: called with name and type whenever a topic starts to be recorded.
    """

    def __init__(
        self,
        node: Node,
        executor: SingleThreadedExecutor,
        bag: BagWriter,
        options: RecordOptions,
        stop: threading.Event,
        on_topic: Callable[[str, str], None] = lambda _name, _type: None,
    ) -> None:
        self._node = node
        self._executor = executor
        self._bag = bag
        self._options = options
        self._stop = stop
        self._on_topic = on_topic
        self._wanted = {node.resolve_topic_name(name) for name in options.topics}
        self._counts: dict[str, int] = {}
        self._refused: set[str] = set()
        self._on_message: Callable[[], object] = lambda: None
        self._log_time = LogTime(node, options.use_sim_time)
        self._held = HeldMessages()

    @property
    def pending_topics(self) -> tuple[str, ...]:
        """Topics asked for that are not being recorded yet."""
        return tuple(sorted(self._wanted - set(self._counts)))

    def discover(self) -> None:
        """Subscribe to every wanted topic that has a publisher by now."""
        self._log_time.look()
        for topic, msgtypes in self._node.get_topic_names_and_types():
            wanted = self._options.all_topics or topic in self._wanted
            if wanted and topic not in self._counts and topic not in self._refused:
                self._subscribe(topic, msgtypes)

    def record(self, on_message: Callable[[], object] = lambda: None) -> RecordSummary:
        """Record until a limit is reached or until stopped.

        Args:
            on_message: called after every message.

        Raises:
            SinkError: the bag cannot be written.
        """
        self._on_message = on_message
        began = time.monotonic()
        discovery_due = began
        while not self._stop.is_set() and not self._is_complete(began):
            if time.monotonic() >= discovery_due:
                self.discover()
                discovery_due = time.monotonic() + _DISCOVERY_PERIOD_S
            self._executor.spin_once(timeout_sec=_SPIN_S)
            self._write_held()
            self._bag.flush_when_due()
        self._log_time.give_up()
        self._write_held()
        return RecordSummary(
            sum(self._counts.values()),
            time.monotonic() - began,
            tuple(sorted(self._counts.items())),
            self.pending_topics,
            self._log_time.name,
        )

    def _is_complete(self, began: float) -> bool:
        options = self._options
        if options.max_messages is not None and (
            sum(self._counts.values()) >= options.max_messages
        ):
            return True
        return options.seconds is not None and time.monotonic() - began >= options.seconds

    def _subscribe(self, topic: str, msgtypes: list[str]) -> None:
        own = (self._node.get_name(), self._node.get_namespace())
        offers = [
            offer
            for offer in self._node.get_publishers_info_by_topic(topic)
            if (offer.node_name, offer.node_namespace) != own
        ]
        if not offers:
            return
        if len(msgtypes) != 1:
            self._refuse(topic, f'publishers disagree about its type: {", ".join(msgtypes)}')
            return
        # A subscription that asks for no more than every publisher offers matches all of them.
        profiles = [offer.qos_profile for offer in offers]
        is_reliable = all(p.reliability == ReliabilityPolicy.RELIABLE for p in profiles)
        is_latched = all(p.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in profiles)
        try:
            kind = message_class(msgtypes[0])
            self._bag.add_topic(topic, msgtypes[0], is_latched=is_latched, is_reliable=is_reliable)
        except (NodeError, SinkError) as error:
            self._refuse(topic, str(error))
            return
        profile = QoSProfile(
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE
            if is_reliable
            else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL
            if is_latched
            else DurabilityPolicy.VOLATILE,
        )
        self._counts[topic] = 0
        self._node.create_subscription(kind, topic, self._writer_of(topic), profile, raw=True)
        self._on_topic(topic, msgtypes[0])

    def _refuse(self, topic: str, reason: str) -> None:
        self._refused.add(topic)
        _LOG.warning('topic %s is not recorded: %s', topic, reason)

    def _writer_of(self, topic: str) -> Callable[[Any], None]:
        def store(data: bytes) -> None:
            limit = self._options.max_messages
            if limit is not None and sum(self._counts.values()) >= limit:
                return
            stamp_ns = self._log_time.now_ns()
            if stamp_ns is None:
                self._hold(topic, data)
            else:
                self._write_held()
                self._bag.write(topic, stamp_ns, data)
            self._counts[topic] += 1
            self._on_message()

        return store

    def _hold(self, topic: str, data: bytes) -> None:
        """Keep a message until /clock says when it came."""
        if self._held.add(topic, data):
            return
        if self._options.use_sim_time is None:
            self._log_time.give_up()
            self._write_held()
            return
        dropped = self._held.drop_oldest()
        for name in dropped:
            self._counts[name] -= 1
        _LOG.warning('no /clock yet: the oldest %d messages are not recorded', len(dropped))

    def _write_held(self) -> None:
        stamp_ns = self._log_time.now_ns() if self._held else None
        if stamp_ns is not None:
            for topic, data in self._held.take():
                self._bag.write(topic, stamp_ns, data)
