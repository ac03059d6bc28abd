"""A video on the command line: its frames, evenly spaced in time, become one scene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
import math
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from da3_ros.cli.input_images import staged_images
from da3_ros.cli.reporting import say
from da3_ros.cli.scene_run import SceneInput
from da3_ros.cli.video_frames import Shrink, frame_writer
from da3_ros.cli.view_check import Extent
from da3_ros.errors import ModelError

if TYPE_CHECKING:
    from da3_ros.sources.video_times import Length
    from da3_ros.types import ColourImage

# Free memory changes a little from one run to the next.
_ROOM = 0.9


class VideoSource:
    """Frames of a video, evenly spaced in time."""

    def __init__(self, path: Path, fps: float, *, keep_frames: bool) -> None:
        from da3_ros.sources.video import VideoReader

        if not 0 < fps < math.inf:
            raise typer.BadParameter(f'--fps: expected more than 0, got {fps}')
        self.path = path
        self.fps = fps
        self._keep = keep_frames
        self._reader = VideoReader(path, rate_hz=fps)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The video."""
        return (self.path,)

    def extent(self, *, exact: bool = False) -> Extent:
        """Return how many frames the rate takes, by the header or by counting."""
        length = self._reader.length(exact=exact)
        return Extent(max(1, length.kept(self.fps)), frozenset({self._reader.info.size}))

    def fewer(self, most: int) -> str:
        """Return the `--fps` that takes at most so many frames, with some room."""
        return f'--fps {rate_for(self._reader.length(), most):g}'

    @contextmanager
    def open(self, export_dir: Path, *, shrink: Shrink, most: int | None) -> Iterator[SceneInput]:
        """Yield the frames; they are kept in `input_images/` without loss where that is wanted."""
        from tqdm import tqdm

        expected = self._reader.length().kept(self.fps)
        images: list[ColourImage] = []
        sizes = []
        paths: list[Path] = []
        with ExitStack() as until_exported:
            with ExitStack() as until_read:
                writer = None
                if self._keep:
                    folder = until_exported.enter_context(staged_images(export_dir))
                    writer = until_read.enter_context(frame_writer(folder))
                    paths = writer.paths
                bar = tqdm(total=expected, unit='img', desc='reading', disable=None)
                until_read.enter_context(bar)
                for frame in self._reader.frames():
                    if most is not None and len(images) == most:
                        self._refuse(most)
                    images.append(shrink(frame.image))
                    sizes.append(frame.size)
                    if writer is not None:
                        writer.add(frame.image)
                    bar.update()
            say(f'{self.path}: {len(images)} frames')
            yield SceneInput(
                self.path, images, files=tuple(paths), sizes=tuple(sizes), notes=self._notes()
            )

    def _notes(self) -> tuple[str, ...]:
        notes = [note.text for note in self._reader.notes]
        rate_hz = self._reader.info.rate_hz
        if rate_hz is not None and self.fps > rate_hz:
            notes.append(f'the video has only {rate_hz:g} frames per second; all were taken')
        return tuple(notes)

    def _refuse(self, most: int) -> NoReturn:
        """Raise because there are more frames than the header said.

        Raises:
            ModelError: always.
        """
        length = self._reader.length(exact=True)
        raise ModelError(
            f'{self.path}: the video is longer than its header says, {length.kept(self.fps)} '
            f'frames at --fps {self.fps:g}; about {most} fit into memory: use '
            f'{self.fewer(most)}, or a smaller --process-res or --model'
        )


def rate_for(length: Length, most: int) -> float:
    """Return a rate, two digits of it, at which a video gives at most so many frames."""
    rate = _ROOM * most / float(length.length_s)
    exponent = math.floor(math.log10(rate)) - 1
    return float(f'{math.floor(rate / 10.0**exponent)}e{exponent}')
