"""What becomes of a window: it is published, or counted and named as refused or failed."""

from __future__ import annotations

from collections.abc import Callable
import logging
import threading
import time
from typing import Protocol

from da3_ros.errors import NoPosesError
from da3_ros.notes import Note, NoteCode, joined
from da3_ros.pipeline.pipeline import Losses, Pipeline
from da3_ros.reasons import Reason
from da3_ros.ros.node.stream_watch import OWNER, SCALE_CODES
from da3_ros.ros.node.view_loss import ViewLossWatch
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.stats import StreamStats
from da3_ros.types import RigCalibration, WindowResult

_log = logging.getLogger(__name__)

_OF_POSES: frozenset[NoteCode] = frozenset(
    {'odometry_incomplete', 'prior_left_out', 'transform_missing'}
)
# What is good to know once, and has no end.
_CHANGES: frozenset[NoteCode] = frozenset(
    {'became_metric', 'depth_changed', 'scale_followed', 'scale_source_replaced'}
)


class ResultOutputs(Protocol):
    """Whoever publishes results."""

    def publish(self, result: WindowResult, losses: Losses, rig: RigCalibration) -> float:
        """Publish a window's new sets and return the time from stamp to publishing, seconds."""
        ...

    def restart(self) -> None:
        """Forget what was published: the world starts anew."""
        ...


class Delivery:
    """Steps a pipeline and publishes what comes of it.

    Args:
        pipeline: stepped by `work`.
        outputs: publishes results.
        reasons: takes failed and refused windows, and what is said of the others.
        stats: takes counts, rates and latencies.
        is_alive: whether the middleware still runs.
        is_wanted: whether anybody has use for the next window.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: ResultOutputs,
        reasons: ReasonBoard,
        stats: StreamStats,
        is_alive: Callable[[], bool] = lambda: True,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pipeline = pipeline
        self._outputs = outputs
        self._reasons = reasons
        self._stats = stats
        self._is_alive = is_alive
        self._is_wanted = is_wanted
        self._view_losses = ViewLossWatch(reasons)
        self._publishing = threading.Lock()

    def work(self, counts: Callable[[], bool]) -> None:
        """Step the pipeline once; the worker's thread.

        Args:
            counts: whether the outcome is still to be used.
        """
        try:
            result = self._pipeline.step(self._is_wanted, counts)
            if result is not None:
                self._deliver(result)
        except Exception as error:
            # Publishing fails when the middleware is shut down first, which is no fault of the
            # window.
            if self._is_alive() and counts():
                self._report_failure(error)

    def reset(self) -> None:
        """Begin a new world; when this returns, nothing of the old one is published any more."""
        # As one: what the new world publishes first is not to be forgotten with the old one.
        with self._publishing:
            self._pipeline.reset()
            self._outputs.restart()

    def _deliver(self, result: WindowResult) -> None:
        a = result.alignment
        if not result.new_sets:
            self._stats.count('refused_windows')
            index, text = result.window_index, joined(a.notes)
            self._reasons.happened(Reason.WINDOW_REFUSED, OWNER, index=index, problem=text)
            return
        for note in a.notes:
            self._say(note, is_metric=a.is_metric)
        self._view_losses.look(result)
        with self._publishing:
            if not self._pipeline.is_current(result):
                return
            losses = self._pipeline.losses(result)
            latency_s = self._outputs.publish(result, losses, self._pipeline.rig)
        self._stats.event('windows', time.monotonic())
        self._stats.latency('estimate', result.estimate_s)
        self._stats.latency('stamp_to_publish', latency_s)

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

    def _report_failure(self, error: Exception) -> None:
        self._stats.count('failed_windows')
        cause = error.__cause__ or error
        reason = Reason.WINDOW_FAILED
        if isinstance(cause, NoPosesError):
            reason = Reason.NO_POSES
        self._reasons.happened(reason, OWNER, type(cause).__name__, problem=str(error))
        _log.debug('%s', error, exc_info=error)
