"""What the node has between configure and cleanup: network, worker, publishers, services.

Callbacks of images run in one group, one at a time; exports in groups of their own; the network
on the worker's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from std_srvs.srv import SetBool, Trigger

from da3_ros.export.scene import ExportScene
from da3_ros.notes import Note
from da3_ros.options import NodeOptions
from da3_ros.options.camera_values import ViewOptions
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.process import threads_in_use
from da3_ros.reasons import Reason
from da3_ros.ros.node.camera_watch import CameraWatch
from da3_ros.ros.node.clock_watch import ClockWatch
from da3_ros.ros.node.delivery import Delivery
from da3_ros.ros.node.diagnostics import camera_status, pipeline_status
from da3_ros.ros.node.exports import Exports
from da3_ros.ros.node.inputs import CameraInput, InputStatus
from da3_ros.ros.node.lifecycle import ManagedNode, NodeEntities
from da3_ros.ros.node.live_viewer import open_viewer
from da3_ros.ros.node.outputs import Outputs
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.node.process_memory import memory_use, return_freed_memory
from da3_ros.ros.node.splats import WorkerSplats
from da3_ros.ros.node.stream_watch import StreamFacts, StreamWatch
from da3_ros.ros.node.trajectory_service import TrajectoryService
from da3_ros.ros.node.worker import Worker
from da3_ros.ros.reason_board import Active, ReasonBoard
from da3_ros.ros.tf.listener import TfInput
from da3_ros.ros.tf.rig_source import RigSource
from da3_ros.ros.window_reasons import OWNER, say_stamps
from da3_ros.stream.stats import StatsSnapshot, StreamStats
from da3_ros.stream.sync_report import SyncReport
from da3_ros.types import (
    CameraFrame,
    Caution,
    Estimator,
    NetworkEstimator,
    RigCalibration,
    SaysWhatComputes,
)

_EXPORT_END_S = 2.0


@dataclass(frozen=True, slots=True)
class CameraParameters:
    """What the parameters say of single cameras, by name."""

    rig: RigCalibration
    views: dict[str, ViewOptions]


class Processing:
    """From images to everything that is published.

    Args:
        node: owns publishers, subscriptions and services.
        holder: options; those that are not dynamic stay as they are while this exists.
        cameras: parameters of single cameras.
        estimator: turns windows into geometry.
        turns_images: whether the estimator needs upright images.
    """

    def __init__(
        self,
        node: ManagedNode,
        holder: OptionsHolder,
        cameras: CameraParameters,
        estimator: Estimator,
        *,
        turns_images: bool = True,
    ) -> None:
        self._node = node
        self._options: NodeOptions = holder.current
        self._views = cameras.views
        network = estimator if isinstance(estimator, NetworkEstimator) else None
        self.device = network.device if network else 'none'
        """Of the network; `none` without one."""
        self.computed_by = estimator.computed_by if isinstance(estimator, SaysWhatComputes) else ''
        """Runtime and number format of the network; empty where an estimator does not tell."""
        self.caution: Caution | None = network.caution if network else None
        """What to know before relying on the network, whatever it sees; None for most."""
        self._stats = StreamStats()
        self._reasons = ReasonBoard(node.get_logger())
        self._watch = StreamWatch(self._reasons, self._options.stream)
        self._camera_watch = CameraWatch(self._reasons, self._options.stream)
        self._lock = threading.Lock()
        self._is_enabled = True
        self._is_active = False
        self._inputs: list[CameraInput] = []
        self._entities = NodeEntities(node)
        turns = {c: view.quarter_turns for c, view in cameras.views.items() if turns_images}
        # What a failure undoes, the newest first.
        with ExitStack() as undo:
            undo.callback(return_freed_memory)
            undo.callback(self._entities.destroy_newer)
            self._build(holder, cameras.rig, turns, estimator, undo)
            undo.pop_all()

    def _build(
        self,
        holder: OptionsHolder,
        given_rig: RigCalibration,
        turns: dict[str, int],
        estimator: Estimator,
        undo: ExitStack,
    ) -> None:
        node, options, logger = self._node, self._options, self._node.get_logger()
        self._rig_group = MutuallyExclusiveCallbackGroup()
        self._tf = TfInput(node, options.output, self._reasons)
        rig_source = RigSource(options.output, given_rig, self._tf)
        caution = self.caution
        notice, brief = ('', '') if caution is None else (caution.text, caution.brief)
        notes = () if caution is None else (Note('caution', brief),)
        self._viewer = open_viewer(options.output, logger, notice)
        undo.callback(self._close_viewer)
        outputs = self._outputs = Outputs(node, holder, self._tf, self._viewer, notes=notes)

        def publish_rig(frame_ids: Mapping[str, str]) -> None:
            outputs.publish_rig(rig_source.only_given(frame_ids), frame_ids)

        self._pipeline = Pipeline(
            options,
            estimator,
            rig_source,
            on_rig=publish_rig,
            on_stamps=lambda event: say_stamps(self._reasons, event),
            quarter_turns=turns,
            log=logger,
            stats=self._stats,
        )
        undo.callback(self._pipeline.close)
        self._delivery = Delivery(
            self._pipeline,
            outputs,
            self._reasons,
            self._stats,
            is_alive=node.context.ok,
            is_wanted=lambda: self._is_enabled and outputs.is_wanted(),
        )
        self._clock_watch = ClockWatch(node, self._reasons, self._begin_anew)
        undo.callback(self._clock_watch.close)
        self._worker = Worker(estimator, self._delivery.work, lambda: self._pipeline.has_work)
        undo.callback(self._worker.close, 0.0)
        export_dir = Path(options.output.export_dir)
        self._trajectory = TrajectoryService(node, export_dir, self._pipeline.snapshot, brief)
        node.create_service(Trigger, '~/reset', self._reset, callback_group=self._rig_group)
        node.create_service(SetBool, '~/enable', self._enable, callback_group=self._rig_group)
        # Last: an action server is not among what the node can destroy.
        splats = WorkerSplats(self._worker)
        self._exports = Exports(node, export_dir, self._scene, options.output.export_queue, splats)

    # ---- transitions

    def activate(self) -> None:
        """Open the subscriptions and let the worker begin."""
        with self._lock:
            if self._is_enabled:
                self._open_inputs()
            self._tf.activate(self._outputs.transforms.tick)
            self._pipeline.pause()
            self._is_active = True
            self._worker.activate()

    def deactivate(self, timeout_s: float) -> bool:
        """Close the subscriptions; return whether the present window ended within the time.

        The scene stays, to be exported or to go on from.
        """
        with self._lock:
            self._is_active = False
            self._tf.deactivate()
            self._close_inputs()
        return self._worker.deactivate(timeout_s)

    @property
    def topics(self) -> tuple[str, ...]:
        """What is subscribed to of the cameras."""
        return tuple(topic for camera in tuple(self._inputs) for topic in camera.topics)

    @property
    def work(self) -> str:
        """What the network is used for at this moment; empty for nothing."""
        return self._worker.present

    def release(self, reason: str, timeout_s: float) -> bool:
        """End everything and give back all memory; return whether the worker ended in time.

        Args:
            reason: what exports are answered with that are not done.
            timeout_s: longest wait for the worker.
        """
        # In reverse, and each one whatever happens to those before it.
        with ExitStack() as steps:
            steps.callback(self._let_go)
            steps.callback(self._entities.destroy_newer)
            try:
                self.deactivate(0.0)
                # First: none may begin in the meantime, nor see the network go.
                self._exports.end(reason, _EXPORT_END_S)
            finally:
                has_ended = self._worker.close(timeout_s)
        if not has_ended:
            threading.Thread(target=self._follow_worker, daemon=True).start()
        return has_ended

    def close(self, timeout_s: float) -> bool:
        """End the worker and the exports when the process ends; nothing may spin any more."""
        self._tf.deactivate()
        end_s = time.monotonic() + timeout_s
        is_written = self._exports.end('the node shuts down', timeout_s / 2)
        has_ended = self._worker.close(max(0.0, end_s - time.monotonic()))
        self._close_viewer()
        return has_ended and is_written

    def _close_viewer(self) -> None:
        if self._viewer is not None:
            self._viewer.close()

    def _let_go(self) -> None:
        self._clock_watch.close()
        self._close_viewer()
        self._pipeline.close()
        return_freed_memory()

    def _follow_worker(self) -> None:
        """Give back what a worker in the middle of a window still held."""
        self._worker.join()
        return_freed_memory()

    def _open_inputs(self) -> None:
        """Make the subscriptions; hold the lock."""
        group = MutuallyExclusiveCallbackGroup()
        try:
            for camera in self._options.stream.cameras:
                self._inputs.append(self._input(camera, group))
        except BaseException:
            self._close_inputs()
            raise

    def _input(self, camera: str, group: MutuallyExclusiveCallbackGroup) -> CameraInput:
        return CameraInput(
            self._node,
            camera,
            self._options.output,
            group,
            self._take,
            self._reasons,
            crop=self._views[camera].crop,
        )

    def _close_inputs(self) -> None:
        """Destroy the subscriptions; hold the lock."""
        while self._inputs:
            self._inputs.pop().destroy()

    def _take(self, frame: CameraFrame) -> None:
        # A callback that had begun before the subscription was closed.
        if self._is_enabled and self._is_active and self._pipeline.push(frame):
            self._worker.wake()

    def _scene(self) -> ExportScene:
        found = self._pipeline.snapshot()
        caution = '' if self.caution is None else self.caution.brief
        return ExportScene.from_sets(found.sets, is_metric=found.is_metric, caution=caution)

    # ---- stamps and clocks

    def _begin_anew(self, back_s: float) -> None:
        """Begin a new world: /clock was set back."""
        self._delivery.reset()
        problem = f'/clock jumped back by {back_s:.3f} s'
        self._reasons.happened(Reason.WORLD_RESTARTED, OWNER, 'clock', problem=problem)

    # ---- services

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request  # empty
        self._delivery.reset()
        self._reasons.happened(
            Reason.WORLD_RESTARTED, OWNER, 'service', problem='~/reset was called'
        )
        response.success, response.message = True, 'the world starts anew with the next images'
        return response

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        wanted = bool(request.data)
        with self._lock:
            before, self._is_enabled = self._is_enabled, wanted
            if self._is_active and wanted and not before:
                self._open_inputs()
            elif not wanted:
                self._close_inputs()
        already = 'already ' if before == wanted else ''
        what = 'enabled: images are processed' if wanted else 'disabled: the world is kept'
        state = 'active' if self._is_active else 'inactive, so that nothing is processed'
        response.success = True
        response.message = f'{already}{what}; the node is {state}'
        return response

    # ---- state

    def statuses(self, name: str, state: str) -> list[DiagnosticStatus]:
        """Judge the state of stream and cameras anew, and return it; about once per second.

        Args:
            name: of the node.
            state: of its lifecycle.

        Returns:
            The stream and, while they are subscribed to, the cameras.
        """
        sync, stats = self._pipeline.sync_report(), self._stats.snapshot(time.monotonic())
        inputs = [camera.status() for camera in tuple(self._inputs)]
        self._judge(state, sync, stats, inputs)
        facts = {
            'state': state,
            'enabled': self._is_enabled,
            'model': self._options.estimator.model,
            'device': self.device,
            'threads': threads_in_use() or 'none',
            **memory_use(self.device),
        }
        if self.caution is not None:
            facts['caution'] = self.caution.text
        stream = pipeline_status(
            name,
            stats,
            sync,
            self._pipeline.dropped_sets,
            self._pipeline.last_result,
            facts,
            self._stream_reasons(),
            caution='' if self.caution is None else self.caution.brief,
        )
        if not (self._is_active and self._is_enabled):
            stream.level = DiagnosticStatus.WARN
        cameras = [
            camera_status(
                name,
                status,
                sync,
                self._reasons.active(status.camera),
                self._reasons.counts(status.camera),
            )
            for status in inputs
        ]
        return [stream, *cameras]

    def _judge(
        self, state: str, sync: SyncReport, stats: StatsSnapshot, inputs: Sequence[InputStatus]
    ) -> None:
        """Begin and end the reasons, and let the synchroniser know which clocks are wrong."""
        self._watch.look(self._facts(state, sync, stats))
        self._camera_watch.look(inputs, sync)
        self._clock_watch.look(inputs)
        self._pipeline.doubt(self._clock_watch.far_off)
        self._reasons.tick()

    def _stream_reasons(self) -> list[Active]:
        """Return what holds and is no camera's; of an idle node only why it is idle."""
        found = [a for a in self._reasons.active() if a.owner not in self._views]
        idle = [a for a in found if a.reason in (Reason.DISABLED, Reason.INACTIVE)]
        return idle or found

    def _facts(self, state: str, sync: SyncReport, stats: StatsSnapshot) -> StreamFacts:
        estimate = stats.latencies.get('estimate')
        ended = ('windows', 'failed_windows', 'refused_windows', 'unwanted_windows')
        return StreamFacts(
            is_active=self._is_active,
            is_enabled=self._is_enabled,
            state=state,
            is_wanted=self._outputs.is_wanted(),
            sets=sync.sets,
            dropped_sets=self._pipeline.dropped_sets,
            is_working=self._worker.is_working,
            finished=sum(stats.counters.get(name, 0) for name in ended),
            slowest_s=0.0 if estimate is None else estimate.max_s,
            result=self._pipeline.last_result,
            unplaced=self._pipeline.unplaced_cameras,
        )


EstimatorFactory = Callable[[NodeOptions], Estimator]
"""Makes the estimator that the options ask for."""
