"""Somebody else who publishes on /tf, at a rate, until it is stopped."""

from __future__ import annotations

from collections.abc import Sequence
import threading
from types import TracebackType

import numpy as np
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.se3 import rigid
from da3_ros.ros.messages.geometry_messages import ns_from_stamp, transform_message
from helpers.ros_rig import LATCHED, RELIABLE, RosRobot

FAR_M = 7.5
"""Where all its frames stand along x: nothing else in these tests is so far away."""
RATE_HZ = 50.0
Joints = Sequence[tuple[str, str]]
"""Pairs of parent and child."""


def far_message(joints: Joints, stamp_ns: int) -> TFMessage:
    """Return these joints, each `FAR_M` long."""
    pose = rigid(np.eye(3), [FAR_M, 0.0, 0.0])
    return TFMessage(transforms=[transform_message(pose, stamp_ns, *j) for j in joints])


def is_far(joint: object) -> bool:
    """Return whether a transform is one of these."""
    return bool(joint.transform.translation.x == FAR_M)  # type: ignore[attr-defined]


def own_stamps(robot: RosRobot, child: str, key: str = '/tf') -> list[int]:
    """Return the stamps of the transforms of a frame that others than these here sent."""
    return [
        ns_from_stamp(joint.header.stamp)
        for message in robot.messages(key)
        for joint in message.transforms
        if joint.child_frame_id == child and not is_far(joint)
    ]


class ForeignTf:
    """Publishes joints on /tf at 50 Hz, by turns where there are several; a context manager.

    Args:
        robot: its node publishes.
        turns: what one message has after the other.
    """

    def __init__(self, robot: RosRobot, *turns: Joints) -> None:
        self._robot = robot
        self._turns = turns
        self._publisher = robot.node.create_publisher(TFMessage, '/tf', RELIABLE)
        robot.wait(lambda: self._publisher.get_subscription_count() > 0, 'a reader of /tf')
        self._ended = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ForeignTf:
        self._thread.start()
        # So many that nobody who listens can have missed all.
        self._robot.wait(lambda: self.sent > 25, 'transforms')
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Publish nothing any more."""
        self._ended.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._ended.wait(1 / RATE_HZ):
            stamp_ns = self._robot.node.get_clock().now().nanoseconds
            joints = self._turns[self.sent % len(self._turns)]
            self._publisher.publish(far_message(joints, stamp_ns))
            self.sent += 1


class FixedTf:
    """Publishes joints on /tf_static, latched, until it is stopped.

    Args:
        robot: its node publishes.
        joints: pairs of parent and child.
    """

    def __init__(self, robot: RosRobot, joints: Joints) -> None:
        self._robot = robot
        self._publisher = robot.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self._publisher.publish(far_message(joints, 0))

    def stop(self) -> None:
        """Leave the graph."""
        self._robot.node.destroy_publisher(self._publisher)
