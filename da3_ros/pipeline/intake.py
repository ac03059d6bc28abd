"""From frames to the sets that wait for their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from da3_ros.errors import StreamError
from da3_ros.options import StreamOptions
from da3_ros.options.scenes import RUN
from da3_ros.pipeline.decoding import Decoded
from da3_ros.pipeline.rig import FrameIds
from da3_ros.stream.drops import Drops
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.sync_report import StampEvent, StampFault, SyncReport
from da3_ros.types import CameraFrame, FrameSet

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class WaitingSet:
    """A set that waits."""

    frame_set: FrameSet
    begins: bool
    """Whether another world begins with it."""


@dataclass(frozen=True, slots=True)
class NewSets:
    """What frames have made of those that wait."""

    sets: int
    """Sets that came to them."""
    events: tuple[StampEvent, ...]
    """What happened to stamps, the oldest first."""
    restarts: int
    """How often stamps began again, so that all sets before had to go and a world begins."""


class Intake:
    """Groups frames into sets, which wait. One thread at a time.

    Args:
        options: of the stream.
        keeps_all: however many sets wait, none is dropped, and one with which stamps begin again
            waits behind those before it; else the newest `stride` wait.
        every: only each set of this number waits, the first one of a world among them.
    """

    def __init__(self, options: StreamOptions, *, keeps_all: bool, every: int = RUN.every) -> None:
        self._drops = Drops(options.cameras)
        self._synchronizer = Synchronizer(
            options.cameras,
            tolerance_ns=round(options.sync_tolerance_s * _NS_PER_S),
            min_cameras=options.min_cameras,
            wait_ns=round(options.sync_wait_s * _NS_PER_S),
            drops=self._drops,
        )
        self._most = None if keeps_all else options.stride
        self._waiting: deque[WaitingSet] = deque()
        self._frame_ids: dict[str, str] = {}
        self._last_ns: int | None = None
        self._is_finished = False
        self._every = every
        # Of the next set, from the first one of its world.
        self._number = 0
        self.passed_over_sets = 0
        """Sets between those that were asked for."""
        self.dropped_sets = 0
        """Sets never given to the estimator since the start."""

    @property
    def frame_ids(self) -> FrameIds:
        """Optical frames of the cameras that sent."""
        return dict(self._frame_ids)

    @property
    def dropped_frames(self) -> int:
        """Frames lost before a window had them; the report has their causes, and costs more."""
        return self._drops.total

    @property
    def has_sets(self) -> bool:
        """Whether a set waits."""
        return bool(self._waiting)

    @property
    def ends_world(self) -> bool:
        """Whether the present world gets no more sets: the input ended, or stamps begin again."""
        return self._waiting[0].begins if self._waiting else self._is_finished

    def push(self, frame: CameraFrame, arrived_ns: int) -> NewSets:
        """Take a frame.

        Raises:
            StreamError: the input was finished.
        """
        if self._is_finished:
            raise StreamError(f'camera {frame.camera}: expected no image after finish()')
        self._frame_ids[frame.camera] = frame.frame_id
        return self._let_wait(self._synchronizer.push(frame, arrived_ns))

    def finish(self) -> NewSets:
        """End the input: what can still become sets does, and the rest is counted as unmatched."""
        self._is_finished = True
        return self._let_wait(self._synchronizer.flush())

    def take(self) -> WaitingSet | None:
        """Return the set whose turn it is; None where none waits."""
        return self._waiting.popleft() if self._waiting else None

    def put_back(self, frame_set: FrameSet) -> None:
        """Let a set that had its turn be the next one again, and a world begin with it."""
        self._waiting.appendleft(WaitingSet(frame_set, begins=True))

    def drop_waiting(self) -> None:
        """Leave out the sets that wait."""
        self.dropped_sets += len(self._waiting)
        self._waiting.clear()

    def reset(self) -> None:
        """Forget frames, sets and stamps: any may come next."""
        self._synchronizer.reset()
        self._last_ns = None
        self._is_finished = False
        self.drop_waiting()

    def pause(self) -> None:
        """Forget frames and sets: cameras begin one after the other."""
        self._synchronizer.reopen()
        self.drop_waiting()

    def doubt(self, cameras: Iterable[str]) -> None:
        """Take note of the cameras whose clock is known to be wrong."""
        self._synchronizer.doubt(cameras)

    def report(self) -> SyncReport:
        """Return counters and the state of every camera."""
        return self._synchronizer.report()

    def count_lost(self, decoded: Decoded) -> None:
        """Count what was lost when the images of a set were decoded."""
        self.dropped_sets += decoded.frame_set is None
        for camera in decoded.undecodable:
            self._drops.add(camera, 'undecodable')
        for camera in decoded.incomplete:
            self._drops.add(camera, 'incomplete')

    def _let_wait(self, frame_sets: Sequence[FrameSet]) -> NewSets:
        restarts: list[StampEvent] = []
        for frame_set in frame_sets:
            last_ns, self._last_ns = self._last_ns, frame_set.stamp_ns
            begins = False
            if last_ns is not None and frame_set.stamp_ns <= last_ns:
                restarts.append(_restart(frame_set, last_ns))
                begins = self._most is None
                self._number = 0
                if not begins:
                    self.drop_waiting()
            self._number += 1
            if (self._number - 1) % self._every:
                self.passed_over_sets += 1
                continue
            if len(self._waiting) == self._most:
                self._waiting.popleft()
                self.dropped_sets += 1
            self._waiting.append(WaitingSet(frame_set, begins))
        events = (*self._synchronizer.take_events(), *restarts)
        anew = len(restarts) if self._most is not None else 0
        return NewSets(len(frame_sets), events, anew)


def _restart(frame_set: FrameSet, last_ns: int) -> StampEvent:
    names = ', '.join(frame.camera for frame in frame_set.frames)
    return StampEvent(StampFault.RESTART, names, frame_set.stamp_ns - last_ns)
