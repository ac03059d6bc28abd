"""A client of a running node: follows its window reports and asks it for exports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
import threading
import time
from types import TracebackType
from typing import Any

from rclpy.action import ActionClient
from rclpy.executors import ExternalShutdownException
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from rclpy.task import Future

from da3_ros.action import ExportScene
from da3_ros.errors import ExportError, NodeError
from da3_ros.msg import WindowReport
from da3_ros.ros.client.sent import answer_of
from da3_ros.ros.client.session import tool_node

_SERVER_WAIT_S = 30.0


class NodeClient:
    """Another process's view of the node; a context manager with a thread of its own."""

    def __init__(self, node_name: str) -> None:
        """Join the ROS graph.

        Args:
            node_name: of the node to talk to, in the root namespace.
        """
        self._ended = Future()
        self._changed = threading.Condition()
        self._windows = 0
        self._last: WindowReport | None = None
        self._session = ExitStack()
        self._node, self._executor = self._session.enter_context(tool_node(f'{node_name}_client'))
        self._node.create_subscription(WindowReport, '/window', self._on_window, 100)
        self._action = f'/{node_name}/export_scene'
        self._exporter = ActionClient(self._node, ExportScene, self._action)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def __enter__(self) -> NodeClient:
        """Return the client, which leaves the graph with the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the graph."""
        # A shutdown while a callback begins destroys what the executor is about to trigger.
        self._ended.set_result(None)
        self._thread.join(5.0)
        self._exporter.destroy()
        self._session.close()

    @property
    def windows(self) -> int:
        """Window reports received so far."""
        return self._windows

    @property
    def last_window(self) -> Any:
        """The newest window report, None before the first."""
        return self._last

    def wait_for_node(self, timeout_s: float) -> None:
        """Wait until the node's action answers and its reports reach this client.

        Raises:
            NodeError: not within the time.
        """
        if not self._exporter.wait_for_server(timeout_sec=timeout_s):
            raise NodeError(f'no node offers {self._action} within {timeout_s} s')

    def watch(
        self, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> Subscription:
        """Call back with every message of a topic, on this client's thread."""
        return self._node.create_subscription(kind, topic, callback, qos)

    def unwatch(self, watched: Subscription) -> None:
        """Call back no more."""
        # On the thread that may be waiting on it.
        self._executor.create_task(self._node.destroy_subscription, watched)

    def wait_window(self, timeout_s: float) -> bool:
        """Wait for one more window report; return whether it came in time."""
        with self._changed:
            before = self._windows
            return self._changed.wait_for(lambda: self._windows > before, timeout_s)

    def export(
        self,
        formats: str,
        path: str = '',
        *,
        on_progress: Callable[[float, str], None] = lambda share, stage: None,
        timeout_s: float = 300.0,
    ) -> tuple[Path, ...]:
        """Ask the node to export its scene and return the files, relative to its export folder.

        Raises:
            NodeError: the node offers no export, or did not answer in time.
            ExportError: it answered that it could not; with its reason.
        """
        self.wait_for_node(_SERVER_WAIT_S)
        deadline = time.monotonic() + timeout_s
        goal = ExportScene.Goal(format=formats, path=path, overwrite=False)
        handle = answer_of(
            self._executor,
            lambda: self._exporter.send_goal_async(
                goal,
                feedback_callback=lambda m: on_progress(m.feedback.progress, m.feedback.stage),
            ),
            deadline,
        )
        if not handle.accepted:
            raise ExportError(f'the node refused to export {formats!r}')
        result = answer_of(self._executor, handle.get_result_async, deadline).result
        if not result.success:
            raise ExportError(result.message)
        return tuple(Path(file) for file in result.files)

    def _on_window(self, report: WindowReport) -> None:
        with self._changed:
            self._windows += 1
            self._last = report
            self._changed.notify_all()

    def _spin(self) -> None:
        try:
            self._executor.spin_until_future_complete(self._ended)
        except ExternalShutdownException:
            return
