"""The nodes that `bench_node` compares, each in a process of its own, and what their parts cost.

One is the node of this package with an estimator that answers at once with what it made
beforehand, so that all the time there is belongs to the node. The other one does nothing: for
every image it sends a depth image of the network's size, made beforehand.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
import threading
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import (
    ExternalShutdownException,
    MultiThreadedExecutor,
    SingleThreadedExecutor,
)
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from benchmarks.bench_messages import ConstantEstimator
from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.conversions import image_message
from da3_ros.ros.node.executor import NodeExecutor
from da3_ros.ros.node.main import main as node_main
from da3_ros.types import ViewPrediction, WindowPrediction

MARK = 'cost '
_NAMES = ('front', 'left', 'right', 'rear', 'front_left', 'front_right')
_PROCESS_RES, _PATCH = 504, 14
_THREADS = 6


@dataclass(frozen=True)
class Cameras:
    """The cameras of one comparison."""

    count: int = 3
    width: int = 640
    height: int = 480
    is_jpeg: bool = False

    @staticmethod
    def parsed(text: str) -> Cameras:
        """Return the cameras of a text such as 3x640x480 or 6x1280x720jpeg."""
        count, width, height = (int(part) for part in text.removesuffix('jpeg').split('x'))
        return Cameras(count, width, height, text.endswith('jpeg'))

    def __str__(self) -> str:
        """Return the text that `parsed` reads."""
        return f'{self.count}x{self.width}x{self.height}{"jpeg" if self.is_jpeg else ""}'

    @property
    def names(self) -> tuple[str, ...]:
        """Topic prefixes."""
        return _NAMES[: self.count]

    @property
    def size(self) -> ImageSize:
        """Of an image."""
        return ImageSize(self.height, self.width)

    @property
    def network_size(self) -> ImageSize:
        """Of what the network says of such an image at the default process_res."""
        factor = _PROCESS_RES / max(self.width, self.height)
        sides = (round(side * factor / _PATCH) * _PATCH for side in (self.height, self.width))
        return ImageSize(*sides)

    @property
    def parameters(self) -> list[str]:
        """Of the node of this package."""
        found = ['-p', f'cameras:=[{", ".join(self.names)}]']
        return [*found, '-p', 'image_transport:=compressed'] if self.is_jpeg else found


EXECUTORS: Mapping[str, Callable[[], Any]] = {
    'SingleThreadedExecutor': SingleThreadedExecutor,
    'MultiThreadedExecutor': lambda: MultiThreadedExecutor(_THREADS),
    'NodeExecutor': lambda: NodeExecutor(_THREADS),
}
"""What may run the callbacks of the empty node. The EventsExecutor of rclpy is not among them: see
`da3_ros.ros.node.executor`."""


class EmptyNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Sends the same depth for every image, and does nothing else."""

    def __init__(self, cameras: Cameras) -> None:
        super().__init__('empty_node')
        self._depth = ConstantEstimator(cameras.network_size).depth
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        kind, suffix = (CompressedImage, '/compressed') if cameras.is_jpeg else (Image, '')
        for camera in cameras.names:
            publisher = self.create_publisher(Image, f'{camera}/depth/image', 10)
            self.create_subscription(
                kind,
                f'{camera}/image_raw{suffix}',
                lambda image, p=publisher: self._answer(image, p),
                best_effort,
            )

    def _answer(self, image: Any, publisher: Any) -> None:
        publisher.publish(image_message(image.header, self._depth, '32FC1'))


