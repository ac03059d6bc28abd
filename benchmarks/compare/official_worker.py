"""The official code as a contender, in an interpreter of its own.

Usage: python official_worker.py JSON, with `source` (folder of the official repository, or empty
where it is installed), `folder` (checkpoint), `preset`, `threads`, `precision` (`fp32`, or
`as_shipped` for the 16 bits that its API chooses on a CPU).

It computes depth, confidence and cameras from images of the network's size, as its API does after
preprocessing. Of this project it imports three files that need nothing but numpy and torch.
"""

from __future__ import annotations

from collections.abc import Callable
import json
from pathlib import Path
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.compare.serving import Arrays, Server, Step, serve

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_NAMES = {
    'depth': 'depth',
    'depth_conf': 'confidence',
    'extrinsics': 'extrinsics',
    'intrinsics': 'intrinsics',
}


class Official:
    """The official network."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._network: Any = None

    def load(self) -> dict[str, str]:
        """Build the network and load the weights."""
        if self._options['source']:
            sys.path.insert(0, str(Path(self._options['source']) / 'src'))
        import torch

        torch.set_num_threads(self._options['threads'])
        from depth_anything_3.cfg import create_object, load_config
        from safetensors.torch import load_file

        config = load_config(f'depth_anything_3.configs.{self._options["preset"]}')
        network = create_object(config).eval()
        state = load_file(Path(self._options['folder']) / 'model.safetensors')
        state = {name.removeprefix('model.'): value for name, value in state.items()}
        missing, unexpected = network.load_state_dict(state, strict=False)
        # Tied tensors are stored once.
        if unexpected or not all('output_conv2_aux' in name for name in missing):
            raise ValueError(f'weights do not fit: missing {missing}, unexpected {unexpected}')
        self._network = network
        return {'torch': torch.__version__}

    def forward(self, images: NDArray[np.uint8]) -> Arrays:
        """Compute all images together."""
        import torch

        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255)
        is_shipped = self._options['precision'] == 'as_shipped'
        with torch.inference_mode(), torch.autocast('cpu', torch.float16, enabled=is_shipped):
            output = self._network(((pixels - mean) / std)[None])
        return {
            ours: output[name][0].float().numpy()
            for name, ours in _NAMES.items()
            if output.get(name) is not None
        }

    def stream(self, images: NDArray[np.uint8], length: int, stride: int) -> Step:
        """Compute every window as a whole: there is nothing that it keeps."""

        def step(number: int) -> Arrays:
            places = (number * stride + np.arange(length)) % len(images)
            arrays = self.forward(images[places])
            return {'depth': arrays['depth'][-stride:], 'extrinsics': arrays['extrinsics']}

        return step

    def gflop(self, compute: Callable[[], object]) -> float:
        """Count the operations."""
        from benchmarks.compare.flops import count_flops

        return count_flops(compute) / 1e9


if __name__ == '__main__':
    serve(Server(Official(json.loads(sys.argv[1]))))
