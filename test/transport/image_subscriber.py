"""Count the numbered images of image_publisher.py, compare every byte, print the result as JSON.

Usage: image_subscriber.py HEIGHT WIDTH COUNT TIMEOUT_S
"""

import json
import sys
import time

import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Empty, UInt32

from helpers.numbered_image import pixels


def main() -> None:
    """Receive until the last image has come or nothing came for a while."""
    height, width, count = map(int, sys.argv[1:4])
    timeout_s = float(sys.argv[4])
    numbers: list[int] = []
    damaged: list[int] = []
    latencies_ms: list[float] = []

    def receive(message: Image) -> None:
        now_ns = node.get_clock().now().nanoseconds
        number = int.from_bytes(bytes(message.data[:4]), 'little')
        received.publish(UInt32(data=number))
        numbers.append(number)
        stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        latencies_ms.append((now_ns - stamp_ns) / 1e6)
        if bytes(message.data) != pixels(number, height, width):
            damaged.append(number)

    rclpy.init()
    node = rclpy.create_node('image_subscriber')
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    matched = node.create_publisher(Empty, 'matched', latched)
    received = node.create_publisher(UInt32, 'received', 10)
    events = SubscriptionEventCallbacks(matched=lambda _: matched.publish(Empty()))
    node.create_subscription(
        Image, 'image', receive, qos_profile_sensor_data, event_callbacks=events
    )
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and count - 1 not in numbers:
        rclpy.spin_once(node, timeout_sec=0.1)
    result = {'numbers': numbers, 'damaged': damaged, 'latencies_ms': latencies_ms}
    sys.stdout.write(f'result {json.dumps(result)}\n')
    node.destroy_node()
    rclpy.try_shutdown()


if __name__ == '__main__':
    main()
