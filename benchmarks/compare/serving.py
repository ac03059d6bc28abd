"""A worker process: it obeys lines of JSON on its input and answers with lines of JSON.

Nothing but the standard library and numpy is imported here: the official code runs in an
interpreter of its own, which has nothing of this project. Who computes is a `Contender`.
"""

from __future__ import annotations

from collections.abc import Callable
import json
import os
from pathlib import Path
import sys
import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.float32]]
Step = Callable[[int], Arrays]


class Contender(Protocol):
    """Code that is compared."""

    def load(self) -> dict[str, str]:
        """Load the weights; return names and versions of what computes."""
        ...

    def forward(self, images: NDArray[np.uint8]) -> Arrays:
        """Return `depth` (V, H, W), `confidence`, `extrinsics` (V, 3, 4) and `intrinsics`.

        Args:
            images: (V, H, W, 3) RGB.
        """
        ...

    def stream(self, images: NDArray[np.uint8], length: int, stride: int) -> Step:
        """Return what computes the window of a number.

        Window n holds the images from `n * stride` on, `images` again and again. Its depth is of
        the last `stride` images, its extrinsics are of all.
        """
        ...

    def gflop(self, compute: Callable[[], object]) -> float | None:
        """Return the 10^9 operations computed meanwhile; None where none can be counted."""
        ...


class Server:
    """Answers one request after another."""

    def __init__(self, contender: Contender) -> None:
        self._contender = contender
        self._streams: dict[tuple[int, int, str], tuple[Step, list[int]]] = {}
        self._images_of: dict[str, NDArray[np.uint8]] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what a request says."""
        answer: dict[str, Any] = getattr(self, f'_{request["do"]}')(request)
        return answer

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        versions = self._contender.load()
        return {'load_s': time.perf_counter() - start, 'versions': versions}

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        images = self._images(request)[: request['views']]
        return _timed(lambda: self._contender.forward(images), request.get('save'))

    def _step(self, request: dict[str, Any]) -> dict[str, Any]:
        step, number = self._stream(request)
        number[0] += 1
        return _timed(lambda: step(number[0]), request.get('save'))

    def _count(self, request: dict[str, Any]) -> dict[str, Any]:
        if 'length' in request:
            step, number = self._stream(request)
            number[0] += 1
            return {'gflop': self._contender.gflop(lambda: step(number[0]))}
        images = self._images(request)[: request['views']]
        return {'gflop': self._contender.gflop(lambda: self._contender.forward(images))}

    def _peak(self, request: dict[str, Any]) -> dict[str, Any]:
        return {'peak_mb': peak_bytes() / 1e6}

    def _stream(self, request: dict[str, Any]) -> tuple[Step, list[int]]:
        length, stride, path = request['length'], request['stride'], request['images']
        if (length, stride, path) not in self._streams:
            step = self._contender.stream(self._images(request), length, stride)
            self._streams[length, stride, path] = (step, [-1])
        return self._streams[length, stride, path]

    def _images(self, request: dict[str, Any]) -> NDArray[np.uint8]:
        path = request['images']
        if path not in self._images_of:
            self._images_of[path] = np.load(path)
        return self._images_of[path]


def _timed(compute: Callable[[], Arrays], save: str | None) -> dict[str, Any]:
    cpu, start = time.process_time(), time.perf_counter()
    arrays = compute()
    taken = {'wall_s': time.perf_counter() - start, 'cpu_s': time.process_time() - cpu}
    if save is not None:
        np.savez(save, **arrays)  # type: ignore[arg-type]
    return taken


def peak_bytes() -> int:
    """Return the most memory that this process held.

    Of Linux's own account where there is one: `ru_maxrss` counts what the process that started
    this one held as well.
    """
    status = Path('/proc/self/status')
    if status.exists():
        lines = status.read_text(encoding='utf-8').splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM'))
    import resource

    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def serve(server: Server) -> None:
    """Answer requests until the input ends; what libraries print goes to the error output."""
    answers = os.fdopen(os.dup(1), 'w', encoding='utf-8')
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            answer = server.answer(json.loads(line))
        except Exception as error:
            # Whatever stops it stands in its row of the tables.
            answer = {'error': f'{type(error).__name__}: {error}'}
        answers.write(json.dumps(answer) + '\n')
        answers.flush()
