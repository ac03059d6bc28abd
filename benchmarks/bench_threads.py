"""How the node keeps up with three cameras where other programs hold half of the processor.

Usage: . .build/jazzy/env.sh && python benchmarks/bench_threads.py [--seconds S] [--duty SHARE]

Three cameras of 640x480 at 10 Hz go over real DDS into `da3_node` with da3-nano, in windows of
three sets, on two cores. One process for each core computes for a fixed share of every hundredth
of a second. Printed are the share of sets that got no depth, and the delay from handing the last
image of a set to the middleware to the arrival of its last depth image:

- with what the node settles by itself: its defaults,
- with what torch does by itself: a thread for each core that waits busily.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import rclpy

from benchmarks.bench_messages import set_environment, spin
from benchmarks.bench_node import DEPTH, THREE, SetProbe
from da3_ros.ros.conversions import image_message
from da3_ros.ros.messages.geometry_messages import header
from da3_ros.synthetic import START_NS, make_family_world

CORES = 2
RATE_HZ = 10.0
WARM_SETS = 30
INSTANTS = 20
_PERIOD_S = 0.01
_NS_PER_S = 1_000_000_000

DEFAULTS: Mapping[str, str] = {}
AS_TORCH = {'OMP_NUM_THREADS': str(CORES), 'OMP_WAIT_POLICY': 'ACTIVE'}

BUSY = f"""
import sys, time
duty = float(sys.argv[1])
while True:
    end = time.perf_counter() + duty * {_PERIOD_S}
    while time.perf_counter() < end:
        pass
    time.sleep((1 - duty) * {_PERIOD_S})
"""


class RoomProbe(SetProbe):
    """Publishes pictures of a room, a drive of two seconds again and again."""

    def __init__(self) -> None:
        super().__init__(DEPTH)
        world = make_family_world(0, THREE.size)
        step_ns = round(_NS_PER_S / RATE_HZ)
        self._pictures = [
            {c: world.render(c, START_NS + i * step_ns).image for c in THREE.names}
            for i in range(INSTANTS)
        ]

    def send_set(self, number: int) -> None:
        """Publish the images of one instant; its number is the stamp, ns after a second."""
        pictures = self._pictures[number % INSTANTS]
        for camera, publisher in self._images.items():
            head = header(_NS_PER_S + number, f'{camera}_optical_frame')
            message = image_message(head, pictures[camera], 'rgb8')
            self._sent[number] = time.perf_counter()
            publisher.publish(message)


@contextmanager
def load(duty: float) -> Iterator[None]:
    """Hold a share of every core while the block runs."""
    command = [sys.executable, '-c', BUSY, str(duty)]
    busy = [subprocess.Popen(command) for _ in range(CORES if duty > 0 else 0)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


@contextmanager
def node(variables: Mapping[str, str]) -> Iterator[None]:
    """Run the node, with its output in this terminal where it warns."""
    parameters = ['model:=da3-nano', f'cameras:=[{", ".join(THREE.names)}]']
    command = [sys.executable, '-m', 'da3_ros.ros.node.main', '--ros-args', '--log-level', 'error']
    command += [word for parameter in parameters for word in ('-p', parameter)]
    own = ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'OPENBLAS_NUM_THREADS')
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    process = subprocess.Popen(command, env={**inherited, **variables})
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def measure(variables: Mapping[str, str], duty: float, seconds: float) -> tuple[float, Any]:
    """Return the share of sets without depth, and the delays of the others in seconds.

    Args:
        variables: of the node's environment.
        duty: share of every core that others hold.
        seconds: how long sets are sent.
    """
    rclpy.init()
    probe = RoomProbe()
    thread = threading.Thread(target=spin, args=(probe,), daemon=True)
    thread.start()
    number = 1
    try:
        with node(variables), load(duty):
            while not (probe.has_reader and all(probe.delays_ms.values())):
                probe.send_set(number)
                number += 1
                time.sleep(1 / RATE_HZ)
            count = WARM_SETS + round(seconds * RATE_HZ)
            due = time.perf_counter()
            for index in range(count):
                if index == WARM_SETS:
                    probe.forget()
                probe.send_set(number)
                number += 1
                due += 1 / RATE_HZ
                time.sleep(max(0.0, due - time.perf_counter()))
            time.sleep(2.0)
            delays_s = np.array(probe.set_delays_ms) / 1e3
            return 1 - len(delays_s) / (count - WARM_SETS), delays_s
    finally:
        rclpy.try_shutdown()
        thread.join(5)
        probe.destroy_node()


def main() -> None:
    """Measure both settings in turns and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=20.0, help='of every run')
    parser.add_argument('--duty', type=float, default=0.5, help='share of every core that is held')
    parser.add_argument('--runs', type=int, default=2)
    options = parser.parse_args()
    set_environment()
    if hasattr(os, 'sched_setaffinity'):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:CORES]))
    print(f'{CORES} cores, {options.duty:.0%} of each held by others, da3-nano, {RATE_HZ:g} Hz')
    for _ in range(options.runs):
        for title, variables in (('defaults', DEFAULTS), ('as torch', AS_TORCH)):
            dropped, delays_s = measure(variables, options.duty, options.seconds)
            p50, p95 = np.percentile(delays_s, [50, 95]) if len(delays_s) else (np.nan, np.nan)
            print(f'{title:9s} {dropped:4.0%} dropped, p50 {p50:.3f} s, p95 {p95:.3f} s')


if __name__ == '__main__':
    main()
