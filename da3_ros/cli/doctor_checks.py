"""What `da3 doctor` looks at, apart from ROS: Python, packages, devices, weights, disks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
import os
from pathlib import Path
import platform
import re
import shutil
import sys
from typing import Any, Literal

from da3_ros import __version__
from da3_ros.errors import CheckpointError
from da3_ros.foreign import expanded

Status = Literal['ok', 'note', 'warning', 'problem']

PYTHON_VERSIONS = ((3, 10), (3, 14))
"""First and last that are supported."""

REQUIRED: dict[str, tuple[str, str]] = {
    'av': ('av', '17'),
    'huggingface_hub': ('huggingface_hub', '0.23'),
    'lz4': ('lz4', '3'),
    'numpy': ('numpy', '1.24'),
    'opencv-python-headless': ('cv2', '4.8'),
    'pillow': ('PIL', '9.4'),
    'pyyaml': ('yaml', '6'),
    'rich': ('rich', '13'),
    'rosbags': ('rosbags', '0.11.9'),
    'safetensors': ('safetensors', '0.4.3'),
    'scipy': ('scipy', '1.10'),
    'torch': ('torch', '2.1'),
    'tqdm': ('tqdm', '4.65'),
    'trimesh': ('trimesh', '4'),
    'typer': ('typer', '0.12'),
    'zstandard': ('zstandard', '0.16'),
}
"""Name on PyPI to import name and least version: the requirements of setup.cfg."""

OPTIONAL = (
    *('gsplat', 'viser', 'xformers'),
    *('cv_bridge', 'sensor_msgs_py', 'tf2_ros', 'tf_transformations'),
)
_OF_TORCH = ('torch', 'safetensors')
"""What an installation without torch lacks: requirements/light.txt."""
_OPENCV = (
    'opencv-python', 'opencv-python-headless', 'opencv-contrib-python',
    'opencv-contrib-python-headless',
)  # fmt: skip
_GIB = 2**30
_LITTLE_MEMORY_GIB = 4
_LITTLE_DISK_GIB = 8
_NVIDIA = Path('/proc/driver/nvidia/version')
_MEMORY_INFO = Path('/proc/meminfo')


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    """note: good to know; warning: something works badly; problem: something does not work."""
    detail: str
    """What was found."""
    advice: str = ''
    """What to do; empty when nothing."""

    def content(self) -> dict[str, Any]:
        """Return the check for JSON."""
        return asdict(self)


def check_package() -> Check:
    """Say which version of this package is running, and from where."""
    return Check('da3_ros', 'ok', f'{__version__} at {Path(__file__).resolve().parents[1]}')


def check_python() -> Check:
    """Look at the interpreter."""
    first, last = PYTHON_VERSIONS
    found = f'{platform.python_version()} at {sys.executable}'
    if sys.version_info[:2] < first:
        return Check('Python', 'problem', found, f'install Python {first[0]}.{first[1]} or later')
    if sys.version_info[:2] > last:
        return Check('Python', 'warning', found, f'tested up to Python {last[0]}.{last[1]}')
    return Check('Python', 'ok', found)


def check_packages() -> Iterator[Check]:
    """Look at the libraries that are needed, and at those that may be there."""
    wrong, found = {}, []
    for name, (module, least) in REQUIRED.items():
        version = _version(name)
        if version is None and util.find_spec(module) is None:
            if name in _OF_TORCH and _computes_without_torch():
                continue
            wrong[name] = f'{name} is missing'
        elif version is not None and _numbers(version) < _numbers(least):
            wrong[name] = f'{name} is {version}, {least} is needed'
        else:
            found.append(f'{name} {version or "(version unknown)"}')
    if wrong:
        names = ' '.join(f'"{name}>={REQUIRED[name][1]}"' for name in wrong)
        yield Check('packages', 'problem', ', '.join(wrong.values()), f'pip install {names}')
    else:
        yield Check('packages', 'ok', ', '.join(found))
    there = [name for name in OPTIONAL if util.find_spec(name) is not None]
    detail = f'there: {", ".join(there) or "none"} (of {", ".join(OPTIONAL)})'
    yield Check('optional', 'note', detail)


def check_torch() -> Iterator[Check]:
    """Look at torch and the devices it sees."""
    if util.find_spec('torch') is None and _computes_without_torch():
        detail = 'not installed; Gaussians, poses from rays and features of blocks need it'
        yield Check('torch', 'note', detail, 'pip install torch, where they are wanted')
        return
    try:
        import torch
    except (ImportError, OSError) as error:
        detail = str(error).strip().splitlines()[0]
        yield Check('torch', 'problem', f'cannot be imported: {detail}', 'pip install torch')
        return
    yield Check('torch', 'ok', f'{torch.__version__}, {torch.get_num_threads()} threads')
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Check(
                'GPU', 'ok',
                f'cuda:{index} {name}, {free / _GIB:.1f} of {total / _GIB:.1f} GiB free',
            )  # fmt: skip
    elif torch.backends.mps.is_available():
        yield Check('GPU', 'ok', 'mps (Apple)')
    elif _NVIDIA.exists() or shutil.which('nvidia-smi'):
        built = torch.version.cuda
        yield Check(
            'GPU', 'warning', 'an NVIDIA driver is there, torch sees no device '
            f'({"built for CUDA " + built if built else "built without CUDA"})',
            'update the driver' if built else 'pip install --force-reinstall torch',
        )  # fmt: skip
    else:
        yield Check(
            'GPU', 'note', 'none; networks run on the CPU',
            'small networks (--model da3-small) and a smaller --process-res keep that bearable',
        )  # fmt: skip


def check_memory() -> Check:
    """Look at the memory that is free."""
    try:
        lines = _MEMORY_INFO.read_text(encoding='ascii').splitlines()
        words = [line.split() for line in lines if line.endswith(' kB')]
        sizes = {label.rstrip(':'): int(size) / 2**20 for label, size, _ in words}
        free, total = sizes['MemAvailable'], sizes['MemTotal']
    except (OSError, ValueError, KeyError):
        return Check('memory', 'note', 'the system does not tell')
    detail = f'{free:.1f} of {total:.1f} GiB free'
    if free < _LITTLE_MEMORY_GIB:
        return Check('memory', 'warning', detail, 'end other programs, or use da3-small')
    return Check('memory', 'ok', detail)


def check_weights() -> Check:
    """Look at which checkpoints are in the hub's cache."""
    try:
        from da3_ros.inference.hub import UPSTREAM, is_cached
        from da3_ros.inference.hub_endpoint import hub_endpoint
        from da3_ros.model.presets import NETWORKS

        there = [name for name in NETWORKS if is_cached(name)]
    except (ImportError, OSError) as error:
        return Check('weights', 'problem', f'the cache cannot be read: {error}')
    detail = f'here: {", ".join(there) or "none"}'
    if set(there) & set(UPSTREAM):
        return Check('weights', 'ok', detail)
    try:
        where = hub_endpoint().url
    except CheckpointError as error:
        return Check('weights', 'problem', str(error), 'correct it, or unset HF_ENDPOINT')
    offline = os.environ.get('HF_HUB_OFFLINE', '') not in ('', '0')
    return Check(
        'weights',
        'warning' if offline else 'note',
        f'{detail}; no upstream one' + (', and HF_HUB_OFFLINE is set' if offline else ''),
        f'the first use loads from {where}; without a network, run `hf download '
        'depth-anything/DA3-SMALL` elsewhere and copy the folder, or set HF_ENDPOINT to a mirror',
    )


