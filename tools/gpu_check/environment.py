"""What the machine is: printed as JSON by `python -m tools.gpu_check.environment [DEVICE]`.

A process of its own asks torch, so that a driver that hangs costs a time limit, and the process
that watches the others holds no memory of the device.
"""

from importlib import metadata
import json
import os
from pathlib import Path
import platform
import re
import subprocess
import sys
from typing import Any

DRIVER_FILE = Path('/proc/driver/nvidia/version')
OPTIONAL = ('xformers', 'gsplat')
_MIB = 2**20


def describe(wanted: str) -> dict[str, Any]:
    """Return the device and the versions.

    Args:
        wanted: `cuda`, `cpu`, or `auto` for CUDA where there is a device.
    """
    import torch

    has_cuda = torch.cuda.is_available()
    found: dict[str, Any] = {
        'device': 'cuda' if has_cuda and wanted != 'cpu' else 'cpu',
        'cuda_available': has_cuda,
        'torch': torch.__version__,
        'cuda': torch.version.cuda,
        'python': platform.python_version(),
        'cores': len(os.sched_getaffinity(0)),
        **{name: _installed(name) for name in OPTIONAL},
    }
    if found['device'] == 'cpu':
        return {**found, 'name': f'CPU, {platform.machine()}'}
    properties = torch.cuda.get_device_properties(0)
    return {
        **found,
        'name': properties.name,
        'capability': f'{properties.major}.{properties.minor}',
        'memory_mib': properties.total_memory // _MIB,
        'cudnn': torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        'driver': _driver(),
    }


def headline(environment: dict[str, Any]) -> list[str]:
    """Return the lines that a check begins with."""
    if environment['device'] == 'cpu':
        device = f'no CUDA device is used: {environment["name"]}, {environment["cores"]} cores'
    else:
        device = (
            f'{environment["name"]}, compute capability {environment["capability"]}, '
            f'{environment["memory_mib"]} MiB, driver {environment["driver"]}, '
            f'{environment["cores"]} CPU cores'
        )
    versions = (
        f'torch {environment["torch"]}, CUDA {environment["cuda"]}, '
        f'cuDNN {environment.get("cudnn")}, Python {environment["python"]}'
    )
    return [f'device: {device}', f'versions: {versions}']


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _driver() -> str:
    try:
        found = re.search(r'\d+\.\d+(?:\.\d+)?', DRIVER_FILE.read_text(encoding='utf-8'))
        if found:
            return found[0]
    except OSError:
        pass  # Some containers hide the file.
    ask = ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader']
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 'unknown'
    return next(iter(answer.stdout.split()), 'unknown')


if __name__ == '__main__':
    print(json.dumps(describe(sys.argv[1] if len(sys.argv) > 1 else 'auto')))
