"""Service and action that write the scene to files, beside the worker and on a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
import threading
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup

from da3_ros.action import ExportScene as ExportSceneAction
from da3_ros.errors import ExportCancelledError
from da3_ros.export.files import resolve_inside
from da3_ros.export.registry import DEFAULT_OPTIONS, export_scene, parse_formats
from da3_ros.export.scene import ExportScene
from da3_ros.ros.node.lifecycle import ManagedNode
from da3_ros.ros.node.splats import WorkerSplats
from da3_ros.srv import ExportScene as ExportSceneService


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What service and action ask for alike."""

    formats: str
    path: str
    overwrite: bool


class Exports:
    """The service `~/export_scene` and the action of the same name.

    Args:
        node: owns both, and at its end destroys an action server that was retired and still is.
        export_dir: folder that nothing leaves.
        scene: gives a snapshot of the scene.
        stopping: says that the node shuts down; a running export then ends like a cancelled one.
        splats: what formats of Gaussians need; None when nothing can make Gaussians.
    """

    def __init__(
        self,
        node: ManagedNode,
        export_dir: Path,
        scene: Callable[[], ExportScene],
        stopping: Callable[[], bool],
        splats: WorkerSplats | None = None,
    ) -> None:
        self._node = node
        self._splats = splats
        self._logger = node.get_logger()
        self._export_dir = export_dir.expanduser()
        self._scene = scene
        self._stopping = stopping
        self._running = 0
        self._changed = threading.Condition()
        self._service = node.create_service(
            ExportSceneService,
            '~/export_scene',
            self._serve,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        # Reentrant: a cancel request is answered while the goal runs.
        self._action: ActionServer | None = ActionServer(
            node,
            ExportSceneAction,
            '~/export_scene',
            execute_callback=self._execute,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
            callback_group=ReentrantCallbackGroup(),
        )

    def retire(self, timeout_s: float) -> None:
        """Take no more goals, after those that run have ended.

        The action server goes with the last reference to it, the executor's: that one fails when
        what it is just about to wait on is destroyed.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout_s)
        action, self._action = self._action, None
        if action is not None:
            self._node.remove_waitable(action)
            self._node.destroy_later(action)

    def destroy(self) -> None:
        """Destroy the action server, which the node does not do by itself; nothing may spin."""
        if self._action is not None:
            self._action.destroy()

    def _serve(self, request: Any, response: Any) -> Any:
        wanted = ExportRequest(request.format, request.path, request.overwrite)
        self._export_into(response, wanted, lambda share, stage: None, self._stopping)
        return response

    def _execute(self, goal: Any) -> Any:
        wanted = ExportRequest(goal.request.format, goal.request.path, goal.request.overwrite)
        result = ExportSceneAction.Result()

        def progress(share: float, stage: str) -> None:
            goal.publish_feedback(ExportSceneAction.Feedback(progress=share, stage=stage))

        def cancelled() -> bool:
            return bool(goal.is_cancel_requested) or self._stopping()

        self._export_into(result, wanted, progress, cancelled)
        if result.success:
            goal.succeed()
        elif goal.is_cancel_requested:
            goal.canceled()
        else:
            goal.abort()
        return result

    def _export_into(
        self,
        answer: Any,
        wanted: ExportRequest,
        progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Export, and fill the fields that service response and action result share."""
        with self._changed:
            self._running += 1
        try:
            self._export_one(answer, wanted, progress, cancelled)
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _export_one(
        self,
        answer: Any,
        wanted: ExportRequest,
        progress: Callable[[float, str], None],
        cancelled: Callable[[], bool],
    ) -> None:
        try:
            directory = resolve_inside(self._export_dir, wanted.path)
            splats = self._splats
            options = DEFAULT_OPTIONS
            if splats is not None and 'gs_video' in parse_formats(wanted.formats):
                options = splats.export_options(cancelled)
            report = export_scene(
                self._scene(),
                wanted.formats,
                directory,
                overwrite=wanted.overwrite,
                options=options,
                add_gaussians=partial(splats.with_gaussians, cancelled=cancelled)
                if splats
                else None,
                progress=progress,
                cancelled=cancelled,
            )
        except ExportCancelledError as error:
            answer.success, answer.message = False, str(error)
        except Exception as error:
            # A request must get its answer, whatever went wrong.
            answer.success, answer.message = False, str(error) or type(error).__name__
            self._logger.error(f'export_scene: {answer.message}')
        else:
            root = self._export_dir.resolve()
            answer.success = True
            answer.files = [str(path.relative_to(root)) for path in report.files]
            answer.views, answer.points = report.views, report.points
            answer.message = f'{report.views} views written to {directory}'
            self._logger.info(f'export_scene: {answer.message}')
