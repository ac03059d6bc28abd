"""What makes figures of a trajectory say something else than they seem to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from da3_ros.cli.eval_trajectories import Matched, ReadTrajectory
from da3_ros.errors import GeometryError
from da3_ros.foreign import plain_line
from da3_ros.geometry.rotation import nearest_rotation, rotation_angle_rad
from da3_ros.geometry.se3 import invert
from da3_ros.metrics.alignment import Alignment
from da3_ros.metrics.trajectory import AlignedPoses, PoseErrors, trajectory_error

_OPTICAL = '_optical_frame'
# Errors that much smaller by another reading of the poses mean that this was the right one.
_CLEARLY = 0.25
# Of the extent of the truth: positions that fit so well are those of the same motion.
_FITS = 0.1
_ROTATED_DEG = 10.0


def hints(
    truth: ReadTrajectory,
    estimate: ReadTrajectory,
    match: Matched,
    poses: AlignedPoses,
    absolute: PoseErrors,
) -> Iterator[str]:
    """Yield what a reader of the figures has to know.

    Args:
        truth: as it was read.
        estimate: likewise.
        match: their pairs.
        poses: these in one frame.
        absolute: their errors.
    """
    pairs, count = len(match.stamps_ns), len(estimate.stamps_ns)
    if pairs < count / 2:
        yield f'{count - pairs} of {count} poses have no true pose near in time'
    extent = float(np.linalg.norm(np.ptp(match.truth[:, :3, 3], axis=0)))
    if extent == 0:
        yield 'the true positions are all one place: translation says nothing of a path'
        return
    rmse = absolute.translation_summary.rmse
    yield from _of_unit(match, poses.alignment, rmse, extent)
    yield from _of_direction(match, poses.alignment, rmse, extent)
    yield from _of_body(truth.body, estimate.body, poses, rmse, extent)


def _of_unit(match: Matched, alignment: Alignment, rmse: float, extent: float) -> Iterator[str]:
    if alignment not in ('none', 'se3'):
        return
    with_scale: Alignment = 'scale' if alignment == 'none' else 'sim3'
    other = _error(match, with_scale)
    if other is not None and rmse > _FITS * extent and other[0] < _CLEARLY * rmse:
        yield (
            f'with a scale of {other[1]:.4g} the error is {other[0]:.4g} instead of {rmse:.4g}: '
            f'the estimate is in another unit than the truth; --align {with_scale} takes it out'
        )


def _of_direction(
    match: Matched, alignment: Alignment, rmse: float, extent: float
) -> Iterator[str]:
    if alignment not in ('se3', 'sim3') or rmse <= _FITS * extent:
        return
    inverse = Matched(match.stamps_ns, match.truth, invert(match.estimate), match.by, 0.0)
    other = _error(inverse, alignment)
    if other is not None and other[0] < _CLEARLY * rmse:
        yield (
            f'inverted, the poses have an error of {other[0]:.4g} instead of {rmse:.4g}: they are '
            'camera_from_world, expected world_from_camera'
        )


def _of_body(
    truth: str, estimate: str, poses: AlignedPoses, rmse: float, extent: float
) -> Iterator[str]:
    """Yield that poses are of two frames of the robot, as names or orientations say."""
    advice = (
        'rotation and relative errors of two different frames say nothing; BAG#/tf:PARENT:CHILD '
        'names the poses of any frame of a bag'
    )
    if truth and estimate and truth.endswith(_OPTICAL) != estimate.endswith(_OPTICAL):
        names = plain_line(truth, 60), plain_line(estimate, 60)
        yield f'the truth is of {names[0]}, the estimate of {names[1]}: {advice}'
        return
    if rmse > _FITS * extent:
        return  # the alignment is no better than the positions that it is from
    between = np.swapaxes(poses.truth[:, :3, :3], 1, 2) @ poses.estimate[:, :3, :3]
    try:
        mount = nearest_rotation(between.mean(axis=0))
    except GeometryError:
        return
    angle = float(np.degrees(rotation_angle_rad(mount)))
    apart = np.degrees(rotation_angle_rad(mount.T @ between))
    if angle > _ROTATED_DEG and float(np.median(apart)) < _CLEARLY * angle:
        why = f'as of two frames of the robot, or of an alignment by too short a path; {advice}'
        if truth and truth == estimate:
            why = 'by the alignment: positions of so short or noisy a path tell little of rotation'
        yield f'all orientations are off by the same {angle:.1f} deg, {why}'
    elif float(np.median(apart)) > _ROTATED_DEG:
        yield (
            'positions agree and orientations do not: are quaternions x y z w, and of '
            'world_from_camera?'
        )


def _error(match: Matched, alignment: Alignment) -> tuple[float, float] | None:
    """Return error and scale of another alignment; None where the poses do not determine it."""
    try:
        found = trajectory_error(match.estimate, match.truth, alignment)
    except GeometryError:
        return None
    return found.rmse, found.scale
