"""What a node would have said of cameras and unit, of a recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from da3_ros.notes import joined
from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.ros.apart_reasons import (
    AHEAD_LIMIT_S,
    APART,
    BEHIND_LIMIT_S,
    OFF_TIMES,
    apart_reason,
)
from da3_ros.ros.late_reasons import late_reason, others_text, silence_limit_s
from da3_ros.ros.reading.camera_reader import ReadCounts
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.window_reasons import OWNER, SCALE_CODES
from da3_ros.stream.sync_report import SyncReport
from da3_ros.types import WindowResult

_WATCHED = (Reason.CAMERA_STOPPED, *APART, Reason.CAMERA_LATE)


class RecordingWatch:
    """Begins and ends reasons; about once per second of the recording.

    Args:
        board: takes them.
        options: of the stream.
        topics: camera name to the topic of its images.
        clock: log time, seconds.
    """

    def __init__(
        self,
        board: ReasonBoard,
        options: StreamOptions,
        topics: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self._board = board
        self._options = options
        self._topics = topics
        self._clock = clock
        self._off: Counter[str] = Counter()

    @property
    def far_off(self) -> tuple[str, ...]:
        """Cameras whose stamps are far from log time, which is the clock of what recorded them."""
        return tuple(camera for camera, times in self._off.items() if times >= OFF_TIMES)

    def look(self, counts: Mapping[str, ReadCounts], sync: SyncReport) -> None:
        """Judge the cameras.

        Args:
            counts: what was read of every camera.
            sync: what became of it.
        """
        self._compare_clocks(counts)
        apart = {item.camera: item for item in sync.apart}
        limits_s = {status.camera: silence_limit_s(status) for status in sync.cameras}
        silent = {name for name, c in counts.items() if c.silent_s > limits_s[name]}
        for status in sync.cameras:
            camera, count = status.camera, counts[status.camera]
            found: dict[Reason, dict[str, object]] = {}
            if camera in silent:
                # Where all are silent nothing was recorded.
                if len(silent) < len(counts):
                    found[Reason.CAMERA_STOPPED] = {
                        'topic': self._topics[camera],
                        'silent_s': count.silent_s,
                        'limit_s': limits_s[camera],
                        'images': count.received,
                        'others': others_text(sync, silent, self._options),
                    }
            elif camera in apart:
                reason, values = apart_reason(apart[camera], sync, self._options)
                found[reason] = values
            else:
                unused_s = max(count.silent_s, count.unused_s)
                found = late_reason(
                    status, sync, self._options, images=count.images, unused_s=unused_s
                )
            for watched in _WATCHED:
                said = found.get(watched)
                self._board.set(watched, camera, said is not None, **(said or {}))

    def _compare_clocks(self, counts: Mapping[str, ReadCounts]) -> None:
        now_s = self._clock()
        for camera, count in counts.items():
            if count.newest_stamp_ns is None:
                continue
            arrived_s = now_s - max(count.silent_s, count.unused_s)
            offset_s = count.newest_stamp_ns / 1e9 - arrived_s
            if -BEHIND_LIMIT_S <= offset_s <= AHEAD_LIMIT_S:
                self._off.pop(camera, None)
            else:
                self._off[camera] += 1

    def made(self, result: WindowResult) -> None:
        """Say why a window that has new sets is not in metres, where it is not."""
        alignment = result.alignment
        why = joined(note for note in alignment.notes if note.code in SCALE_CODES)
        is_said = any(a.reason is Reason.SCALE_UNKNOWN for a in self._board.active(OWNER))
        if is_said and not (why or alignment.is_metric):
            return  # only the first window of a world says why
        self._board.set(
            Reason.SCALE_UNKNOWN,
            OWNER,
            not alignment.is_metric,
            scale_source=self._options.scale_source,
            problem=why or 'nothing that gives the metre is there',
        )
