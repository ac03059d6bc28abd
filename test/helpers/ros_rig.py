"""A robot for tests: publishes cameras of the synthetic world, collects what the node answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import threading
import time
from types import TracebackType
from typing import Any

from geometry_msgs.msg import TransformStamped
from nav_msgs.msg import Path
import numpy as np
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.conversions import image_message
from da3_ros.ros.messages.geometry_messages import header, info_from_camera, ns_from_stamp
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.world import SyntheticWorld
from helpers.spinning import Spinning

SIZE = ImageSize(120, 160)
PERIOD_NS = 100_000_000
# Not a whole number of anything: a stamp that went through a float would show.
START_NS = 1_700_000_000_123_456_789
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(
    depth=10,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class RosRobot:
    """A node of the test's own process, spun by a thread; a context manager.

    Args:
        domain_id: ROS_DOMAIN_ID.
        cameras: names; their images are published reliably, so that none is lost.
        compressed: name of a camera with compressed images only, sent by `compressed`.
    """

    def __init__(self, domain_id: int, cameras: Sequence[str], compressed: str = '') -> None:
        self.world: SyntheticWorld = make_family_world()
        self.cameras = tuple(cameras)
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = Node('robot', context=self._context)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self.node)
        self._changed = threading.Condition()
        self._messages: dict[str, list[Any]] = {}
        self.images = {c: self._publisher(Image, f'{c}/image_raw') for c in cameras}
        self.infos = {c: self._publisher(CameraInfo, f'{c}/camera_info') for c in cameras}
        if compressed:
            topic = f'{compressed}/image_raw/compressed'
            self.compressed = self._publisher(CompressedImage, topic)
        self._tf_static = self.node.create_publisher(TFMessage, '/tf_static', LATCHED)
        self._stamp_ns = START_NS
        self.start_ns = START_NS
        self._spinning = Spinning(executor)

    def __enter__(self) -> RosRobot:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spinning.end()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _publisher(self, kind: type[Any], topic: str) -> Any:
        return self.node.create_publisher(kind, topic, RELIABLE)

    # ---- collecting

    def listen(
        self, kind: type[Any], topic: str, qos: QoSProfile = RELIABLE, key: str = ''
    ) -> str:
        """Collect the messages of a topic and return the key they are kept under."""
        key = key or topic

        def take(message: Any) -> None:
            with self._changed:
                self._messages[key].append(message)
                self._changed.notify_all()

        self._messages[key] = []
        self.node.create_subscription(kind, topic, take, qos)
        self.wait(lambda: self.node.count_publishers(topic) > 0, f'a publisher of {topic}')
        return key

    def messages(self, key: str) -> list[Any]:
        """Return what was collected so far."""
        with self._changed:
            return list(self._messages[key])

    def wait_for(
        self, key: str, fits: Callable[[Any], bool] = lambda message: True, timeout_s: float = 20.0
    ) -> Any:
        """Return the first message collected that fits, waiting for it."""

        def found() -> Any:
            return next((m for m in self._messages[key] if fits(m)), None)

        with self._changed:
            if not self._changed.wait_for(lambda: found() is not None, timeout_s):
                stamps = [_stamp(m) for m in self._messages[key]][-5:]
                raise AssertionError(f'{key}: no such message; the last ones: {stamps}')
            return found()

    def wait_stamp(self, key: str, stamp_ns: int, timeout_s: float = 20.0) -> Any:
        """Return the message with this stamp, waiting for it."""
        return self.wait_for(key, lambda m: _stamp(m) == stamp_ns, timeout_s)

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
        """Wait for something of the ROS graph, which gives no event to wait on."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f'waited {timeout_s} s for {what}'
            time.sleep(0.02)

    # ---- publishing

    def wait_for_node(self) -> None:
        """Wait until the node under test receives images and calibrations of every camera."""
        for publisher in [*self.images.values(), *self.infos.values()]:
            self.wait(
                lambda p=publisher: p.get_subscription_count() > 0,  # type: ignore[misc]
                f'a subscriber of {publisher.topic_name}',
            )

    def publish_rig(self, cameras: Sequence[str]) -> None:
        """Publish base_link -> mount -> optical frame of these cameras on /tf_static."""
        transforms = []
        for camera in cameras:
            pose = self.world.rig.calibration.base_from_camera[camera]
            # In two joints, as a URDF has them: the mount carries half of the way.
            mount = np.eye(4)
            mount[:3, 3] = pose[:3, 3] / 2
            below = np.linalg.inv(mount) @ pose
            transforms.append(_joint('base_link', f'{camera}_mount', mount))
            transforms.append(_joint(f'{camera}_mount', self.frame_id(camera), below))
        self._tf_static.publish(TFMessage(transforms=transforms))

    def prime(self, send: Callable[[], object], path: str = 'path') -> None:
        """Send instants until every topic listened to has brought something, then note the start.

        Publishers and readers find each other one by one; until both sides of every topic have,
        single messages go missing.
        """
        key = self.listen(Path, path, LATCHED, key='path of prime')
        deadline = time.monotonic() + 20.0
        with self._changed:
            while not all(self._messages.values()):
                silent = [key for key, messages in self._messages.items() if not messages]
                assert time.monotonic() < deadline, f'nothing came on {silent}'
                send()
                self._changed.wait_for(lambda: all(self._messages.values()), 0.5)
        first = self.wait_for(key).poses[0]
        self.start_ns = ns_from_stamp(first.header.stamp)

    def frame_id(self, camera: str) -> str:
        """Return the id of a camera's optical frame."""
        return self.world.rig.frame_id(camera)

    def next_stamp(self) -> int:
        """Return the next stamp: one that was not used yet."""
        self._stamp_ns += PERIOD_NS
        return self._stamp_ns

    def image(self, camera: str, stamp_ns: int, size: ImageSize = SIZE) -> Image:
        """Return an image message of the world."""
        frame = self.world.frame(camera, stamp_ns, size)
        return image_message(header(stamp_ns, frame.frame_id), frame.image, 'rgb8')

    def info(self, camera: str, stamp_ns: int, size: ImageSize = SIZE) -> CameraInfo:
        """Return the exact calibration of an image."""
        calibration = self.world.intrinsics(camera, size)
        return info_from_camera(calibration, header(stamp_ns, self.frame_id(camera)))

    def send(self, cameras: Sequence[str] | None = None, stamp_ns: int | None = None) -> int:
        """Publish one instant of these cameras (all by default) and return its stamp."""
        stamp_ns = self.next_stamp() if stamp_ns is None else stamp_ns
        for camera in self.cameras if cameras is None else cameras:
            self.infos[camera].publish(self.info(camera, stamp_ns))
            self.images[camera].publish(self.image(camera, stamp_ns))
        return stamp_ns


