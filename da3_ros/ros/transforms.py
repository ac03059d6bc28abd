"""TF: the rig read from static transforms, and the robot's pose written.

Static transforms are kept in a small tree of their own, because tf2 is not there on every
machine this package runs on, and chains of fixed joints are all that a rig needs.
"""

from __future__ import annotations

from collections.abc import Mapping
import threading

from geometry_msgs.msg import TransformStamped
import numpy as np
from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from tf2_msgs.msg import TFMessage

from da3_ros.config import OutputOptions
from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.geometry_messages import rigid_from_transform, transform_message
from da3_ros.ros.qos import latched
from da3_ros.types import PosedSet, RigCalibration

_STATIC_DEPTH = 100
_QUEUE_DEPTH = 100


class StaticTransforms:
    """Fixed joints as a forest: every frame knows its parent."""

    def __init__(self) -> None:
        self._parents: dict[str, tuple[str, FloatArray]] = {}
        self._lock = threading.Lock()

    def add(self, transform: TransformStamped) -> None:
        """Take parent_from_child of one joint; a newer one replaces an older one.

        Raises:
            GeometryError: its quaternion is no rotation.
        """
        parent = transform.header.frame_id.lstrip('/')
        parent_from_child = rigid_from_transform(transform.transform)
        with self._lock:
            self._parents[transform.child_frame_id.lstrip('/')] = (parent, parent_from_child)

    def lookup(self, a: str, b: str) -> FloatArray | None:
        """Return a_from_b (4, 4), None when fixed joints do not connect the two frames."""
        with self._lock:
            to_a = self._chain(a.lstrip('/'))
            to_b = self._chain(b.lstrip('/'))
        for ancestor, ancestor_from_a in to_a.items():
            if ancestor in to_b:
                return np.asarray(invert(ancestor_from_a) @ to_b[ancestor])
        return None

    def _chain(self, frame: str) -> dict[str, FloatArray]:
        """Return ancestor to ancestor_from_frame, nearest first; stops at a loop."""
        chain: dict[str, FloatArray] = {frame: np.eye(4)}
        here = frame
        while here in self._parents:
            parent, parent_from_here = self._parents[here]
            if parent in chain:
                break
            chain[parent] = parent_from_here @ chain[here]
            here = parent
        return chain


class RigSource:
    """The rig: what parameters say, else what /tf_static says.

    Args:
        node: owns the subscription to /tf_static.
        options: frames and switches.
        given: the rig of the parameters.
        group: callback group.
        faults: takes transforms that are none.
    """

    def __init__(
        self,
        node: Node,
        options: OutputOptions,
        given: RigCalibration,
        group: CallbackGroup,
        faults: FaultLog,
    ) -> None:
        self._node = node
        self._base_frame = options.base_frame
        self._given = given
        self._faults = faults
        self._static = StaticTransforms()
        self._changed = threading.Condition()
        self._reads_tf = options.use_tf_static
        if self._reads_tf:
            self._subscription = node.create_subscription(
                TFMessage, '/tf_static', self.take, latched(_STATIC_DEPTH), callback_group=group
            )

    def take(self, message: TFMessage) -> None:
        """Take joints of /tf_static."""
        for transform in message.transforms:
            self._add(transform)
        with self._changed:
            self._changed.notify_all()

    def _add(self, transform: TransformStamped) -> None:
        try:
            self._static.add(transform)
        except GeometryError as error:
            child = transform.child_frame_id
            self._faults.report('tf_static', child, f'/tf_static, frame {child}: {error}')

    def rig(self, frame_ids: Mapping[str, str]) -> RigCalibration:
        """Return the rig as far as it is known now.

        Args:
            frame_ids: camera name to the id of its optical frame.
        """
        found = dict(self._given.base_from_camera)
        for camera, frame_id in frame_ids.items():
            if camera not in found and frame_id:
                base_from_camera = self._static.lookup(self._base_frame, frame_id)
                if base_from_camera is not None:
                    found[camera] = base_from_camera
        return RigCalibration(found)

    def wait_for_rig(self, frame_ids: Mapping[str, str], timeout_s: float) -> RigCalibration:
        """Return the rig, after waiting for it while somebody publishes /tf_static.

        Args:
            frame_ids: camera name to the id of its optical frame; the cameras that are wanted.
            timeout_s: longest wait; what is known then is returned.
        """

        def is_complete() -> bool:
            return set(frame_ids) <= set(self.rig(frame_ids).base_from_camera)

        with self._changed:
            # One of the publishers is this node's own.
            if self._reads_tf and self._node.count_publishers('/tf_static') > 1:
                self._changed.wait_for(is_complete, timeout_s)
        return self.rig(frame_ids)

    def only_given(self, frame_ids: Mapping[str, str]) -> RigCalibration:
        """Return the part of the rig that parameters know and /tf_static does not."""
        return RigCalibration(
            {
                camera: pose
                for camera, pose in self._given.base_from_camera.items()
                if camera in frame_ids
                and self._static.lookup(self._base_frame, frame_ids[camera]) is None
            }
        )


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
        if any(view.frame.camera in rig.base_from_camera for view in posed.views):
            pose = posed.world_from_base
            found.append(transform_message(pose, stamp_ns, o.odom_frame, o.base_frame))
        found += [
            transform_message(
                view.world_from_camera, view.frame.stamp_ns, o.odom_frame, view.frame.frame_id
            )
            for view in posed.views
            if view.frame.frame_id and view.frame.camera not in rig.base_from_camera
        ]
        return found
