"""Time and peak memory of a forward pass.

The weights are torch's initial ones, made on the device: what is computed does not depend on
them.
"""

from collections.abc import Callable
import statistics
import time
from typing import Any

import torch

from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.build import build_network
from da3_ros.model.chunks import VIEW_CHUNK
from da3_ros.model.presets import PRESETS
from da3_ros.options.choices import Precision
from tools.gpu_check.bench import MIB, Bench, bench_of, give_back
from tools.gpu_check.part import Outcome, Settings

PRECISIONS: tuple[Precision, ...] = ('fp32', 'auto')
FEWEST_RUNS, MOST_RUNS = 3, 20
ENOUGH_S = 1.0
"""After this time, and the fewest runs, a window is measured."""

LAST_BEGIN_S = 45.0
"""No window is begun later than this after the first; what is left out says so."""


def run(settings: Settings, preset: str) -> Outcome:
    """Measure all windows, in float32 and in what `auto` becomes."""
    bench = bench_of(settings)
    bench.forget()
    network = build_network(PRESETS[preset], bench.device)
    runner = NetworkRunner(network, Arithmetic('fp32'), VIEW_CHUNK)
    start = time.monotonic()
    entries: list[dict[str, Any]] = []
    # The largest windows come last; what a narrow format costs in digits does not matter here.
    for views in bench.windows:
        for precision in PRECISIONS if bench.is_cuda else PRECISIONS[:1]:
            runner.arithmetic = Arithmetic(precision)
            entry = {
                'views': views,
                'height': bench.image_size[0],
                'width': bench.image_size[1],
                'dtype': str(runner.dtype).removeprefix('torch.'),
            }
            if time.monotonic() - start > LAST_BEGIN_S:
                entries.append({**entry, 'note': 'left out: no time'})
            else:
                entries.append({**entry, **_window(bench, runner, views)})
    entries.sort(key=lambda entry: entry['dtype'] != 'float32')
    return Outcome(_text(entries), figures={'windows': entries})


def _window(bench: Bench, runner: NetworkRunner, views: int) -> dict[str, Any]:
    pixels = bench.pixels(views)
    give_back()
    if bench.is_cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        times = _times(bench, lambda: runner(pixels))
    except MemoryExceededError as error:
        return {'note': f'left out: {error}'}
    found = {'ms': 1000 * statistics.median(times), 'runs': len(times)}
    if bench.is_cuda:
        found['peak_mib'] = torch.cuda.max_memory_allocated() / MIB
    return found


def _times(bench: Bench, forward: Callable[[], object]) -> list[float]:
    """Return seconds of several calls, after one that is not counted."""

    def seconds() -> float:
        if bench.is_cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        forward()
        if bench.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter() - start

    seconds()
    times: list[float] = []
    while len(times) < FEWEST_RUNS or (len(times) < MOST_RUNS and sum(times) < ENOUGH_S):
        times.append(seconds())
    return times


def _text(entries: list[dict[str, Any]]) -> str:
    by_format: dict[str, list[str]] = {}
    for entry in entries:
        told = f'{entry["ms"]:.1f}' if 'ms' in entry else '-'
        by_format.setdefault(entry['dtype'], []).append(f'{told} ({entry["views"]})')
    return '; '.join(f'{name} ms (views): {", ".join(all_)}' for name, all_ in by_format.items())
