"""Says which cameras give nothing, do not come together, or have another time."""

from __future__ import annotations

from collections.abc import Sequence

from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.ros.apart_reasons import APART, apart_reason
from da3_ros.ros.node.inputs import SILENT_AFTER_S, InputStatus
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.sync import FIRST_WAIT_NS
from da3_ros.stream.sync_report import CameraStatus, SyncReport

_SILENT_PERIODS = 3
_LATE_SETS = 3
# Where neither stamps nor delays are the cause: a few images get lost anywhere.
_LOST_SETS, _LOST_S = 10, 1.0
_SILENCES = (
    Reason.CAMERA_NOT_PUBLISHED,
    Reason.CAMERA_QOS,
    Reason.CAMERA_UNHEARD,
    Reason.CAMERA_STOPPED,
)
_WATCHED = (*_SILENCES, *APART, Reason.CAMERA_LATE, Reason.CAMERA_AWAITED)


class CameraWatch:
    """Judges the cameras by what came of them; about once per second.

    Args:
        board: takes the reasons, by camera.
        options: of the stream.
    """

    def __init__(self, board: ReasonBoard, options: StreamOptions) -> None:
        self._board = board
        self._options = options
        self._needed = options.min_cameras or len(options.cameras)

    def look(self, inputs: Sequence[InputStatus], sync: SyncReport) -> None:
        """Begin and end the reasons of all cameras.

        Args:
            inputs: what came, of the cameras that are subscribed to.
            sync: what became of it.
        """
        by_name = {status.camera: status for status in sync.cameras}
        silent = {i.camera for i in inputs if i.silent_s > _limit_s(by_name[i.camera])}
        apart = {item.camera: item for item in sync.apart}
        for given in inputs:
            status = by_name[given.camera]
            found = self._silence(given, status, sync, silent)
            if not found and given.camera in apart:
                reason, values = apart_reason(apart[given.camera], sync, self._options)
                found = {reason: values}
            if not found:
                found = self._late(given, status, sync)
            found |= self._awaited(status, sync)
            for watched in _WATCHED:
                said = found.get(watched)
                self._board.set(watched, given.camera, said is not None, **(said or {}))

    def _silence(
        self, given: InputStatus, status: CameraStatus, sync: SyncReport, silent: set[str]
    ) -> dict[Reason, dict[str, object]]:
        limit_s = _limit_s(status)
        if given.camera not in silent:
            return {}
        values: dict[str, object] = {
            'topic': given.topic,
            'silent_s': given.silent_s,
            'limit_s': limit_s,
        }
        if not given.senders:
            return {Reason.CAMERA_NOT_PUBLISHED: values}
        best_effort = [sender.node for sender in given.senders if sender.is_best_effort]
        if given.wants_reliable and best_effort:
            return {Reason.CAMERA_QOS: values | {'publishers': ', '.join(best_effort)}}
        came = given.images + given.refused
        if not came:
            names = ', '.join(sender.node for sender in given.senders)
            return {Reason.CAMERA_UNHEARD: values | {'publishers': names}}
        more = {'images': came, 'others': self._others(sync, silent)}
        return {Reason.CAMERA_STOPPED: values | more}

    def _others(self, sync: SyncReport, silent: set[str]) -> str:
        """Return what becomes of the other cameras when one is gone."""
        if len(sync.cameras) == 1:
            return 'There is no other camera.'
        if self._options.min_cameras == 0:
            return 'No set goes out without it (min_cameras is 0: all cameras).'
        no_help = silent | {item.camera for item in sync.apart}
        count = sum(s.is_sending and s.camera not in no_help for s in sync.cameras)
        if count >= self._needed:
            return f'Sets go out without it (min_cameras is {self._needed}).'
        return f'No set goes out: {count} other cameras send, min_cameras is {self._needed}.'

    def _awaited(self, status: CameraStatus, sync: SyncReport) -> dict[Reason, dict[str, object]]:
        if status.has_come or not sync.awaited_ns:
            return {}
        values: dict[str, object] = {
            'left_s': sync.awaited_ns / 1e9,
            'limit_s': FIRST_WAIT_NS / 1e9,
            'min_cameras': self._options.min_cameras,
        }
        return {Reason.CAMERA_AWAITED: values}

    def _late(
        self, given: InputStatus, status: CameraStatus, sync: SyncReport
    ) -> dict[Reason, dict[str, object]]:
        # Of one whose images are refused that is said instead.
        unused_s = max(given.silent_s, given.unused_s)
        if not given.images or unused_s * 1e9 > _SILENT_PERIODS * status.period_ns:
            return {}
        # Where cameras take turns none misses sets in a row, and each is alone in its own.
        missed = max(s.missed_sets for s in sync.cameras)
        count = status.missed_sets if missed >= _LATE_SETS else status.sets_alone
        periods = [s.period_ns for s in sync.cameras if s.is_sending and s.period_ns]
        usual = 2 * max(periods) // min(periods) if periods else 0
        others = any(s.is_sending for s in sync.cameras if s.camera != given.camera)
        why = self._why_late(status)
        least: float = _LATE_SETS
        if not why:
            least = max(_LOST_SETS, _LOST_S * 1e9 / min(periods)) if periods else _LOST_SETS
        if not others or count < max(least, usual):
            return {}
        problem = why or self._why_lost(status)
        if not problem:
            return {}
        return {Reason.CAMERA_LATE: {'missed_sets': count, 'problem': problem}}

    def _why_late(self, status: CameraStatus) -> str:
        """Return what is beyond a limit; empty for nothing."""
        options, delay_s = self._options, status.delay_ns / 1e9
        if not status.is_sending:
            return 'its images come, and their stamps stand still or do not go on'
        if delay_s > options.sync_wait_s:
            wait = f'sync_wait_s allows {options.sync_wait_s:g} s'
            return f'its images come {delay_s:.3f} s after those of the others ({wait})'
        distance_s = (status.distance_ns or 0) / 1e9
        if distance_s <= options.sync_tolerance_s:
            return ''
        tolerance = f'sync_tolerance_s allows {options.sync_tolerance_s * 1e3:.1f} ms'
        return (
            f'its stamps are usually {distance_s * 1e3:.1f} ms from those of the others '
            f'({tolerance})'
        )

    def _why_lost(self, status: CameraStatus) -> str:
        """Return what is left where nothing is beyond a limit; empty where nothing is known."""
        if status.distance_ns is None:
            # It meets no other camera: whether their clocks differ shows soon.
            return ''
        options = self._options
        return (
            f'its stamps, usually {status.distance_ns / 1e6:.1f} ms from those of the others '
            f'(sync_tolerance_s allows {options.sync_tolerance_s * 1e3:.1f} ms), and its delay, '
            f'usually {status.delay_ns / 1e9:.3f} s (sync_wait_s allows {options.sync_wait_s:g} '
            's), are not the cause: images of it are lost, or some come much later than usual'
        )


def _limit_s(status: CameraStatus) -> float:
    """Return how long a camera may be silent."""
    return max(SILENT_AFTER_S, _SILENT_PERIODS * status.period_ns / 1e9)
