"""Windows of a stream as the estimator asks for them, and who answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os

import numpy as np
from numpy.typing import NDArray

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.cuda.graphs import CALLS_BEFORE, TRIALS
from da3_ros.inference.cuda.stages import VARIABLE
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from tools.gpu_check.bench import Bench

POOL = 32
"""Different images; a stream shows them again and again, under other keys."""

UNTIL_STEADY = 1 + CALLS_BEFORE + TRIALS + 1
"""Windows until every stage is replayed: the first one is full at once, and encodes all views."""


class Stream:
    """Windows of equal size that move on by the same number of views each time."""

    def __init__(self, bench: Bench, views: int, new: int, *, cameras: bool = False) -> None:
        """Make the images.

        Args:
            bench: Gives the size of images.
            views: Of a window.
            new: Views that a window has and the one before had not; the only ones whose maps are
                wanted.
            cameras: Whether the cameras are known.
        """
        self.views, self.new = views, new
        rng = np.random.default_rng(5)
        height, width = bench.image_size
        self._images: NDArray[np.uint8] = rng.integers(
            0, 256, (max(POOL, views + new), height, width, 3), np.uint8
        )
        self._cameras = _cameras(views, height, width) if cameras else None
        self._at = 0

    def request(self) -> WindowRequest:
        """Return the next window."""
        frames = range(self._at, self._at + self.views)
        self._at += self.new
        return WindowRequest(
            images=self._images[[frame % len(self._images) for frame in frames]],
            keys=tuple(('frame', frame) for frame in frames),
            cameras=self._cameras,
            wanted=tuple(range(self.views - self.new, self.views)),
        )


@contextmanager
def without_graphs(off: bool) -> Iterator[None]:
    """Run stages as they are written for a while."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = '0' if off else '1'
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def graph_notes(answer: object) -> list[str]:
    """Return what a window's maps say about graphs that were given up."""
    notes = answer.notes if isinstance(answer, WindowMaps) else ()
    return [note.text for note in notes if note.code == 'graphs_off']


def model_of(bench: Bench, preset: str) -> DepthAnything3:
    """Return the public model of a network with synthetic weights, in float32."""
    return DepthAnything3(network=bench.network(preset), precision='fp32')


def _cameras(views: int, height: int, width: int) -> InputCameras:
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (views, 1, 1))
    extrinsics[:, 0, 3] = np.linspace(0, 1, views)
    focal = 0.8 * width
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], np.float32)
    return InputCameras(extrinsics, np.tile(matrix, (views, 1, 1)))
