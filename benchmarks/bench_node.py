"""What the node costs around the network: images in, topics out, beside a node that does nothing.

Usage: . .build/jazzy/env.sh && python benchmarks/bench_node.py [--cameras 3x640x480 ...]
       [--rounds N] [--sets N] [--rate HZ] [--costs] [--executors]

The nodes are those of `served_nodes`. They run in processes of their own, in turns, against the
same publisher and subscriber in this one: the empty node, ours with depth read alone, one that
sends messages made beforehand to the readers of everything (the floor of what follows), ours with
everything read. A ratio is that of two runs that follow each other; printed is the median of all
rounds, with the smallest and the largest.

CPU time is that of the whole process of the node, its middleware included. The delay of a set
counts from handing its last image to the middleware to the arrival of its last depth image.
--costs tells where the node's own part of it goes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
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

import cv2
from nav_msgs.msg import Odometry
import numpy as np
import rclpy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from tf2_msgs.msg import TFMessage

from benchmarks.bench_messages import Probe, set_environment, spin
from benchmarks.served_nodes import EXECUTORS, MARK, Cameras, serve
from da3_ros.types import ColourImage

THREE = Cameras()
ALL_CAMERAS = (THREE, Cameras(6, 1280, 720), Cameras(is_jpeg=True))
ROUNDS = 5
_NS_PER_MS = 1e6
_START_SETS, _START_RATE_HZ = 150, 15.0
"""Sets before anything is measured: until the rig, which is not there, was waited for, and until
the store of the scene is full, as it is of a robot that runs for longer than half a minute. Up to
then every set lies in memory that the process has never used, which costs it a page fault for
each 4 kB."""

Topics = dict[str, type[Any]]


class SetProbe(Probe):
    """Notes when all depth images of a set have come."""

    def __init__(self, topics: Topics, cameras: Cameras = THREE) -> None:
        super().__init__(topics, cameras.names, is_jpeg=cameras.is_jpeg)
        self._cameras = cameras.count
        self._came: dict[int, int] = defaultdict(int)
        self.set_delays_ms: list[float] = []

    def _take(self, topic: str, message: Any) -> None:
        if not topic.endswith('depth/image'):
            self.delays_ms[topic].append(0.0)
            return
        super()._take(topic, message)
        number = message.header.stamp.nanosec
        self._came[number] += 1
        if self._came[number] == self._cameras and number in self._sent:
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


def cpu_ms(pid: int) -> dict[str, float]:
    """Return CPU time of a process by thread, milliseconds.

    From schedstat, which counts nanoseconds; `stat` counts hundredths of a second.
    """
    found: dict[str, float] = defaultdict(float)
    for task in Path(f'/proc/{pid}/task').iterdir():
        name = (task / 'comm').read_text(encoding='utf-8').strip()
        kind = 'first thread (executor)' if int(task.name) == pid else name
        if name.startswith('dds.'):
            kind = 'middleware'
        elif name.startswith('da3_callbacks'):
            kind = 'callbacks'
        used_ns = (task / 'schedstat').read_text(encoding='ascii').split()[0]
        found[kind] += int(used_ns) / _NS_PER_MS
    return found


@contextmanager
def _serving(kind: str, cameras: Cameras, costs: bool) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, '-m', 'benchmarks.bench_node', '--serve', kind, str(cameras)]
    command += ['--costs'] if costs else []
    command += ['--ros-args', '--log-level', 'fatal', *cameras.parameters]
    # Our node sees to it itself, before it loads rclpy; here rclpy is loaded by then.
    arenas = {'MALLOC_ARENA_MAX': '1'} if kind == 'da3' else {}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **arenas}
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
        for line in output.splitlines():
            if line.startswith(MARK):
                print(f'    {line.removeprefix(MARK)}')


def _picture(cameras: Cameras) -> ColourImage:
    """Return an image (H, W, 3) that a JPEG file holds in about a tenth of its bytes."""
    shape = (cameras.height // 8, cameras.width // 8, 3)
    coarse = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    size = (cameras.width, cameras.height)
    return np.asarray(cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def measure(
    kind: str,
    topics: Topics,
    cameras: Cameras,
    sets: int,
    rate_hz: float,
    *,
    costs: bool = False,
) -> Measured:
    """Run a node and send it sets.

    Args:
        kind: da3, empty, constant or the name of an executor.
        topics: to be read; depth of every camera is.
        cameras: what is sent.
        sets: to be sent.
        rate_hz: sets per second.
        costs: whether the node tells its costs in the end.
    """
    image = _picture(cameras)
    rclpy.init()
    probe = SetProbe(topics, cameras)
    thread = threading.Thread(target=spin, args=(probe,), daemon=True)
    thread.start()
    number = 0

    def send(count: int, rate_hz: float) -> None:
        nonlocal number
        for _ in range(count):
            number += 1
            probe.send(image, number)
            time.sleep(1 / rate_hz)
        time.sleep(1.0)

    try:
        with _serving(kind, cameras, costs) as process:
            while not (probe.has_reader and all(probe.delays_ms.values())):
                number += 1
                probe.send(image, number)
                probe.arrived.wait(0.2)
                probe.arrived.clear()
            send(_START_SETS, _START_RATE_HZ)
            probe.forget()
            before = cpu_ms(process.pid)
            send(sets, rate_hz)
            after = cpu_ms(process.pid)
            used = {name: (after[name] - before[name]) / sets for name in after}
            return Measured(list(probe.set_delays_ms), sum(used.values()), used, sets)
    finally:
        rclpy.try_shutdown()
        thread.join(5)
        probe.destroy_node()


def depth_topics(cameras: Cameras) -> Topics:
    """Return the depth of every camera."""
    return {f'{camera}/depth/image': Image for camera in cameras.names}


def all_topics(cameras: Cameras) -> Topics:
    """Return all that most users may read at a time."""
    found: Topics = depth_topics(cameras)
    for camera in cameras.names:
        found[f'{camera}/depth/camera_info'] = CameraInfo
        found[f'{camera}/depth/confidence'] = Image
        found[f'{camera}/color/image'] = Image
        found[f'{camera}/points'] = PointCloud2
    return {**found, 'points': PointCloud2, 'odometry': Odometry, '/tf': TFMessage}


DEPTH = depth_topics(THREE)


Kinds = dict[str, tuple[str, Topics]]
"""Title of a contender to the node it is and what is read of it; ratios are to the first one."""


def contenders(cameras: Cameras) -> Kinds:
    """Return the node that does nothing, ours, and the floor of it."""
    depth = depth_topics(cameras)
    return {
        'empty node': ('empty', depth),
        'depth read alone': ('da3', depth),
        'constant messages': ('constant', all_topics(cameras)),
        'everything read': ('da3', all_topics(cameras)),
    }


def executors(cameras: Cameras) -> Kinds:
    """Return the node that does nothing, by one executor after the other."""
    return {name: (name, depth_topics(cameras)) for name in EXECUTORS}


def compare(kinds: Kinds, cameras: Cameras, rounds: int, sets: int, rate_hz: float) -> None:
    """Print what nodes cost beside the first of them, in turns."""
    runs: dict[str, list[Measured]] = {title: [] for title in kinds}
    for _ in range(rounds):
        for title, (kind, topics) in kinds.items():
            runs[title].append(measure(kind, topics, cameras, sets, rate_hz))
    empty = next(iter(runs.values()))
    for title, found in runs.items():
        delays = [delay for run in found for delay in run.delays_ms]
        p5, p50, p95 = np.percentile(delays, [5, 50, 95])
        used = float(np.median([run.cpu_ms for run in found]))
        ratios = [run.cpu_ms / other.cpu_ms for run, other in zip(found, empty, strict=True)]
        print(
            f'  {title:22s} CPU {used:6.1f} ms a set, {np.median(ratios):5.2f} x '
            f'({min(ratios):.2f} to {max(ratios):.2f})   delay p5 {p5:5.1f}  p50 {p50:5.1f}  '
            f'p95 {p95:5.1f} ms   {len(delays)} of {sum(run.sets for run in found)} arrived'
        )
        parts = {
            name: float(np.median([run.threads_ms.get(name, 0.0) for run in found]))
            for name in found[0].threads_ms
        }
        shown = [f'{name} {value:.1f}' for name, value in parts.items() if value >= 0.05]
        print(f'      by thread: {", ".join(shown)}')


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the nodes, or be one of them."""
    if '--serve' in sys.argv:
        kind, cameras = sys.argv[sys.argv.index('--serve') + 1 :][:2]
        return serve(kind, Cameras.parsed(cameras), sys.argv)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        '--cameras',
        nargs='+',
        type=Cameras.parsed,
        default=ALL_CAMERAS,
        help='number, width and height, with jpeg behind for compressed images',
    )
    parser.add_argument('--rounds', type=int, default=ROUNDS, help='runs of every kind')
    parser.add_argument('--sets', type=int, default=60, help='sets to send in each run')
    parser.add_argument('--rate', type=float, default=5.0, help='sets per second')
    parser.add_argument('--costs', action='store_true', help='tell where the time goes instead')
    parser.add_argument(
        '--executors', action='store_true', help='compare executors by the node that does nothing'
    )
    options = parser.parse_args(arguments)
    set_environment()
    print(f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}')
    for cameras in options.cameras:
        print(f'{cameras} ({"JPEG" if cameras.is_jpeg else "rgb8"})')
        if not options.costs:
            kinds = executors(cameras) if options.executors else contenders(cameras)
            compare(kinds, cameras, options.rounds, options.sets, options.rate)
            continue
        for topics in (depth_topics(cameras), all_topics(cameras)):
            print(f'  {len(topics)} topics read')
            measure('da3', topics, cameras, options.sets, options.rate, costs=True)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
