"""The path from a camera frame to posed sets, without a thread and without middleware.

`push` takes frames and never waits for an estimate; `step` does the slow part, one window at a
time, and gives its lock away meanwhile. Whatever happens in between (a reset, a jump of the clock,
a rig that gets known) begins another generation, and what was begun before it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
import logging
import threading
import time

from da3_ros.errors import PipelineError, StreamError
from da3_ros.options import NodeOptions, StreamOptions
from da3_ros.pipeline.decoding import Decoded, FrameDecoder
from da3_ros.pipeline.present import PresentWorld, WindowWork, failure_text, new_world
from da3_ros.pipeline.rig import FrameIds, Log, RigChange, RigSource, RigTracker
from da3_ros.pipeline.saved_state import SavedState, state_bytes, state_of
from da3_ros.pipeline.waiting import WaitingSets
from da3_ros.stream.drops import Drops
from da3_ros.stream.scene_store import Scene, SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.sync_report import StampEvent, StampFault, SyncReport, stamp_text
from da3_ros.types import (
    CameraFrame,
    Estimator,
    FrameSet,
    RigCalibration,
    Window,
    WindowResult,
)

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost on the way, counted since the start."""

    dropped_sets: int
    """Sets never given to the estimator."""
    dropped_frames: int
    """Images that reached no set."""
    late_cameras: tuple[str, ...]
    """Cameras that a new set of this window misses."""


@dataclass(frozen=True, slots=True, eq=False)
class _Taken:
    """A set on its way into a window."""

    frame_set: FrameSet
    frame_ids: FrameIds
    generation: int


