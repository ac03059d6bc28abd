"""The time that recorded messages get in a bag: that of a replayed clock, or the system's."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
import logging
import time

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rosgraph_msgs.msg import Clock

_LOG = logging.getLogger(__name__)
CLOCK = '/clock'
SYSTEM_TIME = 'system time'
# Ticks that overtake each other on the network are no jump.
_REORDERED_NS = 100_000_000
_HELD_BYTES = 64 << 20


class LogTime:
    """Says when a message came: log times that never go back.

    By /clock they are those of the bag that is replayed, so that the two bags play together. As
    `ros2 bag record --use-sim-time` has it, the time is the newest tick. Nothing is known before
    the first one.

    Args:
        node: subscribes to /clock.
        use_sim_time: whether to take /clock; None takes it where, at the first message, it has a
            publisher or somebody waits for it (as every node with `use_sim_time` does).
    """

    def __init__(self, node: Node, use_sim_time: bool | None) -> None:
        self._node = node
        self._is_sim = use_sim_time
        self._ticks: Subscription | None = None
        self._newest_ns: int | None = None
        self._tick_ns = 0
        self._offset_ns = 0
        self._last_ns = 0
        self._has_warned = use_sim_time is False
        if use_sim_time:
            self._subscribe()

    @property
    def name(self) -> str:
        """What the log times are: `/clock` or `system time`."""
        return CLOCK if self._is_sim else SYSTEM_TIME

    def look(self) -> None:
        """Look whether /clock is published by now."""
        if self._ticks is not None or self._has_warned or not self._node.count_publishers(CLOCK):
            return
        if self._is_sim is None:
            self._subscribe()
        elif not self._is_sim:
            self._has_warned = True
            _LOG.warning(
                '/clock is published since the recording began: log times stay system time; '
                'record with --use-sim-time for those of /clock'
            )

    def now_ns(self) -> int | None:
        """Return the log time of a message that has just come; None while /clock is awaited."""
        if self._is_sim is None:
            self._decide()
        if self._is_sim:
            self._take_waiting()
            return self._newest_ns
        self._last_ns = max(self._last_ns, time.time_ns())
        return self._last_ns

    def give_up(self) -> None:
        """Stop waiting for /clock: where no tick has come, log times are system time."""
        if self._newest_ns is None and self._is_sim is not False:
            if self._is_sim:
                _LOG.warning('no /clock was received: log times are system time')
            self._is_sim = False

    def _decide(self) -> None:
        is_awaited = self._node.count_subscribers(CLOCK) > 0
        is_there = self._ticks is not None or self._node.count_publishers(CLOCK) > 0
        self._is_sim = is_there or is_awaited
        if self._is_sim and self._ticks is None:
            self._subscribe()

    def _subscribe(self) -> None:
        # Only the newest tick counts.
        profile = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._ticks = self._node.create_subscription(Clock, CLOCK, self._take, profile)

    def _take_waiting(self) -> None:
        """Take the ticks that have arrived.

        Of several topics an executor serves any first: an answer would get the time of a tick
        before that of its own input.
        """
        if self._ticks is None:
            return
        with self._ticks.handle:
            while (found := self._ticks.handle.take_message(Clock, False)) is not None:
                self._take(found[0])

    def _take(self, message: Clock) -> None:
        tick_ns = message.clock.sec * 1_000_000_000 + message.clock.nanosec
        if self._newest_ns is not None and tick_ns < self._tick_ns - _REORDERED_NS:
            back_ns = self._tick_ns - tick_ns
            self._offset_ns += back_ns
            self._tick_ns = tick_ns
            _LOG.warning(
                '/clock went back by %.3f s (a bag in a loop?): log times go on from where they '
                'were, later than /clock by %.3f s',
                back_ns / 1e9,
                self._offset_ns / 1e9,
            )
        self._tick_ns = max(self._tick_ns, tick_ns)
        self._newest_ns = self._tick_ns + self._offset_ns


class HeldMessages:
    """Messages that wait for their time, oldest first."""

    def __init__(self) -> None:
        self._messages: deque[tuple[str, bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, topic: str, data: bytes) -> bool:
        """Keep a message; return whether there is room for more."""
        self._messages.append((topic, data))
        self._bytes += len(data)
        return self._bytes <= _HELD_BYTES

    def drop_oldest(self) -> list[str]:
        """Forget the older half; return the topics of what is forgotten."""
        dropped = []
        while self._messages and self._bytes > _HELD_BYTES // 2:
            topic, data = self._messages.popleft()
            self._bytes -= len(data)
            dropped.append(topic)
        return dropped

    def take(self) -> Iterator[tuple[str, bytes]]:
        """Yield all and forget them."""
        while self._messages:
            yield self._messages.popleft()
        self._bytes = 0
