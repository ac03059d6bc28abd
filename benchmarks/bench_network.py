"""Our forward against the published one on this CPU, in one run: ratios for 1, 2 and 4 views.

Usage: [DA3_REFERENCE_PYTHON=/path/to/python] python benchmarks/bench_network.py
           [--preset da3-small] [--size 140 252] [--runs N] [--threads N]

With an interpreter that has depth-anything-3 (see `test/oracle`), its network runs on the same
weights and inputs, alternating with ours run by run. Without one, ours is compared with the work
that the upstream network does and ours leaves out: the ray branch, computed for every view.
Printed are medians; bf16 is ours with 16-bit matrices.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
import json
import os
import statistics
import subprocess
import tempfile
import time
from types import TracebackType

import torch
from torch import Tensor

from da3_ros.inference.checkpoint import load_network, save_checkpoint
from da3_ros.inference.random_weights import random_network
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import Network
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.presets import PRESETS

PYTHON = os.environ.get('DA3_REFERENCE_PYTHON')
VIEWS = (1, 2, 4)

SERVER = """
import json, sys, time
import torch
from depth_anything_3.cfg import create_object, load_config
from safetensors.torch import load_file

options = json.loads(sys.argv[1])
torch.set_num_threads(options['threads'])
network = create_object(load_config('depth_anything_3.configs.' + options['preset'])).eval()
state = load_file(options['weights'])
network.load_state_dict({k.removeprefix('model.'): v for k, v in state.items()}, strict=False)
print('ready', file=sys.stderr, flush=True)
for line in sys.stdin:
    images = torch.zeros(1, int(line), 3, *options['size'])
    start = time.perf_counter()
    with torch.inference_mode():
        network(images)
    print('seconds', time.perf_counter() - start, file=sys.stderr, flush=True)
"""


class Reference:
    """The upstream network in a process of its own, one forward per request."""

    def __init__(self, python: str, options: dict[str, object]) -> None:
        self._process = subprocess.Popen(
            [python, '-c', SERVER, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._answer('ready')

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def seconds(self, views: int) -> float:
        """Return the time of one forward."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{views}\n')
        self._process.stdin.flush()
        return float(self._answer('seconds').split()[1])

    def _answer(self, word: str) -> str:
        assert self._process.stderr is not None
        said: list[str] = []
        for line in self._process.stderr:
            if line.startswith(word):
                return line
            said.append(line)
        raise SystemExit('the reference failed:\n' + ''.join(said[-20:]))


def timed(run: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    with torch.inference_mode():
        run()
    return time.perf_counter() - start


def unpruned(network: Network, images: Tensor) -> None:
    """Run the forward with the ray branch for every view."""
    assert isinstance(network, AnyViewNetwork)
    fused = network.fuse(network.encode(images))
    network.pose_encoding(fused)
    network.dense_maps(fused, with_rays=True)


def medians(runs: Mapping[str, Callable[[], float]], count: int) -> dict[str, float]:
    """Return the median of every run, alternating, after one that is not counted."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(count):
        for name, run in runs.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--preset', default='da3-small', choices=['da3-small', 'da3-base'])
    parser.add_argument('--size', type=int, nargs=2, default=(140, 252), metavar=('H', 'W'))
    parser.add_argument('--runs', type=int, default=7)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        files = save_checkpoint(random_network(PRESETS[arguments.preset], 0), folder)
        options = {
            'preset': arguments.preset,
            'weights': str(files.weights),
            'size': list(arguments.size),
            'threads': arguments.threads,
        }
        ours = load_network(folder)
        narrow = load_network(folder, arithmetic=Arithmetic('bf16'))
        if PYTHON is None:
            print('no DA3_REFERENCE_PYTHON: compared with our own forward with the ray branch')
            compare(arguments, ours, narrow, None)
        else:
            with Reference(PYTHON, options) as reference:
                compare(arguments, ours, narrow, reference)


def compare(
    arguments: argparse.Namespace, ours: Network, narrow: Network, reference: Reference | None
) -> None:
    """Print one line per number of views."""
    height, width = arguments.size
    print(
        f'{arguments.preset}, {height} x {width}, {arguments.threads} threads, seconds per forward'
    )
    for views in VIEWS:
        images = torch.zeros(1, views, 3, height, width)
        other = partial(timed, partial(unpruned, ours, images))
        if reference is not None:
            other = partial(reference.seconds, views)
        runs = {
            'other': other,
            'ours': partial(timed, partial(ours, images)),
            'bf16': partial(timed, partial(narrow, images)),
        }
        found = medians(runs, arguments.runs)
        label = 'with rays' if reference is None else 'published'
        print(
            f'{views} views: {label} {found["other"]:.3f}, ours {found["ours"]:.3f} '
            f'({found["other"] / found["ours"]:.2f}x), bf16 {found["bf16"]:.3f} '
            f'({found["other"] / found["bf16"]:.2f}x)'
        )


if __name__ == '__main__':
    main()
