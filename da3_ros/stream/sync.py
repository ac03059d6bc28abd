"""Approximate-time synchronisation of several cameras, as a pure state machine.

Stamps alone decide, in integer nanoseconds; nothing here waits or reads a clock. One thread at a
time may use an instance.

A set starts at its earliest frame and takes from every other camera the first frame within the
tolerance, unless that frame fits a later set better (more cameras, or a smaller spread).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from statistics import median

from da3_ros.errors import StreamError
from da3_ros.geometry.stamps import CLOCK_RESET_NS
from da3_ros.stream.drops import DropCause, DropCount, Drops
from da3_ros.stream.sender_clocks import SenderClocks
from da3_ros.types import CameraFrame, FrameSet

_LATE_AFTER_MISSES = 3
_PERIOD_GAPS = 9


class _Verdict(Enum):
    EMIT = 'emit'  # the set goes out
    WAIT = 'wait'  # later frames may still make it better; nothing may overtake it
    HOLD = 'hold'  # too few cameras for now, but a set behind it may go first
    SKIP = 'skip'  # proved that it never becomes a set


@dataclass(frozen=True, slots=True)
class CameraStatus:
    """Where one camera stands."""

    camera: str
    newest_stamp_ns: int | None
    """None before its first frame (since the last reset)."""
    lag_ns: int | None
    """How far its newest frame is behind the newest of all cameras; None before its first."""
    missed_sets: int
    """Sets that went out without it since the last one with it."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What the synchroniser did since it was made."""

    sets: int
    """Sets that went out, partial ones included."""
    partial_sets: int
    dropped: tuple[DropCount, ...]
    """Only counts above zero; in the order of cameras, unknown cameras last."""
    cameras: tuple[CameraStatus, ...]
    late_cameras: tuple[str, ...]
    """Cameras that miss the last sets, or are further behind than waiting would help."""
    clock_resets: int

    def dropped_by(self, cause: DropCause) -> int:
        """Return the number of frames dropped for one reason, over all cameras."""
        return sum(drop.count for drop in self.dropped if drop.cause == cause)