def _joint(parent: str, child: str, pose: np.ndarray[Any, Any]) -> TransformStamped:
    """Return TF written out by hand: rotation as a quaternion by the trace formula."""
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    t, q = message.transform.translation, message.transform.rotation
    t.x, t.y, t.z = (float(v) for v in pose[:3, 3])
    q.x, q.y, q.z, q.w = _quaternion(pose[:3, :3])
    return message


def _quaternion(rotation: np.ndarray[Any, Any]) -> tuple[float, ...]:
    """Return x y z w as the eigenvector of the largest eigenvalue of Bar-Itzhack's matrix."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation
    matrix = np.array(
        [
            [xx - yy - zz, yx + xy, zx + xz, zy - yz],
            [yx + xy, yy - xx - zz, zy + yz, xz - zx],
            [zx + xz, zy + yz, zz - xx - yy, yx - xy],
            [zy - yz, xz - zx, yx - xy, xx + yy + zz],
        ]
    )
    return tuple(float(v) for v in np.linalg.eigh(matrix / 3)[1][:, -1])


def _stamp(message: Any) -> int | None:
    if isinstance(message, TFMessage):
        return ns_from_stamp(message.transforms[0].header.stamp) if message.transforms else None
    return ns_from_stamp(message.header.stamp) if hasattr(message, 'header') else None


def matrix_of(pose: Any) -> np.ndarray[Any, Any]:
    """Return a Pose or Transform message as (4, 4), by the textbook formula."""
    t, q = (
        (pose.translation, pose.rotation)
        if hasattr(pose, 'translation')
        else (pose.position, pose.orientation)
    )
    x, y, z, w = q.x, q.y, q.z, q.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), t.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), t.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), t.z],
            [0, 0, 0, 1],
        ]
    )
