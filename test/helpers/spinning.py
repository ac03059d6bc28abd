"""An executor that a thread of its own spins, and that ends without a trace."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.executors import ExternalShutdownException
from rclpy.task import Future

_END_S = 5.0


class Spinning:
    """Spins an executor from now on.

    Args:
        executor: with its nodes; more may come.
    """

    def __init__(self, executor: Any) -> None:
        self._executor = executor
        self._ended = Future()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        try:
            self._executor.spin_until_future_complete(self._ended)
        except ExternalShutdownException:
            return

    @property
    def is_alive(self) -> bool:
        """Whether the thread still spins."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Spin no more, and then let go of the executor: nodes may be destroyed now."""
        # A shutdown while a callback begins destroys what the executor is about to trigger.
        self._ended.set_result(None)
        self._thread.join(_END_S)
        self._executor.shutdown(_END_S)
