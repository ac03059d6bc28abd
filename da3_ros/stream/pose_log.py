"""Every pose since the start in little memory, for a trajectory that is saved in the end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
import threading

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import StreamError
from da3_ros.geometry.se3 import require_rigid
from da3_ros.stream.trajectory import StampedPose

# Fourteen hours at ten poses a second; 104 bytes each.
DEFAULT_CAPACITY = 500_000
_BLOCK = 4096


class _Block:
    """Some poses in a row."""

    def __init__(self, size: int) -> None:
        self.stamps_ns: NDArray[np.int64] = np.empty(size, np.int64)
        self.poses: NDArray[np.float64] = np.empty((size, 3, 4))
        self.count = 0

    def copy(self) -> _Block:
        """Return a block of the same poses."""
        other = _Block(len(self.stamps_ns))
        other.stamps_ns[: self.count] = self.stamps_ns[: self.count]
        other.poses[: self.count] = self.poses[: self.count]
        other.count = self.count
        return other


class PoseLog:
    """Keeps stamps and poses only, in blocks; safe to use from several threads.

    Args:
        capacity: poses kept at least; somewhat more are, then the oldest block goes.

    Raises:
        StreamError: the capacity is below 1.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        if capacity < 1:
            raise StreamError(f'pose log: expected a capacity >= 1, got {capacity}')
        self._size = min(capacity, _BLOCK)
        # One block more than the capacity fills, for the one that is not full yet.
        self._most_blocks = -(-capacity // self._size) + 1
        self._blocks: deque[_Block] = deque()
        self._last_ns: int | None = None
        self._dropped = 0
        self._lock = threading.Lock()

    def append(self, stamp_ns: int, world_from_base: ArrayLike) -> bool:
        """Add a pose; return False, and leave it out, when it is not newer than the last.

        Raises:
            GeometryError: the pose is no rigid transform.
        """
        pose = require_rigid('world_from_base', world_from_base)
        with self._lock:
            if self._last_ns is not None and stamp_ns <= self._last_ns:
                return False
            self._last_ns = stamp_ns
            if not self._blocks or self._blocks[-1].count == self._size:
                self._blocks.append(_Block(self._size))
            block = self._blocks[-1]
            block.stamps_ns[block.count] = stamp_ns
            block.poses[block.count] = pose[:3]
            block.count += 1
            if len(self._blocks) > self._most_blocks:
                self._dropped += self._blocks.popleft().count
            return True

    def poses(self) -> Sequence[StampedPose]:
        """Return what is kept, oldest first; later changes do not touch it."""
        with self._lock:
            parts = [
                (b.stamps_ns[: b.count].copy(), b.poses[: b.count].copy()) for b in self._blocks
            ]
        bottom = np.array([0.0, 0.0, 0.0, 1.0])
        return [
            StampedPose(int(stamp_ns), np.vstack([pose, bottom]))
            for stamps_ns, poses in parts
            for stamp_ns, pose in zip(stamps_ns, poses, strict=True)
        ]

    def snapshot(self) -> PoseLog:
        """Return a log of the same poses that later changes do not touch; takes no time.

        Full blocks never change again, so that both share them.
        """
        with self._lock:
            copy = PoseLog(1)
            copy._size, copy._most_blocks = self._size, self._most_blocks
            copy._last_ns, copy._dropped = self._last_ns, self._dropped
            copy._blocks = deque(self._blocks)
            if copy._blocks and copy._blocks[-1].count < self._size:
                copy._blocks[-1] = copy._blocks[-1].copy()
            return copy

    @property
    def dropped(self) -> int:
        """Oldest poses that had to go since the start or the last `clear`."""
        with self._lock:
            return self._dropped

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._blocks.clear()
            self._last_ns = None
            self._dropped = 0

    def __len__(self) -> int:
        with self._lock:
            return sum(block.count for block in self._blocks)
