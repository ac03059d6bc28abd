"""Entry point of `da3_node`."""

from __future__ import annotations

from collections.abc import Sequence
import logging
import os

import rclpy
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor

from da3_ros.errors import Da3Error
from da3_ros.ros.node import Da3Node
from da3_ros.types import Estimator


def main(args: Sequence[str] | None = None, estimator: Estimator | None = None) -> int:
    """Run the node until it is interrupted; return the exit status."""
    rclpy.init(args=args)
    has_ended, status = True, 0
    try:
        node = Da3Node(estimator)
        executor = MultiThreadedExecutor(4)
        executor.add_node(node)
        node.get_logger().info('ready')
        try:
            executor.spin()
        finally:
            has_ended = node.close(timeout_s=1.0)
            executor.shutdown(0.5)
            node.destroy_node()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Da3Error as error:
        rclpy.logging.get_logger('da3_node').fatal(str(error))
        status = 1
    rclpy.try_shutdown()
    if not has_ended:
        # The estimator is inside one long computation that nothing can interrupt.
        logging.shutdown()
        os._exit(status)
    return status


if __name__ == '__main__':
    raise SystemExit(main())
