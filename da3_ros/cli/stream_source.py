"""What `da3 stream` reads: a video, images or a dataset, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from da3_ros.cli.named_inputs import NamedInputs, named_inputs
from da3_ros.cli.stream_reading import (
    PLAIN,
    RATE_UNUSED,
    Reading,
    Shrink,
    StreamSource,
    Unreadable,
    files_text,
    first_readable,
    with_image,
)
from da3_ros.errors import SourceError
from da3_ros.foreign import plain_path
from da3_ros.types import CameraFrame, RigCalibration

CAMERA = 'camera'
"""Name of the one camera of a video and of images."""

_NS_PER_S = 1_000_000_000


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
    if not is_folder and reading.dataset not in ('auto', PLAIN):
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
    if is_one or kind not in ('auto', PLAIN):
        return DatasetStream(open_dataset(path, kind), path, reading)
    found = find_images(path, reading.suffixes)
    return ImageStream(path, found.files, reading, found.notes)
