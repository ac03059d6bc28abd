"""The path from a camera frame to posed sets, without a thread and without middleware.

`push` takes frames and never waits for an estimate; `step` does the slow part, one window at a
time, and gives its lock away meanwhile. Whatever happens in between (a reset, a jump of the clock,
a rig that gets known) begins another generation, and what was begun before it is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
import logging
import threading
import time

from da3_ros.errors import PipelineError
from da3_ros.options import NodeOptions
from da3_ros.options.scenes import RUN
from da3_ros.pipeline.decoding import Decoded, FrameDecoder
from da3_ros.pipeline.intake import Intake, NewSets
from da3_ros.pipeline.present import PresentWorld, WindowWork, failure_text
from da3_ros.pipeline.rig import FrameIds, Log, RigChange, RigSource, RigTracker
from da3_ros.stream.scene_store import Scene, SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.sync_report import StampEvent, SyncReport, stamp_text
from da3_ros.types import CameraFrame, Estimator, FrameSet, RigCalibration, WindowResult

_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost on the way, counted since the start."""

    dropped_sets: int
    """Sets never given to the estimator."""
    dropped_frames: int
    """Images that reached no set, or were lost with theirs before a window had it."""
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
        clock: monotonic seconds, by which images arrive; `time.monotonic` when it is None. Of a
            recording that is its own time, which stands still when it is None: nothing depends
            on the speed of this machine, and windows take no time.
        keeps_all: every frame once: however many sets wait, none is dropped, and a new world
            begins when those before it are estimated. What was given out is not kept: the scene
            of `snapshot` stays empty.
        every: use only each set of this number.
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
        clock: Callable[[], float] | None = None,
        keeps_all: bool = False,
        every: int = RUN.every,
    ) -> None:
        stream = options.stream
        self._options = options
        self._log = log or logging.getLogger(__name__)
        # Without a source of scale, lengths of the rig say nothing that could be used.
        is_ignored = stream.scale_source == 'none'
        self._rig = RigTracker(rig, self._log, is_ignored=is_ignored)
        self._on_rig = on_rig
        self._on_stamps = on_stamps or (lambda event: self._log.warning(stamp_text(event)))
        self._stats = stats or StreamStats()
        self._clock = clock or (_standing if keeps_all else time.monotonic)
        # Guards all below. Never held while anything is waited for or estimated.
        self._lock = threading.Lock()
        self._keeps_all = keeps_all
        self._intake = Intake(stream, keeps_all=keeps_all, every=every)
        self._world = PresentWorld(options, estimator, self._clock, quarter_turns or {})
        self._scene = SceneStore(stream.scene_sets)
        self._last_result: WindowResult | None = None
        self._decoder = FrameDecoder()
        self._least_frames = stream.min_cameras or len(stream.cameras)

    # ---- from any thread

    def push(self, frame: CameraFrame) -> bool:
        """Take a frame; return whether a set waits for `step`."""
        with self._lock:
            new = self._intake.push(frame, round(self._clock() * _NS_PER_S))
            has_work = self._take_note(new)
        self._tell(new)
        return has_work

    def finish(self) -> bool:
        """End the input: what is left of it comes out; return whether there is work for `step`.

        What the synchroniser holds and may still become sets does, the other frames are counted
        as unmatched. Sets that are too few for another window get one nevertheless.
        """
        with self._lock:
            new = self._intake.finish()
            has_work = self._take_note(new)
        self._tell(new)
        return has_work

    def reset(self) -> None:
        """Forget the world and everything pending; counters go on."""
        with self._lock:
            self._intake.reset()
            self._begin()

    def pause(self) -> None:
        """Forget frames and sets that no window has; the world goes on with those that come."""
        with self._lock:
            self._intake.pause()

    def close(self) -> None:
        """Let go of the estimator, the images and the scene, whoever still knows this object."""
        with self._lock:
            self._intake.reset()
            self._world.close()
            self._forget()
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
            return self._world.windows

    def snapshot(self) -> Scene:
        """Return sets, unit and trajectory of one world, as they are at one instant."""
        return self._scene.snapshot()

    def is_current(self, result: WindowResult) -> bool:
        """Return whether the world of a result is still the present one."""
        with self._lock:
            return result.generation == self._world.generation

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
            return self._intake.dropped_sets

    @property
    def passed_over_sets(self) -> int:
        """Sets between those that `every` asks for."""
        with self._lock:
            return self._intake.passed_over_sets

    def sync_report(self) -> SyncReport:
        """Return the synchroniser's counters."""
        with self._lock:
            return self._intake.report()

    def doubt(self, cameras: Iterable[str]) -> None:
        """Take note of the cameras whose clock is not that of this machine; again and again."""
        with self._lock:
            self._intake.doubt(cameras)

    def losses(self, result: WindowResult) -> Losses:
        """Return what was lost up to now, and which cameras a window misses."""
        cameras = self._options.stream.cameras
        came = [{view.id.camera for view in posed.views} for posed in result.new_sets]
        missing = tuple(c for c in cameras if any(c not in names for names in came))
        with self._lock:
            return Losses(self._intake.dropped_sets, self._intake.dropped_frames, missing)

    def _tell(self, new: NewSets) -> None:
        for event in new.events:
            self._on_stamps(event)

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
            return self._world.state()

    def restore(self, state: bytes) -> None:
        """Go on as the pipeline would whose `state` this is.

        Raises:
            StreamError: it is no state, or what came up to now is not the same input.
        """
        with self._lock:
            self._world.restore(state)

    def _rest(self) -> WindowWork | None:
        """Return the last window of a world that ends: of sets that are too few for another."""
        with self._lock:
            return self._world.rest() if self._intake.ends_world else None

    def _next_window(self) -> WindowWork | None:
        """Return the window that the next set completes."""
        taken = self._take()
        if taken is None:
            return None
        try:
            return self._window_of(taken)
        except Exception:
            lost = tuple(frame.camera for frame in taken.frame_set.frames)
            with self._lock:
                self._intake.count_lost(Decoded(None, incomplete=lost))
            raise

    def _window_of(self, taken: _Taken) -> WindowWork | None:
        # This and `with_prior` may wait for TF.
        change = self._rig.update(taken.frame_ids)
        # At once: the tracker tells of a change only once, and what follows may fail.
        generation = self._adopt(taken, change)
        if change is not RigChange.NONE:
            self._on_rig(taken.frame_ids)
        if generation is None:
            return None
        decoded = self._decoder.decoded(taken.frame_set, self._least_frames)
        known = None if decoded.frame_set is None else self._rig.with_prior(decoded.frame_set)
        with self._lock:
            self._intake.count_lost(decoded)
            return None if known is None else self._world.window(generation, known)

    def _take(self) -> _Taken | None:
        with self._lock:
            waiting = self._intake.take()
            if waiting is None:
                return None
            if waiting.begins:
                self._begin()
            return _Taken(waiting.frame_set, self._intake.frame_ids, self._world.generation)

    def _adopt(self, taken: _Taken, change: RigChange) -> int | None:
        """Use the rig as it is known now, and return the generation in which a set goes on.

        Args:
            taken: the set.
            change: what became known.

        Returns:
            None when the set's world had ended before, or has to end before it.
        """
        with self._lock:
            is_outdated = taken.generation != self._world.generation
            if change is RigChange.BEGINS:
                self._world.renew(self._rig.rig)
            elif change is RigChange.JOINED:
                self._world.extend_rig(self._rig.rig)
            elif change is RigChange.ANEW and self._keeps_all:
                self._intake.put_back(taken.frame_set)
                return None
            elif change is RigChange.ANEW:
                self._intake.drop_waiting()
                self._begin()
            return None if is_outdated else self._world.generation

    def _settled(self, result: WindowResult, counts: Callable[[], bool]) -> WindowResult | None:
        """Let a result into the scene, if it counts and its world is still the present one."""
        a = result.alignment
        with self._lock:
            if result.generation != self._world.generation:
                return None
            if not result.new_sets:
                return result if counts() else None
            if a.is_new_unit:
                # Scene and trajectory of the old unit would not fit what comes.
                self._world.generation += 1
                self._scene.begin(self._world.generation)
                self._last_result = None
            if not counts():
                # What is not published is not exported or saved either.
                return None
            generation = self._world.generation
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

    def _take_note(self, new: NewSets) -> bool:
        """Take note of new sets; return whether there is work."""
        for _ in range(new.sets):
            self._stats.event('sets', self._clock())
        for _ in range(new.restarts):
            self._begin()
        return self._has_work()

    def _has_work(self) -> bool:
        return self._intake.has_sets or (self._intake.ends_world and self._world.has_rest)

    def _begin(self) -> None:
        """Begin another world around the same intake."""
        self._world.begin(self._rig.rig)
        self._forget()

    def _forget(self) -> None:
        """Keep nothing of the world before."""
        self._scene.begin(self._world.generation)
        self._last_result = None


def _standing() -> float:
    return 0.0
