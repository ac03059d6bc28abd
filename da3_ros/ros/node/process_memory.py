"""Memory: how much the process and its network use, and giving back that of the network.

torch is asked only where something else has loaded it.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
import resource
from typing import Any

from da3_ros.process import found_in_torch

_MB = 1024.0 * 1024.0
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
_KEPT_BYTES = 256 * 1024 * 1024
_KB_PER_MB = 1024.0


def keep_freed_blocks() -> bool:
    """Let the allocator keep the memory of images for the next ones; return whether it does.

    By default glibc returns large blocks to the kernel when they are freed, and every new image
    then costs a page fault for each of its pages. Where a thread has an arena of its own it does
    so whatever the thresholds are, 64 MB at a time: all threads share one arena. Other C libraries
    are left alone.

    Call it before other threads begin: one that has its arena keeps it.
    """
    mallopt = _allocator('mallopt')
    if mallopt is None:
        return False
    wanted = (
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        (_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD),
        (_M_ARENA_MAX, 1),
    )
    return all(mallopt(name, value) for name, value in wanted)


def _allocator(name: str) -> Any:
    """Return a function of glibc's allocator, None where there is no such function."""
    try:
        return ctypes.CDLL(None)[name]
    except (OSError, AttributeError):
        return None


def _cuda_of_torch() -> Any:
    """Return the CUDA side of torch if it is in use, else None."""
    is_initialized = found_in_torch('cuda.is_initialized')
    return found_in_torch('cuda') if is_initialized is not None and is_initialized() else None


def return_freed_memory() -> None:
    """Give memory of objects that nobody knows any more back to the system and the GPU."""
    gc.collect()
    trim = _allocator('malloc_trim')
    if trim is not None:
        trim(0)
    cuda = _cuda_of_torch()
    if cuda is not None:
        cuda.empty_cache()


def memory_use(device: str) -> dict[str, float]:
    """Return name to megabytes, for diagnostics.

    Args:
        device: of the network, as torch names it; memory of others is not looked at.
    """
    found = {
        'memory (MB)': _resident_mb(),
        'peak memory (MB)': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB,
    }
    cuda = _cuda_of_torch() if device.startswith('cuda') else None
    if cuda is not None:
        found['GPU memory (MB)'] = cuda.memory_allocated(device) / _MB
        found['reserved GPU memory (MB)'] = cuda.memory_reserved(device) / _MB
        found['peak GPU memory (MB)'] = cuda.max_memory_allocated(device) / _MB
    return found


def _resident_mb() -> float:
    """Return what the process holds in memory now; NaN where the system does not say."""
    try:
        pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    except (OSError, ValueError, IndexError):
        return float('nan')
    return pages * os.sysconf('SC_PAGE_SIZE') / _MB
