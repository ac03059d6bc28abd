"""What the parts of one process share: the device, the stored cases and one network at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
import gc
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import Network, build_network
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.presets import PRESETS
from tools.gpu_check.part import Settings, Skipped
from tools.parity.goldens import IMAGE_MEAN, IMAGE_STD
from tools.parity.synthetic_weights import synthetic_network

FULL_SIZE = (280, 504)
FULL_WINDOWS = (1, 4, 8, 24)
TINY_SIZE = (56, 84)
TINY_WINDOWS = (1, 2)
MIB = 2**20

_MOST_THREADS = 16
_ALIKE = frozenset(('da3mono-large', 'da3metric-large'))
"""Names and shapes are equal, so the synthetic weights are, too."""

_SPARE = 1.3
"""A network needs this many times its weights to be of any use."""


class Bench:
    """Device, cases and network of a process."""

    def __init__(self, settings: Settings) -> None:
        self.device = torch.device(settings.device)
        self.goldens = Path(settings.goldens)
        self.is_cuda = self.device.type == 'cuda'
        self.image_size = FULL_SIZE if self.is_cuda else TINY_SIZE
        self.windows = FULL_WINDOWS if self.is_cuda else TINY_WINDOWS
        if not self.is_cuda:
            # Small operations in several threads only wait for one another.
            torch.set_num_threads(1)
        self._preset = ''
        self._network: Network | None = None
        self._pictures: dict[tuple[int, int, int], Tensor] = {}

    def network(self, preset: str) -> Network:
        """Return a network with synthetic weights in float32; it is kept until another is asked.

        Raises:
            Skipped: The device has no room for it.
        """
        if self._network is None or self._preset != preset:
            self._network = self._made(preset)
            self._preset = preset
        return self._network

    def runner(self, preset: str) -> NetworkRunner:
        """Return what runs a network in float32."""
        return NetworkRunner(self.network(preset), Arithmetic('fp32'), VIEW_CHUNK)

    def pixels(self, views: int, size: tuple[int, int] | None = None) -> Tensor:
        """Return normalised pictures (1, V, 3, H, W) on the device, soft ones with some noise."""
        height, width = size or self.image_size
        made = self._pictures.get((views, height, width))
        if made is None:
            made = self._pictures[views, height, width] = _pictures(views, height, width)
        return made.to(self.device)

    def need_cuda(self) -> None:
        """Raise Skipped where there is no CUDA device."""
        if not self.is_cuda:
            raise Skipped('no CUDA device')

    def forget(self) -> None:
        """Let the network go and give its memory back."""
        self._network, self._preset = None, ''
        give_back()

    def _made(self, preset: str) -> Network:
        kept, before = self._network, self._preset
        if kept is not None and {before, preset} == _ALIKE:
            network = build_network(PRESETS[preset])
            network.load_state_dict(kept.state_dict(), assign=True)
            return network.requires_grad_(False).eval()
        # Both would not fit everywhere.
        del kept
        self.forget()
        self._check_room(preset)
        threads = min(_MOST_THREADS, len(os.sched_getaffinity(0)))
        return synthetic_network(PRESETS[preset], threads).to(self.device)

    def _check_room(self, preset: str) -> None:
        if not self.is_cuda:
            return
        free, _ = torch.cuda.mem_get_info(self.device)
        state = build_network(PRESETS[preset]).state_dict().values()
        needed = sum(tensor.numel() * tensor.element_size() for tensor in state)
        if free < _SPARE * needed:
            raise Skipped(
                f'the weights take {needed // MIB} MiB, {free // MIB} MiB of the device are free'
            )


@cache
def bench_of(settings: Settings) -> Bench:
    """Return the bench of this process."""
    return Bench(settings)


@contextmanager
def computed_in(runner: NetworkRunner, arithmetic: Arithmetic) -> Iterator[NetworkRunner]:
    """Let a float32 network compute otherwise for a while; no digit of its weights is lost."""
    network = runner.model
    wide = {name: parameter.data for name, parameter in network.named_parameters()}
    try:
        runner.arithmetic = arithmetic
        yield runner
    finally:
        for name, parameter in network.named_parameters():
            parameter.data = wide[name]
        runner.arithmetic = Arithmetic('fp32')


def give_back() -> None:
    """Give memory of objects that nobody knows any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _pictures(views: int, height: int, width: int) -> Tensor:
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    waves = [
        np.sin(2 * np.pi * (a * x + b * y) + phase)
        for a, b, phase in rng.uniform(-3, 3, (3 * views, 3))
    ]
    soft = 0.5 + 0.3 * np.stack(waves).reshape(views, 3, height, width)
    images = np.clip(soft + rng.normal(0, 0.05, soft.shape), 0, 1).astype(np.float32)
    images = (images - IMAGE_MEAN[:, None, None]) / IMAGE_STD[:, None, None]
    return torch.from_numpy(images)[None]
