"""Frames of a video on their way to the network, and to files beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from da3_ros.cli.input_images import save_image
from da3_ros.process import usable_cores
from da3_ros.types import ColourImage

# Full frames that wait to be written; more would only hold memory.
_MOST_WAITING_BYTES = 256 * 2**20


class FrameWriter:
    """Writes frames without loss in threads of its own, while others are decoded.

    Args:
        folder: of the files.
        pool: does the work.
    """

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        self._folder = folder
        self._pool = pool
        self._waiting: deque[Future[None]] = deque()
        self.paths: list[Path] = []
        """In the order of the frames."""

    def add(self, image: ColourImage) -> None:
        """Write a frame soon.

        Raises:
            ExportError: this one or one before cannot be written.
        """
        path = self._folder / f'{len(self.paths):06d}.png'
        self.paths.append(path)
        most = max(2, _MOST_WAITING_BYTES // max(1, image.nbytes))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) >= most):
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(save_image, path, image))

    def finish(self) -> None:
        """Wait until everything is written.

        Raises:
            ExportError: a frame cannot be written.
        """
        while self._waiting:
            self._waiting.popleft().result()


@contextmanager
def frame_writer(folder: Path) -> Iterator[FrameWriter]:
    """Yield a writer; when the body raises, what waits is not written."""
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix='frames') as pool:
        try:
            writer = FrameWriter(folder, pool)
            yield writer
            writer.finish()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


Shrink = Callable[[ColourImage], ColourImage]
"""Returns what is kept in memory of an image: the network sees the same of it."""
