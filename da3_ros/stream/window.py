"""Sliding windows of frame sets."""

from __future__ import annotations

from collections import deque
import itertools

from da3_ros.errors import StreamError
from da3_ros.types import FrameSet, Window

_GENERATIONS = itertools.count(1)
"""Numbers of streams, each given once in the process."""


class SlidingWindow:
    """Makes windows of up to `window` sets, one after every `stride` new sets.

    The first window goes out after `stride` sets, and windows grow until they are full: a robot
    has its first depth after one stride. Overlap comes from the sets kept here, so sets that were
    dropped before they came here cost no overlap: two windows in a row share `window - stride`
    sets once the first is full, and at least one as long as stride < window.

    Args:
        window: most sets per window.
        stride: new sets per window, at most `window`.

    Raises:
        StreamError: the numbers are out of range.
    """

    def __init__(self, window: int, stride: int) -> None:
        if not 1 <= stride <= window:
            raise StreamError(
                f'window: expected 1 <= stride <= window, got stride {stride}, window {window}; '
                'a larger stride would leave sets without a result'
            )
        self._stride = stride
        self._sets: deque[FrameSet] = deque(maxlen=window)
        self._new = 0
        self._index = 0
        self._generation = next(_GENERATIONS)
        self._newest_ns: dict[str, int] = {}

    @property
    def waiting(self) -> int:
        """New sets that no window has yet."""
        return self._new

    def push(self, frame_set: FrameSet) -> Window | None:
        """Take the next set; return the window it completes, or None.

        A camera whose stamps do not go on may send one twice, with another image: then windows are
        of another generation.
        """
        newest = {frame.camera: frame.stamp_ns for frame in frame_set.frames}
        before = self._newest_ns
        if any(
            stamp_ns <= before.get(camera, stamp_ns - 1) for camera, stamp_ns in newest.items()
        ):
            self._generation = next(_GENERATIONS)
            before = {}
        self._newest_ns = before | newest
        self._sets.append(frame_set)
        self._new += 1
        return self.flush() if self._new == self._stride else None

    def flush(self) -> Window | None:
        """Return a window with the new sets that no window had (end of the input), or None."""
        if not self._new:
            return None
        window = Window(self._index, tuple(self._sets), self._new, self._generation)
        self._index += 1
        self._new = 0
        return window

    def reset(self) -> None:
        """Forget all sets; the count of windows starts at 0 again."""
        self._sets.clear()
        self._new = 0
        self._index = 0
        self._generation = next(_GENERATIONS)
        self._newest_ns = {}
