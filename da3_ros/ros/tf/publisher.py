"""Writing TF: the pose of the robot, and a rig that only parameters know."""

from __future__ import annotations

from collections.abc import Mapping

from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.node import Node
from tf2_msgs.msg import TFMessage

from da3_ros.options import OutputOptions
from da3_ros.ros.messages.geometry_messages import transform_message
from da3_ros.ros.messages.qos import latched
from da3_ros.types import PosedSet, RigCalibration

_QUEUE_DEPTH = 100


class TransformPublisher:
    """Publishes /tf for posed sets, and /tf_static for a rig that only parameters know.

    Cameras of the rig hang below base_frame, and a frame has one parent only: for them odom to
    base_frame goes out. For a camera that the rig does not know, odom to its optical frame.

    Args:
        node: owns the publishers.
        options: frames and switches.
    """

    def __init__(self, node: Node, options: OutputOptions) -> None:
        self._options = options
        self._publisher = node.create_publisher(TFMessage, '/tf', _QUEUE_DEPTH)
        self._static = node.create_publisher(TFMessage, '/tf_static', latched())

    def publish_rig(self, rig: RigCalibration, frame_ids: Mapping[str, str]) -> None:
        """Publish base_frame to the optical frames of these cameras, latched.

        Args:
            rig: the cameras that nobody else publishes.
            frame_ids: camera name to the id of its optical frame; without one, no transform.
        """
        base = self._options.base_frame
        transforms = [
            transform_message(base_from_camera, 0, base, frame_ids[camera])
            for camera, base_from_camera in rig.base_from_camera.items()
            if frame_ids.get(camera)
        ]
        if transforms and self._options.publish_tf:
            self._static.publish(TFMessage(transforms=transforms))

    def publish(self, posed: PosedSet, rig: RigCalibration) -> None:
        """Publish the transforms of one set, if any are switched on."""
        transforms = self._transforms(posed, rig)
        if transforms:
            self._publisher.publish(TFMessage(transforms=transforms))

    def _transforms(self, posed: PosedSet, rig: RigCalibration) -> list[TransformStamped]:
        o = self._options
        stamp_ns = posed.stamp_ns
        found: list[TransformStamped] = []
        if o.publish_map_tf:
            found.append(transform_message(np.eye(4), stamp_ns, o.map_frame, o.odom_frame))
        if not o.publish_tf:
            return found
        if any(view.id.camera in rig.base_from_camera for view in posed.views):
            pose = posed.world_from_base
            found.append(transform_message(pose, stamp_ns, o.odom_frame, o.base_frame))
        found += [
            transform_message(
                view.world_from_camera, view.id.stamp_ns, o.odom_frame, view.id.frame_id
            )
            for view in posed.views
            if view.id.frame_id and view.id.camera not in rig.base_from_camera
        ]
        return found
