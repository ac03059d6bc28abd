"""The worker: takes sets from the callbacks, runs windows on a thread of its own, hands on.

Callbacks only push frames through the synchroniser. Everything slow happens on one thread; when
it falls behind, the newest sets win and the others are counted. A window that fails is logged and
left out, the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
import logging
import threading
import time

from rclpy.impl.rcutils_logger import RcutilsLogger

from da3_ros.assembly import Pipeline, build_pipeline, build_reconstructor
from da3_ros.export.scene import ExportScene
from da3_ros.notes import joined
from da3_ros.options import NodeOptions
from da3_ros.ros.node.faults import FaultLog
from da3_ros.ros.node.outputs import Losses, Outputs
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.stream.latest_slot import LatestSlot
from da3_ros.stream.stats import StreamStats
from da3_ros.stream.sync import SyncReport
from da3_ros.types import (
    CameraFrame,
    Estimator,
    FrameSet,
    RigCalibration,
    Window,
    WindowResult,
)

_log = logging.getLogger(__name__)

_POLL_S = 0.25
# How long the first set waits for /tf_static, which is latched and so usually there already.
_RIG_WAIT_S = 1.0
_NOTE_PERIOD_S = 30.0


class PipelineRunner:
    """Owns the pipeline and its thread.

    Args:
        options: of the stream; read once.
        estimator: turns windows into geometry; used by the worker thread only.
        rig_source: where the cameras sit, as far as it is known.
        outputs: publishes results; used by the worker thread only.
        faults: takes failed windows.
        stats: takes counts, rates and latencies.
        logger: the node's.
        is_alive: whether the middleware still runs.
        clock: monotonic seconds.
        is_wanted: whether anybody has use for the next window; it is left out otherwise.
        quarter_turns: camera name to clockwise quarters that make its images upright.
    """

    def __init__(
        self,
        options: NodeOptions,
        estimator: Estimator,
        rig_source: RigSource,
        outputs: Outputs,
        faults: FaultLog,
        stats: StreamStats,
        logger: RcutilsLogger,
        is_alive: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        is_wanted: Callable[[], bool] = lambda: True,
        quarter_turns: Mapping[str, int] | None = None,
    ) -> None:
        self._options = options
        self._estimator = estimator
        self._rig_source = rig_source
        self._outputs = outputs
        self._faults = faults
        self._stats = stats
        self._logger = logger
        self._is_alive = is_alive
        self._clock = clock
        self._is_wanted = is_wanted
        self._quarter_turns = quarter_turns
        self._rig: RigCalibration | None = None
        self._ignores_rig = options.stream.scale_source == 'none'
        # Not logger.warning itself: rclpy wants one severity for each place of a call.
        self._notes = FaultLog(lambda line: logger.warning(line), _NOTE_PERIOD_S)
        self._frame_ids: dict[str, str] = {}
        self._adopted: frozenset[str] = frozenset()
        self._lock = threading.Lock()
        self._pipeline = self._build(RigCalibration())
        self._dropped_before = 0
        self._last_set_ns: int | None = None
        self._last_result: WindowResult | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def _build(self, rig: RigCalibration) -> Pipeline:
        return build_pipeline(
            self._options, rig, self._estimator, self._clock, self._quarter_turns
        )

    # ---- called from the node's callbacks

    def start(self) -> None:
        """Start the worker; after `stop` it goes on with the same world."""
        before = self._thread
        with self._lock:
            self._stopping = threading.Event()
            if before is not None:
                self._reopen()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping, before), name='da3_worker', daemon=True
        )
        self._thread.start()

    def _reopen(self) -> None:
        """Take sets again, none of those from before the stop; hold the lock."""
        old = self._pipeline
        old.synchronizer.reset()
        old.slot.clear()
        self._dropped_before += old.slot.dropped
        self._pipeline = replace(old, slot=LatestSlot(self._options.stream.stride))

    def push(self, frame: CameraFrame) -> None:
        """Take a frame; returns at once."""
        with self._lock:
            self._frame_ids[frame.camera] = frame.frame_id
            for frame_set in self._pipeline.synchronizer.push(frame):
                self._stats.event('sets', self._clock())
                last_ns = self._last_set_ns
                if last_ns is not None and frame_set.stamp_ns <= last_ns:
                    back_s = (last_ns - frame_set.stamp_ns) / 1e9
                    self._logger.warning(
                        f'stamps jumped back by {back_s:.3f} s (a bag that starts again, or a '
                        'clock that was set): the world starts anew'
                    )
                    self._restart()
                self._last_set_ns = frame_set.stamp_ns
                self._pipeline.slot.put(frame_set)

    def reset(self) -> None:
        """Forget the world and everything pending; counters go on."""
        with self._lock:
            self._pipeline.synchronizer.reset()
            self._last_set_ns = None
            self._restart()

    def _restart(self) -> None:
        """Replace the pipeline by a new one around the same synchroniser; hold the lock."""
        old = self._pipeline
        new = self._build(self._rig or RigCalibration())
        self._pipeline = replace(new, synchronizer=old.synchronizer)
        old.slot.clear()
        old.slot.close()
        self._dropped_before += old.slot.dropped
        self._last_result = None

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self, timeout_s: float) -> bool:
        """Ask the worker to end and return whether it did within the time.

        An estimator cannot be interrupted: one that is in the middle of a window goes on, on a
        daemon thread, and its result is not used.
        """
        self._stopping.set()
        self._pipeline.slot.close()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return not self.is_running

    def join(self) -> None:
        """Wait until the worker has ended, however long its window takes."""
        if self._thread is not None:
            self._thread.join()

    @property
    def is_running(self) -> bool:
        """Whether the worker's thread lives, also after `stop` within a long window."""
        return self._thread is not None and self._thread.is_alive()

    def scene(self) -> ExportScene:
        """Return a snapshot of the scene, to be written beside the worker."""
        result = self._last_result
        is_metric = result is not None and result.alignment.is_metric
        return ExportScene.from_sets(self._pipeline.scene.snapshot(), is_metric=is_metric)

    def sync_report(self) -> SyncReport:
        """Return the synchroniser's counters."""
        with self._lock:
            return self._pipeline.synchronizer.report()

    @property
    def dropped_sets(self) -> int:
        """Sets never given to the estimator since the start."""
        return self._dropped_before + self._pipeline.slot.dropped

    @property
    def last_result(self) -> WindowResult | None:
        """The newest window's result, None before the first and after a restart."""
        return self._last_result

    @property
    def rig(self) -> RigCalibration:
        """The rig in use."""
        return self._rig or RigCalibration()

    # ---- the worker's thread

    def _run(self, stopping: threading.Event, before: threading.Thread | None) -> None:
        # One thread at a time uses the estimator: that of before the stop may be in a window.
        while before is not None and before.is_alive() and not stopping.is_set():
            before.join(_POLL_S)
        while not stopping.is_set():
            pipeline = self._pipeline
            frame_set = pipeline.slot.get(_POLL_S)
            if frame_set is None:
                continue
            window: Window | None = None
            try:
                self._adopt_rig()
                # The rig may have made a new pipeline, which this set then starts.
                pipeline = self._pipeline
                window = pipeline.windower.push(self._with_prior(frame_set))
                if window is None:
                    continue
                if self._is_wanted():
                    self._process(pipeline, window)
                else:
                    self._stats.count('unwanted_windows')
            except Exception as error:
                # Whatever goes wrong with one window must not end the node. Publishing fails
                # when the middleware is shut down first, which is no fault of the window.
                if self._is_alive() and not stopping.is_set():
                    self._report_failure(window, error)

    def _process(self, pipeline: Pipeline, window: Window) -> None:
        result = pipeline.reconstructor.process(window)
        if self._stopping.is_set() or pipeline is not self._pipeline:
            return
        if not result.new_sets:
            self._stats.count('refused_windows')
            text = joined(result.alignment.notes)
            self._faults.report('worker', 'refused', f'window {window.index}: {text}')
            return
        if result.alignment.method == 'first':
            self._outputs.restart()
            a = result.alignment
            unit = 'metres' if a.is_metric else 'units of its own, not metres'
            self._logger.info(f'the world starts, in {unit} (scale from {a.scale_source})')
        elif result.alignment.is_new_unit:
            # Scene, path and trajectory of the old unit would not fit what comes.
            self._outputs.restart()
            pipeline.scene.clear()
        for posed in result.new_sets:
            pipeline.scene.add(posed)
        self._last_result = replace(result, images={})
        for note in result.alignment.notes:
            # Each kind once in a while, whatever its numbers.
            self._notes.report('window', note.code, note.text)
        latency_s = self._outputs.publish(result, self._losses(result), self.rig)
        self._stats.event('windows', self._clock())
        self._stats.latency('estimate', result.estimate_s)
        self._stats.latency('stamp_to_publish', latency_s)

    def _with_prior(self, frame_set: FrameSet) -> FrameSet:
        """Return the set with what TF and parameters know of its cameras' poses."""
        prior = self._rig_source.prior(frame_set)
        if prior is not None and self._ignores_rig:
            prior = replace(prior, base_from_camera={})
        return replace(frame_set, prior=prior)

    def _losses(self, result: WindowResult) -> Losses:
        missing = dict.fromkeys(
            camera
            for posed in result.new_sets
            for camera in self._options.stream.cameras
            if camera not in {view.id.camera for view in posed.views}
        )
        frames = sum(drop.count for drop in self.sync_report().dropped)
        return Losses(self.dropped_sets, frames, tuple(missing))

    def _report_failure(self, window: Window | None, error: Exception) -> None:
        self._stats.count('failed_windows')
        what = 'a frame set'
        if window is not None:
            cameras = dict.fromkeys(frame.camera for frame in window.views)
            what = f'window {window.index} (cameras {", ".join(cameras)})'
        kind = type(error).__name__
        self._faults.report('worker', kind, f'{what} failed and is left out: {kind}: {error}')
        _log.debug('%s failed', what, exc_info=error)

    def _adopt_rig(self) -> None:
        """Use what is known of the rig.

        Cameras whose first images have just come join the world. Those that have been in it
        without a place on the robot, and get one now, start it anew.
        """
        with self._lock:
            frame_ids = dict(self._frame_ids)
        before, self._adopted = self._adopted, frozenset(frame_ids)
        if self._ignores_rig:
            self._rig = RigCalibration()
            return
        if self._rig is None:
            rig = self._rig_source.wait_for_rig(frame_ids, _RIG_WAIT_S)
            self._say_missing(rig, frame_ids)
        elif set(frame_ids) <= set(self._rig.base_from_camera):
            return
        else:
            rig = self._rig_source.rig(frame_ids)
            if set(rig.base_from_camera) <= set(self._rig.base_from_camera):
                return
            new = sorted(set(rig.base_from_camera) - set(self._rig.base_from_camera))
            if self._rig.base_from_camera and not before & set(new):
                self._rig = rig
                self._pipeline.reconstructor.extend_rig(rig)
                self._logger.info(f'{", ".join(new)} joined the rig')
                self._outputs.publish_rig(self._rig_source.only_given(frame_ids), frame_ids)
                return
            self._logger.warning(
                f'/tf_static now connects {", ".join(new)} to the base frame: '
                'the world starts anew with the rig'
            )
        with self._lock:
            is_first = self._rig is None
            self._rig = rig
            if is_first:
                reconstructor = build_reconstructor(
                    self._options, rig, self._estimator, self._clock, self._quarter_turns
                )
                self._pipeline = replace(self._pipeline, reconstructor=reconstructor)
            else:
                self._restart()
        self._outputs.publish_rig(self._rig_source.only_given(frame_ids), frame_ids)

    def _say_missing(self, rig: RigCalibration, frame_ids: dict[str, str]) -> None:
        missing = [camera for camera in frame_ids if camera not in rig.base_from_camera]
        if missing:
            self._logger.warning(
                f'where on the robot these cameras sit is not known: {", ".join(missing)}. '
                'Poses are in the unit and frame of the first window for as long as no camera is '
                'known; set rig.<camera>.base_from_camera or publish base frame to optical frame '
                'on /tf_static.'
            )
