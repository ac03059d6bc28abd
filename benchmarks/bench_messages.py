"""What messages cost: filling them, and the way through the node with an estimator that is free.

Usage: . .build/jazzy/env.sh && python benchmarks/bench_messages.py [--images N] [--rate HZ]

Filling is compared with one plain copy of the same bytes in the same run, alternating, medians.
The way through the node is measured from publishing an image to receiving what the node makes of
it, in two processes over real DDS; everything but the network takes part.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
import os
from pathlib import Path
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.pipeline.shown_view import rgb_bits
from da3_ros.ros.conversions import fill_data, image_message
from da3_ros.ros.messages.geometry_messages import header
from da3_ros.ros.messages.point_cloud import pack_into
from da3_ros.ros.node.main import main as node_main
from da3_ros.types import ViewPrediction, Window, WindowPrediction

ROOT = Path(__file__).resolve().parent.parent
SIZE = ImageSize(480, 640)
CLOUD_SIZE = ImageSize(336, 420)  # 141120 points
RUNS = 60


class ConstantEstimator:
    """Says the same of every view, at once: a slanted wall in metres, seen from the origin.

    Args:
        size: of the answer.
    """

    def __init__(self, size: ImageSize = SIZE) -> None:
        half_width, half_height = (size.width - 1) / 2, (size.height - 1) / 2
        self._camera = PinholeCamera.from_focal(
            0.625 * size.width, 0.625 * size.width, half_width, half_height, size
        )
        rows = np.linspace(2.0, 5.0, size.height, dtype=np.float32)[:, None]
        self.depth = np.repeat(rows, size.width, axis=1)
        """(H, W) float32, metres."""
        self._confidence = np.full_like(self.depth, 5.0)
        self._image = np.full((size.height, size.width, 3), 120, np.uint8)

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view of the window."""
        views = tuple(
            ViewPrediction(
                depth=self.depth if window.needs_depth(frame.id) else None,
                image=self._image,
                window_from_camera=np.eye(4),
                camera=self._camera,
                calibrated_camera=None,
                confidence=self._confidence,
            )
            for frame in window.views
        )
        return WindowPrediction(views, is_metric=True)


