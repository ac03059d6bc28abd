"""The figures of depth as tables."""

from __future__ import annotations

from collections.abc import Sequence
import math
from pathlib import Path

from da3_ros.cli.eval_depth_run import ComparedDepth
from da3_ros.cli.eval_traj_table import aligned_columns
from da3_ros.foreign import plain_line, plain_path
from da3_ros.metrics.calibration import NORMAL_SHARES
from da3_ros.metrics.depth import DepthFigures
from da3_ros.metrics.depth_set import VARIANTS, Variant

NAMES: dict[Variant, str] = {
    'as_is': 'estimate as it is',
    'scale_each': 'one scale per image',
    'scale_all': 'one scale for all',
    'constant_each': 'no estimate: median per image',
    'constant_all': 'no estimate: one median',
    'rows_each': 'no estimate: row medians per image',
    'rows_all': 'no estimate: row medians of all',
}
_HEAD = ('AbsRel', 'SqRel', 'RMSE', 'RMSElog', 'log10', 'd1', 'd2', 'd3')
_BY_RANGE: tuple[Variant, ...] = ('as_is', 'scale_each', 'scale_all', 'rows_each')
_RANGE_HEAD = ('as it is', 'scale per image', 'one scale', 'row medians')


def depth_table(found: ComparedDepth, written: Sequence[Path]) -> str:
    """Return the tables and what has to be said below them.

    Args:
        found: of both sources.
        written: files that were written.
    """
    figures, pairing = found.figures, found.pairing
    lines = [
        f'{len(pairing.pairs)} pairs by {pairing.by}; one scale {figures.scale:.4g}, scales per '
        f'image spread by {100 * figures.scale_spread:.3g} %',
        '',
        'mean over images',
    ]
    rows = [['', *_HEAD]]
    rows += [[NAMES[variant], *_cells(figures.mean[variant])] for variant in VARIANTS]
    lines += [*aligned_columns(rows), '', 'AbsRel by true depth, all pixels together']
    rows = [['metres', 'pixels', *_RANGE_HEAD]]
    for one in figures.ranges:
        own = one.figures
        pixels = str(own['as_is'].pixels) if own else '0'
        cells = [f'{own[variant].abs_rel:.4f}' if own else '-' for variant in _BY_RANGE]
        rows.append([f'{one.near:g} to {one.far:g}', pixels, *cells])
    lines += aligned_columns(rows)
    lines += [*_calibration_lines(found), *_confidence_lines(found), '']
    lines += [plain_line(note, 500) for note in found.notes]
    return '\n'.join([*lines, *(f'wrote {plain_path(path)}' for path in written)])


def _cells(own: DepthFigures) -> list[str]:
    errors = (own.abs_rel, own.sq_rel, own.rmse, own.rmse_log, own.log10)
    shares = (own.delta1, own.delta2, own.delta3)
    return [*(f'{value:.4f}' for value in errors), *(f'{value:.3f}' for value in shares)]


def _calibration_lines(found: ComparedDepth) -> list[str]:
    if not found.figures.calibration:
        return []
    normal = [f'{100 * share:.1f}' for share in NORMAL_SHARES]
    head = ['', *(f'within {k} ({share}), %' for k, share in enumerate(normal, start=1))]
    rows = [[*head, 'error / spread', 'NLL', 'sharpness', 'ENCE']]
    for variant, own in found.figures.calibration.items():
        shares = [f'{100 * share:.1f}' for share in own.within]
        rest = [f'{value:.4g}' for value in (own.z_rms, own.nll, own.sharpness, own.ence)]
        rows.append([NAMES[variant], *shares, *rest])
    return ['', 'stated spread (in brackets: of normal errors)', *aligned_columns(rows)]


def _confidence_lines(found: ComparedDepth) -> list[str]:
    bins = found.figures.confidence
    if not bins:
        return []
    total = sum(one.pixels for one in bins)
    rows = [['confidence, mean', 'AbsRel', 'AbsRel from here up', 'pixels, %']]
    for one in bins:
        share = math.nan if not total else 100 * one.pixels / total
        rows.append(
            [
                f'{one.confidence:.4g}',
                f'{one.abs_rel:.4f}',
                f'{one.abs_rel_from_here:.4f}',
                f'{share:.1f}',
            ]
        )
    return ['', 'confidence, after one scale per image', *aligned_columns(rows)]
