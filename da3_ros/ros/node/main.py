"""Entry point of `da3_node`: settles threads and Ctrl-C, then loads and runs the node."""

from __future__ import annotations

from collections.abc import Sequence
import sys
from typing import TYPE_CHECKING

from da3_ros.process import (
    INTERRUPTED,
    deaf,
    loading,
    node_threads,
    settle_threads,
    skip_converters,
    usable_cores,
)
from da3_ros.ros.node.arguments import answer
from da3_ros.ros.node.process_memory import keep_freed_blocks

if TYPE_CHECKING:
    from da3_ros.ros.node.processing import EstimatorFactory
    from da3_ros.types import Estimator


def main(
    args: Sequence[str] | None = None, estimator: Estimator | EstimatorFactory | None = None
) -> int:
    """Run the node until it is interrupted; return the exit status.

    Args:
        args: command line with the name of the program, for rclpy alone; None for that of this
            process, which may also ask for help.
        estimator: see `Da3Node`.
    """
    said = answer(sys.argv[1:]) if args is None else None
    if said is not None:
        text, status = said
        (sys.stderr if status else sys.stdout).write(text)
        return status
    settle_threads(node_threads(usable_cores()))
    skip_converters()
    # Before rclpy, whose libraries begin threads when they are loaded.
    keep_freed_blocks()
    try:
        with loading():
            from da3_ros.ros.node.run import run
        return run(args, estimator)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        deaf()


if __name__ == '__main__':
    raise SystemExit(main())
