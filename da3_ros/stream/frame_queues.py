"""Frames that wait for a set, by camera, and the set that starts at a stamp."""

from __future__ import annotations

from collections import deque

from da3_ros.types import CameraFrame


class FrameQueues:
    """A short queue for each camera, in the order of stamps. One thread at a time.

    Args:
        cameras: number of cameras.
        size: most frames of one camera.
        tolerance_ns: largest difference of stamps within one set.
    """

    def __init__(self, cameras: int, size: int, tolerance_ns: int) -> None:
        self._size = size
        self._tolerance_ns = tolerance_ns
        self._queues: list[deque[CameraFrame]] = [deque() for _ in range(cameras)]

    def add(self, index: int, frame: CameraFrame) -> CameraFrame | None:
        """Append a frame, newer than those before; return the oldest when it had to go."""
        queue = self._queues[index]
        oldest = queue.popleft() if len(queue) == self._size else None
        queue.append(frame)
        return oldest

    def remove(self, index: int, frame: CameraFrame) -> None:
        """Take out one frame."""
        self._queues[index].remove(frame)

    def clear(self, index: int) -> tuple[CameraFrame, ...]:
        """Take out and return all frames of a camera."""
        frames = tuple(self._queues[index])
        self._queues[index].clear()
        return frames

    def older_than(self, stamp_ns: int) -> list[tuple[int, CameraFrame]]:
        """Return all frames before a stamp."""
        return [(index, frame) for index, frame in self.in_order() if frame.stamp_ns < stamp_ns]

    def in_order(self) -> list[tuple[int, CameraFrame]]:
        """Return all frames with the numbers of their cameras, by stamp."""
        pending = [(index, frame) for index, queue in enumerate(self._queues) for frame in queue]
        return sorted(pending, key=lambda item: (item[1].stamp_ns, item[0]))

    @property
    def waiting(self) -> int:
        """Number of cameras with a frame."""
        return sum(map(bool, self._queues))

    def length(self, index: int) -> int:
        """Return the number of frames of a camera."""
        return len(self._queues[index])

    def is_full(self, index: int) -> bool:
        """Return whether the next frame of a camera pushes out its oldest."""
        return len(self._queues[index]) == self._size

    def is_newest(self, index: int, frame: CameraFrame) -> bool:
        """Return whether a frame is the last one of its camera."""
        return self._queues[index][-1] is frame

    def match(self, stamp_ns: int) -> tuple[dict[int, CameraFrame], set[int]]:
        """Return the set that starts at a stamp, and the cameras a later set has taken from it."""
        match = self._candidate(stamp_ns)
        best: dict[int, CameraFrame] = {}
        best_rank = _rank(match)
        latest = stamp_ns + self._tolerance_ns
        starts = {f.stamp_ns for queue in self._queues for f in queue}
        for start_ns in sorted(start for start in starts if stamp_ns < start <= latest):
            rival = self._candidate(start_ns)
            if _rank(rival) > best_rank:
                best, best_rank = rival, _rank(rival)
        taken = {i for i, frame in match.items() if best.get(i) is frame}
        return {i: frame for i, frame in match.items() if i not in taken}, taken

    def _candidate(self, stamp_ns: int) -> dict[int, CameraFrame]:
        """Return per camera its first frame within the tolerance after a stamp."""
        latest = stamp_ns + self._tolerance_ns
        found: dict[int, CameraFrame] = {}
        for index, queue in enumerate(self._queues):
            for frame in queue:
                if frame.stamp_ns >= stamp_ns:
                    if frame.stamp_ns <= latest:
                        found[index] = frame
                    break
        return found


def _rank(match: dict[int, CameraFrame]) -> tuple[int, int]:
    """Return a key that is larger for the better of two sets."""
    stamps = [frame.stamp_ns for frame in match.values()]
    return len(match), min(stamps) - max(stamps)
