"""Writing TF: sends what `TransformClaims` lets out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import threading

from rclpy.publisher import Publisher
from tf2_msgs.msg import TFMessage

from da3_ros.options import OutputOptions
from da3_ros.ros.messages.geometry_messages import transform_message
from da3_ros.ros.messages.qos import latched
from da3_ros.ros.tf.claims import TransformClaim, TransformClaims
from da3_ros.ros.tf.joints import joint_of
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.transforms import MOVING_TOPIC, STATIC_TOPIC
from da3_ros.types import PosedSet, RigCalibration

_QUEUE_DEPTH = 100


class TransformPublisher:
    """Publishes /tf for posed sets, and /tf_static for a rig that only parameters know.

    Args:
        options: frames and switches.
        tf: what others publish; its node owns the publishers.
    """

    def __init__(self, options: OutputOptions, tf: TfInput) -> None:
        self._tf = tf
        self._claims = TransformClaims(options, tf)
        node = tf.node
        self._publisher = node.create_publisher(TFMessage, MOVING_TOPIC, _QUEUE_DEPTH)
        self._static = node.create_publisher(TFMessage, STATIC_TOPIC, latched())
        # What is decided goes out before anything else is decided: of the thread of the windows
        # and that of TF.
        self._lock = threading.RLock()

    @property
    def is_wanted(self) -> bool:
        """Whether a pose would be published: others may publish all there is."""
        return self._claims.is_wanted

    def publish_rig(self, rig: RigCalibration, frame_ids: Mapping[str, str]) -> None:
        """Publish base_frame to the optical frames of these cameras, latched.

        Args:
            rig: the cameras that nobody else publishes.
            frame_ids: camera name to the id of its optical frame; without one, no transform.
        """
        with self._lock:
            self._latch(self._claims.of_rig(rig, frame_ids))

    def publish(self, posed: PosedSet, rig: RigCalibration) -> None:
        """Publish the transforms of one set, as far as nobody else publishes them."""
        with self._lock:
            admitted = self._claims.of_set(posed, rig)
            if admitted:
                self._send(self._publisher, admitted)

    def tick(self) -> None:
        """Take over what nobody else publishes any more, and bring the rig up to date."""
        with self._lock:
            self._latch(self._claims.tick())

    def _latch(self, claims: Sequence[TransformClaim] | None) -> None:
        if claims is not None:
            self._send(self._static, claims)

    def _send(self, publisher: Publisher, claims: Sequence[TransformClaim]) -> None:
        messages = [transform_message(c.pose, c.stamp_ns, c.parent, c.child) for c in claims]
        for message in messages:
            # Before it goes out: it comes back at once.
            self._tf.sent.add(joint_of(message))
        publisher.publish(TFMessage(transforms=messages))
