"""What loading a checkpoint costs, against building with random values and copying over them.

Usage: python benchmarks/bench_loading.py [--preset da3-base] [--runs N]

Every load runs in a process of its own, alternating, the file in the page cache. Printed are
medians of the time and the peak of resident memory above what the imports take.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile

from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.random_weights import random_network
from da3_ros.model.presets import PRESETS

ROOT = Path(__file__).resolve().parent.parent
MIB = 2**20

COMMON = """
import sys, time
from pathlib import Path
import torch
from safetensors.torch import load_file
from da3_ros.inference.checkpoint import load_network
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import build_network
from da3_ros.model.presets import PRESETS

def status(key):
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

folder, preset = sys.argv[1:]
Path('/proc/self/clear_refs').write_text('5')
before, start = status('VmRSS'), time.perf_counter()
"""

LOADS = {
    'plain (random init, load_state_dict)': """
network = build_network(PRESETS[preset], 'cpu')
state = load_file(folder + '/model.safetensors')
network.load_state_dict({k.removeprefix('model.'): v for k, v in state.items()}, strict=False)
""",
    'ours, fp32': "network = load_network(folder, arithmetic=Arithmetic('fp32'))\n",
    'ours, bf16': "network = load_network(folder, arithmetic=Arithmetic('bf16'))\n",
}

# Mapped parameters are read at first use: the second figure counts that too.
REPORT = """
loaded, peak = time.perf_counter() - start, status('VmHWM') - before
total = sum(float(value.sum()) for value in network.parameters())
print(loaded, time.perf_counter() - start, peak)
"""


def run(code: str, folder: Path, preset: str) -> tuple[float, float, float]:
    """Return seconds until loaded, seconds until read through, and peak bytes until loaded."""
    done = subprocess.run(
        [sys.executable, '-c', COMMON + code + REPORT, str(folder), preset],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded, touched, peak = (float(word) for word in done.stdout.split())
    return loaded, touched, peak


def main() -> None:
    """Write a checkpoint, load it in every way, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--preset', default='da3-base', choices=sorted(PRESETS))
    parser.add_argument('--runs', type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = save_checkpoint(random_network(PRESETS[options.preset], 0), folder)
        size = files.weights.stat().st_size
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in LOADS}
        for _ in range(options.runs):
            for name, code in LOADS.items():
                found[name].append(run(code, folder, options.preset))
    print(f'{options.preset}, {size / MIB:.0f} MiB in float32')
    plain = statistics.median(first for first, _, _ in next(iter(found.values())))
    for name, results in found.items():
        loaded, touched, peak = (
            statistics.median(column) for column in zip(*results, strict=True)
        )
        target = size / 2 if 'bf16' in name else size
        print(
            f'{name:38} loaded {loaded:6.2f} s ({plain / loaded:5.1f}x), read through '
            f'{touched:6.2f} s, peak {peak / MIB:6.0f} MiB = {peak / target:.2f} of the target'
        )


if __name__ == '__main__':
    main()
