"""Pixels of frames that came compressed: decoded when their set is used, several at a time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, replace

from da3_ros.types import CameraFrame, FrameSet

_THREADS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What became of a set whose images were decoded."""

    frame_set: FrameSet | None
    """With pixels, without the cameras that are lost; None when too few are left."""
    undecodable: tuple[str, ...] = ()
    """Cameras whose images could not be decoded. Whoever made such a frame has said so."""
    incomplete: tuple[str, ...] = ()
    """Cameras whose images are lost with them, because too few are left."""


class FrameDecoder:
    """Decodes the frames of sets; `decoded` is for one thread.

    OpenCV lets other threads run meanwhile, so that a set of many cameras takes little longer than
    one of its images.
    """

    def __init__(self) -> None:
        # Its threads begin with the first set that needs them.
        self._pool = ThreadPoolExecutor(_THREADS, 'da3_decoder')
        self._is_closed = False

    def decoded(self, frame_set: FrameSet, least: int) -> Decoded:
        """Return a set whose frames have their pixels.

        Args:
            frame_set: as the synchroniser gives it.
            least: frames that a set needs.

        Returns:
            None of the set when `close` came first.
        """
        if all(frame.pending is None for frame in frame_set.frames):
            return Decoded(frame_set)
        try:
            frames = [frame for frame in self._all(frame_set.frames) if frame is not None]
        except (CancelledError, RuntimeError):  # of a pool that is shut down
            if self._is_closed:
                return Decoded(None)
            raise
        left = tuple(frame.camera for frame in frames)
        lost = tuple(f.camera for f in frame_set.frames if f.camera not in left)
        if len(frames) < max(least, 1):
            return Decoded(None, lost, left)
        # The stamp of a set is its name, whichever of its frames are left.
        whole = replace(frame_set, frames=tuple(frames), missing=frame_set.missing + lost)
        return Decoded(whole, lost)

    def close(self) -> None:
        """End the threads; from any thread, also while a set is decoded."""
        self._is_closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _all(self, frames: Sequence[CameraFrame]) -> Sequence[CameraFrame | None]:
        if len(frames) == 1:
            return [frames[0].decoded()]
        return list(self._pool.map(CameraFrame.decoded, frames))
