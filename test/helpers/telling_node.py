"""The node's own entry point around the truth, which says when windows begin.

Usage: telling_node.py DELAY_S EVERY --ros-args ...

DELAY_S: how long every window takes.
EVERY: how many windows go by from one line to the next; a line tells the number of windows up to
now and of the objects that Python holds.

Depth is 32x24 whatever the images are, so that a window without delay costs next to nothing.
"""

from __future__ import annotations

import gc
import sys

from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.main import main
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import Window, WindowPrediction

DEPTH_SIZE = ImageSize(24, 32)


class Telling:
    """The truth, with a line of output before it answers."""

    def __init__(self, delay_s: float, every: int) -> None:
        self._truth = TruthEstimator(make_family_world(), size=DEPTH_SIZE, delay_s=delay_s)
        self._every = every
        self._windows = 0

    def estimate(self, window: Window) -> WindowPrediction:
        """Return the truth about a window."""
        self._windows += 1
        if self._windows % self._every == 0:
            gc.collect()
            sys.stdout.write(f'window {self._windows} begins, {len(gc.get_objects())} objects\n')
            sys.stdout.flush()
        return self._truth.estimate(window)


if __name__ == '__main__':
    raise SystemExit(main(sys.argv, Telling(float(sys.argv[1]), int(sys.argv[2]))))
