"""The estimate of memory agrees with what processes were seen to take."""

import os
from pathlib import Path
import subprocess
import sys
import textwrap

import pytest
import torch

from da3_ros.model.memory_estimate import estimate_memory
from da3_ros.model.presets import PRESETS

WITHIN = 0.3
MIB = 2**20

RUN = textwrap.dedent("""
    import sys
    from pathlib import Path
    import torch
    from da3_ros.inference.random_weights import random_network
    from da3_ros.model.forward import ForwardOptions
    from da3_ros.model.presets import PRESETS

    def status(key):
        lines = Path('/proc/self/status').read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

    name, height, width, views, chunk = sys.argv[1], *map(int, sys.argv[2:])
    network = random_network(PRESETS[name], 0)
    with torch.inference_mode():
        network(torch.zeros(1, 1, 3, 28, 28))
        Path('/proc/self/clear_refs').write_text('5')
        before = status('VmRSS')
        network(torch.zeros(1, views, 3, height, width), options=ForwardOptions(chunk=chunk))
    print(status('VmHWM') - before)
""")


@pytest.mark.skipif(
    not Path('/proc/self/clear_refs').exists(), reason='needs the process file system of Linux'
)
@pytest.mark.parametrize(
    ('views', 'chunk', 'size'),
    [
        (2, 8, (140, 252)),
        (8, 8, (140, 252)),
        pytest.param(24, 8, (140, 252), marks=pytest.mark.slow),
        pytest.param(24, 1, (140, 252), marks=pytest.mark.slow),
    ],
)
def test_measured_memory_is_as_estimated(views: int, chunk: int, size: tuple[int, int]) -> None:
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PYTHONPATH': os.pathsep.join(sys.path),
        # Large blocks go back to the system at once: what is asked for is measured, not what
        # the allocator likes to keep.
        'MALLOC_MMAP_THRESHOLD_': '262144',
    }
    arguments = [str(value) for value in (*size, views, chunk)]
    done = subprocess.run(
        [sys.executable, '-c', RUN, 'da3-small', *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    estimate = estimate_memory(PRESETS['da3-small'], views, size, chunk=chunk)
    assert estimate.total_bytes / int(done.stdout) == pytest.approx(1, abs=WITHIN)


@pytest.mark.parametrize('name', PRESETS)
def test_memory_grows_linearly_and_chunks_bound_the_rest(name: str) -> None:
    size = (280, 504)
    few, many, more = (
        estimate_memory(PRESETS[name], views, size, chunk=2) for views in (100, 200, 300)
    )
    assert more.total_bytes - many.total_bytes == pytest.approx(
        many.total_bytes - few.total_bytes, rel=1e-3
    )
    wide = estimate_memory(PRESETS[name], 100, size, chunk=8)
    assert wide.total_bytes >= few.total_bytes
    assert few.views_within(few.total_bytes) == 100
    narrow = estimate_memory(PRESETS[name], 100, size, chunk=2, dtype=torch.bfloat16)
    assert narrow.total_bytes <= few.total_bytes
