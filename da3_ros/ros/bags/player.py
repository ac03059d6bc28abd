"""Playing a bag over real DDS: recorded bytes are published as they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import logging
import threading
import time
from typing import Any

from builtin_interfaces.msg import Time
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock as ClockMessage

from da3_ros.errors import NodeError, SourceError
from da3_ros.options.choices import Reliability
from da3_ros.options.scenes import PLAYBACK
from da3_ros.ros.messages.message_types import message_class
from da3_ros.sources.bag import BagReader, TopicInfo

_LOG = logging.getLogger(__name__)
_CLOCK_TOPIC = '/clock'
_CLOCK_PERIOD_S = 0.01
_POLL_S = 0.05
_SETTLE_S = 0.3
_DEPTH = 50
# How long the last reliable messages may take to be acknowledged, for all topics together.
_FLUSH_S = 5.0


@dataclass(frozen=True, slots=True)
class PlayOptions:
    """What to play and how."""

    rate: float = 1.0
    """Speed: 2 plays a bag in half its time; 0 as fast as it goes."""
    loop: bool = False
    """Start again at the end, until stopped."""
    publish_clock: bool = False
    """Publish the bag's time on /clock, for nodes with use_sim_time."""
    topics: tuple[str, ...] = ()
    """Topics to play; empty for all."""
    start_s: float = 0.0
    """Seconds of the bag to leave out at its beginning; latched topics are played all the same."""
    duration_s: float | None = None
    """Seconds of the bag to play, None for all."""
    wait_subscribers_s: float = 0.0
    """Longest wait for a subscriber on every topic before the first message."""
    wait_topics: tuple[str, ...] = ()
    """Topics that this wait is for; empty for all that are played."""
    reliability: Reliability = PLAYBACK.qos
    """Offered for all but latched topics, which are always reliable."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            NodeError: one is negative.
        """
        for name in ('rate', 'start_s', 'duration_s', 'wait_subscribers_s'):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise NodeError(f'play {name}: expected a number >= 0, got {value}')


@dataclass(frozen=True, slots=True)
class PlaySummary:
    """What was played."""

    messages: int | None
    """None where the player did not count."""
    seconds: float
    """Time it took, first to last message, by the monotonic clock."""
    topics: int
    skipped_topics: tuple[str, ...]
    """Topics whose message type is not installed here."""
    unheard_topics: tuple[str, ...]
    """Topics that still had no subscriber when the wait for them ended."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What the publisher of a topic offers."""

    is_latched: bool
    is_reliable: bool
    depth: int


def offer_of(topic: TopicInfo, options: PlayOptions) -> Offer:
    """Return what is offered for a topic: latched ones keep all their messages."""
    is_latched = topic.is_latched or topic.name == '/tf_static'
    is_reliable = is_latched or options.reliability == 'reliable'
    return Offer(is_latched, is_reliable, max(_DEPTH, topic.count) if is_latched else _DEPTH)


def chosen_topics(bag: BagReader, options: PlayOptions) -> list[TopicInfo]:
    """Return the topics of a bag that are to be played.

    Raises:
        SourceError: a chosen topic, or one that is waited for, is not in the bag.
    """
    missing = sorted({*options.topics, *options.wait_topics} - {info.name for info in bag.topics})
    if missing:
        raise SourceError(
            f'bag {bag.path}: no topic {", ".join(missing)}; '
            f'it has {", ".join(info.name for info in bag.topics) or "none"}'
        )
    return [info for info in bag.topics if not options.topics or info.name in options.topics]