class Synchronizer:
    """Groups frames of several cameras into sets of one instant.

    Complete sets go out at once, with one exception: a set so wide that the next frame of one of
    its cameras would fit better (judged by that camera's usual period) waits for that frame, at
    most `wait_ns`. Every frame is in at most one set, and sets go out in the order of stamps.
    A set without some cameras goes out when at least `min_cameras` are in it and either no late
    camera can match any more (its newest stamp is beyond the tolerance), or an image newer than
    the set by more than `wait_ns` was seen, or a queue is full.

    A camera that stays far ahead of all others is left out for as long as they send beside it: by
    its clock every set of theirs would be long over.

    Args:
        cameras: names in the rig's order.
        tolerance_ns: largest difference of stamps within one set.
        min_cameras: smallest partial set; 0 for complete sets only.
        wait_ns: how much newer, in stamps, an image must be before late cameras are given up.
        queue_size: frames kept per camera; the oldest goes first.

    Raises:
        StreamError: no camera, a name twice, or a number out of range.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        tolerance_ns: int,
        min_cameras: int,
        wait_ns: int,
        *,
        queue_size: int = 16,
    ) -> None:
        if not cameras or len(set(cameras)) != len(cameras):
            raise StreamError(f'sync: expected distinct camera names, got {list(cameras)}')
        if tolerance_ns < 0 or wait_ns < 0 or queue_size < 2:
            raise StreamError(
                'sync: expected tolerance >= 0, wait >= 0 and queue size >= 2, '
                f'got {tolerance_ns} ns, {wait_ns} ns and {queue_size}'
            )
        if not 0 <= min_cameras <= len(cameras):
            raise StreamError(
                f'sync: expected min_cameras from 0 to {len(cameras)} (the number of cameras), '
                f'got {min_cameras}'
            )
        self._cameras = tuple(cameras)
        self._index = {name: i for i, name in enumerate(self._cameras)}
        self._tolerance_ns = tolerance_ns
        self._needed = min_cameras or len(self._cameras)
        self._wait_ns = wait_ns
        self._queue_size = queue_size
        self._sets = 0
        self._partial_sets = 0
        self._clock_resets = 0
        self._drops = Drops(self._cameras)
        self._start()

    def _start(self) -> None:
        n = len(self._cameras)
        self._queues: list[deque[CameraFrame]] = [deque() for _ in range(n)]
        self._newest: list[int | None] = [None] * n
        self._gaps: list[deque[int]] = [deque(maxlen=_PERIOD_GAPS) for _ in range(n)]
        self._missed = [0] * n
        self._clocks = SenderClocks(n, self._wait_ns)
        self._first_ns: int | None = None
        self._newest_ns = 0
        # Of the last set, without its images.
        self._last_ns: int | None = None
        self._last_missing: tuple[str, ...] = ()

    def push(self, frame: CameraFrame) -> list[FrameSet]:
        """Take one frame and return the sets that are ready now, oldest first."""
        index = self._index.get(frame.camera)
        if index is None:
            self._drops.add_unknown(frame.camera)
            return []
        newest = self._newest[index]
        if newest is not None and newest - frame.stamp_ns > CLOCK_RESET_NS:
            self._clock_resets += 1
            self._discard_pending('clock_reset')
            self._start()
        cause: DropCause | None = 'wrong_clock'
        if self._clocks.is_ahead(index, frame.stamp_ns):
            self._leave_out(index)
        else:
            cause = self._refusal(index, frame)
            self._note_stamp(index, frame.stamp_ns)
        if cause is not None:
            self._drops.add(frame.camera, cause)
        else:
            queue = self._queues[index]
            if len(queue) == self._queue_size:
                self._drop(index, queue[0], 'overflow')
            queue.append(frame)
        # A refused frame may still be the proof that a set can wait no longer.
        return self._collect(closing=False)

    def flush(self) -> list[FrameSet]:
        """Return what can still become a set at the end of the input, and drop the rest."""
        ready = self._collect(closing=True)
        self._discard_pending('unmatched')
        return ready

    def reset(self) -> None:
        """Forget pending frames, stamps and periods; the counters go on."""
        self._discard_pending('unmatched')
        self._start()

    def report(self) -> SyncReport:
        """Return counters and the state of every camera."""
        return SyncReport(
            sets=self._sets,
            partial_sets=self._partial_sets,
            dropped=self._drops.counts(),
            cameras=tuple(self._status(i) for i in range(len(self._cameras))),
            late_cameras=tuple(n for i, n in enumerate(self._cameras) if self._is_late(i)),
            clock_resets=self._clock_resets,
        )

    def _status(self, index: int) -> CameraStatus:
        newest = self._newest[index]
        return CameraStatus(
            camera=self._cameras[index],
            newest_stamp_ns=newest,
            lag_ns=None if newest is None else self._newest_ns - newest,
            missed_sets=self._missed[index],
        )

    def _is_late(self, index: int) -> bool:
        if self._first_ns is None:
            return False
        newest = self._newest[index]
        reached = self._first_ns if newest is None else newest
        behind = self._newest_ns - reached > self._wait_ns + self._tolerance_ns
        return behind or self._missed[index] >= _LATE_AFTER_MISSES

    def _leave_out(self, index: int) -> None:
        """Forget a camera's pending frames and stamps: the others decide what time it is."""
        for frame in self._queues[index]:
            self._drops.add(frame.camera, 'wrong_clock')
        self._queues[index].clear()
        self._gaps[index].clear()
        self._newest[index] = None
        self._newest_ns = max((n for n in self._newest if n is not None), default=0)

    def _refusal(self, index: int, frame: CameraFrame) -> DropCause | None:
        newest = self._newest[index]
        if newest is not None and frame.stamp_ns <= newest:
            return 'duplicate' if frame.stamp_ns == newest else 'out_of_order'
        if self._last_ns is not None:
            after_ns = frame.stamp_ns - self._last_ns
            # A camera that its set did not wait for: the frame must not start a set of its own.
            missed_it = frame.camera in self._last_missing and after_ns <= self._tolerance_ns
            if after_ns <= 0 or missed_it:
                return 'late'
        return None

    def _note_stamp(self, index: int, stamp_ns: int) -> None:
        newest = self._newest[index]
        if newest is not None and stamp_ns <= newest:
            return
        if newest is not None:
            self._gaps[index].append(stamp_ns - newest)
        self._newest[index] = stamp_ns
        if self._first_ns is None:
            self._first_ns = self._newest_ns = stamp_ns
        self._first_ns = min(self._first_ns, stamp_ns)
        self._newest_ns = max(self._newest_ns, stamp_ns)

    def _drop(self, index: int, frame: CameraFrame, cause: DropCause) -> None:
        self._queues[index].remove(frame)
        self._drops.add(frame.camera, cause)

    def _discard_pending(self, cause: DropCause) -> None:
        for queue in self._queues:
            for frame in queue:
                self._drops.add(frame.camera, cause)
            queue.clear()

    def _collect(self, *, closing: bool) -> list[FrameSet]:
        ready: list[FrameSet] = []
        # Fewer cameras waiting than a set needs: nothing can come out, so callbacks stay short.
        while sum(map(bool, self._queues)) >= self._needed:
            found = self._next_set(closing=closing)
            if found is None:
                break
            ready.append(found)
        return ready

    def _next_set(self, *, closing: bool) -> FrameSet | None:
        pending = [(index, frame) for index, queue in enumerate(self._queues) for frame in queue]
        for index, frame in sorted(pending, key=lambda item: (item[1].stamp_ns, item[0])):
            match, taken = self._match(frame.stamp_ns)
            verdict = self._judge(frame.stamp_ns, match, taken, closing=closing)
            if verdict is _Verdict.EMIT:
                return self._emit(match)
            if verdict is _Verdict.WAIT:
                return None
            if verdict is _Verdict.SKIP:
                self._drop(index, frame, 'unmatched')
        return None

    def _candidate(self, stamp_ns: int) -> dict[int, CameraFrame]:
        """Return per camera its first frame within the tolerance after a stamp."""
        latest = stamp_ns + self._tolerance_ns
        found: dict[int, CameraFrame] = {}
        for index, queue in enumerate(self._queues):
            for frame in queue:
                if frame.stamp_ns >= stamp_ns:
                    if frame.stamp_ns <= latest:
                        found[index] = frame
                    break
        return found

    def _match(self, stamp_ns: int) -> tuple[dict[int, CameraFrame], set[int]]:
        """Return the set that starts at a stamp, and the cameras a later set has taken from it."""
        match = self._candidate(stamp_ns)
        best: dict[int, CameraFrame] = {}
        best_rank = _rank(match)
        latest = stamp_ns + self._tolerance_ns
        starts = {f.stamp_ns for queue in self._queues for f in queue}
        for start_ns in sorted(start for start in starts if stamp_ns < start <= latest):
            rival = self._candidate(start_ns)
            if _rank(rival) > best_rank:
                best, best_rank = rival, _rank(rival)
        taken = {i for i, frame in match.items() if best.get(i) is frame}
        return {i: frame for i, frame in match.items() if i not in taken}, taken

    def _judge(
        self, stamp_ns: int, match: dict[int, CameraFrame], taken: set[int], *, closing: bool
    ) -> _Verdict:
        pending = sum(
            1
            for i, newest in enumerate(self._newest)
            if i not in match
            and i not in taken
            and (newest is None or newest <= stamp_ns + self._tolerance_ns)
        )
        if len(match) + pending < self._needed:
            return _Verdict.SKIP
        is_over = (
            closing
            or self._newest_ns - stamp_ns > self._wait_ns
            or any(len(self._queues[i]) == self._queue_size for i in match)
        )
        if not is_over and (pending or not self._is_settled(match)):
            return _Verdict.WAIT
        if len(match) >= self._needed:
            return _Verdict.EMIT
        return _Verdict.SKIP if closing else _Verdict.HOLD

    def _is_settled(self, match: dict[int, CameraFrame]) -> bool:
        """Return whether no frame still to come is likely to fit this set's frames better."""
        stamps = [frame.stamp_ns for frame in match.values()]
        last, spread = max(stamps), max(stamps) - min(stamps)
        for index, frame in match.items():
            gaps = self._gaps[index]
            is_newest = self._queues[index][-1] is frame
            if gaps and is_newest and frame.stamp_ns + median(gaps) - last < spread:
                return False
        return True

    def _emit(self, match: dict[int, CameraFrame]) -> FrameSet:
        frames = tuple(match[i] for i in sorted(match))
        stamp_ns = min(frame.stamp_ns for frame in frames)
        for index, frame in match.items():
            self._queues[index].remove(frame)
        for index, queue in enumerate(self._queues):
            while queue and queue[0].stamp_ns < stamp_ns:
                self._drop(index, queue[0], 'unmatched')
            self._missed[index] = 0 if index in match else self._missed[index] + 1
        missing = tuple(name for i, name in enumerate(self._cameras) if i not in match)
        self._sets += 1
        self._partial_sets += bool(missing)
        self._last_ns, self._last_missing = stamp_ns, missing
        return FrameSet(stamp_ns, frames, missing)


def _rank(match: dict[int, CameraFrame]) -> tuple[int, int]:
    """Return a key that is larger for the better of two sets."""
    stamps = [frame.stamp_ns for frame in match.values()]
    return len(match), min(stamps) - max(stamps)
