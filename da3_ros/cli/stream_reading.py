"""How `da3 stream` reads: what every source of frames has in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line
from da3_ros.types import CameraFrame, ColourImage, RigCalibration

if TYPE_CHECKING:
    from da3_ros.geometry.camera import ImageSize

_SHOWN_FILES = 3
PLAIN = 'none'
_LEAST_FPS, _MOST_FPS = 1e-5, 1e6
"""About an image a day, and what is told apart in ns."""
RATE_UNUSED = '--fps changes nothing: the images have stamps of their own; --every takes fewer'

_Item = TypeVar('_Item')
_Read = TypeVar('_Read')

Shrink = Callable[[ColourImage], ColourImage]
"""Returns what is kept in memory of an image: the network sees the same of it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How frames are taken of an input."""

    fps: float
    every: int
    suffixes: tuple[str, ...]
    """Of files that are images, in lower case with dot."""
    dataset: str
    """Layout of a folder: a kind of `sources.datasets`, `auto`, or `none` for plain images."""

    def check(self) -> None:
        """Refuse a rate that is none.

        Raises:
            BadParameter: says so.
        """
        if self.fps and not _LEAST_FPS <= self.fps <= _MOST_FPS:
            raise typer.BadParameter(
                f'--fps: expected 0, or {_LEAST_FPS:g} to {_MOST_FPS:.0f}, got {self.fps:g}'
            )


@dataclass(slots=True)
class Unreadable:
    """Frames that could not be read; they are left out."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, path: Path, error: SourceError) -> None:
        """Count a file."""
        self.count += 1
        if len(self.first) < _SHOWN_FILES:
            self.first.append(f'{path.name} ({plain_line(error, 120)})')

    def notes(self) -> tuple[str, ...]:
        """Return what is said of them."""
        if not self.count:
            return ()
        return (f'left out: {self.count} images that cannot be read: {", ".join(self.first)}',)


class StreamSource(Protocol):
    """Frames of any number."""

    path: Path
    """What the user named."""
    cameras: tuple[str, ...]
    rig: RigCalibration
    size: ImageSize
    """Of the first image."""

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files and folders that are read."""
        ...

    @property
    def frames_expected(self) -> int:
        """How many frames there will be, of all cameras together; of a video by its header."""
        ...

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp, as far as is known beforehand."""
        ...

    @property
    def stamps_ns(self) -> tuple[int, ...] | None:
        """Stamps of all images of the first camera, taken or not; None of a video."""
        ...

    @property
    def identity(self) -> str:
        """A text that is another one for another input."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know; complete when the frames came to their end."""
        ...

    def frames(self, shrink: Shrink) -> Iterator[tuple[int, CameraFrame]]:
        """Yield the frames in the order of stamps, each with its number in the input.

        Raises:
            SourceError: the input cannot be read.
        """
        ...


def first_readable(items: Sequence[_Item], read: Callable[[_Item], _Read]) -> _Read:
    """Return what is read of the first item that can be; there is at least one.

    Raises:
        SourceError: none can.
    """
    for item in items[:-1]:
        with suppress(SourceError):
            return read(item)
    return read(items[-1])


def files_text(files: Sequence[Path]) -> str:
    """Return names, sizes and times of change of files as a short text."""
    digest = hashlib.sha256()
    for path in files:
        state = path.stat()
        digest.update(os.fsencode(path.name))
        digest.update(f'\0{state.st_size}\0{state.st_mtime_ns}\0'.encode())
    return f'{len(files)} files, {digest.hexdigest()[:16]}'


def with_image(frame: CameraFrame, shrink: Shrink) -> CameraFrame:
    """Return a frame that keeps as much of its image as the network needs.

    What goes with the pixels (calibration, mask) would have to be resized just as exactly.
    """
    if frame.calibration is not None or frame.valid is not None:
        return frame
    image = shrink(frame.image)
    if image is frame.image:
        return frame
    return CameraFrame(frame.camera, frame.stamp_ns, frame.frame_id, image)
