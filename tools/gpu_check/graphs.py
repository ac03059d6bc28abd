"""Replayed graphs answer as the stages do, window by window, in every precision."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.cuda.graphs import Counts, tolerance
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.inference.window_network import WindowMaps
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.options.choices import Precision
from tools.gpu_check.bench import Bench, bench_of, computed_in
from tools.gpu_check.part import Outcome, Settings
from tools.gpu_check.streams import UNTIL_STEADY, Stream, graph_notes, model_of, without_graphs

PRECISIONS: tuple[Precision, ...] = ('fp32', 'bf16', 'fp16')
VIEWS, NEW = 4, 1
WINDOWS = UNTIL_STEADY + 4
"""Four of them are answered by graphs alone."""


def run(settings: Settings, preset: str) -> Outcome:
    """Compare streams with and without graphs, with unknown and with known cameras."""
    bench = bench_of(settings)
    bench.need_cuda()
    model = model_of(bench, preset)
    figures: dict[str, dict[str, Any]] = {}
    failures: list[str] = []
    for precision in PRECISIONS:
        for cameras in (False, True) if model.capabilities.conditioning else (False,):
            name = f'{precision}{" with cameras" if cameras else ""}'
            with computed_in(model, Arithmetic(precision)):
                found, wrong = _compared(bench, model, cameras=cameras)
            figures[name] = found
            failures += [f'{name}: {what}' for what in wrong]
    text = ', '.join(f'{name} {found["difference"]:.2g}' for name, found in figures.items())
    return Outcome(f'largest difference of a map, of its peak: {text}', tuple(failures), figures)


def _compared(
    bench: Bench, model: DepthAnything3, *, cameras: bool
) -> tuple[dict[str, Any], list[str]]:
    answers: list[list[WindowMaps]] = []
    counts = Counts()
    notes: list[str] = []
    for off in (True, False):
        stream = Stream(bench, VIEWS, NEW, cameras=cameras)
        network = TorchWindowNetwork(model)
        with without_graphs(off):
            answers.append([network.run(stream.request()) for _ in range(WINDOWS)])
        if network.device_stages.graphs is not None:
            counts = network.device_stages.graphs.counts
        notes += [text for maps in answers[-1] for text in graph_notes(maps)]
        network.forget()
    differences = [_apart(*pair) for pair in zip(*answers, strict=True)]
    limit = tolerance(model.dtype, tf32=model.arithmetic.tf32)
    wrong = list(notes)
    if not max(differences) <= limit:
        worst = int(np.argmax(differences))
        wrong.append(f'window {worst} differs by {differences[worst]:.3g}, at most {limit:g}')
    if not counts.replayed:
        wrong.append('no stage was replayed')
    return {
        'difference': max(differences),
        'recorded': counts.recorded,
        'replayed': counts.replayed,
        'refused': counts.refused,
    }, wrong


def _apart(ours: WindowMaps, theirs: WindowMaps) -> float:
    """Return the largest difference of any map or camera, relative to its peak."""
    pairs: tuple[tuple[NDArray[Any] | None, NDArray[Any] | None], ...] = (
        (ours.depth, theirs.depth),
        (ours.confidence, theirs.confidence),
        (ours.sky, theirs.sky),
        (ours.extrinsics, theirs.extrinsics),
        (ours.intrinsics, theirs.intrinsics),
    )
    return max(
        float(np.abs(a - b).max() / max(float(np.abs(b).max()), 1e-12))
        for a, b in pairs
        if a is not None and b is not None
    )
