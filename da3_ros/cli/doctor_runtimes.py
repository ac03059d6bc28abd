"""What `da3 doctor` says of runtimes: which are here, what `auto` is, engines that are kept."""

from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path

from da3_ros.cli.doctor_checks import Check
from da3_ros.errors import CheckpointError, ConfigError
from da3_ros.foreign import plain_path, reason_of

_MIB = 2**20
_SHOWN = 6


def check_runtimes() -> Iterator[Check]:
    """Look at the runtimes and at their engines; none of them is loaded."""
    yield _installed()
    yield _engines()


def _installed() -> Check:
    from da3_ros.inference.runtimes.choose import may_have_gpu
    from da3_ros.inference.runtimes.packages import (
        EXTRA,
        VARIABLE,
        asked_runtime,
        installed_runtimes,
        missing_builders,
    )

    there = installed_runtimes()
    found = ', '.join(f'{name} {version}' for name, version in there.items()) or 'none'
    try:
        asked = asked_runtime('auto')
    except ConfigError as error:
        return Check('runtimes', 'problem', str(error), f'correct or unset {VARIABLE}')
    first, other = EXTRA
    if not there:
        return Check('runtimes', 'problem', found, f'pip install torch, or {EXTRA[first]}')
    on_cpu = next((name for name in (first, 'torch', other) if name in there), '')
    if asked != 'auto':
        taken = f'auto is {asked}, by {VARIABLE}'
    elif 'torch' in there and may_have_gpu():
        taken = f'auto is torch on a GPU, {on_cpu} on the CPU'
    else:
        taken = f'auto is {on_cpu}'
    missing = missing_builders()
    if there.keys() & EXTRA.keys() and missing:
        bring = 'bring engines of another machine: da3 compile MODEL --out FOLDER'
        return Check(
            'runtimes',
            'note' if missing == ('torch',) else 'warning',
            f'{found}; {taken}; no engine can be built here without {", ".join(missing)}',
            f'{bring}, or install what is missing',
        )
    if first not in there and not may_have_gpu():
        return Check('runtimes', 'note', f'{found}; {taken}', f'{EXTRA[first]}: faster on CPUs')
    return Check('runtimes', 'ok', f'{found}; {taken}')


def _engines() -> Check:
    from da3_ros.cli.engine_list import describe_engines
    from da3_ros.inference.runtimes.engine_store import VARIABLE, engines_root

    try:
        root = engines_root()
    except CheckpointError as error:
        return Check('engines', 'warning', str(error), f'name a folder by {VARIABLE}')
    try:
        present = next(path for path in (root, *root.parents) if path.exists())
    except OSError as error:
        detail = f'none can be kept in {plain_path(root)}: {reason_of(error)}'
        return Check('engines', 'warning', detail, f'name a folder by {VARIABLE}')
    if not (present.is_dir() and os.access(present, os.W_OK | os.X_OK)):
        return Check(
            'engines', 'warning', f'none can be kept: {plain_path(present)} cannot be written',
            f'name a folder by {VARIABLE}',
        )  # fmt: skip
    rows = describe_engines()
    unusable = [Path(row['folder']).name for row in rows if row['problem']]
    size = sum(row['bytes'] for row in rows) / _MIB
    texts = [
        f'{row["model"]} {row["precision"]} {" ".join(row["sizes"])}'
        for row in rows
        if not row['problem']
    ]
    more = f', and {len(texts) - _SHOWN} more' if len(texts) > _SHOWN else ''
    listed = ', '.join(texts[:_SHOWN]) + more or 'none'
    detail = f'{listed}; {size:.0f} MiB in {plain_path(root)}'
    if unusable:
        return Check(
            'engines', 'warning', f'{detail}; damaged or of another version: '
            f'{", ".join(unusable)}', 'da3 compile --remove, or leave them',
        )  # fmt: skip
    return Check('engines', 'ok' if rows else 'note', detail)
