"""Requests of an action, sent by the thread that takes their answers."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor

from da3_ros.errors import NodeError


def answer_of(executor: SingleThreadedExecutor, send: Callable[[], Any], deadline_s: float) -> Any:
    """Return what the future brings that a call of rclpy's action client returns.

    rclpy's ActionClient notes a request after it has sent it. An answer that another
    thread takes in between is dropped as unexpected, and its future never ends. So the
    request is sent on the executor's own thread, which takes no answer meanwhile.

    Args:
        executor: with one thread, which spins it elsewhere.
        send: sends the request and returns the future of its answer.
        deadline_s: on the monotonic clock.

    Raises:
        NodeError: no answer by then.
    """
    sent = _waited(executor.create_task(send), deadline_s)
    return _waited(sent, deadline_s)


def _waited(future: Any, deadline_s: float) -> Any:
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    if not done.wait(max(0.0, deadline_s - time.monotonic())):
        raise NodeError('the node did not answer the export in time')
    return future.result()
