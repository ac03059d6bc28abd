"""From the start of a process to the depth of one image in a file, by every runtime.

Usage: python benchmarks/bench_start.py [--model FOLDER] [--preset da3-small] [--size 640x480]
    [--runs N] [--official FOLDER]

Without --model the weights are drawn. Engines are compiled before, in a cache of their own. Every
run is a process of its own: `da3 image` to the end, files in the page cache, in turns. Of each
runtime the medians of wall time and of CPU seconds are printed, and the peak of resident memory;
`no torch` is the interpreter of an installation without it (--light PYTHON). With --official, the
clone of the official repository, its own API does the same.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
import os
from pathlib import Path
import statistics
import subprocess
import sys
import tempfile
import time

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
RUNTIMES = ('torch', 'openvino', 'onnxruntime')
MIB = 2**20

OFFICIAL = """
import sys
source, model, image, out = sys.argv[1:]
sys.path.insert(0, source + '/src')
import numpy as np
from depth_anything_3.api import DepthAnything3
found = DepthAnything3.from_pretrained(model).inference([image])
np.savez(out, depth=found.depth)
"""


@dataclass
class Runs:
    """What processes of one kind took."""

    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def add(self, command: list[str], environment: dict[str, str]) -> None:
        """Run a process to its end."""
        began = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        assert process.stderr is not None
        said = process.stderr.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall_s.append(time.perf_counter() - began)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f'{" ".join(command)}\n{said}')
        self.cpu_s.append(usage.ru_utime + usage.ru_stime)
        self.peak_mib.append(usage.ru_maxrss * 1024 / MIB)

    def line(self) -> str:
        """Return the medians."""
        wall, cpu, peak = map(statistics.median, (self.wall_s, self.cpu_s, self.peak_mib))
        spread = f'{min(self.wall_s):.2f} to {max(self.wall_s):.2f}'
        return f'{wall:6.2f} s ({spread})  {cpu:6.2f} CPU s  {peak:6.0f} MiB'


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n\n')[0])
    parser.add_argument('--model', type=Path, help='folder of a checkpoint')
    parser.add_argument('--preset', default='da3-small', help='network of drawn weights')
    parser.add_argument('--size', default='640x480', help='of the image')
    parser.add_argument('--runs', type=int, default=5)
    parser.add_argument('--light', help='Python of an installation without torch')
    parser.add_argument('--official', type=Path, help='clone of the official repository')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = arguments.model or _drawn(arguments.preset, folder / 'weights')
        image = _image(arguments.size, folder / 'image.png')
        environment = {**os.environ, 'DA3_CACHE': str(folder / 'cache'), 'PYTHONPATH': _path()}
        commands = _commands(arguments, model, image, folder)
        # The first run compiles, or reads files into the page cache.
        for command in commands.values():
            Runs().add(command, environment)
        runs = {name: Runs() for name in commands}
        for _ in range(arguments.runs):
            for name, command in commands.items():
                runs[name].add(command, environment)
    for name, found in runs.items():
        print(f'{name:22}{found.line()}')


def _commands(
    arguments: argparse.Namespace, model: Path, image: Path, folder: Path
) -> dict[str, list[str]]:
    def ours(python: str, runtime: str) -> list[str]:
        out = folder / f'{runtime}-{len(python)}'
        options = ['--model', str(model), '--runtime', runtime, '--export-format', 'mini_npz']
        command = [python, '-m', 'da3_ros', 'image', str(image), *options]
        return [*command, '--export-dir', str(out), '--overwrite']

    commands = {name: ours(sys.executable, name) for name in RUNTIMES}
    if arguments.light:
        commands['openvino, no torch'] = ours(arguments.light, 'openvino')
    if arguments.official:
        given = [str(arguments.official), str(model), str(image), str(folder / 'official.npz')]
        commands['official'] = [sys.executable, '-c', OFFICIAL, *given]
    return commands


def _drawn(preset: str, folder: Path) -> Path:
    from da3_ros.inference.checkpoint import save_checkpoint
    from da3_ros.inference.random_weights import random_network
    from da3_ros.model.presets import PRESETS

    save_checkpoint(random_network(PRESETS[preset], 0), folder, is_random=True)
    return folder


def _image(size: str, path: Path) -> Path:
    width, height = map(int, size.split('x'))
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
    return path


def _path() -> str:
    return os.pathsep.join((str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])))


if __name__ == '__main__':
    main()
