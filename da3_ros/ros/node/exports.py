"""Service and action that write the scene to files, one request after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from pathlib import Path
import threading
import time
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.qos import QoSProfile, ReliabilityPolicy

from da3_ros.action import ExportScene as ExportSceneAction
from da3_ros.errors import ExportCancelledError
from da3_ros.export.files import export_folder
from da3_ros.export.registry import DEFAULT_OPTIONS, export_scene, parse_formats
from da3_ros.export.scene import ExportScene
from da3_ros.foreign import expanded
from da3_ros.ros.node.export_queue import ExportAnswer, ExportJob, ExportQueue, ExportRequest
from da3_ros.ros.node.lifecycle import ManagedNode
from da3_ros.ros.node.splats import WorkerSplats
from da3_ros.srv import ExportScene as ExportSceneService

# A client asks for the result when it has heard that its goal was accepted. How long one that is
# about to may take, when the goals are ended.
_RESULT_REQUEST_S = 0.2
# With the usual depth of 10 the middleware loses requests of those that come at once.
_MANY = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)
# What the middleware raises when it was shut down, or the client is gone.
_MIDDLEWARE_ERRORS = (rclpy_implementation.RCLError, rclpy_implementation.InvalidHandle)


class Exports:
    """The service `~/export_scene` and the action of the same name.

    Requests of both wait in one queue for one thread, and no callback waits for them: service and
    goals are coroutines, which the node's executor looks at again when something has happened.

    Args:
        node: owns both, and at its end destroys an action server that was retired and still is.
        export_dir: folder that nothing leaves.
        scene: gives a snapshot of the scene.
        waiting: how many requests may wait while another one is served.
        splats: what formats of Gaussians need; None when nothing can make Gaussians.
    """

    def __init__(
        self,
        node: ManagedNode,
        export_dir: Path,
        scene: Callable[[], ExportScene],
        waiting: int,
        splats: WorkerSplats | None = None,
    ) -> None:
        self._node = node
        self._splats = splats
        self._logger = node.get_logger()
        self._export_dir = expanded(export_dir)
        self._scene = scene
        self._queue = ExportQueue(self._run, waiting)
        self._changed = threading.Condition()
        # Requests without their answer yet; guarded by the condition.
        self._open = 0
        # Reentrant: the next request is taken, and a cancel request answered, while one waits.
        group = ReentrantCallbackGroup()
        self._service = node.create_service(
            ExportSceneService,
            '~/export_scene',
            self._serve,
            qos_profile=_MANY,
            callback_group=group,
        )
        self._count_responses(self._service)
        self._action: ActionServer | None = ActionServer(
            node,
            ExportSceneAction,
            '~/export_scene',
            execute_callback=self._execute,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=group,
            goal_service_qos_profile=_MANY,
            result_service_qos_profile=_MANY,
            cancel_service_qos_profile=_MANY,
            feedback_pub_qos_profile=_MANY,
        )

    def end(self, reason: str, timeout_s: float) -> bool:
        """Answer every request and take no more; return whether the one that ran has ended.

        Args:
            reason: what those are answered with that are not done.
            timeout_s: longest wait for the one that runs and for the answers to go out.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            were_open = self._open > 0
        self._queue.end(reason)
        has_ended = self._queue.join(timeout_s)
        with self._changed:
            left_s = max(_RESULT_REQUEST_S, deadline - time.monotonic())
            self._changed.wait_for(lambda: not self._open, left_s)
        if were_open and self._node.context.ok():
            time.sleep(_RESULT_REQUEST_S)
        # The action server goes with the last reference to it, the executor's: that one fails
        # when what it is just about to wait on is destroyed.
        action, self._action = self._action, None
        if action is not None:
            self._node.remove_waitable(action)
            self._node.destroy_later(action)
        return has_ended

    # ---- requests

    async def _serve(self, request: Any, response: Any) -> Any:
        with self._changed:
            self._open += 1
        wanted = ExportRequest(request.format, request.path, request.overwrite)
        _fill(response, await self._answer(ExportJob(wanted, on_answer=self._wake)))
        return response

    def _count_responses(self, service: Any) -> None:
        """Note when a response has gone out: before, the service must not be destroyed."""
        send = service.send_response

        def counted(response: Any, header: Any) -> None:
            try:
                send(response, header)
            finally:
                self._close_one()

        service.send_response = counted

    async def _execute(self, goal: Any) -> Any:
        with self._changed:
            self._open += 1
        try:
            job = ExportJob(
                ExportRequest(goal.request.format, goal.request.path, goal.request.overwrite),
                progress=partial(_say, goal),
                is_withdrawn=lambda: bool(goal.is_cancel_requested),
                on_answer=self._wake,
            )
            answer = await self._answer(job)
            # The result goes out also where the status no longer does.
            with suppress(*_MIDDLEWARE_ERRORS):
                _finish(goal, answer)
            result = ExportSceneAction.Result()
            _fill(result, answer)
            return result
        finally:
            self._close_one()

    async def _answer(self, job: ExportJob) -> ExportAnswer:
        self._queue.put(job)
        while (answer := job.answer) is None:
            await _OneTurn()
            # Whenever a callback has ended, that of a cancel request among them.
            self._queue.drop_withdrawn(job)
        return answer

    def _wake(self) -> None:
        executor = self._node.executor
        if executor is not None:
            executor.wake()

    def _close_one(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    # ---- the thread of the queue

    def _run(self, job: ExportJob, is_over: Callable[[], bool]) -> ExportAnswer:
        try:
            answer = self._export(job, is_over)
        except ExportCancelledError as error:
            return ExportAnswer(False, str(error))
        except Exception as error:
            # A request must get its answer, whatever went wrong.
            message = str(error) or type(error).__name__
            self._logger.error(f'export_scene: {message}')
            return ExportAnswer(False, message)
        self._logger.info(f'export_scene: {answer.message}')
        return answer

    def _export(self, job: ExportJob, is_over: Callable[[], bool]) -> ExportAnswer:
        splats, wanted = self._splats, job.request
        options, add_gaussians = DEFAULT_OPTIONS, None
        with export_folder(self._export_dir, wanted.path) as directory:
            if splats is not None:
                add_gaussians = partial(splats.with_gaussians, cancelled=is_over)
                if 'gs_video' in parse_formats(wanted.formats):
                    options = splats.export_options(is_over)
            report = export_scene(
                self._scene(),
                wanted.formats,
                directory,
                overwrite=wanted.overwrite,
                options=options,
                add_gaussians=add_gaussians,
                progress=job.progress,
                cancelled=is_over,
            )
        root = self._export_dir.resolve()
        return ExportAnswer(
            True,
            f'{report.views} views written to {directory}',
            tuple(str(path.relative_to(root)) for path in report.files),
            report.views,
            report.points,
        )


class _OneTurn:
    """Awaited, lets the executor do something else before it goes on."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def _say(goal: Any, share: float, stage: str) -> None:
    """Publish feedback, for as long as somebody can hear it."""
    with suppress(*_MIDDLEWARE_ERRORS):
        goal.publish_feedback(ExportSceneAction.Feedback(progress=share, stage=stage))


def _finish(goal: Any, answer: ExportAnswer) -> None:
    if answer.is_success:
        goal.succeed()
    elif goal.is_cancel_requested:
        goal.canceled()
    else:
        goal.abort()


def _fill(message: Any, answer: ExportAnswer) -> None:
    """Fill the fields that service response and action result share."""
    message.success, message.message = answer.is_success, answer.message
    message.files = list(answer.files)
    message.views, message.points = answer.views, answer.points
