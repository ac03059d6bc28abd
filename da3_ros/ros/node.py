"""The node: joins parameters, inputs, the runner, outputs, exports and diagnostics.

Composition only. Callbacks of images run in one group, one at a time; exports in groups of their
own; inference on the runner's thread.
"""

from __future__ import annotations

from pathlib import Path
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node
from std_srvs.srv import Trigger

from da3_ros.assembly import TRUTH_MODEL, build_estimator
from da3_ros.ros.diagnostics import camera_status, diagnostic_array, pipeline_status
from da3_ros.ros.exports import Exports
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.input_views import InputViews
from da3_ros.ros.inputs import CameraInput
from da3_ros.ros.outputs import Outputs
from da3_ros.ros.params import OptionsHolder, declare_rig, undeclared
from da3_ros.ros.preparation import BlindAreas
from da3_ros.ros.runner import PipelineRunner
from da3_ros.ros.transforms import RigSource
from da3_ros.ros.view_params import declare_views
from da3_ros.stream.stats import StreamStats
from da3_ros.types import Estimator

_DIAGNOSTICS_PERIOD_S = 1.0
_DIAGNOSTICS_DEPTH = 10


class Da3Node(Node):  # type: ignore[misc]  # rclpy has no types
    """Cameras in, depth, poses and clouds out.

    Args:
        estimator: turns windows into geometry; None for what the parameter `model` names.
        node_arguments: passed on to rclpy's Node (namespace, parameter_overrides, context, ...).

    Raises:
        NodeError: a parameter is wrong; names it.
        CheckpointError: the model cannot be loaded; says why.
        ConfigError: the device is not there.
    """

    def __init__(self, estimator: Estimator | None = None, **node_arguments: Any) -> None:
        super().__init__('da3_node', **node_arguments)
        self._holder = OptionsHolder(self)
        options = self._holder.current
        given_rig = declare_rig(self, options)
        views = declare_views(self, options)
        blind = BlindAreas()
        # The truth is told by camera and stamp and looks at no image: it needs none upright.
        is_truth = estimator is None and options.estimator.model == TRUTH_MODEL
        turns = {} if is_truth else {c: view.quarter_turns for c, view in views.items()}
        estimator = InputViews(estimator or build_estimator(options), turns, blind)
        self._stats = StreamStats()
        self._faults = FaultLog(self.get_logger().error)
        inputs_group = MutuallyExclusiveCallbackGroup()
        rig_group = MutuallyExclusiveCallbackGroup()
        rig_source = RigSource(self, options.output, given_rig, rig_group, self._faults)
        self._runner = PipelineRunner(
            options,
            estimator,
            rig_source,
            Outputs(self, self._holder),
            self._faults,
            self._stats,
            self.get_logger(),
            is_alive=self.context.ok,
        )
        self._exports = Exports(
            self,
            Path(options.output.export_dir),
            self._runner.scene,
            lambda: self._runner.stopping,
        )
        self._inputs = [
            CameraInput(
                self,
                camera,
                options.output,
                inputs_group,
                self._runner.push,
                self._faults,
                crop=views[camera].crop,
                blind=blind,
            )
            for camera in options.stream.cameras
        ]
        self._reset_service = self.create_service(
            Trigger, '~/reset', self._reset, callback_group=rig_group
        )
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', _DIAGNOSTICS_DEPTH
        )
        self._timer = self.create_timer(
            _DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self._warn_of_unknown_parameters()
        self._runner.start()

    def close(self, timeout_s: float) -> bool:
        """End the worker and the exports; return whether the worker ended within the time."""
        has_ended = self._runner.stop(timeout_s)
        self._exports.destroy()
        return has_ended

    def _warn_of_unknown_parameters(self) -> None:
        # rclpy has no public way to see parameters that were given and never declared.
        given = getattr(self, '_parameter_overrides', {})
        cameras = self._holder.current.stream.cameras
        for name in undeclared(self, given):
            group, _, rest = name.partition('.')
            is_known = any(rest.startswith(f'{camera}.') for camera in cameras)
            if group in ('rig', 'input') and not is_known:
                self.get_logger().error(
                    f'parameter {name}: no such camera; the parameter cameras names '
                    f'{", ".join(cameras)}; ignored'
                )
            else:
                self.get_logger().warning(
                    f"parameter {name}: not one of this node's; ignored. See docs/parameters.md."
                )

    def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        del request  # empty
        self._runner.reset()
        response.success, response.message = True, 'the world starts anew with the next images'
        return response

    def _publish_diagnostics(self) -> None:
        sync = self._runner.sync_report()
        name = self.get_name()
        stream = pipeline_status(
            name,
            self._stats.snapshot(time.monotonic()),
            sync,
            self._runner.dropped_sets,
            self._runner.last_result,
        )
        cameras = [
            camera_status(name, status, self._faults.counts(status.camera), sync)
            for status in (camera.status() for camera in self._inputs)
        ]
        now_ns = self.get_clock().now().nanoseconds
        self._diagnostics.publish(diagnostic_array(now_ns, [stream, *cameras]))
