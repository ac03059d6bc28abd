"""What comes in: images, sets of one instant, windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.notes import Note
from da3_ros.types.images import ColourImage, Mask
from da3_ros.types.priors import KnownPoses, PosePrior

_NO_PRIOR = PosePrior()


@dataclass(frozen=True, slots=True)
class ViewId:
    """Which image of which camera: what is left of a frame when its pixels are gone."""

    camera: str
    """Name of the camera, one of the rig's."""
    stamp_ns: int
    """When the image was taken; copied, never computed."""
    frame_id: str
    """Optical frame of the camera, exactly as the source names it; empty when it names none."""


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One image of one camera.

    Raises:
        StreamError: on construction, when image, calibration and valid mask disagree about the
            size.
    """

    camera: str
    """Name of the camera, one of the rig's."""
    stamp_ns: int
    """When the image was taken; copied, never computed."""
    frame_id: str
    """Optical frame of the camera, exactly as the source names it."""
    image: ColourImage
    """(H, W, 3) uint8 RGB."""
    calibration: PinholeCamera | None = None
    """The source's own intrinsics for this image size, None when unknown."""
    valid: Mask | None = None
    """(H, W), False where the image shows nothing because the lens does not reach there; None
    when all of it shows something."""
    quarter_turns: int = 0
    """Clockwise quarters by which the image is rotated against that of the camera, 0 to 3."""
    pending: Callable[[], ColourImage | None] | None = None
    """Decodes the pixels, which `image` has the size of and no more; gives None where that fails,
    of which it has told. None when the pixels are there."""
    id: ViewId = field(init=False)
    """Which image of which camera this is."""
    size: ImageSize = field(init=False)
    """The image's size."""

    def __post_init__(self) -> None:
        """Check that the image is one, and that calibration and valid mask are of its size."""
        shape = self.image.shape
        if len(shape) != 3 or shape[2] != 3 or 0 in shape or self.image.dtype != np.uint8:
            raise StreamError(
                f'camera {self.camera}: expected a uint8 image (H, W, 3), '
                f'got {self.image.dtype} {shape}'
            )
        # Once: a window asks again and again.
        object.__setattr__(self, 'id', ViewId(self.camera, self.stamp_ns, self.frame_id))
        object.__setattr__(self, 'size', ImageSize(int(shape[0]), int(shape[1])))
        if self.calibration is not None and self.calibration.size != self.size:
            raise StreamError(
                f'camera {self.camera}: the image is {self.size}, '
                f'its calibration is for {self.calibration.size}'
            )
        if self.valid is not None and self.valid.shape != self.image.shape[:2]:
            raise StreamError(
                f'camera {self.camera}: the image is {self.size}, '
                f'its valid mask {self.valid.shape}'
            )

    def decoded(self) -> CameraFrame | None:
        """Return the frame with its pixels; None when they cannot be had."""
        if self.pending is None:
            return self
        image = self.pending()
        return None if image is None else replace(self, image=image, pending=None)


@dataclass(frozen=True, slots=True, eq=False)
class FrameSet:
    """Images of one instant, at most one per camera.

    Raises:
        StreamError: on construction, when empty or when a camera occurs twice.
    """

    stamp_ns: int
    """The instant: the stamp of the earliest frame."""
    frames: tuple[CameraFrame, ...]
    """In the rig's order of cameras; at least one."""
    missing: tuple[str, ...] = ()
    """Cameras of the rig without a frame in this set."""
    prior: PosePrior | None = None
    """Poses that are known beforehand; None when the rig's calibration is all there is."""

    def __post_init__(self) -> None:
        """Check that there is at least one frame and no camera twice."""
        names = [frame.camera for frame in self.frames]
        if not names or len(set(names)) != len(names):
            raise StreamError(f'frame set: expected one frame per camera, got {names}')


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Frame sets that one forward pass sees together, oldest first."""

    index: int
    """Counts windows from 0."""
    sets: tuple[FrameSet, ...]
    new_sets: int
    """How many sets at the end were in no earlier window; 1 <= new_sets <= len(sets)."""
    generation: int = 0
    """Of which stream it is: unique in the process, and within it a `ViewId` has one image. 0 when
    nothing promises that, so that nothing may be kept of its views for other windows."""
    depth_of: frozenset[ViewId] | None = None
    """Views whose depth its reader needs; None for all. Of others there need not be any."""

    def __post_init__(self) -> None:
        """Check the number of new sets."""
        if not 1 <= self.new_sets <= len(self.sets):
            raise StreamError(f'window {self.index}: {self.new_sets} new of {len(self.sets)} sets')

    def __reduce__(self) -> tuple[object, ...]:
        """Copy, also to another process, where the generation would be that of another stream."""
        return Window, (self.index, self.sets, self.new_sets, 0, self.depth_of)

    @property
    def views(self) -> tuple[CameraFrame, ...]:
        """All frames, set by set: the order of `WindowPrediction.views`."""
        return tuple([frame for frame_set in self.sets for frame in frame_set.frames])

    def needs_depth(self, view: ViewId) -> bool:
        """Return whether the reader of the window needs depth of a view."""
        return self.depth_of is None or view in self.depth_of

    def known_poses(self) -> KnownPoses:
        """Return what the priors of the sets tell about the poses of the views."""
        priors = [frame_set.prior or _NO_PRIOR for frame_set in self.sets]
        odometry = self._poses([prior.odometry_from_camera for prior in priors])
        missing = len(self.views) - len(odometry)
        if not missing:
            return KnownPoses(np.array(odometry), 'odometry', len(odometry))
        if len(self.sets) == 1:
            rig = self._poses([priors[0].base_from_camera])
            if len(rig) == len(self.views):
                return KnownPoses(np.array(rig), 'rig', len(odometry))
        reason = next((prior.notes for prior in priors if prior.notes), ())
        notes: tuple[Note, ...] = ()
        if odometry or reason:  # else nobody promised any
            # What was left out is a note of its own.
            why = [note for note in reason if note.code != 'prior_left_out']
            notes = (_incomplete(missing, len(self.views), why),)
        return KnownPoses(None, 'none', len(odometry), notes)

    def _poses(self, by_set: Sequence[Mapping[str, FloatArray]]) -> list[FloatArray]:
        return [
            poses[frame.camera]
            for frame_set, poses in zip(self.sets, by_set, strict=True)
            for frame in frame_set.frames
            if frame.camera in poses
        ]


def _incomplete(missing: int, views: int, reason: Sequence[Note]) -> Note:
    text = f'no odometry for {missing} of {views} views'
    if reason:
        text = f'{text}: {", ".join(note.text for note in reason)}'
    return Note('odometry_incomplete', text, {'missing': missing, 'views': views})
