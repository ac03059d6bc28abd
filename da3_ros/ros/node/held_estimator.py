"""Memory: how much the process and its network use, and giving back that of the network.

torch is asked only where something else has loaded it.
"""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path
import resource
import sys
from typing import Any

from da3_ros.errors import ExportError, NodeError
from da3_ros.export.gs_scene import SplatSource
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import DEFAULT_OPTIONS
from da3_ros.export.scene import ExportScene
from da3_ros.types import Caution, Estimator, NetworkEstimator, Window, WindowPrediction

_MB = 1024.0 * 1024.0
# Of glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024
_KEPT_BYTES = 256 * 1024 * 1024
_KB_PER_MB = 1024.0


class HeldEstimator:
    """An estimator that can be let go of, whoever else still knows this object.

    Args:
        inner: the estimator.
    """

    device: str
    """Of a network, as torch names it; none for other estimators."""
    caution: Caution | None
    """What to know before relying on it."""

    def __init__(self, inner: Estimator) -> None:
        self._inner: Estimator | None = inner
        self.device, self.caution = 'none', None
        if isinstance(inner, NetworkEstimator):
            self.device, self.caution = inner.device, inner.caution

    def estimate(self, window: Window) -> WindowPrediction:
        """Return what the estimator says of a window.

        Raises:
            NodeError: it was let go.
        """
        inner = self._inner
        if inner is None:
            raise NodeError('the estimator was released; configure the node again')
        return inner.estimate(window)

    def with_gaussians(self, scene: ExportScene) -> ExportScene:
        """Return views of a scene with Gaussians in its world.

        Raises:
            ExportError: the estimator was let go, or gives no Gaussians.
        """
        inner = self._inner
        if inner is None or not isinstance(inner, SplatSource):
            raise ExportError(
                'the node runs no network that gives Gaussians; da3-giant and '
                'da3nested-giant-large do'
            )
        return inner.with_gaussians(scene)

    def export_options(self) -> ExportOptions:
        """Return options with the fastest renderer of Gaussians that there is."""
        inner = self._inner
        return inner.export_options() if isinstance(inner, SplatSource) else DEFAULT_OPTIONS

    def release(self) -> None:
        """Let go of the estimator; one that is in a window ends it first."""
        self._inner = None


def keep_freed_blocks() -> bool:
    """Let the allocator keep the memory of images for the next ones; return whether it does.

    By default glibc returns large blocks to the kernel when they are freed, and every new image
    then costs a page fault for each of its pages. Other C libraries are left alone.
    """
    mallopt = _allocator('mallopt')
    if mallopt is None:
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD) and kept)


def _allocator(name: str) -> Any:
    """Return a function of glibc's allocator, None where there is no such function."""
    try:
        return ctypes.CDLL(None)[name]
    except (OSError, AttributeError):
        return None


def _torch_with_cuda() -> Any:
    """Return torch if its CUDA side is in use, else None."""
    torch = sys.modules.get('torch')
    return torch if torch is not None and torch.cuda.is_initialized() else None


def return_freed_memory() -> None:
    """Give memory of objects that nobody knows any more back to the system and the GPU."""
    gc.collect()
    trim = _allocator('malloc_trim')
    if trim is not None:
        trim(0)
    torch = _torch_with_cuda()
    if torch is not None:
        torch.cuda.empty_cache()


def memory_use(device: str) -> dict[str, float]:
    """Return name to megabytes, for diagnostics.

    Args:
        device: of the network, as torch names it; memory of others is not looked at.
    """
    found = {
        'memory (MB)': _resident_mb(),
        'peak memory (MB)': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _KB_PER_MB,
    }
    torch = _torch_with_cuda() if device.startswith('cuda') else None
    if torch is not None:
        found['GPU memory (MB)'] = torch.cuda.memory_allocated(device) / _MB
        found['reserved GPU memory (MB)'] = torch.cuda.memory_reserved(device) / _MB
        found['peak GPU memory (MB)'] = torch.cuda.max_memory_allocated(device) / _MB
    return found


def _resident_mb() -> float:
    """Return what the process holds in memory now; NaN where the system does not say."""
    try:
        pages = int(Path('/proc/self/statm').read_text(encoding='ascii').split()[1])
    except (OSError, ValueError, IndexError):
        return float('nan')
    return pages * os.sysconf('SC_PAGE_SIZE') / _MB
