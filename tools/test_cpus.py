"""Run the numeric tests as other processors would compute them: `make test-cpus`.

Libraries choose kernels by what the processor has, and can be told to take older ones: these are
the settings below, each with one and with two threads. Never is a kernel asked for that this
processor has not. Kernels that no setting gives are stood in for by `DA3_LAST_BIT` (see
test/helpers/last_bit.py): the last bit of sums and products is a matter of chance, by three seeds.

Exit status: 0 when all passed, 1 otherwise. Printed at the end is what ran, and what was left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
import os
from pathlib import Path
import re
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
CPU_INFO = Path('/proc/cpuinfo')
NUMERIC = ('model', 'inference', 'geometry', 'stream', 'export', 'synthetic', 'training')
"""Folders of tests that compute."""
THREADS = (1, 2)
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Setting:
    """Kernels that libraries are told to take."""

    name: str
    needs: frozenset[str] = frozenset()
    """Flags of /proc/cpuinfo without which it must not be asked for."""
    variables: dict[str, str] = field(default_factory=dict)
    numpy_keeps: tuple[str, ...] | None = ()
    """Groups of instructions that NumPy may use beyond its baseline; None for all."""


SETTINGS = (
    Setting('as this processor is', numpy_keeps=None),
    Setting(
        'SSE 4.2',
        frozenset({'sse4_2'}),
        {
            'ATEN_CPU_CAPABILITY': 'default',
            'ONEDNN_MAX_CPU_ISA': 'SSE41',
            'MKL_CBWR': 'COMPATIBLE',
            'OPENBLAS_CORETYPE': 'Nehalem',
        },
    ),
    Setting(
        'AVX2',
        frozenset({'avx2', 'fma'}),
        {
            'ATEN_CPU_CAPABILITY': 'avx2',
            'ONEDNN_MAX_CPU_ISA': 'AVX2',
            'MKL_CBWR': 'AVX2',
            'OPENBLAS_CORETYPE': 'Haswell',
        },
        ('X86_V3', 'AVX2', 'FMA3'),
    ),
    Setting(
        'AVX-512',
        frozenset({'avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512cd'}),
        {
            'ATEN_CPU_CAPABILITY': 'avx512',
            'ONEDNN_MAX_CPU_ISA': 'AVX512_CORE',
            'MKL_CBWR': 'AVX512',
            'OPENBLAS_CORETYPE': 'SkylakeX',
        },
        ('X86_V3', 'X86_V4', 'AVX2', 'FMA3', 'AVX512F', 'AVX512CD', 'AVX512_SKX'),
    ),
)
_OURS = {name for setting in SETTINGS for name in setting.variables}


@dataclass(frozen=True)
class Run:
    """One run of the tests."""

    name: str
    variables: dict[str, str]


def flags(text: str) -> frozenset[str]:
    """Return the flags of a processor, from the text of /proc/cpuinfo."""
    found = re.search(r'^flags\s*:(.*)$', text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def numpy_features() -> frozenset[str]:
    """Return the groups of instructions that NumPy uses here beyond its baseline."""
    built = import_module('numpy._core._multiarray_umath')  # NumPy has no public place for it
    return frozenset(name for name in built.__cpu_dispatch__ if built.__cpu_features__[name])


def plan(there: frozenset[str], numpy: frozenset[str]) -> tuple[list[Run], list[str]]:
    """Return the runs for a processor, and what is left out, with the reason.

    Args:
        there: its flags.
        numpy: what NumPy uses beyond its baseline.
    """
    runs, left_out = [], []
    for setting in SETTINGS:
        if missing := setting.needs - there:
            left_out.append(f'{setting.name}: this processor has no {", ".join(sorted(missing))}')
            continue
        variables = dict(setting.variables)
        if setting.numpy_keeps is not None:
            off = sorted(numpy - set(setting.numpy_keeps))
            variables |= {'NPY_DISABLE_CPU_FEATURES': ' '.join(off)} if off else {}
        for threads in THREADS:
            name = f'{setting.name}, {threads} thread{"s" if threads > 1 else ""}'
            runs.append(Run(name, {**variables, 'DA3_TEST_THREADS': str(threads)}))
    runs += [Run(f'last bits by seed {seed}', {'DA3_LAST_BIT': str(seed)}) for seed in SEEDS]
    return runs, left_out


def environment(run: Run) -> dict[str, str]:
    """Return the variables of a run: those of this process, less what chooses kernels."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    waiting = {'OMP_WAIT_POLICY': 'PASSIVE'}  # two runs of two threads share the cores
    return {**inherited, **waiting, **run.variables}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tests under every setting and print what ran."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='runs whose name contains this')
    parser.add_argument('tests', nargs='*', help='which tests instead of all numeric ones')
    options = parser.parse_args(arguments)
    text = CPU_INFO.read_text(encoding='utf-8') if CPU_INFO.exists() else ''
    runs, left_out = plan(flags(text), numpy_features())
    tests = options.tests or [f'test/{name}' for name in NUMERIC]
    lines = []
    for run in runs:
        if options.only not in run.name:
            continue
        print(f'== {run.name}: {run.variables}', flush=True)
        command = [sys.executable, '-m', 'pytest', '-q', '-n', '2', '--dist', 'loadfile', *tests]
        began = time.monotonic()
        status = subprocess.run(command, cwd=ROOT, env=environment(run), check=False).returncode
        word = 'PASS' if status == 0 else 'FAIL'
        lines.append(f'{word} {run.name} ({time.monotonic() - began:.0f} s)')
    print('\n'.join([*lines, *(f'LEFT OUT {line}' for line in left_out)]))
    return int(not lines or any(line.startswith('FAIL') for line in lines))


if __name__ == '__main__':
    sys.exit(main())
