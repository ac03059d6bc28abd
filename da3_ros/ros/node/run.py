"""Runs the node: middleware, executor, start and end of the process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
import logging
import os
import signal
import threading

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation

from da3_ros.errors import Da3Error, NodeError
from da3_ros.process import handling
from da3_ros.ros.node.executor import NodeExecutor
from da3_ros.ros.node.node import Da3Node
from da3_ros.ros.node.processing import EstimatorFactory
from da3_ros.types import Estimator

_THREADS = 6
_END_S = 1.0


class _Start:
    """Configures and activates a node on a thread of its own, where loading disturbs nobody.

    Args:
        node: the node; its executor spins meanwhile.
    """

    def __init__(self, node: Da3Node) -> None:
        self._node = node
        self.has_failed = False
        threading.Thread(target=self._run, name='da3_start', daemon=True).start()

    def _run(self) -> None:
        try:
            is_active = self._node.autostart()
            # One that is asked to end while it loads has not failed.
            self.has_failed = not is_active and self._node.context.ok()
        except Exception as error:
            # Another client of the lifecycle was faster, or the process is asked to end.
            if self._node.context.ok():
                self._node.get_logger().error(f'autostart: {error}')
            return
        if self.has_failed:
            # Ends the executor of the main thread.
            rclpy.try_shutdown()


def run(
    args: Sequence[str] | None = None, estimator: Estimator | EstimatorFactory | None = None
) -> int:
    """Run the node until it is interrupted; return the exit status."""
    with _shutdown_on_ctrl_c():
        return _run(args, estimator)


def _shutdown_on_ctrl_c() -> AbstractContextManager[None]:
    """Let Ctrl-C do what SIGTERM does: shut the middleware down, and raise nothing.

    KeyboardInterrupt comes between any two lines, also where the node is half made.
    """
    # The handler of rclpy itself, from `init` on, shuts down and calls this one.
    return handling(signal.SIGINT, lambda number, frame: rclpy.try_shutdown())


@contextmanager
def _signals_later() -> Iterator[None]:
    """Let signals wait until the block is done.

    One that comes while the middleware makes a node leaves half of it, and with it 70 MB of shared
    memory for good.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _init(args: Sequence[str] | None) -> None:
    try:
        rclpy.init(args=args)
    except rclpy_implementation.RCLError as error:
        # It tells what it could not read: names are YAML, where y, on and 1 are no text.
        raise NodeError(
            f'the middleware does not start: {error}. Names that YAML reads as something else (y, '
            'n, on, off, numbers) need quotes: -p "cameras:=[\'y\']"'
        ) from error


def _run(args: Sequence[str] | None, estimator: Estimator | EstimatorFactory | None) -> int:
    has_ended, status = True, 0
    try:
        with _signals_later():
            _init(args)
            node = Da3Node(estimator)
            executor = NodeExecutor(_THREADS)
            executor.add_node(node)
        start: _Start | None = None
        try:
            if node.wants_autostart:
                start = _Start(node)
            else:
                node.get_logger().info('unconfigured: waits for transitions of the lifecycle')
            executor.spin()
        finally:
            status = 1 if start is not None and start.has_failed else 0
            has_ended = node.close(_END_S)
            # One of its threads may be loading weights.
            executor.shutdown(_END_S / 2)
            node.destroy_node()
    except ExternalShutdownException:
        pass
    except Da3Error as error:
        rclpy.logging.get_logger('da3_node').fatal(str(error))
        status = 1
    rclpy.try_shutdown()
    if not has_ended:
        # The estimator is inside one long computation that nothing can interrupt, or weights are
        # being loaded. Without the second line the shared memory of Fast DDS, 70 MB, stays in
        # /dev/shm for good.
        logging.shutdown()
        node.context.destroy()
        os._exit(status)
    return status
