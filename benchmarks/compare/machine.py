"""The machine as results name it, and who else uses it meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
import os
from pathlib import Path
import platform
from typing import Any

FLAGS = ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'amx_bf16', 'amx_int8')
PACKAGES = ('torch', 'numpy', 'openvino', 'onnxruntime')
BUSY_SHARE = 0.1
"""Of the cores: above this, what others compute moves the figures."""


def describe(threads: int) -> dict[str, Any]:
    """Return CPU, versions and load."""
    cpu = _cpu()
    flags = cpu.get('flags', cpu.get('Features', '')).split()
    return {
        'cpu': cpu.get('model name', platform.processor() or platform.machine()),
        'flags': [flag for flag in FLAGS if flag in flags] or flags[:8],
        'cores': cores(),
        'threads': threads,
        'system': f'{platform.system()} {platform.release()} {platform.machine()}',
        'python': platform.python_version(),
        'versions': {name: _version(name) for name in PACKAGES},
        'load': [round(value, 2) for value in _load()],
    }


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def warning(load: float, cores: int) -> str | None:
    """Return what to know before measuring, None on a quiet machine."""
    if load <= BUSY_SHARE * cores:
        return None
    return (
        f'the machine is busy: load average {load:.2f} on {cores} cores. Ratios of interleaved '
        'turns still mean something, times do not; measure again when it is quiet'
    )


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds that all cores together were busy, and that passed for all of them."""

    busy_s: float
    total_s: float

    def others_since(self, before: CpuTime, own_s: float) -> float | None:
        """Return the share of the cores that others held; None where it cannot be known."""
        total = self.total_s - before.total_s
        if total <= 0:
            return None
        return min(1.0, max(0.0, (self.busy_s - before.busy_s - own_s) / total))


def cpu_time() -> CpuTime:
    """Return the time since the machine started; zeros where it does not say."""
    try:
        first = Path('/proc/stat').read_text(encoding='utf-8').split('\n', 1)[0]
    except OSError:
        return CpuTime(0.0, 0.0)
    ticks = [int(word) for word in first.split()[1:9]]
    unit = os.sysconf('SC_CLK_TCK')
    idle = ticks[3] + ticks[4]
    return CpuTime((sum(ticks) - idle) / unit, sum(ticks) / unit)


def _cpu() -> dict[str, str]:
    try:
        text = Path('/proc/cpuinfo').read_text(encoding='utf-8').split('\n\n')[0]
    except OSError:
        return {}
    pairs = (line.partition(':') for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _load() -> tuple[float, ...]:
    return os.getloadavg() if hasattr(os, 'getloadavg') else ()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