def check_disks(export_dir: Path) -> Iterator[Check]:
    """Look at the disks of the hub's cache and of results."""
    folders = {'results': export_dir}
    try:
        from huggingface_hub import constants

        folders['hub cache'] = Path(constants.HF_HUB_CACHE)
    except ImportError:
        pass
    for name, folder in folders.items():
        yield _disk(f'disk: {name}', expanded(folder).absolute())


def _disk(name: str, folder: Path) -> Check:
    present = next(path for path in (folder, *folder.parents) if path.exists())
    if not (present.is_dir() and os.access(present, os.W_OK | os.X_OK)):
        return Check(name, 'problem', f'{present} cannot be written', 'choose another folder')
    free = shutil.disk_usage(present).free / _GIB
    detail = f'{free:.1f} GiB free at {folder}'
    if free < 1:
        return Check(name, 'problem', detail, 'make room')
    if free < _LITTLE_DISK_GIB:
        return Check(name, 'warning', detail, 'the largest checkpoint alone takes 7 GiB')
    return Check(name, 'ok', detail)


def _computes_without_torch() -> bool:
    """Whether a runtime other than torch is installed."""
    from da3_ros.inference.runtimes.packages import EXTRA, is_installed

    return any(map(is_installed, EXTRA))


def _version(name: str) -> str | None:
    """Return the version of a distribution, for OpenCV of any of its names."""
    names = _OPENCV if name in _OPENCV else (name,)
    return next((found for found in map(_installed, names) if found is not None), None)


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version: (2, 13, 0) of 2.13.0+cpu."""
    match = re.match(r'\d+(\.\d+)*', version)
    return tuple(int(part) for part in match[0].split('.')) if match else ()
