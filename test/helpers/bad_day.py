"""A robot's bad day: cameras that run by themselves, and faults that come and go.

Cameras send at 10 Hz with the time of this machine. A fault spoils what one of them or the robot
does; the reasons that the node owes for it stand beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
import re
import threading
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import TransformStamped
import numpy as np
from sensor_msgs.msg import CameraInfo, Image
from tf2_msgs.msg import TFMessage

from da3_ros.geometry.camera import ImageSize
from da3_ros.reasons import Reason
from da3_ros.ros.conversions import image_message
from da3_ros.ros.messages.geometry_messages import header, stamp_from_ns
from helpers.ros_rig import RELIABLE, RosRobot

PERIOD_S = 0.1
SIZE = ImageSize(48, 64)
PORTRAIT = ImageSize(64, 48)
HOUR_NS = 3600 * 10**9

Spoil = Callable[[Image, CameraInfo], bool]
"""Changes the two messages of an instant in place; returns whether they are sent."""


def leave(image: Image, info: CameraInfo) -> bool:
    """Change nothing."""
    del image, info
    return True


class Cameras:
    """Sends the images of a rig from a thread, spoilt camera by camera."""

    def __init__(self, robot: RosRobot) -> None:
        self._robot = robot
        self._lock = threading.Lock()
        self._spoils: dict[str, Spoil] = {}
        self._offset_ns = 0
        self._pixels = {size: _pixels(size) for size in (SIZE, PORTRAIT)}
        self._last_ns = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def spoil(self, camera: str, how: Spoil) -> None:
        """Spoil a camera until it is mended."""
        with self._lock:
            self._spoils[camera] = how

    def mend(self) -> None:
        """Let every camera be well."""
        with self._lock:
            self._spoils.clear()

    def jump(self, by_s: float) -> None:
        """Set the clock of all cameras."""
        with self._lock:
            self._offset_ns += round(by_s * 1e9)

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(10.0)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_S):
            with self._lock:
                spoils, stamp_ns = dict(self._spoils), time.time_ns() + self._offset_ns
            for camera in self._robot.cameras:
                image, info = self._messages(camera, stamp_ns)
                if spoils.get(camera, leave)(image, info):
                    self._robot.infos[camera].publish(info)
                    self._robot.images[camera].publish(image)

    def _messages(self, camera: str, stamp_ns: int) -> tuple[Image, CameraInfo]:
        head = header(stamp_ns, self._robot.frame_id(camera))
        image = image_message(head, self._pixels[SIZE], 'rgb8')
        return image, self._robot.info(camera, stamp_ns, SIZE)

    def portrait(self, image: Image, info: CameraInfo) -> bool:
        """Send an image that stands."""
        pixels = self._pixels[PORTRAIT]
        image.height, image.width = PORTRAIT.height, PORTRAIT.width
        image.step, image.data = PORTRAIT.width * 3, pixels.tobytes()
        info.height, info.width = PORTRAIT.height, PORTRAIT.width
        return True


def _pixels(size: ImageSize) -> np.ndarray[Any, Any]:
    rows, columns = np.mgrid[0 : size.height, 0 : size.width]
    both = np.stack([rows * 3, columns * 3, (rows // 8 + columns // 8) % 2 * 200], -1)
    return both.astype(np.uint8)


# ---- what spoils the images of a camera


def silent(image: Image, info: CameraInfo) -> bool:
    """Send nothing."""
    del image, info
    return False


def cut_short(image: Image, info: CameraInfo) -> bool:
    """Lose half of the bytes."""
    del info
    image.data = image.data[: len(image.data) // 2]
    return True


def unknown_encoding(image: Image, info: CameraInfo) -> bool:
    """Name an encoding that nobody knows."""
    del info
    image.encoding = 'infrared7'
    return True


def no_stamp(image: Image, info: CameraInfo) -> bool:
    """Leave the stamp at zero."""
    del info
    image.header.stamp = stamp_from_ns(0)
    return True


def late_clock(offset_ns: int) -> Spoil:
    """Return what sets the clock of one camera."""

    def spoil(image: Image, info: CameraInfo) -> bool:
        stamp = image.header.stamp
        wrong = stamp_from_ns(stamp.sec * 10**9 + stamp.nanosec + offset_ns)
        image.header.stamp = info.header.stamp = wrong
        return True

    return spoil


def identity_k(image: Image, info: CameraInfo) -> bool:
    """Send the calibration of a driver that has none."""
    del image
    info.k = np.eye(3).reshape(-1)
    info.p = np.zeros(12)
    return True


def other_size(image: Image, info: CameraInfo) -> bool:
    """Send the calibration of another resolution."""
    del image
    info.height, info.width = 480, 640
    return True


def distorted(image: Image, info: CameraInfo) -> bool:
    """Say that the lens is a real one."""
    del image
    info.d = [-0.3, 0.1, 0.0, 0.0, 0.0]
    return True


def without_frame(image: Image, info: CameraInfo) -> bool:
    """Leave the frame empty."""
    del info
    image.header.frame_id = ''
    return True


def in_frame(frame_id: str) -> Spoil:
    """Return what sends images in a frame."""

    def spoil(image: Image, info: CameraInfo) -> bool:
        image.header.frame_id = info.header.frame_id = frame_id
        return True

    return spoil


# ---- what is seen of the node


@dataclass
class Sightings:
    """When depth of each camera came, and what /diagnostics said when."""

    depth_s: dict[str, list[float]] = field(default_factory=dict)
    said_s: list[tuple[float, dict[str, str]]] = field(default_factory=list)


class Witness:
    """Writes down when depth came and what the node said of itself."""

    def __init__(self, robot: RosRobot) -> None:
        self._lock = threading.Lock()
        self._seen = Sightings({camera: [] for camera in robot.cameras})
        for camera in robot.cameras:
            robot.node.create_subscription(
                Image,
                f'{camera}/depth/image',
                lambda m, c=camera: self._depth(c, m),
                RELIABLE,
            )
        robot.node.create_subscription(DiagnosticArray, '/diagnostics', self._diagnostics, 10)

    def _depth(self, camera: str, message: Image) -> None:
        del message
        with self._lock:
            self._seen.depth_s[camera].append(time.monotonic())

    def _diagnostics(self, message: DiagnosticArray) -> None:
        said = {status.name.split(': ')[-1]: status.message for status in message.status}
        with self._lock:
            self._seen.said_s.append((time.monotonic(), said))

    def count(self, camera: str) -> int:
        """Return how many depth images of a camera came."""
        with self._lock:
            return len(self._seen.depth_s[camera])

    def unexplained(self, longest_s: float) -> list[str]:
        """Return gaps of depth during which /diagnostics said that all is well; forget the past.

        Args:
            longest_s: time without depth that needs no reason.
        """
        found = []
        with self._lock:
            for camera, times in self._seen.depth_s.items():
                for before, after in pairwise(times):
                    if after - before > longest_s and not self._said(camera, before, after):
                        found.append(f'{camera}: no depth for {after - before:.1f} s')
                del times[:-1]
            del self._seen.said_s[:-1]
        return found

    def _said(self, camera: str, before: float, after: float) -> bool:
        """Return whether anything was said of a camera or of the stream in a time."""
        well = ('images come', 'running')
        return any(
            said.get(f'camera {camera}', '') not in well or said.get('stream', '') not in well
            for at, said in self._seen.said_s
            if before <= at <= after + 2.0
        )


def pattern_of(reason: Reason) -> str:
    """Return the regular expression of the texts of a reason that says more than a problem."""
    literal = [re.escape(part) for part in re.split(r'\{[^}]*\}', reason.value.text)]
    assert len(''.join(literal)) > 20, f'{reason.name}: name a fragment'
    return '.*'.join(literal)


class Foreigner:
    """Another node that publishes the pose of the base, 20 times per second."""

    def __init__(self, robot: RosRobot) -> None:
        self._publisher = robot.node.create_publisher(TFMessage, '/tf', 10)
        self._timer = robot.node.create_timer(0.05, self._send)
        self._timer.cancel()

    def begin(self) -> None:
        """Publish from now on."""
        self._timer.reset()

    def end(self) -> None:
        """Publish no more."""
        self._timer.cancel()

    def _send(self) -> None:
        message = TransformStamped(child_frame_id='base_link')
        message.header = header(time.time_ns(), 'odom')
        message.transform.rotation.w = 1.0
        self._publisher.publish(TFMessage(transforms=[message]))
