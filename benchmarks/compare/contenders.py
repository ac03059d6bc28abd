"""Who is compared, and how their processes are started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
import os
from pathlib import Path
import sys
from typing import Any

from benchmarks.compare.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = 'official'
REFERENCE_TITLE = 'official, float32'


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender: code and number format."""

    key: str
    title: str
    runtime: str
    """`official`, or a runtime of this project."""
    precision: str


ENTRIES = {
    entry.key: entry
    for entry in (
        Entry(OFFICIAL, REFERENCE_TITLE, 'official', 'fp32'),
        Entry('official_as_shipped', 'official, 16 bits as its API', 'official', 'as_shipped'),
        Entry('torch', 'ours, torch float32', 'torch', 'fp32'),
        Entry('torch_bf16', 'ours, torch bf16', 'torch', 'bf16'),
        Entry('openvino', 'ours, OpenVINO float32', 'openvino', 'fp32'),
        Entry('openvino_bf16', 'ours, OpenVINO bf16', 'openvino', 'bf16'),
        Entry('onnxruntime', 'ours, ONNX Runtime float32', 'onnxruntime', 'fp32'),
    )
}
USUAL = tuple(key for key in ENTRIES if key != 'official_as_shipped')
CPP = Entry('cpp', 'depth-anything.cpp', 'cpp', 'as its model')
TITLES = {key: entry.title for key, entry in {**ENTRIES, CPP.key: CPP}.items()}
_PROGRAMS = {'official': 'official_worker.py', 'cpp': 'cpp_worker.py'}


@dataclass(frozen=True, slots=True)
class Setting:
    """What all contenders of a run have in common."""

    threads: int
    official: str
    """Folder of the official repository; empty where its interpreter has it installed."""
    official_python: str
    limit_s: float
    """Longest time of one answer: then the contender is given up."""
    engines: Path
    """Folder for what is compiled from the weights."""
    cpp: str = ''
    """Program of depth-anything.cpp; empty: it is not compared."""
    cpp_models: Mapping[str, str] = field(default_factory=dict)
    """Its GGUF files by network."""


def start(entry: Entry, setting: Setting, preset: str, folder: Path, log: Path) -> Worker:
    """Start the process of a contender; it loads nothing yet."""
    name = _PROGRAMS.get(entry.runtime, 'our_worker.py')
    options: dict[str, Any] = {
        'folder': str(folder),
        'preset': preset,
        'source': setting.official,
        'runtime': entry.runtime,
        'precision': entry.precision,
        'threads': setting.threads,
    }
    if entry is CPP:
        options |= {'binary': setting.cpp, 'model': setting.cpp_models.get(preset, '')}
    python = setting.official_python if entry.runtime == 'official' else sys.executable
    command = [python, str(ROOT / 'benchmarks' / 'compare' / name), json.dumps(options)]
    return Worker(
        command,
        environment(setting.threads, setting.engines),
        log,
        setting.limit_s,
        setting.threads,
    )


def environment(threads: int, engines: Path) -> dict[str, str]:
    """Return the environment of a process that computes with so many threads.

    Args:
        threads: of every library.
        engines: folder for what is compiled from the weights.
    """
    names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')
    path = os.environ.get('PYTHONPATH')
    # How threads wait is left to the libraries, as it is for those who use them.
    kept = {name: text for name, text in os.environ.items() if name != 'OMP_WAIT_POLICY'}
    return {
        **kept,
        **dict.fromkeys(names, str(threads)),
        'DA3_CACHE': str(engines),
        'PYTHONPATH': f'{ROOT}{os.pathsep}{path}' if path else str(ROOT),
    }
