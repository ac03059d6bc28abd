"""The node's own entry point around the truth, which says when windows begin.

Usage: telling_node.py DELAY_S EVERY --ros-args ...

DELAY_S: how long every window takes.
EVERY: how many windows go by from one line to the next; a line tells the number of windows up to
now, of the objects that Python collects and of the blocks that hold all of its small ones, and the
bytes that the C library has given out (-1 where it does not say). Unlike the memory of the process
these know nothing of what allocators keep for later.

Depth is 32x24 whatever the images are, so that a window without delay costs next to nothing.
"""

from __future__ import annotations

import ctypes
import gc
import sys

from da3_ros.geometry.camera import ImageSize
from da3_ros.ros.node.main import main
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.synthetic.truth import TruthEstimator
from da3_ros.types import Window, WindowPrediction

DEPTH_SIZE = ImageSize(24, 32)


class _HeapInfo(ctypes.Structure):
    """Of glibc's malloc.h, mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            'arena',
            'ordblks',
            'smblks',
            'hblks',
            'hblkhd',
            'usmblks',
            'fsmblks',
            'uordblks',
            'fordblks',
            'keepcost',
        )
    ]


def heap_bytes() -> int:
    """Return how much memory the C library has given out; -1 where it does not say."""
    mallinfo2 = getattr(ctypes.CDLL(None), 'mallinfo2', None)
    if mallinfo2 is None:
        return -1
    mallinfo2.restype = _HeapInfo
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)


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
            held = (len(gc.get_objects()), sys.getallocatedblocks(), heap_bytes())
            sys.stdout.write('window {} begins, holds {} {} {}\n'.format(self._windows, *held))
            sys.stdout.flush()
        return self._truth.estimate(window)


if __name__ == '__main__':
    raise SystemExit(main(sys.argv, Telling(float(sys.argv[1]), int(sys.argv[2]))))
