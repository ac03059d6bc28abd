"""This project as a contender.

Usage: python our_worker.py JSON, with `folder` (checkpoint), `runtime`, `precision`, `threads`.

Single calls go to the network as the estimator of the stream sees it, windows through that
estimator. Images have the network's size already, as they have for the official code.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.serving import Arrays, Server, Step, serve

_NS_PER_IMAGE = 100_000_000
_generations = count(1)


class Ours:
    """A network of this project over one of the runtimes."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._network: Any = None

    def load(self) -> dict[str, str]:
        """Load the checkpoint, or the engine that was compiled from it."""
        from da3_ros.inference.runtimes.choose import open_network
        from da3_ros.options import EstimatorOptions

        runtime = self._options['runtime']
        chosen = {name: self._options[name] for name in ('runtime', 'precision', 'threads')}
        self._network = open_network(
            self._options['folder'], EstimatorOptions(device='cpu', **chosen)
        )
        if self._network.runtime != runtime:
            raise RuntimeError(f'{self._network.runtime} computes instead of {runtime}')
        from importlib import metadata

        return {runtime: metadata.version(runtime)}

    def forward(self, images: NDArray[np.uint8]) -> Arrays:
        """Compute all images together."""
        from da3_ros.inference.window_network import WindowRequest

        found = self._network.run(WindowRequest(images))
        names = ('depth', 'confidence', 'extrinsics', 'intrinsics')
        named = {name: getattr(found, name) for name in names}
        return {name: value for name, value in named.items() if value is not None}

    def stream(self, images: NDArray[np.uint8], length: int, stride: int) -> Step:
        """Compute windows as the node does, with what the estimator keeps between them."""
        from da3_ros.geometry.se3 import invert
        from da3_ros.inference.engine import Da3Estimator
        from da3_ros.types import CameraFrame, FrameSet, Window

        estimator = Da3Estimator(self._network, process_res=max(images.shape[1:3]))
        generation = next(_generations)

        def frame_set(index: int) -> FrameSet:
            stamp_ns, image = (1 + index) * _NS_PER_IMAGE, images[index % len(images)]
            return FrameSet(stamp_ns, (CameraFrame('front', stamp_ns, 'front_optical', image),))

        def step(number: int) -> Arrays:
            first = number * stride
            sets = tuple(frame_set(first + place) for place in range(length))
            new = length if number == 0 else stride
            wanted = frozenset(one.frames[0].id for one in sets[-stride:])
            window = Window(number, sets, new, generation=generation, depth_of=wanted)
            views = estimator.estimate(window).views
            depth = [view.depth for view in views[-stride:] if view.depth is not None]
            return {
                'depth': np.stack(depth),
                'extrinsics': np.stack([invert(view.window_from_camera)[:3] for view in views]),
            }

        return step

    def gflop(self, compute: Callable[[], object]) -> float | None:
        """Count the operations of torch; other runtimes say nothing of theirs."""
        if self._options['runtime'] != 'torch':
            return None
        from benchmarks.compare.flops import count_flops

        return count_flops(compute) / 1e9


if __name__ == '__main__':
    serve(Server(Ours(json.loads(sys.argv[1]))))
