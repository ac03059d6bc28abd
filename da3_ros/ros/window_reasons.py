"""What windows give reason to say: refused and failed ones, and notes of the others."""

from __future__ import annotations

import logging

from da3_ros.errors import NoPosesError
from da3_ros.geometry.stamps import IN_A_ROW
from da3_ros.notes import Note, NoteCode, joined
from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.view_loss import ViewLossWatch
from da3_ros.stream.sync_report import StampEvent, StampFault, stamp_text
from da3_ros.types import WindowResult

OWNER = '(stream)'
"""Whose reasons these are; no camera can have this name."""

SCALE_CODES: frozenset[NoteCode] = frozenset(
    {'no_metric_source', 'distances_given_only', 'one_distance', 'scale_source_missing'}
)
"""Notes that say why there are no metres."""

_OF_POSES: frozenset[NoteCode] = frozenset(
    {'odometry_incomplete', 'prior_left_out', 'transform_missing'}
)
# What is good to know once, and has no end.
_CHANGES: frozenset[NoteCode] = frozenset(
    {'became_metric', 'depth_changed', 'scale_followed', 'scale_source_replaced'}
)
_log = logging.getLogger(__name__)


class WindowReasons:
    """Says of every window what there is to say.

    Args:
        reasons: takes it.
    """

    def __init__(self, reasons: ReasonBoard) -> None:
        self._reasons = reasons
        self._view_losses = ViewLossWatch(reasons)

    def refused(self, result: WindowResult) -> None:
        """Say why a window that has no new sets was refused."""
        index, text = result.window_index, joined(result.alignment.notes)
        self._reasons.happened(Reason.WINDOW_REFUSED, OWNER, index=index, problem=text)

    def made(self, result: WindowResult) -> None:
        """Say what is to be known of a window that has new sets."""
        for note in result.alignment.notes:
            self._say(note, is_metric=result.alignment.is_metric)
        self._view_losses.look(result)

    def failed(self, error: Exception) -> None:
        """Say why a window failed.

        Args:
            error: of the pipeline, or of whoever was given its result.
        """
        cause = error.__cause__ or error
        reason = Reason.WINDOW_FAILED
        if isinstance(cause, NoPosesError):
            reason = Reason.NO_POSES
        self._reasons.happened(reason, OWNER, type(cause).__name__, problem=str(error))
        _log.debug('%s', error, exc_info=error)

    def _say(self, note: Note, *, is_metric: bool) -> None:
        """Put a note of a window on the board, each kind by itself whatever its numbers."""
        if note.code in SCALE_CODES and not is_metric:
            return  # part of why the scale is unknown
        reason = Reason.WINDOW_DOUBT
        if note.code in _OF_POSES:
            reason = Reason.POSE_MISSING
        elif note.code in _CHANGES:
            reason = Reason.WINDOW_NOTE
        self._reasons.happened(reason, OWNER, note.code, problem=note.text)


def say_stamps(board: ReasonBoard, event: StampEvent) -> None:
    """Say what happened to stamps."""
    offset_s, is_back = abs(event.offset_ns) / 1e9, event.offset_ns < 0
    if event.fault is StampFault.RESTART:
        board.happened(Reason.WORLD_RESTARTED, OWNER, 'stamps', problem=stamp_text(event))
        return
    if event.fault is StampFault.OUTLIER:
        reason, direction, where = Reason.STAMP_OUTLIER, 'behind' if is_back else 'ahead of', ''
    else:
        reason, direction = Reason.CLOCK_JUMPED, 'back' if is_back else 'forward'
        where = f' ({IN_A_ROW} images in a row)'
    whose = f'camera {event.camera}'
    values = {'offset_s': offset_s, 'direction': direction, 'where': where, 'whose': whose}
    board.happened(reason, event.camera, direction, **values)
