"""What a steady stream still asks of the device's memory: nothing of the driver.

torch's allocator answers from what it has; asking the driver for more takes a millisecond and
makes everything wait.
"""

import gc
from typing import Any

import torch

from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.model.arithmetic import Arithmetic
from tools.gpu_check.bench import MIB, bench_of, computed_in, give_back
from tools.gpu_check.part import Outcome, Settings
from tools.gpu_check.streams import UNTIL_STEADY, Stream, model_of

VIEWS, NEW = 8, 1
WINDOWS = 10
COUNTERS = {
    'driver': 'segment.all.allocated',
    'allocator': 'allocation.all.allocated',
    'retries': 'num_alloc_retries',
}
"""What is counted, and its name in `torch.cuda.memory_stats`: memory taken from the driver, and
tensors that the allocator made room for."""


def run(settings: Settings, preset: str) -> Outcome:
    """Count over some windows after the first ones, with all maps of new views wanted."""
    bench = bench_of(settings)
    bench.need_cuda()
    model = model_of(bench, preset)
    with computed_in(model, Arithmetic('auto')):
        network = TorchWindowNetwork(model)
        stream = Stream(bench, VIEWS, NEW)
        give_back()
        torch.cuda.reset_peak_memory_stats()
        for _ in range(UNTIL_STEADY + 1):
            network.run(stream.request())
        gc.collect()
        before, held = _counted(), torch.cuda.memory_allocated()
        for _ in range(WINDOWS):
            network.run(stream.request())
        after = _counted()
        grown = (torch.cuda.memory_allocated() - held) / MIB
        figures: dict[str, Any] = {name: after[name] - before[name] for name in COUNTERS}
        peak = torch.cuda.max_memory_allocated() / MIB
        figures |= {'windows': WINDOWS, 'grown_mib': grown, 'peak_mib': peak}
        network.forget()
    failures = [
        f'{figures[name]} times in {WINDOWS} windows: {what}, never expected'
        for name, what in (
            ('driver', 'memory was taken from the driver'),
            ('retries', 'memory had to be given back first'),
        )
        if figures[name]
    ]
    if grown > 0:
        failures.append(f'{grown:.2f} MiB more are held after {WINDOWS} windows')
    each = figures['allocator'] / WINDOWS
    text = f'none of the driver in {WINDOWS} windows, {each:g} of the allocator in each'
    return Outcome(text, tuple(failures), figures)


def _counted() -> dict[str, int]:
    stats = torch.cuda.memory_stats()
    return {name: int(stats.get(key, 0)) for name, key in COUNTERS.items()}
