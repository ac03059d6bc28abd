"""What the node costs around the network: three cameras of 640x480, topic in to topic out.

Usage: . .build/jazzy/env.sh && python benchmarks/bench_node.py [--sets N] [--rate HZ] [--costs]

The network is replaced by an estimator that answers at once with what it made beforehand, so that
all the time there is belongs to the node. It is compared with a node that does nothing: for every
image it sends a depth image of the same size, made beforehand. Both run in a process of their
own, in turns, against the same publisher and subscriber in this one.

The delay of a set counts from handing its last image to the middleware to the arrival of its last
depth image. CPU time is that of the whole process of the node, its middleware included. --costs
tells where the node's own part of it goes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from nav_msgs.msg import Odometry
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from benchmarks.bench_messages import ConstantEstimator, Probe, set_environment, spin
from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.conversions import image_message
from da3_ros.ros.node.main import main as node_main

CAMERAS = ('front', 'left', 'right')
SIZE = ImageSize(480, 640)
NETWORK_SIZE = ImageSize(378, 504)
"""Of such an image at the default process_res."""
BUDGET_MS = 33.0
ROUNDS = 3
_TICKS_PER_S = os.sysconf('SC_CLK_TCK')
_MARK = 'cost '


class EmptyNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Sends the same depth for every image, and does nothing else."""

    def __init__(self) -> None:
        super().__init__('empty_node')
        self._depth = ConstantEstimator(NETWORK_SIZE).depth
        best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        for camera in CAMERAS:
            publisher = self.create_publisher(Image, f'{camera}/depth/image', 10)
            self.create_subscription(
                Image,
                f'{camera}/image_raw',
                lambda image, p=publisher: self._answer(image, p),
                best_effort,
            )

    def _answer(self, image: Image, publisher: Any) -> None:
        publisher.publish(image_message(image.header, self._depth, '32FC1'))


class SetProbe(Probe):
    """Notes when all depth images of a set have come."""

    def __init__(self, topics: dict[str, type[Any]]) -> None:
        super().__init__(topics, CAMERAS)
        self._came: dict[int, int] = defaultdict(int)
        self.set_delays_ms: list[float] = []

    def _take(self, topic: str, message: Any) -> None:
        if not topic.endswith('depth/image'):
            self.delays_ms[topic].append(0.0)
            return
        super()._take(topic, message)
        number = message.header.stamp.nanosec
        self._came[number] += 1
        if self._came[number] == len(CAMERAS) and number in self._sent:
            self.set_delays_ms.append(1e3 * (time.perf_counter() - self._sent[number]))

    def forget(self) -> None:
        """Forget what was measured, and what is still on its way."""
        super().forget()
        self.set_delays_ms.clear()


@dataclass(frozen=True)
class Measured:
    """What one run gave."""

    delays_ms: list[float]
    """Of whole sets."""
    cpu_ms: float
    """CPU time of the node's process, for one set."""
    threads_ms: dict[str, float]
    """The same by thread."""
    sets: int
    """Sets sent."""


def _cpu_s(pid: int) -> dict[str, float]:
    """Return CPU time of a process by thread: its first, those of the middleware, the others."""
    found: dict[str, float] = defaultdict(float)
    for task in Path(f'/proc/{pid}/task').iterdir():
        name, _, rest = (task / 'stat').read_text(encoding='ascii').partition(') ')
        name = name.partition('(')[2]
        kind = 'first thread (executor)' if int(task.name) == pid else 'callbacks and worker'
        if name.startswith('dds.'):
            kind = 'middleware'
        fields = rest.split()
        found[kind] += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return found


@contextmanager
def _serving(kind: str, costs: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, '-m', 'benchmarks.bench_node', '--serve', kind]
    command += ['--costs'] if costs else []
    command += ['--ros-args', '--log-level', 'fatal', '-p', f'cameras:=[{", ".join(CAMERAS)}]']
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        for line in output.splitlines():
            if line.startswith(_MARK):
                print(f'    {line.removeprefix(_MARK)}')


def measure(
    kind: str, topics: dict[str, type[Any]], sets: int, rate_hz: float, costs: bool = False
) -> Measured:
    """Run a node and send it sets.

    Args:
        kind: da3 or empty.
        topics: to be read; depth of every camera is.
        sets: to be sent.
        rate_hz: sets per second.
        costs: whether the node tells its costs in the end.
    """
    image = np.random.default_rng(0).integers(0, 256, (SIZE.height, SIZE.width, 3), dtype=np.uint8)
    rclpy.init()
    probe = SetProbe(topics)
    thread = threading.Thread(target=spin, args=(probe,), daemon=True)
    thread.start()
    number = 1
    try:
        with _serving(kind, costs) as process:
            while not (probe.has_reader and all(probe.delays_ms.values())):
                probe.send(image, number)
                number += 1
                probe.arrived.wait(0.2)
                probe.arrived.clear()
            # Until the scene is full, and the rig, which is not there, was waited for.
            for _ in range(20):
                probe.send(image, number)
                number += 1
                time.sleep(1 / rate_hz)
            time.sleep(1.0)
            probe.forget()
            before = _cpu_s(process.pid)
            for _ in range(sets):
                probe.send(image, number)
                number += 1
                time.sleep(1 / rate_hz)
            time.sleep(1.0)
            after = _cpu_s(process.pid)
            used = {name: 1e3 * (after[name] - before[name]) / sets for name in after}
            return Measured(list(probe.set_delays_ms), sum(used.values()), used, sets)
    finally:
        rclpy.try_shutdown()
        thread.join(5)
        probe.destroy_node()


