"""What a TransformPublisher sends, under a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import rigid
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.messages.geometry_messages import rigid_from_transform, transform_message
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.ownership import LISTENS_S
from da3_ros.ros.tf.publisher import TransformPublisher
from da3_ros.synthetic.world import make_world
from da3_ros.types import RigCalibration
from helpers.posed_results import posed_set
from helpers.ros_process import reserved_domain_id

Array = np.ndarray[Any, Any]
Sent = dict[tuple[str, str], Array]
WORLD = make_world()
CAMERAS = tuple(WORLD.rig.cameras)
RIG = WORLD.rig.calibration
NO_RIG = RigCalibration()
FRAMES = {camera: WORLD.rig.frame_id(camera) for camera in CAMERAS}
POSED = posed_set(WORLD, 1_700_000_000_123_456_789, ImageSize(8, 10))
BASE = POSED.world_from_base
UP = rigid(np.eye(3), [0.0, 0.1, 0.2])


class KeptPublisher:
    """Keeps what it publishes; to nobody, since every test has the same topics."""

    def __init__(self) -> None:
        self.messages: list[Sent] = []

    def publish(self, message: TFMessage) -> None:
        self.messages.append(
            {
                (j.header.frame_id, j.child_frame_id): rigid_from_transform(j.transform)
                for j in message.transforms
            }
        )


class KeepingNode(Node):  # type: ignore[misc]  # rclpy has no types
    """A node that keeps what is published, by topic."""

    def __init__(self, context: Context) -> None:
        self.kept: dict[str, KeptPublisher] = {}
        super().__init__('bench', context=context)

    def create_publisher(self, kind: Any, topic: str, *arguments: Any, **options: Any) -> Any:
        if kind is not TFMessage:
            return super().create_publisher(kind, topic, *arguments, **options)
        self.kept[topic] = KeptPublisher()
        return self.kept[topic]


@contextmanager
def keeping_node() -> Iterator[KeepingNode]:
    """Make such a node, in a domain of its own."""
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = KeepingNode(context)
        yield node
        node.destroy_node()
        rclpy.shutdown(context=context)


class Lines(list[str]):
    """A log that is kept."""

    info = warning = error = list.append


class Bench:
    """A publisher under a clock that is set by hand, a second after activation."""

    def __init__(self, node: KeepingNode, **options: Any) -> None:
        self.now_s = 50.0
        self.node = node
        for subscription in list(node.subscriptions):
            node.destroy_subscription(subscription)
        self.board = ReasonBoard(Lines(), lambda: self.now_s)
        given_options = replace(OutputOptions(), **options)
        self.tf = TfInput(node, given_options, self.board, lambda: self.now_s)
        self.publisher = TransformPublisher(given_options, self.tf)
        self.tf.ownership.activate()
        self.now_s += LISTENS_S

    def fixed(self, *joints: tuple[str, str, Array]) -> None:
        self.tf.take_static(_data(*joints, stamp_ns=0))

    def moving(self, *joints: tuple[str, str]) -> None:
        self.tf.take(_data(*((a, b, np.eye(4)) for a, b in joints), stamp_ns=1))

    def sent(self, rig: RigCalibration = RIG) -> Sent:
        """Return what goes out for a set."""
        kept = self.node.kept['/tf'].messages
        before = len(kept)
        self.publisher.publish(POSED, rig)
        return kept[-1] if len(kept) > before else {}

    @property
    def rig_sent(self) -> list[Sent]:
        return self.node.kept['/tf_static'].messages

    def holds(self, reason: Reason) -> list[str]:
        return [a.owner for a in self.board.active() if a.reason is reason]


def _data(*joints: tuple[str, str, Array], stamp_ns: int) -> bytes:
    transforms = [transform_message(pose, stamp_ns, a, b) for a, b, pose in joints]
    return bytes(serialize_message(TFMessage(transforms=transforms)))
