"""depth-anything.cpp as a contender: its command line program, run anew for every answer.

Usage: python cpp_worker.py JSON, with `binary`, `model` (GGUF file) and `threads`.

The program says itself how long it loads and computes (`--repeat`). Where it does not, as of
several views, its whole time counts, less that of a run which only loads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import json
from pathlib import Path
import re
import resource
import subprocess
import sys
import tempfile
import time
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.serving import Arrays, Server, Step, serve

_LOAD = re.compile(r'load=([\d.]+)\s*ms')
_COMPUTE = re.compile(r'infer=([\d.]+)\s*ms')
_POLL_S = 0.005


class Program:
    """The program and its model."""

    def __init__(self, options: dict[str, Any], folder: Path) -> None:
        self._options = options
        self._folder = folder
        self.peak_bytes = 0
        self._load_s = 0.0

    def load(self) -> dict[str, str]:
        """Load the model once, to know how long that takes."""
        start = time.perf_counter()
        self._run('info', '--model', self._options['model'])
        self._load_s = time.perf_counter() - start
        return {'binary': Path(self._options['binary']).name}

    def forward(self, images: NDArray[np.uint8]) -> Arrays:
        """Compute depth of all images together."""
        if len(images) > 1:
            prefix = self._folder / 'view'
            self._depth(images, '--out-prefix', str(prefix))
            files = sorted(self._folder.glob('view*.pfm'))
            return {'depth': np.stack([_depth_of(path) for path in files])} if files else {}
        path = self._folder / 'one.pfm'
        self._depth(images, '--pfm', str(path))
        return {'depth': _depth_of(path)[None]}

    def stream(self, images: NDArray[np.uint8], length: int, stride: int) -> Step:
        """Refuse: it has no windows that begin anew with every image."""
        raise NotImplementedError('the program keeps nothing between calls')

    def gflop(self, compute: Callable[[], object]) -> float | None:
        """Return nothing: it does not say."""
        return None

    def seconds(self, images: NDArray[np.uint8]) -> float:
        """Return how long it computes."""
        start = time.perf_counter()
        pose = ('--pose', str(self._folder / 'pose.json')) if len(images) == 1 else ()
        said = self._depth(images, '--repeat', '1', *pose)
        whole_s = time.perf_counter() - start
        found = _COMPUTE.search(said)
        return float(found[1]) / 1000 if found else max(0.0, whole_s - self._load_s)

    def _depth(self, images: NDArray[np.uint8], *words: str) -> str:
        inputs: list[str] = []
        for index, image in enumerate(images):
            path = self._folder / f'in_{index}.png'
            done, encoded = cv2.imencode('.png', image[..., ::-1])
            assert done
            path.write_bytes(encoded.tobytes())
            inputs += ['--input', str(path)]
        threads = ('--threads', str(self._options['threads']))
        return self._run('depth', '--model', self._options['model'], *inputs, *threads, *words)

    def _run(self, *words: str) -> str:
        command: Sequence[str] = (self._options['binary'], *words)
        with tempfile.TemporaryFile('w+') as said:
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            status = Path(f'/proc/{process.pid}/status')
            while process.poll() is None:
                self._note_peak(status)
                time.sleep(_POLL_S)
            said.seek(0)
            text = said.read()
        if process.returncode != 0:
            raise RuntimeError(f'{" ".join(words[:3])}: {(text.strip().splitlines() or [""])[-1]}')
        return text

    def _note_peak(self, status: Path) -> None:
        try:
            lines = status.read_text(encoding='utf-8').splitlines()
        except OSError:
            return
        peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')]
        self.peak_bytes = max(self.peak_bytes, *peaks, 0)


class ProgramServer(Server):
    """Answers with the times that the program says, and with its memory."""

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self._program = program

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        images = self._images(request)[: request['views']]
        if request.get('save') is not None:
            np.savez(request['save'], **self._program.forward(images))  # type: ignore[arg-type]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall_s = self._program.seconds(images)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {'wall_s': wall_s, 'cpu_s': cpu_s}

    def _peak(self, request: dict[str, Any]) -> dict[str, Any]:
        return {'peak_mb': self._program.peak_bytes / 1e6}


def _depth_of(path: Path) -> NDArray[np.float32]:
    """Read a PFM file, whose rows go upwards."""
    kind, size, scale, values = path.read_bytes().split(b'\n', 3)
    if kind != b'Pf':
        raise ValueError(f'{path.name}: expected a grey PFM file, got {kind!r}')
    width, height = map(int, size.split())
    order = '<f4' if float(scale) < 0 else '>f4'
    return np.frombuffer(values, order).reshape(height, width)[::-1].astype(np.float32)


if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder:
        serve(ProgramServer(Program(json.loads(sys.argv[1]), Path(folder))))
