"""Approximate-time synchronisation of several cameras, as a pure state machine.

Stamps decide, in integer nanoseconds, and the order in which they arrive; nothing here waits or
reads a clock. One thread at a time may use an instance.

A set starts at its earliest frame and takes from every other camera the first frame within the
tolerance, unless that frame fits a later set better (more cameras, or a smaller spread).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from da3_ros.errors import StreamError
from da3_ros.geometry.stamps import CLOCK_RESET_NS, Judged, StampFilter
from da3_ros.stream.drops import DropCause, Drops
from da3_ros.stream.frame_queues import FrameQueues
from da3_ros.stream.meetings import Meetings
from da3_ros.stream.sync_report import CameraStatus, StampEvent, StampFault, SyncReport
from da3_ros.types import CameraFrame, FrameSet

FIRST_WAIT_NS = 2_000_000_000
"""How long the first sets wait for cameras that have never come."""
_LATE_AFTER_MISSES = 3


class _Verdict(Enum):
    EMIT = 'emit'  # the set goes out
    WAIT = 'wait'  # later frames may still make it better; nothing may overtake it
    HOLD = 'hold'  # not to go out for now, but a set behind it may go first
    SKIP = 'skip'  # proved that it never becomes a set
    LATE = 'late'  # sets of the same clock behind it went out already


class Synchronizer:
    """Groups frames of several cameras into sets of one instant.

    Complete sets go out at once, with one exception: a set so wide that the next frame of one of
    its cameras would fit better (judged by that camera's usual period) waits for that frame, at
    most `wait_ns`. Every frame is in at most one set, and sets go out in the order of stamps.
    A set without some cameras goes out when at least `min_cameras` are in it and either no late
    camera can match any more (its newest stamp is beyond the tolerance), or an image newer than
    the set by more than `wait_ns` was seen, or a queue is full. While a camera has never come,
    the first partial sets wait for `first_wait_ns`.

    Cameras that send beside each other and never meet in a set are not taken for late ones: only
    the largest group of cameras that meet gives sets, of equal ones that whose clock nobody
    doubts, none where two are left. The others are `apart`.

    A stamp far from the one before it is left out, unless several in a row go on from there; only
    then has the clock of the camera jumped. When the sets of the largest group are older then
    than the last one, they begin anew.

    Args:
        cameras: names in the rig's order.
        tolerance_ns: largest difference of stamps within one set.
        min_cameras: smallest partial set; 0 for complete sets only.
        wait_ns: how much newer, in stamps, an image must be before late cameras are given up.
        queue_size: frames kept per camera; the oldest goes first.
        first_wait_ns: how long, in stamps, the first sets wait for cameras that have never come.
        drops: counts frames that reach no set; one of its own where nobody else counts.

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
        first_wait_ns: int = FIRST_WAIT_NS,
        drops: Drops | None = None,
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
        self._first_wait_ns = first_wait_ns
        self._sets = 0
        self._partial_sets = 0
        self._clock_resets = 0
        self._drops = drops or Drops(self._cameras)
        self._events: list[StampEvent] = []
        self._open()
        self._start()

    def _open(self) -> None:
        self._has_come = [False] * len(self._cameras)
        self._is_first_over = self._needs_all or not self._first_wait_ns

    def _start(self) -> None:
        n = len(self._cameras)
        self._queues = FrameQueues(n, self._queue_size, self._tolerance_ns)
        self._filters: list[StampFilter[CameraFrame]] = [StampFilter() for _ in range(n)]
        self._newest: list[int | None] = [None] * n
        self._missed, self._alone = [0] * n, [0] * n
        self._meetings = Meetings(n, self._tolerance_ns, self._wait_ns)
        self._first_ns: int | None = None
        # Whether the clock of a camera was set back since its last set.
        self._is_back = [False] * n
        # Of the last set, without its images.
        self._last_ns: int | None = None
        self._last_in: frozenset[int] = frozenset()

    @property
    def _needs_all(self) -> bool:
        return self._needed == len(self._cameras)

    def push(self, frame: CameraFrame, arrived_ns: int = 0) -> list[FrameSet]:
        """Take one frame and return the sets that are ready now, oldest first.

        Args:
            frame: of one camera.
            arrived_ns: when it arrived, by a steady clock; always 0 where frames come from a file.
        """
        index = self._index.get(frame.camera)
        if index is None:
            self._drops.add_unknown(frame.camera)
            return []
        stamps, known_ns = self._filters[index], self._known_ns(index)
        self._accept(index, stamps.push(frame.stamp_ns, frame, arrived_ns, known_ns), arrived_ns)
        # A refused frame may still be the proof that a set can wait no longer.
        return self._collect(closing=False)

    def flush(self) -> list[FrameSet]:
        """Return what can still become a set at the end of the input, and drop the rest."""
        for index, stamps in enumerate(self._filters):
            self._accept(index, stamps.flush(), 0)
        ready = self._collect(closing=True)
        self._discard_pending('unmatched')
        return ready

    def reset(self) -> None:
        """Forget pending frames, stamps and periods; the counters go on."""
        self._discard_pending('unmatched')
        self._start()

    def reopen(self) -> None:
        """Forget the same, and that cameras have come: the first sets wait for them again."""
        self.reset()
        self._open()

    def doubt(self, cameras: Iterable[str]) -> None:
        """Take note of the cameras whose clock is known to be wrong, until the next reset."""
        self._meetings.doubt(self._index[camera] for camera in cameras)

    def take_events(self) -> list[StampEvent]:
        """Return what happened to stamps since the last call, the oldest first."""
        events, self._events = self._events, []
        return events

    def report(self) -> SyncReport:
        """Return counters and the state of every camera."""
        left_ns = self._first_wait_ns - self._meetings.elapsed_ns()
        is_awaiting = not self._is_first_over and any(self._has_come)
        return SyncReport(
            sets=self._sets,
            partial_sets=self._partial_sets,
            dropped=self._drops.counts(),
            cameras=tuple(self._status(i) for i in range(len(self._cameras))),
            late_cameras=tuple(n for i, n in enumerate(self._cameras) if self._is_late(i)),
            clock_resets=self._clock_resets,
            apart=self._meetings.apart(self._cameras),
            awaited_ns=max(0, left_ns) if is_awaiting else 0,
        )

    def _status(self, index: int) -> CameraStatus:
        newest, is_apart = self._newest[index], self._meetings.is_apart(index)
        delay_ns, distance_ns = self._meetings.behind_ns(index)
        return CameraStatus(
            camera=self._cameras[index],
            newest_stamp_ns=newest,
            lag_ns=None if is_apart or newest is None else self._now_ns() - newest,
            missed_sets=self._missed[index],
            sets_alone=self._alone[index],
            has_come=self._has_come[index],
            is_sending=self._meetings.is_sending(index),
            delay_ns=delay_ns,
            distance_ns=distance_ns if self._alone[index] else 0,
            period_ns=self._meetings.period_ns(index),
        )

    def _now_ns(self) -> int:
        """Return the newest stamp of all cameras that are not apart."""
        known = [
            newest
            for i, newest in enumerate(self._newest)
            if newest is not None and not self._meetings.is_apart(i)
        ]
        return max(known, default=0)

    def _is_late(self, index: int) -> bool:
        if self._first_ns is None:
            return False
        periods = [self._meetings.period_ns(i) for i in range(len(self._cameras))]
        fastest = min((p for p in periods if p), default=0)
        # One that sends seldom is in every so many sets only.
        usual = 2 * periods[index] // fastest if fastest else 0
        if self._missed[index] >= max(_LATE_AFTER_MISSES, usual):
            return True
        if self._meetings.is_apart(index):
            return not self._meetings.leads(self._meetings.together([index]))
        newest = self._newest[index]
        reached = self._first_ns if newest is None else newest
        return self._now_ns() - reached > self._wait_ns + self._tolerance_ns + periods[index]

    # ---- stamps

    def _known_ns(self, index: int) -> int | None:
        """Return the newest stamp of the cameras that this one meets."""
        others = self._meetings.together([index]) - {index}
        return max((n for i in others if (n := self._newest[i]) is not None), default=None)

    def _accept(self, index: int, judged: Judged[CameraFrame], arrived_ns: int) -> None:
        """Do what was judged of the frames of one camera."""
        for offset_ns, frame in judged.left_out:
            self._drops.add(frame.camera, 'outlier')
            self._events.append(StampEvent(StampFault.OUTLIER, frame.camera, offset_ns))
        if judged.jump_ns:
            self._jump(index, judged.jump_ns)
        for frame in judged.taken:
            self._take(index, frame, arrived_ns)

    def _jump(self, index: int, jump_ns: int) -> None:
        """Go on with the new clock of a camera: whether the others go with it shows later."""
        self._events.append(StampEvent(StampFault.JUMP, self._cameras[index], jump_ns))
        self._meetings.forget(index)
        self._newest[index] = None
        self._is_back[index] = jump_ns < 0
        if jump_ns < 0:
            self._discard(index, 'clock_reset')

    def _take(self, index: int, frame: CameraFrame, arrived_ns: int) -> None:
        """Queue a frame with a credible stamp, or drop it."""
        self._meetings.note(index, frame.stamp_ns, arrived_ns)
        self._has_come[index] = True
        if all(self._has_come) or self._meetings.elapsed_ns() > self._first_wait_ns:
            self._is_first_over = True
        cause = self._refusal(index, frame)
        newest = self._newest[index]
        if newest is None or frame.stamp_ns > newest:
            self._newest[index] = frame.stamp_ns
            first = self._first_ns
            self._first_ns = frame.stamp_ns if first is None else min(first, frame.stamp_ns)
        if cause is None and not self._needs_all and self._meetings.is_apart(index):
            cause = 'apart'
            self._discard(index, cause)
        if cause is not None:
            self._drops.add(frame.camera, cause)
            return
        if self._queues.add(index, frame) is not None:
            self._drops.add(frame.camera, 'overflow')

    def _refusal(self, index: int, frame: CameraFrame) -> DropCause | None:
        newest = self._newest[index]
        if newest is not None and frame.stamp_ns <= newest:
            return 'duplicate' if frame.stamp_ns == newest else 'out_of_order'
        if self._last_ns is not None and not self._is_back[index]:
            after_ns = frame.stamp_ns - self._last_ns
            # A camera that its set did not wait for: the frame must not start a set of its own.
            missed_it = index not in self._last_in and after_ns <= self._tolerance_ns
            # What is much older may be of a clock that more cameras have.
            if -CLOCK_RESET_NS <= after_ns <= 0 or (missed_it and after_ns > 0):
                return 'late'
        return None

    def _drop(self, index: int, frame: CameraFrame, cause: DropCause) -> None:
        self._queues.remove(index, frame)
        self._drops.add(frame.camera, cause)

    def _discard(self, index: int, cause: DropCause) -> None:
        for frame in self._queues.clear(index):
            self._drops.add(frame.camera, cause)

    def _discard_pending(self, cause: DropCause) -> None:
        for index, stamps in enumerate(self._filters):
            self._discard(index, cause)
            for _ in stamps.held_ns:
                self._drops.add(self._cameras[index], cause)

    # ---- sets

    def _collect(self, *, closing: bool) -> list[FrameSet]:
        ready: list[FrameSet] = []
        # Fewer cameras waiting than a set needs: nothing can come out, so callbacks stay short.
        while self._queues.waiting >= self._needed and (found := self._next_set(closing=closing)):
            ready.append(found)
        return ready

    def _next_set(self, *, closing: bool) -> FrameSet | None:
        for index, frame in self._queues.in_order():
            match, taken = self._queues.match(frame.stamp_ns)
            verdict = self._judge(frame.stamp_ns, match, taken, closing=closing)
            if verdict is _Verdict.EMIT:
                return self._emit(match)
            if verdict is _Verdict.WAIT:
                return None
            if verdict is not _Verdict.HOLD:
                self._drop(index, frame, 'late' if verdict is _Verdict.LATE else 'unmatched')
        return None

    def _judge(
        self, stamp_ns: int, match: dict[int, CameraFrame], taken: set[int], *, closing: bool
    ) -> _Verdict:
        group = self._meetings.together(match)
        if self._is_late_set(stamp_ns, group):
            return _Verdict.LATE
        absent = [i for i in range(len(self._cameras)) if i not in match and i not in taken]
        pending = sum(self._may_come(i, stamp_ns) for i in absent)
        if len(match) + pending < self._needed:
            return _Verdict.SKIP
        is_full = closing or any(self._queues.is_full(i) for i in match)
        if not is_full and any(self._is_held(i, stamp_ns) for i in absent):
            return _Verdict.WAIT
        now_ns = max(n for i in group if (n := self._newest[i]) is not None)
        is_over = is_full or now_ns - stamp_ns > self._wait_ns
        if not is_over and (pending or not self._is_settled(match)):
            return _Verdict.WAIT
        if not closing and not self._is_first_over and not all(self._has_come):
            return _Verdict.WAIT
        # Whoever waits for all cameras waits as long as it takes.
        counts = self._needs_all or self._meetings.leads(match)
        if counts and len(match) >= self._needed:
            return _Verdict.EMIT
        return _Verdict.SKIP if closing or not counts else _Verdict.HOLD

    def _may_come(self, index: int, stamp_ns: int) -> bool:
        """Return whether a camera may still send a frame for the set that starts at a stamp."""
        newest = self._newest[index]
        if newest is not None and newest > stamp_ns + self._tolerance_ns:
            return self._is_held(index, stamp_ns)
        return self._needs_all or not self._meetings.is_apart(index)

    def _is_held(self, index: int, stamp_ns: int) -> bool:
        """Return whether a camera has a frame for a set that is not decided about."""
        held_ns = self._filters[index].held_ns
        return any(abs(held - stamp_ns) <= self._tolerance_ns for held in held_ns)

    def _is_late_set(self, stamp_ns: int, group: frozenset[int]) -> bool:
        """Return whether a set is older than the last one, and of the same clock.

        It is of another clock when no camera of the last set, with its clock as it was, is among
        those that meet.
        """
        if self._last_ns is None or stamp_ns > self._last_ns:
            return False
        still = (i for i in self._last_in & group if not self._is_back[i])
        return any(map(self._meetings.is_sending, still))

    def _is_settled(self, match: dict[int, CameraFrame]) -> bool:
        """Return whether no frame still to come is likely to fit this set's frames better."""
        stamps = [frame.stamp_ns for frame in match.values()]
        last, spread = max(stamps), max(stamps) - min(stamps)
        for index, frame in match.items():
            period_ns = self._filters[index].period_ns
            is_newest = self._queues.is_newest(index, frame)
            if period_ns and is_newest and frame.stamp_ns + period_ns - last < spread:
                return False
        return True

    def _emit(self, match: dict[int, CameraFrame]) -> FrameSet:
        frames = tuple(match[i] for i in sorted(match))
        stamp_ns = min(frame.stamp_ns for frame in frames)
        for index, frame in match.items():
            self._queues.remove(index, frame)
            self._is_back[index] = False
        for index, frame in self._queues.older_than(stamp_ns):
            self._drop(index, frame, 'unmatched')
        for index in range(len(self._cameras)):
            self._missed[index] = 0 if index in match else self._missed[index] + 1
            is_beside = index in match and len(match) > 1
            self._alone[index] = 0 if is_beside else self._alone[index] + 1
        missing = tuple(name for i, name in enumerate(self._cameras) if i not in match)
        if self._needs_all:
            self._meetings.are_one_set(match)
        self._sets += 1
        self._partial_sets += bool(missing)
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            self._clock_resets += 1
        self._last_ns, self._last_in = stamp_ns, frozenset(match)
        return FrameSet(stamp_ns, frames, missing)
