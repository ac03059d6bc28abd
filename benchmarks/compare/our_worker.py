"""This project as a contender.

Usage: python our_worker.py JSON, with `folder` (checkpoint), `runtime`, `precision`, `threads`.

Single calls go to the network as the estimator of the stream sees it, windows through that
estimator. Images have the network's size already, as they have for the official code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
import importlib.util
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
        runtime = self._options['runtime']
        if runtime == 'torch':
            import torch

            torch.set_num_threads(self._options['threads'])
        self._network = _opened(self._options)
        used = getattr(self._network, 'runtime', 'torch')
        if used != runtime:
            raise RuntimeError(f'{used} computes instead of {runtime}')
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
        has_cache = 'depth_of' in {field.name for field in fields(Window)}
        generation = next(_generations)

        def frame_set(index: int) -> FrameSet:
            stamp_ns, image = (1 + index) * _NS_PER_IMAGE, images[index % len(images)]
            return FrameSet(stamp_ns, (CameraFrame('front', stamp_ns, 'front_optical', image),))

        def step(number: int) -> Arrays:
            first = number * stride
            sets = tuple(frame_set(first + place) for place in range(length))
            new = length if number == 0 else stride
            chosen: dict[str, Any] = {}
            if has_cache:
                wanted = frozenset(s.frames[0].id for s in sets[-stride:])
                chosen = {'generation': generation, 'depth_of': wanted}
            views = estimator.estimate(Window(number, sets, new, **chosen)).views
            return {
                'depth': np.stack([view.depth for view in views[-stride:]]),
                'extrinsics': np.stack([invert(view.window_from_camera)[:3] for view in views]),
            }

        return step

    def gflop(self, compute: Callable[[], object]) -> float | None:
        """Count the operations of torch; other runtimes say nothing of theirs."""
        if self._options['runtime'] != 'torch':
            return None
        from benchmarks.compare.flops import count_flops

        return count_flops(compute) / 1e9


def _opened(options: dict[str, Any]) -> Any:
    """Return the network of a checkpoint over its runtime."""
    runtime, precision = options['runtime'], options['precision']
    if importlib.util.find_spec('da3_ros.inference.runtimes.choose') is not None:
        from da3_ros.inference.runtimes.choose import open_network
        from da3_ros.options import EstimatorOptions

        chosen: dict[str, Any] = {'runtime': runtime, 'precision': precision}
        return open_network(options['folder'], EstimatorOptions(**chosen))
    if runtime != 'torch':
        raise ImportError(f'not installed: this version has no runtime {runtime}')
    from da3_ros.inference.api import DepthAnything3
    from da3_ros.inference.runtimes.torch_runtime import torch_window_network

    model = DepthAnything3.from_pretrained(options['folder'], precision=precision)
    return torch_window_network(model)


if __name__ == '__main__':
    serve(Server(Ours(json.loads(sys.argv[1]))))
