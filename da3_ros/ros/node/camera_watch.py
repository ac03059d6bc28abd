"""Says which cameras give nothing, do not come together, or have another time."""

from __future__ import annotations

from collections.abc import Sequence

from da3_ros.options import StreamOptions
from da3_ros.reasons import Reason
from da3_ros.ros.apart_reasons import APART, apart_reason
from da3_ros.ros.late_reasons import late_reason, others_text, silence_limit_s
from da3_ros.ros.node.inputs import InputStatus
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.sync import FIRST_WAIT_NS
from da3_ros.stream.sync_report import CameraStatus, SyncReport

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

    def look(self, inputs: Sequence[InputStatus], sync: SyncReport) -> None:
        """Begin and end the reasons of all cameras.

        Args:
            inputs: what came, of the cameras that are subscribed to.
            sync: what became of it.
        """
        by_name = {status.camera: status for status in sync.cameras}
        silent = {i.camera for i in inputs if i.silent_s > silence_limit_s(by_name[i.camera])}
        apart = {item.camera: item for item in sync.apart}
        for given in inputs:
            status = by_name[given.camera]
            found = self._silence(given, status, sync, silent)
            if not found and given.camera in apart:
                reason, values = apart_reason(apart[given.camera], sync, self._options)
                found = {reason: values}
            if not found:
                unused_s = max(given.silent_s, given.unused_s)
                found = late_reason(
                    status, sync, self._options, images=given.images, unused_s=unused_s
                )
            found |= self._awaited(status, sync)
            for watched in _WATCHED:
                said = found.get(watched)
                self._board.set(watched, given.camera, said is not None, **(said or {}))

    def _silence(
        self, given: InputStatus, status: CameraStatus, sync: SyncReport, silent: set[str]
    ) -> dict[Reason, dict[str, object]]:
        limit_s = silence_limit_s(status)
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
        more = {'images': came, 'others': others_text(sync, silent, self._options)}
        return {Reason.CAMERA_STOPPED: values | more}

    def _awaited(self, status: CameraStatus, sync: SyncReport) -> dict[Reason, dict[str, object]]:
        if status.has_come or not sync.awaited_ns:
            return {}
        values: dict[str, object] = {
            'left_s': sync.awaited_ns / 1e9,
            'limit_s': FIRST_WAIT_NS / 1e9,
            'min_cameras': self._options.min_cameras,
        }
        return {Reason.CAMERA_AWAITED: values}
