"""What `da3 stream` reads: a video, images or a dataset, one frame after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import typer

from da3_ros.cli.named_inputs import NamedInputs, named_inputs
from da3_ros.errors import SourceError
from da3_ros.foreign import plain_line, plain_path
from da3_ros.types import CameraFrame, ColourImage, RigCalibration

if TYPE_CHECKING:
    from da3_ros.geometry.camera import ImageSize

CAMERA = 'camera'
"""Name of the one camera of a video and of images."""

_NS_PER_S = 1_000_000_000
_SHOWN_FILES = 3
_PLAIN = 'none'
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


class VideoStream:
    """Frames of a video, with the stamps of their presentation.

    Raises:
        SourceError: it is no video.
    """

    cameras: tuple[str, ...] = (CAMERA,)

    def __init__(self, path: Path, reading: Reading) -> None:
        from da3_ros.sources.video import VideoReader

        self.path = path
        self.rig = RigCalibration()
        self._every = reading.every
        self._rate_hz = reading.fps or None
        self._reader = VideoReader(path, camera=CAMERA, rate_hz=self._rate_hz)
        self.size = self._reader.info.size

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The video."""
        return (self.path,)

    @property
    def frames_expected(self) -> int:
        """Frames at the rate, by the header."""
        return max(1, -(-self._reader.length().kept(self._rate_hz) // self._every))

    @property
    def span_ns(self) -> tuple[int, int]:
        """From the stamp that videos begin with on, as long as the header says."""
        from da3_ros.sources.video import VIDEO_START_NS

        length_ns = round(self._reader.length().length_s * _NS_PER_S)
        return VIDEO_START_NS, VIDEO_START_NS + length_ns

    @property
    def stamps_ns(self) -> tuple[int, ...] | None:
        """Not known before the video is decoded."""
        return None

    @property
    def identity(self) -> str:
        """Its name, size and time of change."""
        return files_text((self.path,))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader found."""
        return tuple(note.text for note in self._reader.notes)

    def frames(self, shrink: Shrink) -> Iterator[tuple[int, CameraFrame]]:
        """Yield the frames; see `StreamSource`."""
        for number, frame in enumerate(self._reader.frames()):
            if number % self._every == 0:
                yield number, with_image(frame, shrink)


class ImageStream:
    """Images in the order of their names, or as they were named."""

    cameras: tuple[str, ...] = (CAMERA,)

    def __init__(
        self, path: Path, files: Sequence[Path], reading: Reading, notes: Sequence[str] = ()
    ) -> None:
        from da3_ros.sources.image_stamps import ASSUMED_RATE_HZ, stamps_at_rate, stamps_of_names
        from da3_ros.sources.images import read_header

        self.path = path
        self.rig = RigCalibration()
        self._files = tuple(files)
        self._every = reading.every
        self._unreadable = Unreadable()
        self._notes = list(notes)
        named = stamps_of_names(files)
        if named is None and not reading.fps:
            self._notes.append(
                f'the names of the images are no times: {ASSUMED_RATE_HZ:g} a second were assumed'
            )
        if named is not None and reading.fps:
            self._notes.append(RATE_UNUSED)
        self._stamps_ns = named or stamps_at_rate(len(files), reading.fps or ASSUMED_RATE_HZ)
        self.size = first_readable(files, lambda path: read_header(path).size)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The images."""
        return self._files

    @property
    def frames_expected(self) -> int:
        """The images that are taken."""
        return -(-len(self._files) // self._every)

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp."""
        return self._stamps_ns[0], self._stamps_ns[-1]

    @property
    def stamps_ns(self) -> tuple[int, ...] | None:
        """Of all images."""
        return self._stamps_ns

    @property
    def identity(self) -> str:
        """Names, sizes and times of change of the images, and their stamps."""
        return f'{files_text(self._files)}, {self._stamps_ns[0]}..{self._stamps_ns[-1]}'

    @property
    def notes(self) -> tuple[str, ...]:
        """Also which images could not be read."""
        return (*self._notes, *self._unreadable.notes())

    def frames(self, shrink: Shrink) -> Iterator[tuple[int, CameraFrame]]:
        """Yield the frames; see `StreamSource`. What cannot be read is left out and counted."""
        from da3_ros.foreign import foreign_file
        from da3_ros.images.decode import read_image

        self._unreadable = Unreadable()
        for number, path in enumerate(self._files):
            if number % self._every:
                continue
            try:
                with foreign_file(path, 'image'):
                    found = read_image(path)
            except SourceError as error:
                self._unreadable.add(path, error)
                continue
            frame = CameraFrame(
                CAMERA,
                self._stamps_ns[number],
                f'{CAMERA}_optical_frame',
                found.pixels,
                valid=found.visible,
            )
            yield number, with_image(frame, shrink)


def stream_source(names: Sequence[Path], reading: Reading) -> StreamSource:
    """Return the source of what a user named: a video, images, a folder of them, or a dataset.

    Raises:
        BadParameter: `--fps` makes no sense, or there are several folders.
        SourceError: it is none of these; says what there is.
    """
    reading.check()
    inputs = named_inputs(names)
    is_folder = len(inputs.everything) == 1 and inputs.everything[0].is_dir()
    if not is_folder and reading.dataset not in ('auto', _PLAIN):
        raise typer.BadParameter(
            f'--dataset {reading.dataset}: expected the folder of a dataset, got a video or images'
        )
    if len(inputs.everything) == 1:
        (path,) = inputs.everything
        return _of_folder(path, reading) if is_folder else _of_file(path, inputs, reading)
    if inputs.folders:
        raise typer.BadParameter(
            'expected a video, a folder, or images, got several folders; each is a stream of its '
            'own'
        )
    return _of_files(inputs, reading)


def _of_file(path: Path, inputs: NamedInputs, reading: Reading) -> StreamSource:
    from da3_ros.sources.images import IMAGE_SUFFIXES

    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _of_files(inputs, reading)
    return VideoStream(path, reading)


def _of_files(inputs: NamedInputs, reading: Reading) -> StreamSource:
    from da3_ros.cli.named_inputs import FilesSource

    source = FilesSource(inputs, allow_damaged=True)
    repeated = ', '.join(map(plain_path, inputs.repeated))
    notes = (f'named more than once, taken once: {repeated}',) if repeated else ()
    return ImageStream(source.path, source.files, reading, notes)


def _of_folder(path: Path, reading: Reading) -> StreamSource:
    from da3_ros.cli.stream_dataset import DatasetStream
    from da3_ros.sources.datasets.opening import KINDS, open_dataset
    from da3_ros.sources.images import find_images

    kind = reading.dataset
    is_one = kind == 'auto' and any(known.is_it(path) for known in KINDS.values())
    if is_one or kind not in ('auto', _PLAIN):
        return DatasetStream(open_dataset(path, kind), path, reading)
    found = find_images(path, reading.suffixes)
    return ImageStream(path, found.files, reading, found.notes)


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
