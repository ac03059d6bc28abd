"""A dataset of a known layout as what `da3 stream` reads."""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
from pathlib import Path

from da3_ros.cli.stream_reading import (
    RATE_UNUSED,
    Reading,
    Shrink,
    Unreadable,
    files_text,
    first_readable,
    with_image,
)
from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.datasets.dataset import Dataset, DatasetFrame
from da3_ros.types import CameraFrame


class DatasetStream:
    """Images of a dataset with their stamps and intrinsics; several cameras are a rig."""

    def __init__(self, dataset: Dataset, path: Path, reading: Reading) -> None:
        self.path = path
        self.cameras = dataset.cameras
        self.rig = dataset.rig
        self._dataset = dataset
        self._unreadable = Unreadable()
        self._taken: list[tuple[int, DatasetFrame]] = []
        counts = dict.fromkeys(dataset.cameras, 0)
        for frame in dataset.frames:
            if counts[frame.camera] % reading.every == 0:
                self._taken.append((counts[frame.camera], frame))
            counts[frame.camera] += 1
        self._notes = (RATE_UNUSED,) if reading.fps else ()
        taken = [frame for _, frame in self._taken]
        height, width = first_readable(taken, lambda f: dataset.read_image(f).shape[:2])
        self.size = ImageSize(height, width)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The folder."""
        return (self.path,)

    @property
    def frames_expected(self) -> int:
        """The images that are taken, of all cameras."""
        return len(self._taken)

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp."""
        return self._taken[0][1].stamp_ns, self._taken[-1][1].stamp_ns

    @property
    def stamps_ns(self) -> tuple[int, ...] | None:
        """Of all images of the first camera."""
        return tuple(f.stamp_ns for f in self._dataset.of_camera(self.cameras[0]))

    @property
    def identity(self) -> str:
        """Names, sizes and times of change of the images, their stamps and intrinsics."""
        digest = hashlib.sha256()
        for _, frame in self._taken:
            digest.update(f'{frame.camera}\0{frame.stamp_ns}\0'.encode())
            if frame.calibration is not None:
                digest.update(frame.calibration.K.tobytes())
        for camera, pose in self.rig.base_from_camera.items():
            digest.update(camera.encode() + pose.tobytes())
        files = files_text([frame.image for _, frame in self._taken])
        return f'{self._dataset.kind}: {files}, {digest.hexdigest()[:16]}'

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the dataset, and which images could not be read."""
        of_dataset = (note.text for note in self._dataset.notes)
        return (*self._notes, *of_dataset, *self._unreadable.notes())

    def frames(self, shrink: Shrink) -> Iterator[tuple[int, CameraFrame]]:
        """Yield the frames; see `StreamSource`. What cannot be read is left out and counted."""
        self._unreadable = Unreadable()
        for number, taken in self._taken:
            try:
                frame = self._dataset.camera_frame(taken)
            except SourceError as error:
                self._unreadable.add(taken.image, error)
                continue
            yield number, with_image(frame, shrink)
