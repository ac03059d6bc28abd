"""The node: parameters, the lifecycle around `Processing`, and diagnostics."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from da3_ros.errors import NodeError
from da3_ros.export.staging import remove_abandoned
from da3_ros.options import NodeOptions
from da3_ros.pipeline.estimators import TRUTH_MODEL, build_estimator, chosen_model
from da3_ros.ros.node.diagnostics import diagnostic_array, idle_status
from da3_ros.ros.node.lifecycle import ManagedNode, require_alive
from da3_ros.ros.node.params import CAMERA_PREFIXES, OptionsHolder, declare_rig, undeclared
from da3_ros.ros.node.process_memory import memory_use, return_freed_memory
from da3_ros.ros.node.processing import CameraParameters, EstimatorFactory, Processing
from da3_ros.ros.node.ready import ready_line
from da3_ros.ros.node.view_params import declare_views
from da3_ros.types import Estimator

_DIAGNOSTICS_PERIOD_S = 1.0
_DIAGNOSTICS_DEPTH = 10
# How long a transition waits for the window that is being estimated.
_WORKER_END_S = 1.0


class Da3Node(ManagedNode):
    """Cameras in, depth, poses and clouds out; a lifecycle node.

    Configure reads the parameters and loads the network, activate subscribes to the cameras,
    deactivate keeps the scene, cleanup gives all memory back.

    Args:
        estimator: turns windows into geometry, or makes such a thing from the options whenever
            the node is configured; None for what the parameter `model` names.
        node_arguments: passed on to rclpy's Node (namespace, parameter_overrides, context, ...).
    """

    def __init__(
        self, estimator: Estimator | EstimatorFactory | None = None, **node_arguments: Any
    ) -> None:
        super().__init__('da3_node', **node_arguments)
        self._given = estimator
        self._processing: Processing | None = None
        self._said_unknown = False
        self._holder = OptionsHolder(self)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', _DIAGNOSTICS_DEPTH
        )
        # Of the steady clock: also when /clock is what does not come.
        self._timer = self.create_timer(
            _DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            callback_group=MutuallyExclusiveCallbackGroup(),
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )

    @property
    def wants_autostart(self) -> bool:
        """Whether to configure and activate without being asked."""
        return bool(self.get_parameter('autostart').value)

    def autostart(self) -> bool:
        """Configure and activate; return whether both went well. The reason is in the log."""
        done = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == done and self.trigger_activate() == done)

    def close(self, timeout_s: float) -> bool:
        """End worker and exports as the process ends; return whether they did within the time."""
        processing = self._processing
        has_ended = processing is None or processing.close(timeout_s)
        return has_ended and not self.in_transition

    # ---- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters, load the network, make publishers and services."""
        del state
        result = self.attempt('configure', self._configure)
        self._holder.is_configured = result == TransitionCallbackReturn.SUCCESS
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the cameras and start to work."""
        del state
        return self.attempt('activate', self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave the cameras; what was built stays."""
        del state
        return self.attempt('deactivate', self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back the network and all else that configure made."""
        del state
        return self.attempt('cleanup', partial(self._release, 'the node was cleaned up'))

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything, for good."""
        del state
        return self.attempt('shutdown', partial(self._release, 'the node was shut down'))

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back everything after a transition that broke.

        The node is unconfigured then; if that breaks too, it is finalized.
        """
        del state
        reason = self.last_failure
        release = partial(self._release, f'the node failed: {reason}')
        result = self.attempt('clearing up after the error', release)
        self.last_failure = self.last_failure or reason
        return result

    def _configure(self) -> None:
        self._holder.set_default_model('')
        self._declare_cameras(self._holder.checked())
        # From here on nothing that is read below can change.
        self._holder.is_configured = True
        self._choose_model()
        options = self._holder.checked()
        cameras = self._declare_cameras(options)
        self._warn_of_unknown_parameters(options)
        # The truth comes from camera and stamp, not from images: it needs none upright.
        is_truth = self._given is None and options.estimator.model == TRUTH_MODEL
        estimator = self._make_estimator(options)
        require_alive(self)
        removed = remove_abandoned(Path(options.output.export_dir))
        if removed:
            self.get_logger().warning(
                f'removed {removed} half-written exports of a process that was killed from '
                f'{options.output.export_dir}'
            )
        self._processing = Processing(
            self, self._holder, cameras, estimator, turns_images=not is_truth
        )

    def _choose_model(self) -> None:
        """Settle on a model where the parameter names none, and say which and why."""
        if self._given is None and not self._holder.checked().estimator.model:
            chosen = chosen_model('')
            self._holder.set_default_model(chosen.name)
            self.get_logger().info(f'model: {chosen.title}')

    def _make_estimator(self, options: NodeOptions) -> Estimator:
        if self._given is None:
            return build_estimator(options)
        if not callable(self._given):
            return self._given
        return self._given(options)

    def _declare_cameras(self, options: NodeOptions) -> CameraParameters:
        return CameraParameters(declare_rig(self, options), declare_views(self, options))

    def _activate(self) -> None:
        self._configured.activate()
        caution = self._configured.caution
        if caution is not None:
            self.get_logger().warning(caution.text)
        self.get_logger().info(self._ready_line())

    def _ready_line(self) -> str:
        processing, options = self._configured, self._holder.current
        model = options.estimator.model if self._given is None else None
        return ready_line(
            model,
            processing.device,
            options.stream.cameras,
            processing.topics,
            processing.computed_by,
        )

    def _deactivate(self) -> None:
        if not self._configured.deactivate(_WORKER_END_S):
            self.get_logger().warning(
                'a window is still being estimated; its result will not be used'
            )

    def _release(self, reason: str) -> None:
        processing = self._processing
        has_ended = processing is None or processing.release(reason, _WORKER_END_S)
        work = '' if processing is None else processing.work
        # Only now: what an error left undone is tried again by on_error.
        self._processing = None
        self._holder.is_configured = False
        # Also what a network left behind that did not fit into memory.
        return_freed_memory()
        if not has_ended and work:
            self.get_logger().warning(
                f'{work}; the memory of the network comes back when it is done'
            )

    @property
    def _configured(self) -> Processing:
        if self._processing is None:
            raise NodeError('the node is not configured')
        return self._processing

    # ---- what the node says of itself

    def _warn_of_unknown_parameters(self, options: NodeOptions) -> None:
        if self._said_unknown:
            return
        self._said_unknown = True
        # rclpy has no public way to see parameters that were given and never declared.
        given = getattr(self, '_parameter_overrides', {})
        cameras = options.stream.cameras
        for name in undeclared(self, given):
            _, _, rest = name.partition('.')
            is_known = any(rest.startswith(f'{camera}.') for camera in cameras)
            if name.startswith(CAMERA_PREFIXES) and not is_known:
                self.get_logger().error(
                    f'parameter {name}: no such camera; the parameter cameras names '
                    f'{", ".join(cameras)}; ignored'
                )
            else:
                self.get_logger().warning(
                    f"parameter {name}: not one of this node's; ignored. See docs/parameters.md."
                )

    def _publish_diagnostics(self) -> None:
        name = self.get_fully_qualified_name().lstrip('/')
        state, processing = self.state_label, self._processing
        if processing is None:
            facts = {'state': state, **memory_use('none')}
            statuses = [idle_status(name, facts, state, self.last_failure)]
        else:
            statuses = processing.statuses(name, state)
        now_ns = self.get_clock().now().nanoseconds
        self._diagnostics.publish(diagnostic_array(now_ns, statuses))