class Pipeline:
    """Frames in, posed sets of one world out.

    `push`, `reset`, `snapshot` and the counters may be called from any thread, `step` from one.

    Args:
        options: of the stream; read once.
        estimator: turns windows into geometry; used inside `step` only.
        rig: who knows where the cameras sit; asked inside `step` only, and may wait.
        on_rig: called in `step` with camera names and frame ids whenever more of the rig is known.
        quarter_turns: camera name to clockwise quarters that make its images upright, which is
            how the estimator sees them.
        on_stamps: gets what happens to stamps; None to have it in the log.
        log: gets lines about what becomes of the world.
        stats: takes counts and rates.
        clock: monotonic seconds. Of a recording, the time of its images: then nothing depends on
            the speed of this machine, and windows take no time.
        keeps_all: every frame once: however many sets wait, none is dropped, and a new world begins
            when those before it are estimated. What was given out is not kept: the scene of
            `snapshot` stays empty.
    """

    def __init__(
        self,
        options: NodeOptions,
        estimator: Estimator,
        rig: RigSource,
        *,
        on_rig: Callable[[FrameIds], None] = lambda frame_ids: None,
        quarter_turns: Mapping[str, int] | None = None,
        on_stamps: Callable[[StampEvent], None] | None = None,
        log: Log | None = None,
        stats: StreamStats | None = None,
        clock: Callable[[], float] = time.monotonic,
        keeps_all: bool = False,
    ) -> None:
        stream = options.stream
        self._options = options
        self._estimator: Estimator | None = estimator
        self._quarter_turns = quarter_turns or {}
        self._log = log or logging.getLogger(__name__)
        # Without a source of scale, lengths of the rig say nothing that could be used.
        is_ignored = stream.scale_source == 'none'
        self._rig = RigTracker(rig, self._log, is_ignored=is_ignored)
        self._on_rig = on_rig
        self._on_stamps = on_stamps or (lambda event: self._log.warning(stamp_text(event)))
        self._stats = stats or StreamStats()
        self._clock = clock
        # Guards all below. Never held while anything is waited for or estimated.
        self._lock = threading.Lock()
        self._drops = Drops(stream.cameras)
        self._synchronizer = _synchronizer(stream, self._drops)
        self._keeps_all = keeps_all
        # The newest sets, as many as a window waits for; or all of them.
        self._waiting = WaitingSets(None if keeps_all else stream.stride)
        self._unusable_sets = 0
        self._is_finished = False
        self._windows = 0
        self._newest_ns = 0
        self._frame_ids: dict[str, str] = {}
        self._last_set_ns: int | None = None
        self._generation = 0
        self._scene = SceneStore(stream.scene_sets)
        self._last_result: WindowResult | None = None
        self._world = self._new_world()
        self._decoder = FrameDecoder()
        self._least_frames = stream.min_cameras or len(stream.cameras)

    # ---- from any thread

    def push(self, frame: CameraFrame) -> bool:
        """Take a frame; return whether a set waits for `step`."""
        with self._lock:
            if self._is_finished:
                raise StreamError(f'camera {frame.camera}: expected no image after finish()')
            self._frame_ids[frame.camera] = frame.frame_id
            arrived_ns = round(self._clock() * _NS_PER_S)
            restarts = self._let_wait(self._synchronizer.push(frame, arrived_ns))
            events = self._synchronizer.take_events() + restarts
            has_work = self._has_work()
        for event in events:
            self._on_stamps(event)
        return has_work

    def finish(self) -> bool:
        """End the input: what is left of it comes out; return whether there is work for `step`.

        What the synchroniser holds and may still become sets does, the other frames are counted
        as unmatched. Sets that are too few for another window get one nevertheless.
        """
        with self._lock:
            restarts = self._let_wait(self._synchronizer.flush())
            events = self._synchronizer.take_events() + restarts
            self._is_finished = True
            has_work = self._has_work()
        for event in events:
            self._on_stamps(event)
        return has_work

    def reset(self) -> None:
        """Forget the world and everything pending; counters go on."""
        with self._lock:
            self._synchronizer.reset()
            self._last_set_ns = None
            self._is_finished = False
            self._waiting.drop_all()
            self._begin()

    def pause(self) -> None:
        """Forget frames and sets that no window has; the world goes on with those that come."""
        with self._lock:
            # Cameras begin one after the other.
            self._synchronizer.reopen()
            self._waiting.drop_all()

    def close(self) -> None:
        """Let go of the estimator, the images and the scene, whoever still knows this object."""
        with self._lock:
            self._estimator = None
            self._synchronizer.reset()
            self._waiting.drop_all()
            self._begin()
        self._decoder.close()

    @property
    def has_work(self) -> bool:
        """Whether there is work for `step`."""
        with self._lock:
            return self._has_work()

    @property
    def windows(self) -> int:
        """Windows made since the start: estimated, refused, failed, or wanted by nobody."""
        with self._lock:
            return self._windows

    def snapshot(self) -> Scene:
        """Return sets, unit and trajectory of one world, as they are at one instant."""
        return self._scene.snapshot()

    def is_current(self, result: WindowResult) -> bool:
        """Return whether the world of a result is still the present one."""
        with self._lock:
            return result.generation == self._generation

    @property
    def last_result(self) -> WindowResult | None:
        """The newest window's result without images; None before the first of this world."""
        with self._lock:
            return self._last_result

    @property
    def rig(self) -> RigCalibration:
        """The rig in use."""
        return self._rig.rig

    @property
    def unplaced_cameras(self) -> tuple[str, ...]:
        """Cameras that send, and whose place on the robot is not known though it is asked for."""
        return self._rig.unplaced

    @property
    def dropped_sets(self) -> int:
        """Sets never given to the estimator since the start."""
        with self._lock:
            return self._waiting.dropped + self._unusable_sets

    def sync_report(self) -> SyncReport:
        """Return the synchroniser's counters."""
        with self._lock:
            return self._synchronizer.report()

    def doubt(self, cameras: Iterable[str]) -> None:
        """Take note of the cameras whose clock is not that of this machine; again and again."""
        with self._lock:
            self._synchronizer.doubt(cameras)

    def losses(self, result: WindowResult) -> Losses:
        """Return what was lost up to now, and which cameras a window misses."""
        cameras = self._options.stream.cameras
        came = [{view.id.camera for view in posed.views} for posed in result.new_sets]
        missing = tuple(c for c in cameras if any(c not in names for names in came))
        frames = sum(drop.count for drop in self.sync_report().dropped)
        return Losses(self.dropped_sets, frames, missing)

    # ---- from the thread that steps

    def step(
        self,
        is_wanted: Callable[[], bool] = lambda: True,
        counts: Callable[[], bool] = lambda: True,
    ) -> WindowResult | None:
        """Take the oldest pending set and estimate the window that it completes.

        Args:
            is_wanted: whether anybody has use for the window; it is left out otherwise.
            counts: whether the result is still to be used, asked when it is there.

        Returns:
            None when there is nothing to tell: no set, no whole window, nobody who wants it, a
            result that does not count, or another world that has begun meanwhile. A window that
            the reconstructor refused has no new sets and says why.

        Raises:
            PipelineError: the window failed. The next one makes up for what it has seen.
        """
        work: WindowWork | None = None
        try:
            work = self._rest() or self._next_window()
            if work is None:
                return None
            if not is_wanted():
                self._stats.count('unwanted_windows')
                return None
            result = work.reconstructor.process(work.window)
            return self._settled(replace(result, generation=work.generation), counts)
        except Exception as error:
            # Whatever goes wrong with one window must not end the ones after it.
            window = None if work is None else work.window
            raise PipelineError(failure_text(window, error)) from error

    def state(self) -> bytes:
        """Return what is remembered between windows and the input does not bring back.

        Another pipeline goes on from it as this one would: it takes the same frames, leaves out as
        many windows (`step` with `is_wanted` that says no) and then restores the state.

        Raises:
            StreamError: it is closed.
        """
        with self._lock:
            if self._world is None:
                raise StreamError('state: expected a pipeline that is in use, got a closed one')
            world = self._world.reconstructor.world
            return state_bytes(SavedState(self._windows, self._newest_ns, self._generation, world))

    def restore(self, state: bytes) -> None:
        """Go on as the pipeline would whose `state` this is.

        Raises:
            StreamError: it is no state, or what came up to now is not the same input.
        """
        saved = state_of(state)
        with self._lock:
            here = self._windows, self._newest_ns
            if self._world is None or (saved.windows, saved.newest_ns) != here:
                raise StreamError(
                    f'restore: expected {saved.windows} windows, the newest stamp '
                    f'{saved.newest_ns}, got {here[0]} and {here[1]}: the input is another one'
                )
            self._generation = saved.generation
            self._world.reconstructor.resume(saved.world)

    def _rest(self) -> WindowWork | None:
        """Return the last window of a world that ends: of sets that are too few for another."""
        with self._lock:
            if self._world is None or not self._ends():
                return None
            window = self._world.windower.flush()
            return None if window is None else self._work(window, self._world)

    def _next_window(self) -> WindowWork | None:
        """Return the window that the next set completes."""
        taken = self._take()
        if taken is None:
            return None
        # This and `with_prior` may wait for TF.
        change = self._rig.update(taken.frame_ids)
        # At once: the tracker tells of a change only once, and what follows may fail.
        generation = self._adopt(taken, change)
        if change is not RigChange.NONE:
            self._on_rig(taken.frame_ids)
        if generation is None:
            return None
        decoded = self._decoder.decoded(taken.frame_set, self._least_frames)
        self._count_lost(decoded)
        if decoded.frame_set is None:
            return None
        return self._window(generation, self._rig.with_prior(decoded.frame_set))

    def _take(self) -> _Taken | None:
        with self._lock:
            waiting = self._waiting.take()
            if waiting is None:
                return None
            if waiting.begins:
                self._begin()
            return _Taken(waiting.frame_set, dict(self._frame_ids), self._generation)

    def _adopt(self, taken: _Taken, change: RigChange) -> int | None:
        """Use the rig as it is known now, and return the generation in which a set goes on.

        Args:
            taken: the set.
            change: what became known.

        Returns:
            None when the set's world had ended before, or has to end before it.
        """
        with self._lock:
            is_outdated = taken.generation != self._generation
            if change is RigChange.BEGINS:
                self._world = self._new_world()
            elif change is RigChange.JOINED and self._world is not None:
                self._world.reconstructor.extend_rig(self._rig.rig)
            elif change is RigChange.ANEW and self._keeps_all:
                self._waiting.put_back(taken.frame_set)
                return None
            elif change is RigChange.ANEW:
                self._waiting.drop_all()
                self._begin()
            return None if is_outdated else self._generation

    def _count_lost(self, decoded: Decoded) -> None:
        if decoded.frame_set is not None and not decoded.undecodable:
            return
        with self._lock:
            self._unusable_sets += decoded.frame_set is None
            for camera in decoded.undecodable:
                self._drops.add(camera, 'undecodable')
            for camera in decoded.incomplete:
                self._drops.add(camera, 'incomplete')

    def _window(self, generation: int, frame_set: FrameSet) -> WindowWork | None:
        """Let a set into the present world, if that is still its own."""
        with self._lock:
            if generation != self._generation or self._world is None:
                return None
            window = self._world.windower.push(frame_set)
            return None if window is None else self._work(window, self._world)

    def _work(self, window: Window, world: PresentWorld) -> WindowWork:
        """Return what is to be done for a window; hold the lock."""
        self._windows += 1
        self._newest_ns = window.sets[-1].stamp_ns
        return WindowWork(window, world.reconstructor, self._generation)

    def _settled(self, result: WindowResult, counts: Callable[[], bool]) -> WindowResult | None:
        """Let a result into the scene, if it counts and its world is still the present one."""
        a = result.alignment
        with self._lock:
            if result.generation != self._generation:
                return None
            if not result.new_sets:
                return result if counts() else None
            if a.is_new_unit:
                # Scene and trajectory of the old unit would not fit what comes.
                self._generation += 1
                self._scene.begin(self._generation)
                self._last_result = None
            if not counts():
                # What is not published is not exported or saved either.
                return None
            generation = self._generation
            sets = tuple(replace(posed, generation=generation) for posed in result.new_sets)
            result = replace(result, new_sets=sets, generation=generation)
            if not self._keeps_all:
                self._scene.add(sets, is_metric=a.is_metric)
            self._last_result = replace(result, images={})
        if a.method == 'first':
            unit = 'metres' if a.is_metric else 'units of its own, not metres'
            self._log.info(f'the world starts, in {unit} (scale from {a.scale_source})')
        return result

    # ---- with the lock held

    def _let_wait(self, frame_sets: Sequence[FrameSet]) -> list[StampEvent]:
        """Let sets wait for their turn; return where stamps began again."""
        restarts: list[StampEvent] = []
        for frame_set in frame_sets:
            self._stats.event('sets', self._clock())
            last_ns = self._last_set_ns
            is_restart = last_ns is not None and frame_set.stamp_ns <= last_ns
            if last_ns is not None and is_restart:
                restarts.append(_restart(frame_set, last_ns))
            if is_restart and not self._keeps_all:
                self._waiting.drop_all()
                self._begin()
            self._last_set_ns = frame_set.stamp_ns
            self._waiting.add(frame_set, begins=is_restart and self._keeps_all)
        return restarts

    def _has_work(self) -> bool:
        if self._waiting:
            return True
        return self._world is not None and self._ends() and self._world.windower.waiting > 0

    def _ends(self) -> bool:
        """Return whether the present world gets no more sets."""
        return self._waiting.next_begins or (self._is_finished and not self._waiting)

    def _begin(self) -> None:
        """Begin another generation around the same synchroniser."""
        self._generation += 1
        self._scene.begin(self._generation)
        self._last_result = None
        self._world = self._new_world()

    def _new_world(self) -> PresentWorld | None:
        """Return a world without windows; None when there is no estimator any more."""
        if self._estimator is None:
            return None
        return new_world(
            self._options, self._estimator, self._rig.rig, self._clock, self._quarter_turns
        )


def _synchronizer(options: StreamOptions, drops: Drops) -> Synchronizer:
    return Synchronizer(
        options.cameras,
        tolerance_ns=round(options.sync_tolerance_s * _NS_PER_S),
        min_cameras=options.min_cameras,
        wait_ns=round(options.sync_wait_s * _NS_PER_S),
        drops=drops,
    )


def _restart(frame_set: FrameSet, last_ns: int) -> StampEvent:
    names = ', '.join(frame.camera for frame in frame_set.frames)
    return StampEvent(StampFault.RESTART, names, frame_set.stamp_ns - last_ns)
