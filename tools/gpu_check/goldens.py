"""The stored cases of every network in float32, no TF32."""

from collections.abc import Mapping
from dataclasses import dataclass, field
import json
from pathlib import Path
from typing import Any
import zipfile

import numpy as np

from da3_ros.inference.tf32 import float32_products
from da3_ros.model.presets import PRESETS
from tools.gpu_check.bench import bench_of
from tools.gpu_check.part import Outcome, Settings, Skipped
from tools.parity.cases import case_checks, is_network_case, worst
from tools.parity.checks import Check
from tools.parity.goldens import Golden, load_golden

API_PRESET = 'da3-small'
"""The network whose runs of the public API `public_api` compares."""


@dataclass(frozen=True)
class Sorted:
    """What a folder of stored cases holds."""

    by_network: dict[str, list[str]] = field(default_factory=dict)
    api: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Name to the reason why nothing is compared with it."""

    damaged: dict[str, str] = field(default_factory=dict)


def sort_cases(folder: Path) -> Sorted:
    """Tell the cases of a folder apart, by their names and what they say of themselves."""
    found = Sorted()
    for path in sorted(folder.glob('*.npz')):
        name = path.stem
        preset, _, case = name.partition('__')
        try:
            golden = _outline(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            found.damaged[name] = f'{name} cannot be read: {error}'
            continue
        if preset not in PRESETS:
            found.left_out[name] = 'a single function, which needs no GPU'
        elif 'autocast' in case:
            found.left_out[name] = 'the reference in 16 bits, not a value to match'
        elif case.startswith('api_'):
            if preset == API_PRESET:
                found.api.append(name)
            else:
                found.left_out[name] = f'the public API is compared for {API_PRESET} only'
        elif is_network_case(golden):
            found.by_network.setdefault(preset, []).append(name)
        else:
            found.left_out[name] = 'not a case of a network that this check understands'
    return found


def run(settings: Settings, preset: str) -> Outcome:
    """Compare all cases of a network."""
    bench = bench_of(settings)
    names = sort_cases(bench.goldens).by_network.get(preset, [])
    if not names:
        raise Skipped(f'no case of {preset} in {bench.goldens}')
    network = bench.network(preset)
    measured: dict[str, dict[str, float]] = {}
    nearest: list[tuple[str, Check]] = []
    failures = []
    with float32_products(bench.device, tf32=False):
        for name in names:
            # The reference ran on a CPU, where its own noise is a bound, too.
            checks = case_checks(
                network, load_golden(name, bench.goldens), strict=not bench.is_cuda
            )
            measured[name] = {check.what: check.measured for check in checks}
            failures += [f'{name}: {check}' for check in checks if not check.holds]
            nearest.append((name, worst(checks)))
    return Outcome(_text(nearest), tuple(failures), {'cases': measured, 'depth': _depth(measured)})


def run_others(settings: Settings, subject: str) -> Outcome:
    """Name the files that no part compares anything with."""
    del subject
    found = sort_cases(Path(settings.goldens))
    if not (found.left_out or found.damaged):
        return Outcome('every file is compared')
    if found.damaged:
        return Outcome('', tuple(found.damaged.values()), {'left_out': found.left_out})
    reasons: dict[str, list[str]] = {}
    for name, reason in found.left_out.items():
        reasons.setdefault(reason, []).append(name)
    raise Skipped('; '.join(f'{reason}: {", ".join(of)}' for reason, of in reasons.items()))


def _outline(path: Path) -> Golden:
    """Return a case without its arrays: their names, and what it says of itself."""
    with np.load(path, allow_pickle=False) as content:
        meta: dict[str, Any] = json.loads(str(content['meta'])) if 'meta' in content else {}
        nothing = np.zeros(0)
        return Golden(path.stem, dict.fromkeys(content.files, nothing), meta)


def _depth(measured: Mapping[str, Mapping[str, float]]) -> float:
    return max(checks.get('depth', 0.0) for checks in measured.values())


def _text(nearest: list[tuple[str, Check]]) -> str:
    by_check = {check: name for name, check in nearest}
    check = worst(list(by_check))
    return (
        f'{len(nearest)} cases, nearest to a bound: {by_check[check].partition("__")[2]} {check}'
    )