class BagPlayer:
    """Publishes a bag's messages at their recorded pace.

    Args:
        node: publishes; need not be spun.
        bag: opened.
        options: what and how.
        stop: ends the playing early when set.

    Raises:
        NodeError: no message type of the chosen topics is installed here.
        SourceError: a chosen topic is not in the bag.
    """

    def __init__(
        self, node: Node, bag: BagReader, options: PlayOptions, stop: threading.Event
    ) -> None:
        self._bag = bag
        self._options = options
        self._stop = stop
        self._publishers: dict[str, Any] = {}
        self._latched: set[str] = set()
        self._skipped: list[str] = []
        self._unheard: tuple[str, ...] = ()
        for info in chosen_topics(bag, options):
            self._advertise(node, info)
        if not self._publishers and self._skipped:
            raise NodeError(
                f'bag {bag.path}: no message type is installed here; '
                f'skipped {", ".join(self._skipped)}'
            )
        self._clock = (
            node.create_publisher(ClockMessage, _CLOCK_TOPIC, 10)
            if options.publish_clock
            else None
        )
        self._messages = 0

    @property
    def total(self) -> int:
        """Messages in one pass, when nothing is left out at the ends."""
        return sum(info.count for info in self._bag.topics if info.name in self._publishers)

    def wait_for_subscribers(self) -> bool:
        """Wait as long as the options say; return whether every topic has a subscriber now."""
        deadline = time.monotonic() + self._options.wait_subscribers_s
        while True:
            self._unheard = tuple(
                topic
                for topic, publisher in self._publishers.items()
                if publisher.get_subscription_count() == 0
                and topic in (self._options.wait_topics or self._publishers)
            )
            if not self._unheard:
                # The two sides of a match learn of it at slightly different times; what a
                # best-effort publisher sends in between is lost.
                self._stop.wait(_SETTLE_S)
                return True
            if time.monotonic() >= deadline or self._stop.wait(_POLL_S):
                return False

    def play(self, on_message: Callable[[], object] = lambda: None) -> PlaySummary:
        """Publish until the bag ends, or until stopped.

        Args:
            on_message: called after every message.

        Raises:
            SourceError: the bag is damaged.
        """
        began = time.monotonic()
        while self._pass(on_message) and self._options.loop:
            # The gap keeps a bag without extent in time from flooding the network.
            if self._stop.wait(_POLL_S):
                break
        seconds = time.monotonic() - began
        self._flush()
        return PlaySummary(
            self._messages,
            seconds,
            len(self._publishers),
            tuple(self._skipped),
            self._unheard,
        )

    def _advertise(self, node: Node, info: TopicInfo) -> None:
        if info.name == _CLOCK_TOPIC and self._options.publish_clock:
            return
        try:
            kind = message_class(info.msgtype)
        except NodeError as error:
            _LOG.warning('topic %s is left out: %s', info.name, error)
            self._skipped.append(info.name)
            return
        offer = offer_of(info, self._options)
        if offer.is_latched:
            self._latched.add(info.name)
        profile = QoSProfile(
            depth=offer.depth,
            reliability=ReliabilityPolicy.RELIABLE
            if offer.is_reliable
            else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL
            if offer.is_latched
            else DurabilityPolicy.VOLATILE,
        )
        self._publishers[info.name] = node.create_publisher(kind, info.name, profile)

    def _pass(self, on_message: Callable[[], object]) -> bool:
        """Play once through; return whether there was anything to play."""
        bag, options = self._bag, self._options
        first_ns = bag.start_ns + round(options.start_s * 1e9)
        stop_ns = (
            None if options.duration_s is None else first_ns + round(options.duration_s * 1e9)
        )
        if options.start_s > 0 and self._latched:
            for message in bag.messages(self._latched, stop_ns=first_ns):
                self._publish(message.topic, message.data, on_message)
        began = time.monotonic()
        played = 0
        for message in bag.messages(self._publishers.keys(), first_ns, stop_ns):
            if not self._wait_until(began, message.stamp_ns - first_ns, first_ns):
                return False
            self._tick(message.stamp_ns)
            self._publish(message.topic, message.data, on_message)
            played += 1
        return played > 0

    def _publish(self, topic: str, data: bytes, on_message: Callable[[], object]) -> None:
        self._publishers[topic].publish(data)
        self._messages += 1
        on_message()

    def _wait_until(self, began: float, elapsed_ns: int, first_ns: int) -> bool:
        """Wait until a message is due, ticking the clock; return whether to go on."""
        rate = self._options.rate
        if rate == 0:
            return not self._stop.is_set()
        due = began + elapsed_ns / 1e9 / rate
        while not self._stop.is_set():
            left = due - time.monotonic()
            if left <= 0:
                return True
            if self._clock is not None and left > _CLOCK_PERIOD_S:
                self._stop.wait(_CLOCK_PERIOD_S)
                now_ns = first_ns + int((time.monotonic() - began) * rate * 1e9)
                self._tick(min(now_ns, first_ns + elapsed_ns))
            else:
                self._stop.wait(left)
        return False

    def _tick(self, stamp_ns: int) -> None:
        if self._clock is None:
            return
        seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
        self._clock.publish(ClockMessage(clock=Time(sec=seconds, nanosec=nanoseconds)))

    def _flush(self) -> None:
        """Wait for subscribers to acknowledge, so that leaving does not take messages back."""
        deadline = time.monotonic() + _FLUSH_S
        moment = Duration(seconds=_POLL_S)
        for publisher in self._publishers.values():
            # In slices, because the call below does not notice signals.
            while not publisher.wait_for_all_acked(moment):
                if self._stop.is_set() or time.monotonic() >= deadline:
                    return
