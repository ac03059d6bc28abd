"""What the report of a window says: residuals, notes, and why one was refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
import math

from da3_ros.notes import Note
from da3_ros.stream.placing import PlacedSet
from da3_ros.stream.scale.world import MetricCandidate, MetricSource, WorldScale
from da3_ros.types import AlignmentReport, Window

NOTHING_SHARED = Note(
    'no_shared_views',
    'no view is shared with earlier windows: the rig is placed where it was last',
)
BY_ODOMETRY = Note(
    'placed_by_odometry',
    'no view is shared with earlier windows: the rig is placed by odometry alone',
)

# Cameras that disagree about the base by more than this are worth a note.
_RIG_NOTE_RAD = math.radians(2.0)
_RIG_NOTE_M = 0.05
# Of the logarithm of the median depth, from a window to the next one without shared views.
_NOTED_CHANGE = math.log(1.5)


def refused(
    scale: WorldScale | None, reason: str, numbers: Mapping[str, float] | None = None
) -> AlignmentReport:
    """Return the report of a window that cannot be used.

    Args:
        scale: of the world so far; None before its first window.
        reason: names the view and what is wrong with it.
        numbers: the ones in it, by name.
    """
    text = f'window refused, its images are tried again with the next ones: {reason}'
    return AlignmentReport(
        method='first' if scale is None else 'dead_reckoning',
        shared_views=0,
        scale=1.0 if scale is None else scale.scale,
        scale_source='none' if scale is None else 'chain',
        scale_log_sigma=math.nan if scale is None else scale.log_sigma,
        is_metric=scale is not None and scale.is_metric,
        notes=(Note('window_refused', text, numbers or {}),),
    )


def left_out(window: Window, candidates: Mapping[MetricSource, MetricCandidate]) -> Iterator[Note]:
    """Yield what was known of a window beforehand, or measured in it, and is not used."""
    for frame_set in window.sets:
        if frame_set.prior is not None:
            yield from (n for n in frame_set.prior.notes if n.code == 'prior_left_out')
    for candidate in candidates.values():
        if candidate.doubt is not None and candidate.doubt.code == 'scale_absurd':
            yield candidate.doubt


def changed_depth(before: float, now: float) -> tuple[Note, ...]:
    """Return a note where depth changed as it hardly does from one window to the next.

    Without shared views nothing else tells that one of two measurements of the unit was wrong.
    """
    if not (before > 0 and now > 0) or abs(math.log(now / before)) < _NOTED_CHANGE:
        return ()
    text = (
        f'no view is shared with the window before, and depth is {now / before:.2g} times what it '
        'was there: either the scene changed, or the scale of one of both is wrong'
    )
    return (Note('depth_changed', text, {'factor': now / before}),)


def views_contradict(views: int) -> Note:
    """Return the note about shared views whose poses contradict those of the others."""
    plural = '' if views == 1 else 's'
    text = (
        f'{views} shared view{plural} left out: by them the robot would be '
        'somewhere else than by the others'
    )
    return Note('views_contradict', text, {'views': views})


def with_rig_residuals(
    report: AlignmentReport, placed_sets: Sequence[PlacedSet]
) -> AlignmentReport:
    """Return the report with how far new sets disagree with the rig, and a note if it is far."""
    bases = [placed.base for placed in placed_sets if placed.calibrated > 1]
    if not bases:
        return report
    angle = max(base.rotation_residual_rad for base in bases)
    distance = max(base.translation_residual for base in bases)
    notes = report.notes
    if angle > _RIG_NOTE_RAD or distance > _RIG_NOTE_M:
        text = (
            "the cameras' calibration and the network disagree by "
            f'{_length(distance, is_metric=report.is_metric)} and {math.degrees(angle):.1f} '
            'degrees about where the cameras are'
        )
        note = Note('rig_contradicts', text, {'distance': distance, 'angle_rad': angle})
        notes = (*notes, note)
    return replace(
        report,
        rig_rotation_residual_rad=angle,
        rig_translation_residual=distance,
        notes=notes,
    )


def _length(value: float, *, is_metric: bool) -> str:
    """Return a length for people: centimetres below a metre."""
    if not is_metric:
        return f'{value:.2g} scene units'
    if value >= 1:
        return f'{value:.2g} m'
    return f'{100 * value:.0f} cm' if value >= 0.01 else f'{1000 * value:.0f} mm'
