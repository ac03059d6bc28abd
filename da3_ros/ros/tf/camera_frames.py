"""The frames that cameras put into their images: one for each, and optical ones."""

from __future__ import annotations

from collections.abc import Mapping
import math

from da3_ros.geometry.arrays import FloatArray
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.reason_board import ReasonBoard

# How close to straight up an axis points that is the z axis of a body: a camera with that name
# looks there seldom, one that calls its frame optical almost never.
_UP_DEG = 60.0
_UP_OPTICAL_DEG = 30.0


def shared(frame_ids: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return frame to cameras of those frames that several cameras have.

    Args:
        frame_ids: camera name to the id of its frame; without one it has none.
    """
    cameras: dict[str, tuple[str, ...]] = {}
    for camera, frame in frame_ids.items():
        name = frame.lstrip('/')
        if name:
            cameras[name] = (*cameras.get(name, ()), camera)
    return {frame: names for frame, names in cameras.items() if len(names) > 1}


def optical_problem(
    frame: str, options: OutputOptions, base_from_frame: FloatArray | None, optical_below: str
) -> str:
    """Return why a frame does not look like an optical one; empty when it may be one.

    Args:
        frame: id of the frame, without a leading slash.
        options: names of other frames.
        base_from_frame: (4, 4) as TF has it, None where it is not known.
        optical_below: a frame that is fixed to it and whose name says that it is optical.

    Source: REP 103, suffix frames: cameras have z ahead, x right, y down.
    """
    for name in ('base_frame', 'odom_frame', 'map_frame'):
        if frame == getattr(options, name).lstrip('/'):
            return f'it is {name}'
    says_optical = 'optical' in frame.rpartition('/')[2].lower()
    if optical_below and not says_optical:
        return f'{optical_below} is fixed to it'
    if base_from_frame is None:
        if frame.lower().endswith('link'):
            return 'its name is that of a body (link), and TF does not say otherwise'
        return ''
    upward_deg = math.degrees(math.acos(float(min(max(base_from_frame[2, 2], -1.0), 1.0))))
    limit_deg = _UP_OPTICAL_DEG if says_optical else _UP_DEG
    if upward_deg >= limit_deg:
        return ''
    return (
        f'its z axis points up in {options.base_frame}, {upward_deg:.0f} degrees from straight '
        f'up (limit {limit_deg:g})'
    )


class CameraFrames:
    """Looks at the frames of all cameras and says what is wrong with them.

    Args:
        options: names of other frames.
        reasons: takes what is wrong.
    """

    def __init__(self, options: OutputOptions, reasons: ReasonBoard) -> None:
        self._options = options
        self._reasons = reasons
        self._ids: dict[str, str] = {}
        self._problems: dict[str, str] = {}
        self.shared: frozenset[str] = frozenset()
        """Frames that several cameras have."""

    def take(self, frame_ids: Mapping[str, str]) -> None:
        """Take the frames of cameras whose images have just come; the others keep theirs."""
        ids = {**self._ids, **frame_ids}
        if ids == self._ids:
            return
        self._ids = ids
        found = shared(ids)
        for frame in self.shared - set(found):
            self._reasons.end(Reason.FRAME_SHARED, frame)
        for frame, cameras in found.items():
            self._reasons.hold(Reason.FRAME_SHARED, frame, cameras=' and '.join(cameras))
        self.shared = frozenset(found)

    def judge(
        self, camera: str, frame_id: str, base_from_frame: FloatArray | None, optical_below: str
    ) -> None:
        """Say whether the frame of a camera may be optical; see `optical_problem`."""
        frame = frame_id.lstrip('/')
        problem = optical_problem(frame, self._options, base_from_frame, optical_below)
        if problem == self._problems.get(camera, ''):
            return
        self._problems[camera] = problem
        self._reasons.set(
            Reason.FRAME_NOT_OPTICAL, camera, bool(problem), frame=frame, problem=problem
        )
