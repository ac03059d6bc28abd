"""The figures of trajectories as a table, a column for every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from da3_ros.cli.eval_traj_runs import ComparedRuns, Run, path_length
from da3_ros.foreign import plain_line, plain_path
from da3_ros.metrics.summary import ErrorSummary
from da3_ros.metrics.trajectory import PoseErrors

_FIGURES = ('rmse', 'mean', 'median', 'std', 'min', 'max')
_NAME_WIDTH = 28


def trajectory_table(found: ComparedRuns, written: Sequence[Path]) -> str:
    """Return the table and what has to be said below it.

    Args:
        found: of all runs.
        written: files that were written.
    """
    truth = found.truth
    length = path_length(truth.poses)
    head = (
        f'truth: {plain_line(truth.source)}, {len(truth.stamps_ns)} poses, path {length:.4g}; '
        f'alignment {found.alignment}; lengths in {truth.unit}'
    )
    pairs = 'consecutive pairs' if found.delta.is_consecutive else 'all pairs'
    runs = found.runs
    rows: list[list[str]] = [['', *(plain_line(run.name, _NAME_WIDTH) for run in runs)]]
    rows.append(['pairs', *(_of(run, lambda r: f'{_pairs(r)} of {r.poses}') for run in runs)])
    if found.alignment in ('sim3', 'scale'):
        rows.append(['scale', *(_of(run, _scale) for run in found.runs)])
    relative = f'relative, over {found.delta} ({pairs})'
    for title, errors_of in (
        ('absolute', lambda run: run.absolute),
        (relative, lambda run: run.relative),
    ):
        rows += _block(title, found.runs, errors_of)
    notes = [f'{run.name}: {note}' for run in found.runs for note in (run.problem, *run.notes)]
    notes = [*(f'truth: {note}' for note in truth.notes), *notes]
    said = [plain_line(note, 500) for note in notes if not note.endswith(': ')]
    files = [f'wrote {plain_path(path)}' for path in written]
    return '\n'.join([head, *aligned_columns(rows), *said, *files])


def aligned_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: the first column to the left, the others to the right."""
    count = max(len(row) for row in rows)
    widths = [max(len(row[c]) for row in rows if len(row) > c) for c in range(count)]
    # A title has one cell and may be wider than the column below it.
    widths[0] = max(len(row[0]) for row in rows if len(row) > 1)
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]) if len(row) > 1 else row[0]]
        cells += [cell.rjust(widths[c]) for c, cell in enumerate(row) if c]
        lines.append('  '.join(cells).rstrip())
    return lines


def _block(
    title: str, runs: Sequence[Run], errors_of: Callable[[Run], PoseErrors | None]
) -> list[list[str]]:
    rows = [[title]]
    summaries: list[tuple[ErrorSummary, ErrorSummary] | None] = []
    for run in runs:
        errors = errors_of(run)
        if errors is None:
            summaries.append(None)
        else:
            degrees = ErrorSummary.of(np.degrees(errors.rotation_rad))
            summaries.append((errors.translation_summary, degrees))
    for index, unit in enumerate(('translation', 'rotation, deg')):
        for name in _FIGURES:
            cells = ['-' if s is None else f'{getattr(s[index], name):.4g}' for s in summaries]
            rows.append([f'  {unit} {name}', *cells])
    return rows


def _of(run: Run, text: Callable[[Run], str]) -> str:
    return '-' if run.match is None else text(run)


def _pairs(run: Run) -> int:
    return 0 if run.match is None else len(run.match.stamps_ns)


def _scale(run: Run) -> str:
    return '-' if run.aligned is None else f'{run.aligned.truth_from_estimate.scale:.5g}'
