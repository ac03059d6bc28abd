"""Publish numbered best-effort images, each when the one before has come, or half a second later.

A reader that gets no time would miss best-effort images by itself: what is looked at is the way.

Usage: image_publisher.py HEIGHT WIDTH COUNT
"""

import array
import sys
import time

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Empty, UInt32

from helpers.numbered_image import pixels

PATIENCE_S = 0.5


def wait_for_subscriber(node: Node, publisher: Publisher, timeout_s: float) -> None:
    """Spin until both sides know of each other: the publisher itself, and the subscriber says so.

    Raises:
        TimeoutError: No subscriber came.
    """
    said: list[Empty] = []
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    subscription = node.create_subscription(Empty, 'matched', said.append, latched)
    deadline = time.monotonic() + timeout_s
    while not said or publisher.get_subscription_count() == 0:
        if time.monotonic() > deadline:
            raise TimeoutError('no subscriber came')
        rclpy.spin_once(node, timeout_sec=0.05)
    node.destroy_subscription(subscription)


def main() -> None:
    """Publish, and stay until SIGINT so that the last image is not cut off."""
    height, width, count = map(int, sys.argv[1:4])
    rclpy.init()
    node = rclpy.create_node('image_publisher')
    publisher = node.create_publisher(Image, 'image', qos_profile_sensor_data)
    came: list[int] = []
    node.create_subscription(UInt32, 'received', lambda m: came.append(m.data), 10)
    message = Image(height=height, width=width, encoding='rgb8', step=3 * width)
    try:
        wait_for_subscriber(node, publisher, 20.0)
        for number in range(count):
            message.data = array.array('B', pixels(number, height, width))
            message.header.stamp = node.get_clock().now().to_msg()
            publisher.publish(message)
            due = time.monotonic() + PATIENCE_S
            while number not in came and time.monotonic() < due:
                rclpy.spin_once(node, timeout_sec=0.05)
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == '__main__':
    main()