class Costs:
    """CPU time of functions, counted in the threads that call them."""

    def __init__(self) -> None:
        self._used_s: dict[str, float] = defaultdict(float)
        self._calls: dict[str, int] = defaultdict(int)
        self._lock = threading.Lock()

    def count(self, owner: Any, name: str) -> None:
        """Count a function from now on, whoever calls it through its owner."""
        function: Callable[..., Any] = getattr(owner, name)
        key = f'{getattr(owner, "__name__", owner)}.{name}'.removeprefix('da3_ros.')

        def counted(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return function(*arguments, **named)
            finally:
                used = time.thread_time() - began
                with self._lock:
                    self._used_s[key] += used
                    self._calls[key] += 1

        setattr(owner, name, counted)

    def tell(self, sets: int) -> None:
        """Print all of it, the costliest first; some are parts of others."""
        for key, used_s in sorted(self._used_s.items(), key=lambda item: -item[1]):
            calls = self._calls[key] / sets
            print(f'{MARK}{key:46s} {1e3 * used_s / sets:7.2f} ms a set  {calls:5.1f} calls')


def _counted() -> Costs:
    """Count what the node consists of."""
    from da3_ros.pipeline import pipeline, rig, shown_view
    from da3_ros.ros import compressed
    from da3_ros.ros.messages import data_publisher, point_cloud
    from da3_ros.ros.node import camera_outputs, inputs, odometry, outputs
    from da3_ros.ros.reading import camera_reader
    from da3_ros.ros.tf import publisher
    from da3_ros.stream import reconstructor

    costs = Costs()
    for owner, names in (
        (inputs.CameraInput, ['take_image']),
        (camera_reader, ['read_image', 'open_compressed']),
        (compressed.UndecodedImage, ['read']),
        (pipeline.Pipeline, ['push', 'step', '_take', '_window', '_settled']),
        (rig.RigTracker, ['update', 'with_prior']),
        (reconstructor.Reconstructor, ['process']),
        (reconstructor, ['checked_prediction', 'compare_shared', 'window_sets', 'place_set']),
        (reconstructor, ['metric_candidates', 'typical_depth']),
        (outputs.Outputs, ['publish', '_report', '_cloud', 'is_wanted']),
        (camera_outputs.CameraOutputs, ['publish']),
        (camera_outputs, ['pack_into']),
        (shown_view, ['published_depth', 'points_depth', 'rgb_bits']),
        (point_cloud.MergedPoints, ['of', 'pack_into']),
        (point_cloud, ['world_planes', 'voxel_borders', 'first_per_voxel']),
        (data_publisher.DataPublisher, ['publish', '_send']),
        (odometry.OdometryPublisher, ['publish']),
        (publisher.TransformPublisher, ['publish']),
        (rclpy.publisher.Publisher, ['publish', 'get_subscription_count']),
    ):
        for name in names:
            if hasattr(owner, name):
                costs.count(owner, name)
    return costs


class CountingEstimator(ConstantEstimator):
    """Counts windows, and answers as a network does, but for its time.

    Depth and confidence are slices of the arrays of a window, of those views that depth was asked
    of, and no two windows are in the same unit: what the node copies and scales of a network's
    answer it has to copy and scale here.
    """

    windows = 0

    def __init__(self, size: ImageSize) -> None:
        super().__init__(size)
        self._answers: list[tuple[Any, Any, Any]] = []

    def estimate(self, window: Any) -> Any:
        """Return the constant answer."""
        self.windows += 1
        said = super().estimate(window)
        if not self._answers or len(self._answers[0][0]) < len(said.views):
            self._answers = [_together(said.views, unit) for unit in (1.0, 1.0003)]
        depth, confidence, images = self._answers[self.windows % 2]
        views = tuple(
            ViewPrediction(
                depth=None if view.depth is None else depth[place],
                image=images[place],
                window_from_camera=view.window_from_camera,
                camera=view.camera,
                calibrated_camera=None,
                confidence=None if view.depth is None else confidence[place],
            )
            for place, view in enumerate(said.views)
        )
        return WindowPrediction(views, is_metric=said.is_metric)


def _together(views: Sequence[ViewPrediction], unit: float) -> tuple[Any, Any, Any]:
    """Return depth, confidence and images (V, H, W, ...) of a window, made beforehand."""
    first = next(view for view in views if view.depth is not None)
    assert first.depth is not None
    assert first.confidence is not None
    count = len(views)
    depth = np.stack([first.depth] * count) * np.float32(unit)
    return depth, np.stack([first.confidence] * count), np.stack([first.image] * count)


def _name_threads() -> None:
    """Let the system show the names of Python's threads, which it does from Python 3.14 on."""
    run: Callable[[threading.Thread], None] = threading.Thread.run

    def named(thread: threading.Thread) -> None:
        task = Path(f'/proc/self/task/{threading.get_native_id()}/comm')
        task.write_text(thread.name[:15], encoding='ascii')
        run(thread)

    threading.Thread.run = named  # type: ignore[assignment,method-assign]


def serve(kind: str, cameras: Cameras, arguments: Sequence[str]) -> int:
    """Run one of the nodes until it is interrupted."""
    # Here, since it needs the cameras.
    from benchmarks.constant_node import ConstantNode

    _name_threads()
    if kind != 'da3':
        rclpy.init(args=arguments)
        executor = EXECUTORS[kind]() if kind in EXECUTORS else None
        node = ConstantNode(cameras) if kind == 'constant' else EmptyNode(cameras)
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node, executor)
        return 0
    costs = _counted() if '--costs' in arguments else None
    estimator = CountingEstimator(cameras.network_size)
    status = node_main(arguments, estimator)
    if costs is not None:
        costs.tell(max(1, estimator.windows))
    return status
