"""Asks a node for exports by action and service, many at a time, and waits for the answers."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from da3_ros.action import ExportScene as ExportSceneAction
from da3_ros.srv import ExportScene as ExportSceneService
from helpers.patience import PATIENCE_S
from helpers.spinning import Spinning

_NAME = '/da3_node/export_scene'
# With the usual depth of 10 a client loses answers that come at once, whoever sends them.
_MANY = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


class Goal:
    """A goal that was accepted, with the feedback that came.

    Args:
        executor: of the client, with one thread, which also sends: rclpy's ActionClient
            drops an answer that comes before its own note of the request.
        sent: the task that sends, whose result is the future of the goal handle.
        feedback: filled by the client.
    """

    def __init__(self, executor: Any, sent: Any, feedback: list[tuple[float, str]]) -> None:
        self.feedback = feedback
        self._executor = executor
        self._handle = awaited(awaited(sent))
        assert self._handle.accepted
        self._asked = awaited(executor.create_task(self._handle.get_result_async))

    @property
    def is_done(self) -> bool:
        """Whether the result has come."""
        return bool(self._asked.done())

    def cancel(self) -> int:
        """Ask for the end of the goal; return how many goals the node ends."""
        asked = awaited(self._executor.create_task(self._handle.cancel_goal_async))
        return len(awaited(asked).goals_canceling)

    def result(self) -> tuple[int, Any]:
        """Return status and result, waiting for them."""
        answer = awaited(self._asked)
        return answer.status, answer.result


class ExportClient:
    """A node of its own that asks; a context manager.

    Args:
        domain_id: ROS_DOMAIN_ID.
    """

    def __init__(self, domain_id: int) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = Node('exporting', context=self._context)
        self._action = ActionClient(
            self._node,
            ExportSceneAction,
            _NAME,
            goal_service_qos_profile=_MANY,
            result_service_qos_profile=_MANY,
            feedback_sub_qos_profile=_MANY,
        )
        self._service = self._node.create_client(ExportSceneService, _NAME, qos_profile=_MANY)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._spinning = Spinning(self._executor)

    def __enter__(self) -> ExportClient:
        assert self._action.wait_for_server(3 * PATIENCE_S)
        assert self._service.wait_for_service(3 * PATIENCE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._spinning.end()
        self._action.destroy()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def send(self, *requests: dict[str, Any]) -> list[Goal]:
        """Send goals all at once; return them when all are accepted."""
        sent: list[tuple[Any, list[tuple[float, str]]]] = []
        for request in requests:
            heard: list[tuple[float, str]] = []

            def take(message: Any, heard: list[tuple[float, str]] = heard) -> None:
                heard.append((message.feedback.progress, message.feedback.stage))

            goal = ExportSceneAction.Goal(**request)
            task = self._executor.create_task(self._action.send_goal_async, goal, take)
            sent.append((task, heard))
        return [Goal(self._executor, *one) for one in sent]

    def call(self, **request: Any) -> Any:
        """Call the service; return the future of its response."""
        return self._service.call_async(ExportSceneService.Request(**request))


def awaited(future: Any) -> Any:
    """Return what a future of another thread's executor brings, waiting for it."""
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    assert done.wait(3 * PATIENCE_S), 'no answer'
    return future.result()
