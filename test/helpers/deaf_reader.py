"""A reliable subscriber of images that never reads, or that reads until it is frozen.

Usage: deaf_reader.py TOPIC HISTORY READS

HISTORY: keep_last or keep_all. READS: whether messages are taken, 0 or 1.
"""

from __future__ import annotations

import signal
import sys
import time

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

_HISTORIES = {'keep_last': HistoryPolicy.KEEP_LAST, 'keep_all': HistoryPolicy.KEEP_ALL}


def main(topic: str, history: str, reads: str) -> None:
    """Subscribe and say so, then wait for the end."""
    rclpy.init()
    node = rclpy.create_node('deaf_reader')
    profile = QoSProfile(
        history=_HISTORIES[history], depth=1, reliability=ReliabilityPolicy.RELIABLE
    )
    node.create_subscription(Image, topic, lambda image: _say('read'), profile)
    while not node.count_publishers(topic):
        time.sleep(0.02)
    _say('subscribed')
    try:
        if int(reads):
            rclpy.spin(node)
        else:
            signal.pause()
    except KeyboardInterrupt:
        return


def _say(line: str) -> None:
    sys.stdout.write(line + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main(*sys.argv[1:])
