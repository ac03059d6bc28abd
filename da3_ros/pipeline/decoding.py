"""Pixels of frames that came compressed: decoded when their set is used, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import replace

from da3_ros.types import CameraFrame, FrameSet

_THREADS = 4


class FrameDecoder:
    """Decodes the frames of sets; `decoded` is for one thread.

    OpenCV lets other threads run meanwhile, so that a set of many cameras takes little longer than
    one of its images.
    """

    def __init__(self) -> None:
        # Its threads begin with the first set that needs them.
        self._pool = ThreadPoolExecutor(_THREADS, 'da3_decoder')
        self._is_closed = False

    def decoded(self, frame_set: FrameSet, least: int) -> FrameSet | None:
        """Return a set whose frames have their pixels.

        Args:
            frame_set: as the synchroniser gives it.
            least: frames that a set needs.

        Returns:
            The set without the cameras whose images could not be decoded; None when too few are
            left. Whoever made such a frame has said so. None, too, when `close` came first.
        """
        if all(frame.pending is None for frame in frame_set.frames):
            return frame_set
        try:
            frames = [frame for frame in self._all(frame_set.frames) if frame is not None]
        except (CancelledError, RuntimeError):  # of a pool that is shut down
            if self._is_closed:
                return None
            raise
        if len(frames) < max(least, 1):
            return None
        cameras = {frame.camera for frame in frames}
        lost = tuple(f.camera for f in frame_set.frames if f.camera not in cameras)
        return replace(
            frame_set,
            # The stamp of a set is its name, whichever of its frames are left.
            frames=tuple(frames),
            missing=frame_set.missing + lost,
        )

    def close(self) -> None:
        """End the threads; from any thread, also while a set is decoded."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _all(self, frames: Sequence[CameraFrame]) -> Sequence[CameraFrame | None]:
        if len(frames) == 1:
            return [frames[0].decoded()]
        return list(self._pool.map(CameraFrame.decoded, frames))
