"""Odometry and path of the rig as messages; what they say is in `pipeline.odometry_track`."""

from __future__ import annotations

from nav_msgs.msg import Odometry, Path
from rclpy.node import Node

from da3_ros.geometry.trajectory import Motion
from da3_ros.options import OutputOptions
from da3_ros.pipeline.odometry_track import OdometryTrack
from da3_ros.ros.messages.geometry_messages import header, pose_message
from da3_ros.ros.messages.path_bytes import PathBytes
from da3_ros.ros.messages.qos import data_output, latched, overridable
from da3_ros.types import AlignmentReport, PosedSet


class OdometryPublisher:
    """Publishes `odometry` and the latched `path`.

    Args:
        node: owns the publishers.
        options: frames and queue depth.
        capacity: newest poses that the path keeps.
    """

    def __init__(self, node: Node, options: OutputOptions, capacity: int) -> None:
        self._options = options
        self._track = OdometryTrack()
        self._odometry = node.create_publisher(
            Odometry,
            'odometry',
            data_output(options.queue_depth),
            qos_overriding_options=overridable(),
        )
        self._path = node.create_publisher(
            Path, 'path', latched(), qos_overriding_options=overridable()
        )
        self._capacity = capacity
        self._poses = PathBytes(options.odom_frame, capacity)

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return bool(self._odometry.get_subscription_count() or self._path.get_subscription_count())

    def restart(self) -> None:
        """Forget the trajectory so far: the world starts anew."""
        self._track.restart()
        self._poses.clear()

    def add_window(self, report: AlignmentReport) -> None:
        """Take how the window was placed whose sets come next."""
        self._track.add_window(report)

    def publish(self, posed: PosedSet, report: AlignmentReport) -> None:
        """Publish the pose of one set, and the path with it."""
        if not self._track.append(posed):
            return
        # Latched: who comes later gets the last one, so it goes out without readers too.
        if self._capacity:
            self._poses.append(posed.stamp_ns, posed.world_from_base)
            self._path.publish(self._poses.message())
        if self._odometry.get_subscription_count():
            self._odometry.publish(self._message(posed, report))

    def _message(self, posed: PosedSet, report: AlignmentReport) -> Odometry:
        o = self._options
        head = header(posed.stamp_ns, o.odom_frame)
        message = Odometry(header=head, child_frame_id=o.base_frame)
        message.pose.pose = pose_message(posed.world_from_base)
        reading = self._track.reading(posed, report)
        message.pose.covariance = reading.pose_covariance
        if reading.motion is not None:
            _fill_twist(message, reading.motion)
        message.twist.covariance = reading.twist_covariance
        return message


def _fill_twist(message: Odometry, motion: Motion) -> None:
    twist = message.twist.twist
    for axis, linear, angular in zip(
        'xyz', motion.linear_per_s, motion.angular_rad_per_s, strict=True
    ):
        setattr(twist.linear, axis, float(linear))
        setattr(twist.angular, axis, float(angular))
