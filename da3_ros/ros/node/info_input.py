"""Subscriptions of one camera_info topic: the newest messages, and one kept from before."""

from __future__ import annotations

from collections.abc import Callable
import threading

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from da3_ros.ros.messages.qos import latched, overridable, unheard_is_meant

_LATCHED = DurabilityPolicy.TRANSIENT_LOCAL


class InfoInput:
    """Receives the calibration of one camera.

    Args:
        node: owns the subscriptions.
        camera: name and topic prefix.
        profile: QoS; reliability is the images', since drivers that send those best effort do so
            here too.
        group: callback group.
        take: takes every message.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        profile: QoSProfile,
        group: CallbackGroup,
        take: Callable[[CameraInfo], None],
    ) -> None:
        self._node = node
        self._camera = camera
        self._group = group
        self._take = take
        # Destroyed by another thread than the one that looks around.
        self._lock = threading.Lock()
        self._is_open = True
        self._newest = node.create_subscription(
            CameraInfo,
            f'{camera}/camera_info',
            take,
            profile,
            callback_group=group,
            qos_overriding_options=overridable(),
        )
        self._kept: Subscription[CameraInfo] | None = None
        self.topic = str(self._newest.topic_name)
        """Resolved and remapped."""

    def destroy(self) -> None:
        """End the subscriptions."""
        with self._lock:
            self._is_open = False
            self._node.destroy_subscription(self._newest)
            if self._kept is not None:
                self._node.destroy_subscription(self._kept)

    @property
    def is_published(self) -> bool:
        """Whether somebody publishes the topic."""
        return bool(self._node.count_publishers(self.topic))

    def hear_latched(self) -> None:
        """Also receive a calibration that was published once, before this node was there.

        Only where there is one: a subscription that asks for it does not match the publishers of
        others, and they would say so in their logs.
        """
        if self._kept is not None:
            return
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not any(p.qos_profile.durability == _LATCHED for p in publishers):
            return
        with self._lock:
            if not self._is_open:
                return
            self._kept = self._node.create_subscription(
                CameraInfo,
                f'{self._camera}/camera_info',
                self._take,
                latched(),
                callback_group=self._group,
                # Others are heard by the other subscription: nothing to warn of.
                event_callbacks=unheard_is_meant(),
            )

    def why_silent(self) -> str:
        """Return why nothing has come, as far as is known."""
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return 'nobody publishes it'
        names = ', '.join(sorted({p.node_name for p in publishers}))
        wanted = self._newest.qos_profile.reliability
        if wanted == ReliabilityPolicy.RELIABLE and any(
            p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for p in publishers
        ):
            return (
                f'incompatible QoS: {names} publishes best effort, image_reliability or '
                'qos_overrides asks for reliable'
            )
        return f'{names} publishes it, and has sent nothing'
