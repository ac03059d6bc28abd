"""A camera with a process of its own, to be unplugged: an image for every one of another camera.

Usage: follower_camera.py CAMERA LEADER
"""

from __future__ import annotations

import os
import signal
import sys

from sensor_msgs.msg import CameraInfo

from da3_ros.ros.messages.geometry_messages import ns_from_stamp
from helpers.ros_rig import RELIABLE, RosRobot


def main(camera: str, leader: str) -> None:
    """Send images at the leader's stamps until interrupted."""

    def follow(info: CameraInfo) -> None:
        robot.send([camera], ns_from_stamp(info.header.stamp))

    with RosRobot(int(os.environ['ROS_DOMAIN_ID']), [camera]) as robot:
        robot.node.create_subscription(CameraInfo, f'{leader}/camera_info', follow, RELIABLE)
        sys.stdout.write('plugged in\n')
        sys.stdout.flush()
        try:
            signal.pause()
        except KeyboardInterrupt:
            return


if __name__ == '__main__':
    main(*sys.argv[1:])
