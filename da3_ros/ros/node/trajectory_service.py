"""The service that writes where the base was, from the start until now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.node import Node

from da3_ros.export.trajectory_file import save_trajectory
from da3_ros.foreign import expanded
from da3_ros.srv import SaveTrajectory
from da3_ros.stream.scene_store import Scene


class TrajectoryService:
    """The service `~/save_trajectory`.

    Args:
        node: owns it.
        export_dir: folder that nothing leaves.
        snapshot: gives trajectory and unit of one instant.
        caution: what has to be known of the network; empty for nothing.
    """

    def __init__(
        self, node: Node, export_dir: Path, snapshot: Callable[[], Scene], caution: str = ''
    ) -> None:
        self._logger = node.get_logger()
        self._export_dir = expanded(export_dir)
        self._snapshot = snapshot
        self._caution = caution
        # A group of its own: a long trajectory takes a while to write.
        self._service = node.create_service(
            SaveTrajectory,
            '~/save_trajectory',
            self._serve,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )

    def _serve(self, request: Any, response: Any) -> Any:
        scene = self._snapshot()
        try:
            path, count = save_trajectory(
                self._export_dir,
                request.file,
                scene.trajectory.poses(),
                is_metric=scene.is_metric,
                overwrite=request.overwrite,
                caution=self._caution,
            )
        except Exception as error:
            # A request must get its answer, whatever went wrong.
            response.success, response.message = False, str(error) or type(error).__name__
            self._logger.error(f'save_trajectory: {response.message}')
            return response
        response.success, response.poses = True, count
        response.path = str(path.relative_to(self._export_dir.resolve()))
        gone = scene.trajectory.dropped
        response.message = f'{count} poses written to {path}' + (
            f'; the oldest {gone} are no longer kept' if gone else ''
        )
        self._logger.info(f'save_trajectory: {response.message}')
        return response
