"""What trajectories come to beside the true one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from da3_ros.cli.eval_traj_hints import hints
from da3_ros.cli.eval_trajectories import (
    Matched,
    ReadTrajectory,
    matched,
    named_trajectory,
    with_distinct_names,
)
from da3_ros.errors import GeometryError, SourceError
from da3_ros.foreign import plain_line
from da3_ros.geometry.arrays import FloatArray
from da3_ros.metrics.alignment import Alignment
from da3_ros.metrics.pose_pairs import Delta
from da3_ros.metrics.summary import ErrorSummary
from da3_ros.metrics.trajectory import (
    AlignedPoses,
    PoseErrors,
    absolute_errors,
    aligned,
    relative_errors,
)

SCHEMA = 'da3.eval.traj/1'
"""Name and version of the JSON object."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One estimate beside the truth."""

    name: str
    source: str
    poses: int
    """Of the estimate; 0 when it cannot be read."""
    problem: str
    """Why there are no figures, or not all; empty when there are."""
    notes: tuple[str, ...] = ()
    match: Matched | None = None
    aligned: AlignedPoses | None = None
    absolute: PoseErrors | None = None
    relative: PoseErrors | None = None

    @property
    def times_s(self) -> FloatArray:
        """Seconds (P,) of the pairs since the first one."""
        assert self.match is not None
        stamps = self.match.stamps_ns
        return np.asarray((stamps - stamps[0]) / 1e9)


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRuns:
    """All runs."""

    truth: ReadTrajectory
    runs: tuple[Run, ...]
    alignment: Alignment
    delta: Delta
    content: dict[str, Any]
    """The JSON object."""


def compare_runs(
    truth: str,
    estimates: Sequence[str],
    alignment: Alignment,
    max_difference_s: float,
    delta: Delta,
    say: Callable[[str], None],
) -> ComparedRuns:
    """Read and compare trajectories; an estimate that gives no figures is a run with a problem.

    Args:
        truth: as a user names it.
        estimates: likewise.
        alignment: what is fitted first.
        max_difference_s: within a pair of poses.
        delta: of the relative errors.
        say: tells what goes on.

    Raises:
        SourceError: the truth cannot be read.
    """
    say(f'reading {plain_line(truth)}')
    true_one = named_trajectory(truth)
    read: list[ReadTrajectory | SourceError] = []
    for source in estimates:
        say(f'reading {plain_line(source)}')
        try:
            read.append(named_trajectory(source))
        except SourceError as error:
            read.append(error)
    names = iter(with_distinct_names([one for one in read if isinstance(one, ReadTrajectory)]))
    runs = tuple(
        Run(Path(source).name, source, 0, str(one))
        if isinstance(one, SourceError)
        else _run(next(names), true_one, one, alignment, max_difference_s, delta)
        for source, one in zip(estimates, read, strict=True)
    )
    settings = {
        'align': alignment,
        'max_difference_s': max_difference_s,
        'delta': delta.value,
        'delta_unit': delta.unit,
        'pairs': 'consecutive' if delta.is_consecutive else 'all',
    }
    content = {
        'schema': SCHEMA,
        'settings': settings,
        'truth': _described(true_one),
        'runs': [_content(run) for run in runs],
    }
    return ComparedRuns(true_one, runs, alignment, delta, content)


def _run(
    name: str,
    truth: ReadTrajectory,
    estimate: ReadTrajectory,
    alignment: Alignment,
    max_difference_s: float,
    delta: Delta,
) -> Run:
    count = len(estimate.stamps_ns)
    try:
        match = matched(truth, estimate, max_difference_s)
        poses = aligned(match.estimate, match.truth, alignment)
    except GeometryError as error:
        return Run(name, estimate.source, count, str(error), estimate.notes)
    problem, relative = '', None
    try:
        relative = relative_errors(poses, match.stamps_ns, delta)
    except GeometryError as error:
        problem = str(error)
    absolute = absolute_errors(poses)
    notes = (*estimate.notes, *hints(truth, estimate, match, poses, absolute))
    return Run(name, estimate.source, count, problem, notes, match, poses, absolute, relative)


def path_length(poses: FloatArray) -> float:
    """Return how long the path of poses (N, 4, 4) is."""
    return float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).sum())


def _described(trajectory: ReadTrajectory) -> dict[str, Any]:
    stamps = trajectory.stamps_ns
    has_clock = trajectory.is_stamped and not trajectory.is_numbered
    return {
        'name': trajectory.name,
        'source': trajectory.source,
        'poses': len(stamps),
        'is_stamped': has_clock,
        'duration_s': float(stamps[-1] - stamps[0]) / 1e9 if has_clock else None,
        'path_length': path_length(trajectory.poses),
        'notes': list(trajectory.notes),
    }


def _content(run: Run) -> dict[str, Any]:
    content: dict[str, Any] = {
        'name': run.name,
        'source': run.source,
        'poses': run.poses,
        'problem': run.problem or None,
        'notes': list(run.notes),
    }
    if run.match is None or run.aligned is None or run.absolute is None:
        return content
    length = path_length(run.aligned.truth)
    moved = run.aligned.truth_from_estimate
    content |= {
        'pairs': len(run.match.stamps_ns),
        'paired_by': run.match.by,
        'largest_difference_s': run.match.largest_difference_s,
        'path_length': length,
        'truth_from_estimate': {
            'scale': moved.scale,
            'rotation': moved.rotation.tolist(),
            'translation': moved.translation.tolist(),
        },
        'absolute': _errors(run.absolute),
        'relative': None if run.relative is None else _errors(run.relative),
    }
    if length > 0:
        rmse = run.absolute.translation_summary.rmse
        content['absolute']['translation_percent_of_path'] = 100 * rmse / length
    return content


def _errors(errors: PoseErrors) -> dict[str, Any]:
    return {
        'translation': asdict(errors.translation_summary),
        'rotation_deg': asdict(ErrorSummary.of(np.degrees(errors.rotation_rad))),
    }
