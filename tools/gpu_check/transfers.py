"""Whether host and device go on while images go up and maps come down.

The device is given work first. A copy by way of ordinary memory is waited for, and with it the
work; one by way of page-locked memory is only enqueued.
"""

from collections.abc import Callable
import statistics
import time

import numpy as np
import torch

from da3_ros.inference.cuda.stages import DeviceStages
from tools.gpu_check.bench import bench_of
from tools.gpu_check.part import Outcome, Settings

VIEWS = 8
ROUNDS = 5
BUSY_S = 0.03
SHARE = 0.5
"""Of the time that the device is busy, the most that the host may be held by enqueued copies."""

_SIDE = 2048


def run(settings: Settings, preset: str) -> Outcome:
    """Compare how long the host is held by copies of a window, either way."""
    bench = bench_of(settings)
    bench.need_cuda()
    stages = DeviceStages(bench.network(preset))
    height, width = bench.image_size
    images = np.random.default_rng(0).integers(0, 256, (VIEWS, height, width, 3), np.uint8)
    maps = torch.rand(2, VIEWS, height, width, device=bench.device)
    work = _work(bench.device)
    held = {
        'upload, plain': lambda: torch.from_numpy(images).to(bench.device),
        'upload': lambda: stages.put(images, bench.device),
        'download, plain': lambda: maps.cpu(),
        'download': lambda: stages.fetch(*maps),
    }
    figures = {'busy_ms': 1000 * _median(lambda: None, work, until_done=True)}
    for name, copy in held.items():
        figures[f'{name}_ms'] = 1000 * _median(copy, work)
    there = stages.put(images, bench.device)
    back = [stages.fetch(*maps).arrays() for _ in range(2)]
    failures = [
        f'{name}: the host was held for {figures[f"{name}_ms"]:.2f} ms of the '
        f'{figures["busy_ms"]:.2f} ms that the device was busy'
        for name in ('upload', 'download')
        if not figures[f'{name}_ms'] < SHARE * figures['busy_ms']
    ]
    if not np.array_equal(there.cpu().numpy(), images):
        failures.append('images that were put are others on the device')
    if not all(
        np.array_equal(np.asarray(got), one.cpu().numpy())
        for arrays in back
        for got, one in zip(arrays, maps, strict=True)
    ):
        failures.append('maps that were fetched are others on the host')
    text = ', '.join(f'{name} {figures[f"{name}_ms"]:.2f}' for name in held)
    return Outcome(f'host held, ms: {text}', tuple(failures), figures)


def _work(device: torch.device) -> Callable[[], object]:
    """Return what keeps the device busy for about `BUSY_S`."""
    matrix = torch.rand(_SIDE, _SIDE, device=device)

    def once() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.mm(matrix, matrix)
        torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    count = max(1, round(BUSY_S / max(once(), 1e-6)))

    def work() -> None:
        for _ in range(count):
            torch.mm(matrix, matrix)

    return work


def _median(
    copy: Callable[[], object], work: Callable[[], object], *, until_done: bool = False
) -> float:
    """Return how many seconds the host is held, after a round that is not counted."""
    times = []
    for _ in range(1 + ROUNDS):
        torch.cuda.synchronize()
        work()
        start = time.perf_counter()
        result = copy()
        if until_done:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
        torch.cuda.synchronize()
        del result
    return statistics.median(times[1:])