def _median_ms(calls: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the median time of every call, taken in turns, milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(RUNS):
        for name, call in calls.items():
            began = time.perf_counter()
            result = call()
            times[name].append(time.perf_counter() - began)
            del result
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def _print_ratios(title: str, times: dict[str, float], byte_count: int) -> None:
    print(f'{title}, {byte_count / 1e6:.1f} MB')
    base = times['one plain copy']
    for name, value in times.items():
        print(f'  {name:34s} {value:8.3f} ms   {value / base:5.2f} x')


def bench_filling() -> None:
    """Print how long messages take to fill."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    head = Header(frame_id='optical')

    def assign_bytes() -> Image:
        message = Image(header=head)
        message.data = image.tobytes()
        return message

    calls: dict[str, Callable[[], object]] = {
        'one plain copy': image.copy,
        'Image, as here': lambda: image_message(head, image, 'rgb8'),
        'Image, assigning bytes': assign_bytes,
    }
    _print_ratios('1920x1080 rgb8 image', _median_ms(calls), image.nbytes)

    camera = PinholeCamera.from_focal(350.0, 350.0, 209.5, 167.5, CLOUD_SIZE)
    size = (CLOUD_SIZE.height, CLOUD_SIZE.width)
    depth = rng.uniform(1, 5, size).astype(np.float32)
    colours = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    packed = rng.uniform(1, 5, (*size, 5)).astype(np.float32)
    calls = {
        'one plain copy': packed.copy,
        'points of depth and colour': lambda: pack_into(
            packed, depth, camera, rgb_bits(colours), depth
        ),
    }
    title = f'cloud of {size[0] * size[1]} points'
    _print_ratios(title, _median_ms(calls), packed.nbytes)


class Probe(Node):  # type: ignore[misc]  # rclpy has no types
    """Publishes images and notes when what the node makes of them arrives.

    Args:
        topics: to listen to.
        cameras: to publish.
        is_jpeg: whether images go out compressed.
    """

    def __init__(
        self,
        topics: dict[str, type[Any]],
        cameras: Sequence[str] = ('front',),
        *,
        is_jpeg: bool = False,
    ) -> None:
        super().__init__('probe')
        best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._is_jpeg = is_jpeg
        kind, suffix = (CompressedImage, '/compressed') if is_jpeg else (Image, '')
        self._images = {
            camera: self.create_publisher(kind, f'{camera}/image_raw{suffix}', best_effort)
            for camera in cameras
        }
        self._sent: dict[int, float] = {}
        self.delays_ms: dict[str, list[float]] = {topic: [] for topic in topics}
        self.arrived = threading.Event()
        for topic, kind in topics.items():
            self.create_subscription(kind, topic, lambda m, t=topic: self._take(t, m), 10)

    def _take(self, topic: str, message: Image | PointCloud2) -> None:
        sent = self._sent.get(message.header.stamp.nanosec)
        if sent is not None:
            self.delays_ms[topic].append(1e3 * (time.perf_counter() - sent))
        self.arrived.set()

    def forget(self) -> None:
        """Forget what was measured, and what is still on its way."""
        self._sent.clear()
        for delays in self.delays_ms.values():
            delays.clear()

    def send(self, image: np.ndarray[Any, Any], number: int) -> None:
        """Publish one image per camera, from the last of which on delays count.

        Their stamp is their number, in nanoseconds after the first second.
        """
        stamp_ns = 1_000_000_000 + number
        messages = {
            camera: self._message(header(stamp_ns, f'{camera}_optical_frame'), image)
            for camera in self._images
        }
        for camera, publisher in self._images.items():
            self._sent[number] = time.perf_counter()
            publisher.publish(messages[camera])

    def _message(self, head: Header, image: np.ndarray[Any, Any]) -> Image | CompressedImage:
        if not self._is_jpeg:
            return image_message(head, image, 'rgb8')
        message = CompressedImage(header=head, format='rgb8; jpeg compressed bgr8')
        fill_data(message, cv2.imencode('.jpg', image[..., ::-1])[1])
        return message

    @property
    def has_reader(self) -> bool:
        """Whether the node receives the images."""
        return all(publisher.get_subscription_count() for publisher in self._images.values())


def spin(node: Node) -> None:
    """Serve a node until the middleware ends."""
    try:
        rclpy.spin(node)
    except ExternalShutdownException:
        return


def bench_way_through(topics: dict[str, type[Any]], images: int, rate_hz: float) -> None:
    """Print how long after an image what the node makes of it arrives, in another process."""
    command = [sys.executable, __file__, '--node', '--ros-args', '--log-level', 'fatal']
    command += ['-p', 'cameras:=[front]', '-p', 'window:=2']
    process = subprocess.Popen(command)
    rclpy.init()
    probe = Probe(topics)
    thread = threading.Thread(target=spin, args=(probe,), daemon=True)
    thread.start()
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    number = 1
    try:
        while not (probe.has_reader and all(probe.delays_ms.values())):
            probe.send(image, number)
            number += 1
            probe.arrived.wait(0.2)
            probe.arrived.clear()
        probe.forget()
        for _ in range(images):
            probe.send(image, number)
            number += 1
            time.sleep(1 / rate_hz)
        time.sleep(0.5)
        for topic, delays in probe.delays_ms.items():
            p50, p95 = np.percentile(delays, [50, 95])
            share = f'{len(delays)} of {images}'
            print(f'  {topic:22s} p50 {p50:6.1f} ms   p95 {p95:6.1f} ms   {share} arrived')
    finally:
        process.terminate()
        process.wait(10)
        probe.destroy_node()
        rclpy.try_shutdown()
        thread.join(5)


def set_environment() -> None:
    """Choose the tuned transport and a domain of its own; before rclpy starts."""
    # Kilted and later know FASTDDS_, older ones FASTRTPS_.
    is_new = os.environ.get('ROS_DISTRO', 'jazzy') not in {'humble', 'iron', 'jazzy'}
    variable = f'{"FASTDDS" if is_new else "FASTRTPS"}_DEFAULT_PROFILES_FILE'
    os.environ.setdefault(variable, str(ROOT / 'config' / 'fastdds.xml'))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    # So that a running robot does not take part.
    os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)


def main() -> int:
    """Run both parts, or the node of the second."""
    if '--node' in sys.argv:
        return node_main(sys.argv, ConstantEstimator())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--images', type=int, default=100, help='images to send')
    parser.add_argument('--rate', type=float, default=10.0, help='images per second')
    options = parser.parse_args()
    set_environment()
    bench_filling()
    print(f'image in to topic out, 640x480 rgb8, {options.rate:g} Hz, depth read alone')
    bench_way_through({'front/depth/image': Image}, options.images, options.rate)
    print('the same, everything read')
    topics: dict[str, type[Any]] = {
        'front/depth/image': Image,
        'front/depth/confidence': Image,
        'front/color/image': Image,
        'front/points': PointCloud2,
        'points': PointCloud2,
    }
    bench_way_through(topics, options.images, options.rate)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
