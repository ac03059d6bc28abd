"""A long recording through `da3 bag`: memory by length, and rate beside the estimator's own time.

Usage: python benchmarks/bench_bag.py [--sets 1000 10000] [--estimate-ms 50] [--timed-sets 400]
       [--size WIDTHxHEIGHT] [--cameras N]

Prints one JSON object. Each length is read in a process of its own, by an estimator that takes no
time, for its peak of memory. The rate is that of `--timed-sets` sets with an estimator that takes
`--estimate-ms` for each window; `overhead` is what the rest takes beside it, as a share, and
`own_cpu_ms_per_window` what the thread that waits for the estimator computes besides, which is the
same on a machine that others use too.
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
from pathlib import Path
import resource
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any

from da3_ros.cli.synthesize import parse_size
from da3_ros.geometry.camera import ImageSize
from da3_ros.options.outputs import OutputChoice
from da3_ros.ros.offline.cameras import Asked, choose_cameras
from da3_ros.ros.offline.run import BagRun
from da3_ros.ros.offline.tape import Tape
from da3_ros.sinks.camera_bag import CameraBagWriter
from da3_ros.sinks.resumable_bag import ResumableBag
from da3_ros.synthetic import START_NS, make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import CameraFrame, Window, WindowPrediction

_PERIOD_NS = 100_000_000
_NAMES = ('front', 'left', 'right', 'back')


def main() -> None:
    """Measure, and print one JSON object."""
    given = _arguments()
    size, names = parse_size(given.size), _NAMES[: given.cameras]
    context = multiprocessing.get_context('spawn')
    with (
        TemporaryDirectory(prefix='da3_bench_bag_') as folder,
        context.Pool(1, maxtasksperchild=1) as pool,
    ):
        runs: list[dict[str, Any]] = []
        for sets in (*given.sets, given.timed_sets):
            bag = Path(folder) / f'{sets}.mcap'
            if not bag.exists():
                _write(bag, sets, size, names)
            delay_s = given.estimate_ms / 1e3 if len(runs) == len(given.sets) else 0.0
            runs.append(pool.apply(_run, (bag, size, names, delay_s)))
            (Path(folder) / 'out.mcap').unlink()
    timed = runs.pop()
    print(
        json.dumps(
            {
                'size': [size.width, size.height],
                'cameras': len(names),
                'peak_memory_mb': {run['sets']: run['peak_memory_mb'] for run in runs},
                'free_windows_per_s': {run['sets']: run['sets'] / run['seconds'] for run in runs},
                'timed': timed,
                'overhead': timed['seconds'] / timed['estimator_s'] - 1,
            },
            indent=2,
        )
    )


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--sets', type=int, nargs='+', default=[1000, 10000])
    parser.add_argument('--timed-sets', type=int, default=400)
    parser.add_argument('--estimate-ms', type=float, default=50.0)
    parser.add_argument('--size', default='160x120')
    parser.add_argument('--cameras', type=int, default=2, choices=range(1, 5))
    return parser.parse_args()


def _write(bag: Path, sets: int, size: ImageSize, names: tuple[str, ...]) -> None:
    """Write a recording of one picture with the stamps of many."""
    world = make_family_world(0, size, names)
    views = {name: world.render(name, START_NS) for name in names}
    with CameraBagWriter(bag) as writer:
        frame_ids = {name: world.rig.frame_id(name) for name in names}
        writer.write_rig(world.rig.calibration, frame_ids, START_NS)
        for number in range(sets):
            at_ns = START_NS + number * _PERIOD_NS
            for name, view in views.items():
                frame = CameraFrame(name, at_ns, frame_ids[name], view.image, view.camera)
                writer.write_frame(frame)


class _Estimator(TruthEstimator):
    """Knows what it cost."""

    cpu_s = 0.0

    def estimate(self, window: Window) -> WindowPrediction:
        """Return the truth."""
        began_s = time.thread_time()
        prediction = super().estimate(window)
        self.cpu_s += time.thread_time() - began_s
        return prediction


def _run(bag: Path, size: ImageSize, names: tuple[str, ...], delay_s: float) -> dict[str, Any]:
    """Read a recording; called in a process of its own."""
    logging.basicConfig(level=logging.ERROR)
    estimator = _Estimator(make_family_world(0, size, names), delay_s=delay_s)
    out = bag.with_name('out.mcap')
    with Tape([bag]) as tape:
        cameras = choose_cameras(tape, Asked())
        with ResumableBag(out, {}, restart=False, overwrite=False) as written:
            began, began_cpu_s = time.perf_counter(), time.thread_time()
            result = BagRun(tape, cameras, OutputChoice(), estimator, written).run()
            seconds = time.perf_counter() - began
            own_cpu_s = time.thread_time() - began_cpu_s - estimator.cpu_s
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        'sets': result.tally.sets,
        'seconds': seconds,
        'estimator_s': result.estimator_s,
        'own_cpu_ms_per_window': 1e3 * own_cpu_s / result.tally.windows,
        'peak_memory_mb': used / 1024 if sys.platform == 'darwin' else used,
        'out_mb': out.stat().st_size / 1e6,
    }


if __name__ == '__main__':
    main()
