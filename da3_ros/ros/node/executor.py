"""The executor of the node."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation


class NodeExecutor(MultiThreadedExecutor):  # type: ignore[misc]  # rclpy has no types
    """Goes on where publishers and subscriptions are destroyed while it waits for them.

    A transition of the lifecycle destroys them on another thread. rclpy leaves out what is gone,
    except for the events of a publisher or subscription: there the error of a handle that is no
    more ends `spin`, and with it the node.
    """

    def wait_for_ready_callbacks(self, *arguments: Any, **options: Any) -> Any:
        """Return the next callback that is due, as rclpy does.

        Raises:
            ExternalShutdownException: the middleware was shut down, also where that came between
                rclpy's look at it and the making of what it waits on.
        """
        try:
            return self._next(*arguments, **options)
        except rclpy_implementation.RCLError as error:
            if self.context.ok():
                raise
            raise ExternalShutdownException from error

    def _next(self, *arguments: Any, **options: Any) -> Any:
        while True:
            # Again, with what is left, after it came upon what is gone.
            with suppress(rclpy_implementation.InvalidHandle):
                return super().wait_for_ready_callbacks(*arguments, **options)
