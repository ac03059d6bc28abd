"""Time of a window of a stream, from images on the host to maps on the host.

The official code computes every window whole; so does ours in one forward pass. Beside it stand
the stages with what is kept of earlier windows, called one by one and replayed from graphs. The
weights are torch's initial ones: what is computed does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
import torch
from torch import Tensor

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.preprocess import normalise
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import build_network
from da3_ros.model.presets import PRESETS
from tools.gpu_check.bench import MIB, Bench, bench_of, give_back
from tools.gpu_check.official import Forward, official_forward
from tools.gpu_check.part import Outcome, Settings
from tools.gpu_check.streams import UNTIL_STEADY, Stream, graph_notes, without_graphs

FEWEST_RUNS, MOST_RUNS = 5, 100
ENOUGH_S = 0.8
LAST_BEGIN_S = 60.0
"""Nothing is begun later than this after the first; what is left out says so."""

OFFICIAL, WHOLE, KEPT, GRAPHS, TF32 = 'official', 'whole', 'kept', 'graphs', 'graphs, TF32'
VARIANTS = (OFFICIAL, WHOLE, KEPT, GRAPHS, TF32)
MAPS = ('depth', 'depth_conf', 'extrinsics', 'intrinsics')


@dataclass(frozen=True)
class Kind:
    """A stream that is measured."""

    views: int
    new: int
    what: str


KINDS = (Kind(8, 1, 'window 8, stride 1'), Kind(24, 6, '6 cameras, window 24, stride 6'))
TINY_KINDS = (Kind(3, 1, 'window 3, stride 1'),)


@dataclass(frozen=True)
class Contest:
    """Whose windows are measured."""

    bench: Bench
    model: DepthAnything3
    official: Forward | None

    def step(self, variant: str, stream: Stream) -> tuple[Callable[[], Any], TorchWindowNetwork]:
        """Return what computes a window, and the network that may have kept something."""
        network = TorchWindowNetwork(self.model)
        official = self.official
        if variant == OFFICIAL and official is not None:
            return lambda: self._whole(stream, official), network
        if variant == WHOLE:
            return lambda: self._whole(stream, self._ours), network
        return lambda: network.run(stream.request()), network

    def _ours(self, pixels: Tensor) -> dict[str, Tensor]:
        output = self.model(pixels)
        return {name: getattr(output, name) for name in MAPS}

    def _whole(self, stream: Stream, forward: Forward) -> list[NDArray[Any]]:
        images = torch.from_numpy(stream.request().images).to(self.bench.device)
        output = forward(normalise(images)[None])
        return [output[name].cpu().numpy() for name in MAPS]


def run(settings: Settings, preset: str) -> Outcome:
    """Measure all streams in what `auto` becomes, beside the official code where it is named."""
    bench = bench_of(settings)
    bench.forget()
    network = build_network(PRESETS[preset], bench.device)
    model = DepthAnything3(network=network, precision='fp32')
    official, remarks = _official(settings, preset, model, bench)
    contest = Contest(bench, model, official)
    start = time.monotonic()
    entries: list[dict[str, Any]] = []
    failures: list[str] = []
    for kind in KINDS if bench.is_cuda else TINY_KINDS:
        for variant in VARIANTS[official is None :]:
            entry = {'stream': kind.what, 'views': kind.views, 'variant': variant}
            if time.monotonic() - start > LAST_BEGIN_S:
                entries.append({**entry, 'note': 'left out: no time'})
                continue
            found, wrong = _measured(contest, kind, variant)
            entries.append({**entry, **found})
            failures += [f'{kind.what}, {variant}: {what}' for what in wrong]
    figures = {'streams': entries, 'dtype': str(model.dtype).removeprefix('torch.')}
    return Outcome('; '.join([*_texts(entries), *remarks]), tuple(failures), figures)


def _official(
    settings: Settings, preset: str, model: DepthAnything3, bench: Bench
) -> tuple[Forward | None, list[str]]:
    if not settings.official:
        return None, []
    try:
        return official_forward(settings.official, preset, model.model, bench.device), []
    except ImportError as error:
        return None, [f'the official code does not run here: {error}']


def _measured(contest: Contest, kind: Kind, variant: str) -> tuple[dict[str, Any], list[str]]:
    """Return the figures of a stream, and what is wrong with it."""
    is_cuda = contest.bench.is_cuda
    contest.model.arithmetic = Arithmetic('auto', tf32=variant == TF32)
    step, network = contest.step(variant, Stream(contest.bench, kind.views, kind.new))
    give_back()
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        with without_graphs(variant not in (GRAPHS, TF32)):
            notes, times = _times(step)
    except MemoryExceededError as error:
        return {'note': f'left out: {error}'}, []
    found: dict[str, Any] = {
        'ms': 1000 * float(np.median(times)),
        'p99_ms': 1000 * float(np.quantile(times, 0.99)),
        'runs': len(times),
    }
    if is_cuda:
        found['peak_mib'] = torch.cuda.max_memory_allocated() / MIB
    network.forget()
    return found, notes


def _times(step: Callable[[], Any]) -> tuple[list[str], list[float]]:
    """Return what was said about graphs, and seconds of several steps in the steady state.

    A step ends with its maps on the host, so nothing else has to be waited for.
    """
    notes: list[str] = []
    for _ in range(UNTIL_STEADY):
        notes += graph_notes(step())
    times: list[float] = []
    while len(times) < FEWEST_RUNS or (len(times) < MOST_RUNS and sum(times) < ENOUGH_S):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return notes, times


def _texts(entries: list[dict[str, Any]]) -> list[str]:
    by_stream: dict[str, list[str]] = {}
    for entry in entries:
        ms = f'{entry["ms"]:.1f}' if 'ms' in entry else '-'
        by_stream.setdefault(entry['stream'], []).append(f'{entry["variant"]} {ms}')
    return [f'{stream}: {", ".join(all_)} ms' for stream, all_ in by_stream.items()]
