"""Pictures of depth beside the true one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from da3_ros.cli.eval_depth_run import ComparedDepth
from da3_ros.cli.eval_depth_table import NAMES
from da3_ros.cli.eval_output import Picture
from da3_ros.cli.eval_plots import (
    INK_COLOUR,
    TRUTH_COLOUR,
    legend,
    picture,
    plain_numbers,
    run_colour,
)
from da3_ros.metrics.depth_set import Variant

_SHOWN: tuple[Variant, ...] = ('as_is', 'scale_each', 'scale_all', 'constant_each', 'rows_each')


def depth_pictures(found: ComparedDepth) -> dict[str, Picture]:
    """Return what draws each picture, by its file name."""
    drawn: dict[str, Picture] = {
        'error_by_range.png': partial(error_by_range, found),
        'error_by_image.png': partial(error_by_image, found),
    }
    if found.figures.calibration:
        drawn['stated_spread.png'] = partial(stated_spread, found)
    if found.figures.confidence:
        drawn['error_by_confidence.png'] = partial(error_by_confidence, found)
    return drawn


def _colour(variant: Variant) -> str:
    return run_colour(_SHOWN.index(variant))


def error_by_range(found: ComparedDepth, path: Path) -> None:
    """Draw AbsRel by range of true depth, of the estimate and of baselines."""
    ranges = [one for one in found.figures.ranges if one.figures]
    width = 0.8 / len(_SHOWN)
    with picture(path) as ((axes,),):
        for place, variant in enumerate(_SHOWN):
            at = np.arange(len(ranges)) + (place - (len(_SHOWN) - 1) / 2) * width
            heights = [one.figures[variant].abs_rel for one in ranges]
            axes.bar(at, heights, width, color=_colour(variant), label=NAMES[variant])
        names = [f'{one.near:g} to {one.far:g}' for one in ranges]
        axes.set_xticks(range(len(ranges)), names)
        axes.set_xlabel('true depth, m')
        axes.set_ylabel('AbsRel')
        axes.set_title('relative error by true depth, all pixels together')
        legend(axes)


def error_by_image(found: ComparedDepth, path: Path) -> None:
    """Draw AbsRel of every image, and its scale."""
    images = [(n, one) for n, one in enumerate(found.figures.images) if one.figures]
    places = [place for place, _ in images]
    with picture(path, 2, share_x=True) as ((above,), (below,)):
        for variant in _SHOWN:
            errors = [one.figures[variant].abs_rel for _, one in images]
            above.plot(places, errors, '.-', color=_colour(variant), lw=1, label=NAMES[variant])
        above.set_ylabel('AbsRel')
        above.set_ylim(bottom=0)
        above.set_title('relative error by image')
        legend(above)
        below.semilogy(places, [one.scale for _, one in images], '.-', color=INK_COLOUR, lw=1)
        plain_numbers(below.yaxis)
        below.set_ylabel('truth / estimate, median')
        below.set_xlabel('image')


def stated_spread(found: ComparedDepth, path: Path) -> None:
    """Draw the errors that were found over the spreads that were stated."""
    with picture(path) as ((axes,),):
        limits: list[float] = []
        for place, (variant, own) in enumerate(found.figures.calibration.items()):
            stated = [one.stated for one in own.bins]
            errors = [one.found for one in own.bins]
            limits += stated
            axes.loglog(stated, errors, 'o-', color=run_colour(place), label=NAMES[variant])
        ends = [min(limits), max(limits)]
        axes.loglog(ends, ends, color=TRUTH_COLOUR, lw=3, alpha=0.5, label='as stated')
        plain_numbers(axes.xaxis, axes.yaxis)
        axes.set_xlabel('stated spread, m')
        axes.set_ylabel('error found, m (root mean square)')
        axes.set_title('spread stated and error found, by tenths of the pixels')
        legend(axes)


def error_by_confidence(found: ComparedDepth, path: Path) -> None:
    """Draw the errors of pixels by their confidence, the least confident first."""
    bins = found.figures.confidence
    total = sum(one.pixels for one in bins)
    edges = 100 * np.concatenate([[0], np.cumsum([one.pixels for one in bins])]) / total
    with picture(path) as ((axes,),):
        heights = [one.abs_rel for one in bins]
        widths = np.diff(edges)
        axes.bar(edges[:-1], heights, widths, align='edge', color=run_colour(0), alpha=0.6)
        left = [one.abs_rel_from_here for one in bins]
        axes.plot(edges[:-1], left, 'o-', color=INK_COLOUR, label='when all below are cut')
        axes.set_xlabel('pixels by growing confidence, %')
        axes.set_ylabel('AbsRel')
        axes.set_title('relative error by confidence, after one scale per image')
        legend(axes)