DEPTH: dict[str, type[Any]] = {f'{camera}/depth/image': Image for camera in CAMERAS}
EVERYTHING: dict[str, type[Any]] = {
    **DEPTH,
    **{f'{c}/depth/camera_info': CameraInfo for c in CAMERAS},
    **{f'{c}/depth/confidence': Image for c in CAMERAS},
    **{f'{c}/color/image': Image for c in CAMERAS},
    **{f'{c}/points': PointCloud2 for c in CAMERAS},
    'points': PointCloud2,
    'odometry': Odometry,
    '/tf': TFMessage,
}


def compare(topics: dict[str, type[Any]], sets: int, rate_hz: float) -> None:
    """Print what the node costs beside the node that does nothing, in turns."""
    runs: dict[str, list[Measured]] = {'da3': [], 'empty': []}
    for _ in range(ROUNDS):
        for kind, found in runs.items():
            found.append(measure(kind, topics if kind == 'da3' else DEPTH, sets, rate_hz))
    medians: dict[str, float] = {}
    cpu: dict[str, float] = {}
    for kind, found in runs.items():
        delays = [delay for run in found for delay in run.delays_ms]
        sent = sum(run.sets for run in found)
        p5, p50, p95 = np.percentile(delays, [5, 50, 95])
        medians[kind], cpu[kind] = p50, float(np.median([run.cpu_ms for run in found]))
        print(
            f'  {kind:6s} p5 {p5:6.1f}  p50 {p50:6.1f}  p95 {p95:6.1f} ms   '
            f'CPU {cpu[kind]:6.1f} ms a set   {len(delays)} of {sent} arrived'
        )
        for name in found[0].threads_ms:
            value = np.median([run.threads_ms.get(name, 0.0) for run in found])
            print(f'           {name:26s} {value:6.1f} ms a set')
    print(
        f'  delay {medians["da3"] / BUDGET_MS:.0%} of {BUDGET_MS:g} ms, '
        f'{medians["da3"] / medians["empty"]:.2f} x that of the empty node; '
        f'CPU {cpu["da3"] / BUDGET_MS:.0%} of one core at 30 Hz, '
        f'{cpu["da3"] / cpu["empty"]:.2f} x'
    )


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
            print(f'{_MARK}{key:46s} {1e3 * used_s / sets:7.2f} ms a set  {calls:5.1f} calls')


def _counted() -> Costs:
    """Count what the node consists of."""
    from da3_ros.pipeline import pipeline, rig
    from da3_ros.ros.node import camera_outputs, inputs, odometry, outputs
    from da3_ros.ros.tf import publisher
    from da3_ros.stream import reconstructor

    costs = Costs()
    for owner, names in (
        (inputs.CameraInput, ['take_image']),
        (inputs, ['read_image']),
        (pipeline.Pipeline, ['push', 'step', '_take', '_window', '_settled']),
        (rig.RigTracker, ['update', 'with_prior']),
        (reconstructor.Reconstructor, ['process']),
        (reconstructor, ['compare_shared', 'window_sets', 'place_set', 'refusal']),
        (reconstructor, ['metric_candidates', 'typical_depth']),
        (outputs.Outputs, ['publish', '_report', '_cloud', 'is_wanted']),
        (camera_outputs.CameraOutputs, ['publish']),
        (camera_outputs, ['published_depth', 'image_message', 'organised_cloud', 'points_depth']),
        (outputs, ['merged_cloud']),
        (odometry.OdometryPublisher, ['publish']),
        (publisher.TransformPublisher, ['publish']),
        (rclpy.publisher.Publisher, ['publish', 'get_subscription_count']),
    ):
        for name in names:
            if hasattr(owner, name):
                costs.count(owner, name)
    return costs


class CountingEstimator(ConstantEstimator):
    """Counts windows."""

    windows = 0

    def estimate(self, window: Any) -> Any:
        """Return the constant answer."""
        self.windows += 1
        return super().estimate(window)


def serve(kind: str, arguments: Sequence[str]) -> int:
    """Run one of the nodes until it is interrupted."""
    if kind == 'empty':
        rclpy.init(args=arguments)
        node = EmptyNode()
        try:
            rclpy.spin(node)
        except (KeyboardInterrupt, ExternalShutdownException):
            return 0
        return 0
    costs = _counted() if '--costs' in arguments else None
    estimator = CountingEstimator(NETWORK_SIZE)
    status = node_main(arguments, estimator)
    if costs is not None:
        costs.tell(max(1, estimator.windows))
    return status


def main() -> int:
    """Compare the nodes, or be one of them."""
    if '--serve' in sys.argv:
        return serve(sys.argv[sys.argv.index('--serve') + 1], sys.argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sets', type=int, default=60, help='sets to send in each run')
    parser.add_argument('--rate', type=float, default=5.0, help='sets per second')
    parser.add_argument('--costs', action='store_true', help='tell where the time goes instead')
    options = parser.parse_args()
    set_environment()
    load = os.getloadavg()[0]
    print(f'{os.cpu_count()} cores, load {load:.1f}; {len(CAMERAS)} cameras of 640x480 rgb8')
    for title, topics in (('depth read alone', DEPTH), ('everything read', EVERYTHING)):
        print(title)
        if options.costs:
            measure('da3', topics, options.sets, options.rate, costs=True)
        else:
            compare(topics, options.sets, options.rate)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
