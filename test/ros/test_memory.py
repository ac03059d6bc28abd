"""The allocator's side of memory, in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from helpers.ros_process import ROOT

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')

FAULTS = """
from concurrent.futures import ThreadPoolExecutor
import resource
import numpy as np
from da3_ros.ros.node.process_memory import keep_freed_blocks, memory_use, return_freed_memory
{first}
def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        images = [np.ones((480, 640, 3)) for _ in range(count)]
        del images
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
with ThreadPoolExecutor(1) as thread:
    for run in (faults, lambda count: thread.submit(faults, count).result()):
        run(20)
        print(run(20))
blocks = [np.ones(100_000) for _ in range(400)]
full = memory_use('none')['memory (MB)']
del blocks
return_freed_memory()
print(full - memory_use('none')['memory (MB)'])
"""

EARLY = """
import sys
from da3_ros.ros.node import main
main.keep_freed_blocks = lambda: sys.exit('rclpy' in sys.modules)
main.main([])
"""


def figures(first: str) -> list[float]:
    """Return page faults of 200 images, 20 at a time, and megabytes that came back of 305.

    The faults are of the first thread, then of another.
    """
    done = subprocess.run(
        [sys.executable, '-c', FAULTS.format(first=first)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return [float(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the allocator is not glibc')
def test_images_take_the_memory_of_the_ones_before_and_cleanup_gives_it_back() -> None:
    *plain_faults, plain_freed = figures('')
    *kept_faults, kept_freed = figures('assert keep_freed_blocks()')
    # An image of 7.4 MB has 1800 pages of 4 kB.
    for plain, kept in zip(plain_faults, kept_faults, strict=True):
        assert plain > 10 * kept
    assert min(plain_freed, kept_freed) > 250


def test_the_allocator_is_settled_before_rclpy_begins_threads() -> None:
    subprocess.run([sys.executable, '-c', EARLY], cwd=ROOT, check=True, timeout=60)
