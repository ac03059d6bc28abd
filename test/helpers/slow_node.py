"""The node's own entry point around an estimator that knows the truth and is slow.

Usage: slow_node.py DELAY_S [COUNT] --ros-args ...

DELAY_S: how long a window takes.
COUNT: how many windows take that long, the later ones none; all without it.
"""

from __future__ import annotations

import sys

from da3_ros.ros.node.main import main
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.synthetic.world import make_world
from da3_ros.types import Window, WindowPrediction


class Slow:
    """The truth, late."""

    def __init__(self, delay_s: float, count: float) -> None:
        world = make_world()
        self._slow = TruthEstimator(world, delay_s=delay_s)
        self._fast = TruthEstimator(world)
        self._left = count

    def estimate(self, window: Window) -> WindowPrediction:
        """Return the truth about a window."""
        self._left -= 1
        return (self._slow if self._left >= 0 else self._fast).estimate(window)


if __name__ == '__main__':
    limited = len(sys.argv) > 2 and sys.argv[2].isdigit()
    count = float(sys.argv[2]) if limited else float('inf')
    raise SystemExit(main(sys.argv, Slow(float(sys.argv[1]), count)))
