"""Odometry and path of the rig, with a covariance that follows from how windows were placed."""

from __future__ import annotations

from dataclasses import dataclass

from nav_msgs.msg import Odometry, Path
import numpy as np
from rclpy.node import Node

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.trajectory import Motion, Trajectory
from da3_ros.options import OutputOptions
from da3_ros.ros.messages.geometry_messages import header, pose_message
from da3_ros.ros.messages.path_bytes import PathBytes
from da3_ros.ros.messages.qos import data_output, latched, overridable
from da3_ros.types import AlignmentReport, PosedSet

UNKNOWN_VARIANCE = 1e6
"""What stands for "do not use this" in a covariance that must be invertible."""

_FLOOR_M = 1e-3
_FLOOR_RAD = 1e-3
# What a window that shares nothing with the one before may have moved unseen.
_DEAD_RECKONING_M = 1.0
_DEAD_RECKONING_RAD = 0.3
# What an odometry that is followed alone may be wrong by from one window to the next.
_ODOMETRY_M = 0.02
_ODOMETRY_RAD = 0.01


@dataclass(frozen=True, slots=True)
class Variances:
    """Variance of each axis of the position and of the rotation."""

    position: float
    """World units squared."""
    rotation: float
    """rad^2."""


class PoseUncertainty:
    """How the variance of the pose grows from window to window.

    Every window adds the squares of its alignment residuals (at least 1 mm and 1 mrad), as in a
    random walk. An uncertain scale adds (sigma of log scale * distance from the start)^2. A window
    that shares no view with the one before adds 1 m and 0.3 rad, and is itself unknown (1e6), as
    is every pose whose unit is not the metre. A window that is placed by odometry alone adds 2 cm
    and 0.01 rad.
    """

    def __init__(self) -> None:
        self._walk = Variances(0.0, 0.0)
        self._last = Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)

    def add_window(self, report: AlignmentReport) -> None:
        """Take how one more window was placed."""
        if report.method == 'first':
            step = self._walk = Variances(_FLOOR_M**2, _FLOOR_RAD**2)
        else:
            if report.method == 'dead_reckoning':
                step = Variances(_DEAD_RECKONING_M**2, _DEAD_RECKONING_RAD**2)
            elif report.method == 'odometry':
                step = Variances(_ODOMETRY_M**2, _ODOMETRY_RAD**2)
            else:
                step = Variances(
                    _at_least(report.translation_residual, _FLOOR_M) ** 2,
                    _at_least(report.rotation_residual_rad, _FLOOR_RAD) ** 2,
                )
            self._walk = Variances(
                self._walk.position + step.position, self._walk.rotation + step.rotation
            )
        self._last = step

    def pose(self, report: AlignmentReport, distance: float) -> Variances:
        """Return the variances of a pose of the last window, `distance` from the start."""
        if not report.is_metric or report.method == 'dead_reckoning':
            return Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)
        scale = (_at_least(report.scale_log_sigma, 0.0) * distance) ** 2
        return Variances(
            min(self._walk.position + scale, UNKNOWN_VARIANCE),
            min(self._walk.rotation, UNKNOWN_VARIANCE),
        )

    def twist(self, report: AlignmentReport, seconds: float | None) -> Variances:
        """Return the variances of a velocity over some seconds; None when there is none."""
        moved = report.method in ('shared_views', 'odometry')
        if seconds is None or not report.is_metric or not moved:
            return Variances(UNKNOWN_VARIANCE, UNKNOWN_VARIANCE)
        return Variances(
            min(2 * self._last.position / seconds**2, UNKNOWN_VARIANCE),
            min(2 * self._last.rotation / seconds**2, UNKNOWN_VARIANCE),
        )


def _at_least(value: float, floor: float) -> float:
    return max(value, floor) if np.isfinite(value) else floor


def covariance(variances: Variances) -> FloatArray:
    """Return the (36,) row-major covariance x y z roll pitch yaw of independent equal axes."""
    diagonal = [variances.position] * 3 + [variances.rotation] * 3
    return np.asarray(np.diag(diagonal).reshape(-1))


class OdometryPublisher:
    """Publishes `odometry` and the latched `path`.

    Args:
        node: owns the publishers.
        options: frames and queue depth.
        capacity: newest poses that the path keeps.
    """

    def __init__(self, node: Node, options: OutputOptions, capacity: int) -> None:
        self._options = options
        # As far as it went out, which is behind what the pipeline knows; no more than a motion.
        self._trajectory = Trajectory(capacity=2)
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
        self.restart()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody subscribes."""
        return bool(self._odometry.get_subscription_count() or self._path.get_subscription_count())

    def restart(self) -> None:
        """Forget the trajectory so far: the world starts anew."""
        self._trajectory.clear()
        self._poses.clear()
        self._uncertainty = PoseUncertainty()

    def add_window(self, report: AlignmentReport) -> None:
        """Take how the window was placed whose sets come next."""
        self._uncertainty.add_window(report)

    def publish(self, posed: PosedSet, report: AlignmentReport) -> None:
        """Publish the pose of one set, and the path with it."""
        if not self._trajectory.append(posed.stamp_ns, posed.world_from_base):
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
        start = self._trajectory.start
        assert start is not None  # this pose at least
        moved = posed.world_from_base[:3, 3] - start.world_from_base[:3, 3]
        distance = float(np.linalg.norm(moved))
        message.pose.covariance = covariance(self._uncertainty.pose(report, distance))
        motion = self._trajectory.motion()
        if motion is not None:
            _fill_twist(message, motion)
        seconds = None if motion is None else motion.duration_s
        message.twist.covariance = covariance(self._uncertainty.twist(report, seconds))
        return message


def _fill_twist(message: Odometry, motion: Motion) -> None:
    twist = message.twist.twist
    for axis, linear, angular in zip(
        'xyz', motion.linear_per_s, motion.angular_rad_per_s, strict=True
    ):
        setattr(twist.linear, axis, float(linear))
        setattr(twist.angular, axis, float(angular))
