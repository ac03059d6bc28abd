"""The path from a camera frame to posed sets, without a thread and without middleware.

`push` takes frames and never waits for an estimate; `step` does the slow part, one window at a
time, and gives its lock away meanwhile. Whatever happens in between (a reset, a jump of the clock,
a rig that gets known) begins another generation, and what was begun before it is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
import logging
import threading
import time

from da3_ros.errors import PipelineError
from da3_ros.options import NodeOptions, StreamOptions
from da3_ros.pipeline.decoding import FrameDecoder
from da3_ros.pipeline.rig import FrameIds, Log, RigChange, RigSource, RigTracker
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.scene_store import Scene, SceneStore
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.sync import Synchronizer
from da3_ros.stream.sync_report import StampEvent, StampFault, SyncReport, stamp_text
from da3_ros.stream.window import SlidingWindow
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
class _World:
    """What a new beginning replaces; used by the thread that steps only."""

    windower: SlidingWindow
    reconstructor: Reconstructor


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
        clock: monotonic seconds.
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
        self._synchronizer = _synchronizer(stream)
        # The newest sets, as many as a window waits for.
        self._pending: deque[FrameSet] = deque()
        self._dropped_sets = 0
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
            self._frame_ids[frame.camera] = frame.frame_id
            arrived_ns = round(self._clock() * _NS_PER_S)
            restarts: list[StampEvent] = []
            for frame_set in self._synchronizer.push(frame, arrived_ns):
                self._stats.event('sets', self._clock())
                last_ns = self._last_set_ns
                if last_ns is not None and frame_set.stamp_ns <= last_ns:
                    restarts.append(_restart(frame_set, last_ns))
                    self._begin()
                self._last_set_ns = frame_set.stamp_ns
                if len(self._pending) == self._options.stream.stride:
                    self._pending.popleft()
                    self._dropped_sets += 1
                self._pending.append(frame_set)
            events = self._synchronizer.take_events() + restarts
            has_work = bool(self._pending)
        for event in events:
            self._on_stamps(event)
        return has_work

    def reset(self) -> None:
        """Forget the world and everything pending; counters go on."""
        with self._lock:
            self._synchronizer.reset()
            self._last_set_ns = None
            self._begin()

    def pause(self) -> None:
        """Forget frames and sets that no window has; the world goes on with those that come."""
        with self._lock:
            # Cameras begin one after the other.
            self._synchronizer.reopen()
            self._drop_pending()

    def close(self) -> None:
        """Let go of the estimator, the images and the scene, whoever still knows this object."""
        with self._lock:
            self._estimator = None
            self._synchronizer.reset()
            self._begin()
        self._decoder.close()

    @property
    def has_work(self) -> bool:
        """Whether a set waits for `step`."""
        with self._lock:
            return bool(self._pending)

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
            return self._dropped_sets

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
        taken = self._take()
        if taken is None:
            return None
        window: Window | None = None
        try:
            # This and `with_prior` may wait for TF.
            change = self._rig.update(taken.frame_ids)
            # At once: the tracker tells of a change only once, and what follows may fail.
            generation = self._adopt(taken.generation, change)
            if change is not RigChange.NONE:
                self._on_rig(taken.frame_ids)
            if generation is None:
                return None
            frame_set = self._decoder.decoded(taken.frame_set, self._least_frames)
            if frame_set is None:
                with self._lock:
                    self._dropped_sets += 1
                return None
            found = self._window(generation, self._rig.with_prior(frame_set))
            if found is None:
                return None
            reconstructor, window = found
            if not is_wanted():
                self._stats.count('unwanted_windows')
                return None
            result = reconstructor.process(window)
            return self._settled(replace(result, generation=generation), counts)
        except Exception as error:
            # Whatever goes wrong with one window must not end the ones after it.
            raise PipelineError(_failure(window, error)) from error

    def _take(self) -> _Taken | None:
        with self._lock:
            if not self._pending:
                return None
            frame_set = self._pending.popleft()
            return _Taken(frame_set, dict(self._frame_ids), self._generation)

    def _adopt(self, generation: int, change: RigChange) -> int | None:
        """Use the rig as it is known now, and return the generation in which a set goes on.

        Args:
            generation: of the set.
            change: what became known.

        Returns:
            None when the set's world had ended before.
        """
        with self._lock:
            is_outdated = generation != self._generation
            self._apply(change)
            return None if is_outdated else self._generation

    def _window(self, generation: int, frame_set: FrameSet) -> tuple[Reconstructor, Window] | None:
        """Let a set into the present world, if that is still its own."""
        with self._lock:
            if generation != self._generation or self._world is None:
                return None
            window = self._world.windower.push(frame_set)
            return None if window is None else (self._world.reconstructor, window)

    def _apply(self, change: RigChange) -> None:
        """Use the rig as it is known now; hold the lock."""
        if change is RigChange.BEGINS:
            self._world = self._new_world()
        elif change is RigChange.JOINED and self._world is not None:
            self._world.reconstructor.extend_rig(self._rig.rig)
        elif change is RigChange.ANEW:
            self._begin()

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
            self._scene.add(sets, is_metric=a.is_metric)
            self._last_result = replace(result, images={})
        if a.method == 'first':
            unit = 'metres' if a.is_metric else 'units of its own, not metres'
            self._log.info(f'the world starts, in {unit} (scale from {a.scale_source})')
        return result

    # ---- a new beginning

    def _begin(self) -> None:
        """Begin another generation around the same synchroniser; hold the lock."""
        self._generation += 1
        self._drop_pending()
        self._scene.begin(self._generation)
        self._last_result = None
        self._world = self._new_world()

    def _drop_pending(self) -> None:
        """Leave out the sets that wait; hold the lock."""
        self._dropped_sets += len(self._pending)
        self._pending.clear()

    def _new_world(self) -> _World | None:
        """Return a world without windows; None when there is no estimator any more."""
        if self._estimator is None:
            return None
        options, stream = self._options, self._options.stream
        # A frame that others connect to the robot: what is given in it has to agree with them.
        prior_frame = options.output.prior_frame.lstrip('/')
        is_theirs = bool(prior_frame) and prior_frame == options.output.odom_frame.lstrip('/')
        reconstructor = Reconstructor(
            self._estimator,
            self._rig.rig,
            self._clock,
            stream.scale_source,
            in_odometry_frame=is_theirs,
            quarter_turns=self._quarter_turns,
        )
        return _World(SlidingWindow(stream.window, stream.stride), reconstructor)


def _synchronizer(options: StreamOptions) -> Synchronizer:
    return Synchronizer(
        options.cameras,
        tolerance_ns=round(options.sync_tolerance_s * _NS_PER_S),
        min_cameras=options.min_cameras,
        wait_ns=round(options.sync_wait_s * _NS_PER_S),
    )


def _restart(frame_set: FrameSet, last_ns: int) -> StampEvent:
    names = ', '.join(frame.camera for frame in frame_set.frames)
    return StampEvent(StampFault.RESTART, names, frame_set.stamp_ns - last_ns)


def _failure(window: Window | None, error: Exception) -> str:
    what = 'a frame set'
    if window is not None:
        cameras = dict.fromkeys(frame.camera for frame in window.views)
        what = f'window {window.index} (cameras {", ".join(cameras)})'
    return f'{what} failed and is left out: {type(error).__name__}: {error}'
