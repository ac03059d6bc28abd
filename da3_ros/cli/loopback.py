"""Large images sent from one process to another over ROS 2, counted.

As a program (`python -m da3_ros.cli.loopback TOPIC`) it is the publisher.
"""

from __future__ import annotations

from dataclasses import dataclass
import os
import statistics
import subprocess
import sys
import time
from typing import Any

HEIGHT, WIDTH = 1080, 1920
COUNT = 30
_PERIOD_S = 1 / 15
_DISCOVERY_S = 10.0
_LINGER_S = 1.0
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Loopback:
    """What was measured."""

    sent: int
    received: int
    """Different images that came."""
    latency_ms: float | None
    """Median from publishing to the callback; None when nothing came."""


def measure() -> Loopback:
    """Start a publisher in a process of its own and count its images here."""
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from da3_ros.ros.client.session import tool_node

    topic = f'da3_doctor_{os.getpid()}/image'
    numbers: set[int] = set()
    latencies_ms: list[float] = []

    def receive(message: Any) -> None:
        sent_ns = message.header.stamp.sec * _NS_PER_S + message.header.stamp.nanosec
        latencies_ms.append((time.time_ns() - sent_ns) / 1e6)
        numbers.add(int(message.header.frame_id))

    with tool_node('da3_doctor') as (node, executor):
        node.create_subscription(Image, topic, receive, qos_profile_sensor_data)
        publisher = subprocess.Popen(
            [sys.executable, '-m', 'da3_ros.cli.loopback', topic],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            limit = time.monotonic() + 2 * _DISCOVERY_S + COUNT * _PERIOD_S + _LINGER_S
            while publisher.poll() is None and time.monotonic() < limit:
                executor.spin_once(timeout_sec=0.05)
        finally:
            if publisher.poll() is None:
                publisher.kill()
            publisher.wait()
    latency_ms = statistics.median(latencies_ms) if latencies_ms else None
    return Loopback(COUNT, len(numbers), latency_ms)


def publish(topic: str) -> None:
    """Publish the images once somebody listens."""
    import array

    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image

    from da3_ros.ros.client.session import tool_node

    with tool_node('da3_doctor_publisher') as (node, executor):
        publisher = node.create_publisher(Image, topic, qos_profile_sensor_data)
        message = Image(height=HEIGHT, width=WIDTH, encoding='rgb8', step=3 * WIDTH)
        message.data = array.array('B', bytes(3 * WIDTH * HEIGHT))
        limit = time.monotonic() + _DISCOVERY_S
        while publisher.get_subscription_count() == 0 and time.monotonic() < limit:
            executor.spin_once(timeout_sec=0.05)
        # The other side may learn of the match a moment later.
        _spin(executor, _LINGER_S)
        for number in range(COUNT):
            now_ns = time.time_ns()
            message.header.frame_id = str(number)
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, _NS_PER_S)
            publisher.publish(message)
            _spin(executor, _PERIOD_S)
        _spin(executor, _LINGER_S)


def _spin(executor: Any, seconds: float) -> None:
    limit = time.monotonic() + seconds
    while (left := limit - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left)


if __name__ == '__main__':
    publish(sys.argv[1])
