"""What becomes of a window: it is published, or counted and named as refused or failed."""

from __future__ import annotations

from collections.abc import Callable
import threading
import time
from typing import Protocol

from da3_ros.pipeline.pipeline import Losses, Pipeline
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.window_reasons import WindowReasons
from da3_ros.stream.stats import StreamStats
from da3_ros.types import RigCalibration, WindowResult


class ResultOutputs(Protocol):
    """Whoever publishes results."""

    def publish(self, result: WindowResult, losses: Losses, rig: RigCalibration) -> float:
        """Publish a window's new sets and return the time from stamp to publishing, seconds."""
        ...

    def restart(self) -> None:
        """Forget what was published: the world starts anew."""
        ...


class Delivery:
    """Steps a pipeline and publishes what comes of it.

    Args:
        pipeline: stepped by `work`.
        outputs: publishes results.
        reasons: takes failed and refused windows, and what is said of the others.
        stats: takes counts, rates and latencies.
        is_alive: whether the middleware still runs.
        is_wanted: whether anybody has use for the next window.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        outputs: ResultOutputs,
        reasons: ReasonBoard,
        stats: StreamStats,
        is_alive: Callable[[], bool] = lambda: True,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        self._pipeline = pipeline
        self._outputs = outputs
        self._said = WindowReasons(reasons)
        self._stats = stats
        self._is_alive = is_alive
        self._is_wanted = is_wanted
        self._publishing = threading.Lock()

    def work(self, counts: Callable[[], bool]) -> None:
        """Step the pipeline once; the worker's thread.

        Args:
            counts: whether the outcome is still to be used.
        """
        try:
            result = self._pipeline.step(self._is_wanted, counts)
            if result is not None:
                self._deliver(result)
        except Exception as error:
            # Publishing fails when the middleware is shut down first, which is no fault of the
            # window.
            if self._is_alive() and counts():
                self._stats.count('failed_windows')
                self._said.failed(error)

    def reset(self) -> None:
        """Begin a new world; when this returns, nothing of the old one is published any more."""
        # As one: what the new world publishes first is not to be forgotten with the old one.
        with self._publishing:
            self._pipeline.reset()
            self._outputs.restart()

    def _deliver(self, result: WindowResult) -> None:
        if not result.new_sets:
            self._stats.count('refused_windows')
            self._said.refused(result)
            return
        self._said.made(result)
        with self._publishing:
            if not self._pipeline.is_current(result):
                return
            losses = self._pipeline.losses(result)
            latency_s = self._outputs.publish(result, losses, self._pipeline.rig)
        self._stats.event('windows', time.monotonic())
        self._stats.latency('estimate', result.estimate_s)
        self._stats.latency('stamp_to_publish', latency_s)
