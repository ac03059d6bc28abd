"""This project as a contender.

Usage: python our_worker.py JSON, with `folder` (checkpoint), `runtime`, `precision`, `threads`.

Single calls go through the public API, windows through the estimator of the stream. Images have
the network's size already, as they have for the official code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
import inspect
import json
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.serving import Arrays, Server, Step, serve

_NS_PER_IMAGE = 100_000_000


class Ours:
    """A network of this project over one of the runtimes."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._model: Any = None

    def load(self) -> dict[str, str]:
        """Load the checkpoint, or the engine that was compiled from it."""
        runtime, precision = self._options['runtime'], self._options['precision']
        if runtime == 'torch':
            import torch

            torch.set_num_threads(self._options['threads'])
        from da3_ros.inference.api import DepthAnything3

        chosen: dict[str, Any] = {'precision': precision}
        if 'runtime' in inspect.signature(DepthAnything3.from_pretrained).parameters:
            chosen['runtime'] = runtime
        elif runtime != 'torch':
            raise ImportError(f'not installed: this version has no runtime {runtime}')
        self._model = DepthAnything3.from_pretrained(self._options['folder'], **chosen)
        used = getattr(self._model, 'runtime', 'torch')
        if used != runtime:
            raise RuntimeError(f'{used} computes instead of {runtime}')
        return _versions(runtime)

    def forward(self, images: NDArray[np.uint8]) -> Arrays:
        """Compute all images together."""
        import torch

        from da3_ros.inference.preprocess import normalise

        found = self._model(normalise(torch.from_numpy(images))[None])
        named = {
            'depth': found.depth,
            'confidence': found.depth_conf,
            'extrinsics': found.extrinsics,
            'intrinsics': found.intrinsics,
        }
        return {name: value[0].numpy() for name, value in named.items() if value is not None}

    def stream(self, images: NDArray[np.uint8], length: int, stride: int) -> Step:
        """Compute windows as the node does, with what the estimator keeps between them."""
        from da3_ros.geometry.se3 import invert
        from da3_ros.inference.engine import Da3Estimator
        from da3_ros.types import CameraFrame, FrameSet, Window

        estimator = Da3Estimator(self._model, process_res=max(images.shape[1:3]))
        has_choice = 'depth_of' in {field.name for field in fields(Window)}

        def frame_set(index: int) -> FrameSet:
            stamp_ns, image = (1 + index) * _NS_PER_IMAGE, images[index % len(images)]
            return FrameSet(stamp_ns, (CameraFrame('front', stamp_ns, 'front_optical', image),))

        def step(number: int) -> Arrays:
            first = number * stride
            sets = tuple(frame_set(first + place) for place in range(length))
            new = length if number == 0 else stride
            wanted = frozenset(s.frames[0].id for s in sets[-stride:])
            chosen: dict[str, Any] = {'depth_of': wanted} if has_choice else {}
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


def _versions(runtime: str) -> dict[str, str]:
    from importlib import metadata

    return {runtime: metadata.version(runtime)}


if __name__ == '__main__':
    serve(Server(Ours(json.loads(sys.argv[1]))))
