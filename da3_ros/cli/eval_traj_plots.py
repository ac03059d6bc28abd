"""Pictures of trajectories beside the true one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from da3_ros.cli.eval_output import Picture
from da3_ros.cli.eval_plots import TRUTH_COLOUR, boxes, legend, picture, run_colour
from da3_ros.cli.eval_traj_runs import ComparedRuns

_AXES = 'xyz'


def trajectory_pictures(found: ComparedRuns) -> dict[str, Picture]:
    """Return what draws each picture, by its file name; nothing when no run has figures."""
    if not any(run.absolute for run in found.runs):
        return {}
    return {
        'from_above.png': partial(from_above, found),
        'error_over_time.png': partial(error_over_time, found),
        'relative_error.png': partial(relative_error, found),
    }


def from_above(found: ComparedRuns, path: Path) -> None:
    """Draw the paths in the plane in which the true one extends most, aligned ones."""
    truth = found.truth.poses[:, :3, 3]
    # The axis that the robot moves least along is up, in whatever convention.
    flat = int(np.argmin(np.ptp(truth, axis=0)))
    right, up = (axis for axis in range(3) if axis != flat)
    with picture(path) as ((axes,),):
        axes.plot(truth[:, right], truth[:, up], color=TRUTH_COLOUR, lw=3.5, label='truth')
        axes.plot(*truth[0, [right, up]], 'o', color=TRUTH_COLOUR)
        for place, run in enumerate(found.runs):
            if run.aligned is not None:
                xyz = run.aligned.estimate[:, :3, 3]
                colour = run_colour(place)
                axes.plot(xyz[:, right], xyz[:, up], color=colour, lw=1.2, label=run.name)
        axes.set_aspect('equal', adjustable='datalim')
        axes.set_xlabel(f'{_AXES[right]}, {found.truth.unit}')
        axes.set_ylabel(f'{_AXES[up]}, {found.truth.unit}')
        axes.set_title(f'trajectories, alignment {found.alignment}; dot: start')
        legend(axes)


def error_over_time(found: ComparedRuns, path: Path) -> None:
    """Draw the absolute errors of every run over the time of the truth."""
    with picture(path, 2, share_x=True) as ((above,), (below,)):
        for place, run in enumerate(found.runs):
            if run.absolute is None:
                continue
            look = {'color': run_colour(place), 'lw': 1.2, 'label': run.name}
            above.plot(run.times_s, run.absolute.translation, **look)
            below.plot(run.times_s, np.degrees(run.absolute.rotation_rad), **look)
        above.set_ylabel(f'translation, {found.truth.unit}')
        below.set_ylabel('rotation, deg')
        below.set_xlabel('time since the first pair, s')
        above.set_title(f'absolute error, alignment {found.alignment}')
        legend(above)
        for axes in (above, below):
            axes.set_ylim(bottom=0)


def relative_error(found: ComparedRuns, path: Path) -> None:
    """Draw the relative errors of every run as boxes; a run without any has an empty place."""
    names = [run.name for run in found.runs]
    with picture(path, 1, 2) as ((left, right),):
        errors = [run.relative for run in found.runs]
        boxes(left, [[] if e is None else e.translation for e in errors], names)
        boxes(right, [[] if e is None else np.degrees(e.rotation_rad) for e in errors], names)
        left.set_ylabel(f'translation, {found.truth.unit}')
        right.set_ylabel('rotation, deg')
        left.figure.suptitle(f'relative error over {found.delta}')
