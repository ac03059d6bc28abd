"""What a dataset is once it is open: frames that are read when they are asked for.

Opening reads lists, poses and at most one image header a camera; pixels only come with
`read_image` and `read_depth`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from da3_ros.errors import SourceError, StreamError
from da3_ros.foreign import plain_path
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.notes import Note
from da3_ros.sources.datasets.depth_files import IN_MM, DepthFiles, DepthView
from da3_ros.sources.images import read_stored
from da3_ros.sources.lenses import Lens
from da3_ros.sources.rectification import rectification_of
from da3_ros.types import CameraFrame, ColourImage, FloatImage, Mask, RigCalibration


@dataclass(frozen=True, slots=True, eq=False)
class DatasetFrame:
    """One image of one camera; nothing of it has been read."""

    camera: str
    """One of the dataset's cameras."""
    stamp_ns: int
    """Exactly as the dataset has it; where it has none, a note says what stands for it."""
    image: Path
    lens: Lens | None
    """Of the image as it is stored; None where the dataset does not say."""
    world_from_camera: FloatArray | None
    """(4, 4) true pose of the optical frame; None where there is no truth."""
    depth: Path | None
    """Measured or rendered; None where there is none."""
    depth_view: DepthView | None = None
    """The depth camera, where depth is not of the image's own; None where it is."""

    @property
    def calibration(self) -> PinholeCamera | None:
        """Intrinsics of the image as `Dataset.read_image` returns it; None when unknown.

        Raises:
            SourceError: the distortion cannot be undone.
        """
        if self.lens is None or not self.lens.is_distorted:
            return None if self.lens is None else self.lens.pinhole
        return rectification_of(self.lens).camera


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Images of one recording, with what is known of them."""

    name: str
    """Of the folder."""
    kind: str
    """One of `KINDS`."""
    cameras: tuple[str, ...]
    """At least one; the first is the reference."""
    frames: Sequence[DatasetFrame]
    """In the order of stamps, and of `cameras` where they are equal; at least one."""
    truth: tuple[StampedPose, ...] = ()
    """True trajectory in the order of its own stamps, of what `truth_of` names; empty where the
    dataset has none."""
    truth_of: str = ''
    """A camera, for its optical frame, or `body` for the base of `rig`; empty without truth. That
    camera need not be one of `cameras`."""
    rig: RigCalibration = field(default_factory=RigCalibration)
    """Where the cameras sit on the body; empty for one camera that is all there is."""
    notes: tuple[Note, ...] = ()
    """What is missing, and what was left out."""
    is_stamped: bool = True
    """False where the dataset has no stamps, and numbers of images stand for them."""
    is_metric: bool = True
    """Whether positions are metres; else they have a unit of the dataset's own."""
    depth_files: DepthFiles = IN_MM
    """How the values of depth images are read."""

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    def of_camera(self, camera: str) -> list[DatasetFrame]:
        """Return the frames of one camera in the order of stamps.

        Raises:
            SourceError: there is no such camera.
        """
        if camera not in self.cameras:
            raise SourceError(
                f'{self.name}: expected one of the cameras {", ".join(self.cameras)}, '
                f'got {camera!r}'
            )
        return [frame for frame in self.frames if frame.camera == camera]

    def read_image(self, frame: DatasetFrame) -> ColourImage:
        """Return the pixels (H, W, 3), lens distortion undone; transparent ones are opaque here.

        Calibration is by pixels as they are stored: an EXIF orientation is not applied.

        Raises:
            SourceError: the file is damaged, or not of the size that its calibration is for.
        """
        return self._pixels(frame)[0]

    def read_depth(self, frame: DatasetFrame) -> FloatImage:
        """Return depth along the axis (H, W), metres; NaN where unknown. Of the image's size.

        Values are picked, never mixed, where depth has another size or distortion is undone.

        Raises:
            SourceError: there is none for the frame, or the file is damaged or no depth.
        """
        if frame.depth is None:
            raise SourceError(f'{plain_path(frame.image)}: {self.name} has no depth for it')
        return self.depth_files.read(frame.depth, frame.image, frame.lens, frame.depth_view)

    def camera_frame(self, frame: DatasetFrame) -> CameraFrame:
        """Return a frame as a source of the pipeline delivers it.

        Raises:
            SourceError: as of `read_image`.
        """
        image, valid = self._pixels(frame)
        try:
            return CameraFrame(
                frame.camera,
                frame.stamp_ns,
                f'{frame.camera}_optical_frame',
                image,
                frame.calibration,
                valid,
            )
        except StreamError as error:
            raise SourceError(f'{plain_path(frame.image)}: {error}') from error

    def _pixels(self, frame: DatasetFrame) -> tuple[ColourImage, Mask | None]:
        """Return the pixels, and which of them show something; None when all do."""
        stored = read_stored(frame.image)
        lens = frame.lens
        if lens is not None and stored.shape[:2] != (lens.size.height, lens.size.width):
            raise SourceError(
                f'{plain_path(frame.image)}: expected {lens.size.width}x{lens.size.height} as the '
                f'calibration of {frame.camera}, got {stored.shape[1]}x{stored.shape[0]}'
            )
        if lens is not None and lens.is_distorted:
            stored = rectification_of(lens).apply(stored)
        if stored.shape[2] == 3:
            return stored, None
        return np.ascontiguousarray(stored[..., :3]), stored[..., 3] > 0


def in_order(
    frames: Iterable[DatasetFrame], cameras: tuple[str, ...], notes: list[Note]
) -> tuple[DatasetFrame, ...]:
    """Return frames in the order that `Dataset` has, no camera twice at a stamp.

    Args:
        frames: in any order.
        cameras: of the dataset.
        notes: where frames that had to go are said.
    """
    places = {camera: place for place, camera in enumerate(cameras)}
    ordered = sorted(frames, key=lambda frame: (frame.stamp_ns, places[frame.camera]))
    kept: dict[tuple[int, str], DatasetFrame] = {}
    for frame in ordered:
        kept.setdefault((frame.stamp_ns, frame.camera), frame)
    doubled = len(ordered) - len(kept)
    if doubled:
        text = f'{doubled} images have the stamp of one before, of the same camera; left out'
        notes.append(Note('dataset_stamps', text, {'images': doubled}))
    return tuple(kept.values())
