"""What a node sends, taken over DDS by subscriptions that ask for what consumers ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
import threading
import time
from typing import Any

from nav_msgs.msg import Odometry, Path
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from helpers.consumer_rules import Tree, ns
from helpers.consumers import mismatches, profile
from helpers.fault_rig import start_node
from helpers.ros_rig import RosRobot

CAMERAS = ('front', 'left')
DEPTH_IMAGE, DEPTH_INFO = '/front/depth/image', '/front/depth/camera_info'
COLOUR_IMAGE, COLOUR_INFO = '/front/color/image', '/front/color/camera_info'
CAMERA_POINTS, MERGED_POINTS = '/front/points', '/points'
_WAIT_S = 60.0


@dataclass(frozen=True)
class Asked:
    """What a consumer asks for when it subscribes with its default parameters."""

    topic: str
    kind: type[Any]
    reliability: str = 'reliable'
    durability: str = 'volatile'
    depth: int = 10

    @property
    def profile(self) -> QoSProfile:
        """As rclpy takes it."""
        return profile(self.reliability, self.durability, self.depth)


ASKED: Mapping[str, Asked] = {
    # Whatever every consumer reads, of both cameras.
    **{f'/{c}/depth/image': Asked(f'/{c}/depth/image', Image, depth=50) for c in CAMERAS},
    **{f'/{c}/depth/camera_info': Asked(f'/{c}/depth/camera_info', CameraInfo) for c in CAMERAS},
    **{f'/{c}/color/image': Asked(f'/{c}/color/image', Image) for c in CAMERAS},
    **{f'/{c}/color/camera_info': Asked(f'/{c}/color/camera_info', CameraInfo) for c in CAMERAS},
    **{f'/{c}/points': Asked(f'/{c}/points', PointCloud2) for c in CAMERAS},
    '/front/depth/debug': Asked('/front/depth/debug', Image),
    '/points': Asked('/points', PointCloud2),
    '/odometry': Asked('/odometry', Odometry),
    '/path': Asked('/path', Path, durability='transient_local', depth=1),
    '/tf': Asked('/tf', TFMessage, depth=100),
    '/tf_static': Asked('/tf_static', TFMessage, durability='transient_local', depth=100),
    # The same topics as single consumers subscribe to them.
    'rtabmap rgb/image': Asked(COLOUR_IMAGE, Image, 'system_default'),
    'rtabmap rgb/camera_info': Asked(COLOUR_INFO, CameraInfo, 'system_default'),
    'rtabmap depth/image': Asked(DEPTH_IMAGE, Image, 'system_default'),
    'rtabmap odom': Asked('/odometry', Odometry, 'system_default'),
    'rtabmap scan_cloud': Asked(CAMERA_POINTS, PointCloud2, 'system_default'),
    'nvblox depth/image': Asked(DEPTH_IMAGE, Image, 'best_effort', depth=5),
    'nvblox depth/camera_info': Asked(DEPTH_INFO, CameraInfo, 'best_effort', depth=5),
    'nvblox color/image': Asked(COLOUR_IMAGE, Image, 'best_effort', depth=5),
    'nvblox color/camera_info': Asked(COLOUR_INFO, CameraInfo, 'best_effort', depth=5),
    'depth_image_proc image_rect': Asked(DEPTH_IMAGE, Image, 'system_default', depth=5),
    'depth_image_proc camera_info': Asked(COLOUR_INFO, CameraInfo),
    'nav2 costmap': Asked(MERGED_POINTS, PointCloud2, 'best_effort', depth=50),
    'nav2 collision monitor': Asked(MERGED_POINTS, PointCloud2, 'best_effort'),
    'nav2 odometry': Asked('/odometry', Odometry),
    'octomap_server cloud_in': Asked(MERGED_POINTS, PointCloud2, 'best_effort', depth=5),
    'robot_localization odom0': Asked('/odometry', Odometry, 'best_effort'),
    'rviz display': Asked(CAMERA_POINTS, PointCloud2, depth=5),
    'rviz DepthCloud depth': Asked(DEPTH_IMAGE, Image, 'best_effort', depth=5),
    'rviz DepthCloud camera_info': Asked(DEPTH_INFO, CameraInfo, 'best_effort', depth=5),
    'rviz Path': Asked('/path', Path, depth=5),
}


@dataclass(frozen=True)
class Taken:
    """Messages of some instants, in the order in which they came."""

    stamps: tuple[int, ...]
    """Of the instants, ns."""
    arrived: tuple[tuple[str, Any], ...]
    """Key of `ASKED` and message."""
    mismatched: Mapping[str, tuple[str, ...]]
    """What keeps a subscription of `ASKED` from a publisher; nothing, if all is well."""
    frame_ids: Mapping[str, str]
    """Camera name to the id of its optical frame."""

    def of(self, key: str) -> list[Any]:
        """Return all messages of a key in their order; those of instants where it has stamps.

        Raises:
            AssertionError: there is none.
        """
        messages = [message for k, message in self.arrived if k == key]
        found = [
            m for m in messages if not hasattr(m, 'header') or ns(m.header.stamp) in self.stamps
        ]
        assert found, f'{key}: {len(messages)} messages, none of them of {self.stamps}'
        return found

    @property
    def tree(self) -> Tree:
        """All transforms that anybody sent."""
        return Tree(self.of('/tf_static'), self.of('/tf'))


class _Ears:
    """Subscriptions of all that `ASKED` names, on the node of a robot."""

    def __init__(self, robot: RosRobot) -> None:
        self._lock = threading.Lock()
        self._arrived: list[tuple[str, Any]] = []
        for key, asked in ASKED.items():
            robot.node.create_subscription(
                asked.kind, asked.topic, self._taker(key), asked.profile
            )

    def _taker(self, key: str) -> Callable[[Any], None]:
        def take(message: Any) -> None:
            with self._lock:
                self._arrived.append((key, message))

        return take

    def arrived(self) -> tuple[tuple[str, Any], ...]:
        with self._lock:
            return tuple(self._arrived)

    def is_silent(self) -> bool:
        """Whether some subscription has nothing yet."""
        return bool(ASKED.keys() - {key for key, _ in self.arrived()})

    def lack(self, stamp_ns: int) -> bool:
        """Whether a reliable reader has nothing of an instant yet."""
        reliable = {
            key
            for key, asked in ASKED.items()
            if asked.reliability != 'best_effort' and key != '/tf_static'
        }
        there = {key for key, message in self.arrived() if stamp_ns in _stamps(message)}
        return not reliable <= there


def _stamps(message: Any) -> list[int]:
    if isinstance(message, TFMessage):
        return [ns(transform.header.stamp) for transform in message.transforms]
    return [ns(message.header.stamp)]


def take(domain_id: int, instants: int, *parameters: str) -> Taken:
    """Return what a node that knows the truth sends of some instants of two cameras.

    What does not come is not waited for again: the tests that need it say so.

    Args:
        domain_id: ROS_DOMAIN_ID of the node and of the reader.
        instants: how many, each complete before the next is sent.
        parameters: of the node, as `name:=value`.
    """
    with (
        start_node(domain_id, CAMERAS, 'publish_tf:=true', *parameters) as process,
        RosRobot(domain_id, CAMERAS) as robot,
    ):
        process.wait_for_line('ready')
        robot.publish_rig(CAMERAS)
        ears = _Ears(robot)
        robot.wait_for_node()
        deadline = time.monotonic() + _WAIT_S
        while ears.is_silent() and time.monotonic() < deadline:
            robot.send()
            time.sleep(0.1)
        deadline = time.monotonic() + _WAIT_S
        stamps: list[int] = []
        for _ in range(instants):
            stamps.append(robot.send())
            while ears.lack(stamps[-1]) and time.monotonic() < deadline:
                time.sleep(0.01)
        mismatched = {
            key: tuple(mismatches(robot.node, a.topic, _type_name(a.kind), a.profile))
            for key, a in ASKED.items()
        }
        frame_ids = {camera: robot.frame_id(camera) for camera in CAMERAS}
        return Taken(tuple(stamps), ears.arrived(), mismatched, frame_ids)


def _type_name(kind: type[Any]) -> str:
    package, folder, _ = kind.__module__.split('.')[:3]
    return f'{package}/{folder}/{kind.__name__}'
