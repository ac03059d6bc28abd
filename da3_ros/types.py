"""Frozen values that travel between layers, and the roles that layers play for each other.

Numpy only. Images are uint8 RGB (H, W, 3); depth is z along the optical axis; stamps are integer
nanoseconds; poses are world_from_camera of the optical frame. Arrays are read-only by contract:
whoever needs another value makes another array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera

ColourImage = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class CameraFrame:
    """One image of one camera.

    Raises:
        StreamError: on construction, when image and calibration disagree about the size.
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

    def __post_init__(self) -> None:
        """Check that the image is one and that the calibration is of its size."""
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise StreamError(
                f'camera {self.camera}: expected a uint8 image (H, W, 3), '
                f'got {self.image.dtype} {self.image.shape}'
            )
        if self.calibration is not None and self.calibration.size != self.size:
            raise StreamError(
                f'camera {self.camera}: the image is {self.size}, '
                f'its calibration is for {self.calibration.size}'
            )

    @property
    def size(self) -> ImageSize:
        """The image's size."""
        return ImageSize(int(self.image.shape[0]), int(self.image.shape[1]))


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

    def __post_init__(self) -> None:
        """Check the number of new sets."""
        if not 1 <= self.new_sets <= len(self.sets):
            raise StreamError(f'window {self.index}: {self.new_sets} new of {len(self.sets)} sets')

    @property
    def views(self) -> tuple[CameraFrame, ...]:
        """All frames, set by set: the order of `WindowPrediction.views`."""
        return tuple(frame for frame_set in self.sets for frame in frame_set.frames)


@dataclass(frozen=True, slots=True, eq=False)
class ViewPrediction:
    """What a network says about one view."""

    depth: FloatImage
    """(h, w) in the window's unit; NaN unknown."""
    image: ColourImage
    """(h, w, 3) uint8 RGB, the pixels that depth belongs to."""
    window_from_camera: FloatArray
    """(4, 4) pose of the optical frame in the window's own gauge."""
    camera: PinholeCamera
    """Intrinsics at (h, w) as the network sees them."""
    calibrated_camera: PinholeCamera | None
    """The frame's own calibration carried through resize and crop; None when it had none."""
    confidence: FloatImage | None = None
    """(h, w), DA3's raw confidence, >= 1; None when the network gives none."""
    sky: Mask | None = None
    """(h, w), True where there is sky; None when the network does not segment it."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowPrediction:
    """What a network says about a window: geometry in a gauge and a scale of its own."""

    views: tuple[ViewPrediction, ...]
    """In the order of `Window.views`."""
    is_metric: bool = False
    """Whether depth and positions are in metres already."""
    conditioning: Literal['none', 'pose'] = 'none'
    """Whether known poses went into the prediction."""


class Estimator(Protocol):
    """Turns windows into geometry: DA3, or the truth over a synthetic world."""

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view of the window, in the order of its views."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RigCalibration:
    """Where the cameras sit on the robot."""

    base_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to rigid (4, 4), metres, optical frame in the body frame; may be partial."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedView:
    """One view in the world: what is published, stored and exported."""

    frame: CameraFrame
    """The input, with its exact stamp and frame id."""
    depth: FloatImage
    """(h, w) in world units; NaN unknown or sky."""
    image: ColourImage
    """(h, w, 3) uint8 RGB, same size as depth."""
    camera: PinholeCamera
    """Intrinsics at (h, w)."""
    is_calibrated: bool
    """Whether `camera` is the source's calibration rather than the network's guess."""
    world_from_camera: FloatArray
    """(4, 4), world units."""
    confidence: FloatImage | None
    """(h, w), raw, >= 1; None when the network gives none."""
    sky: Mask | None
    """(h, w); None when the network does not segment sky."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedSet:
    """All views of one instant in the world."""

    stamp_ns: int
    views: tuple[PosedView, ...]
    world_from_base: FloatArray
    """(4, 4) pose of the rig: base frame when the rig's calibration is known, else the body axes
    (x forward, z up) of the camera that was first when the world began; while that one is missing
    they follow the cameras seen beside it."""


ScaleSource = Literal['none', 'estimator', 'rig', 'chain']
AlignmentMethod = Literal['first', 'shared_views', 'dead_reckoning']


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """How a window was placed into the world."""

    method: AlignmentMethod
    """first: it defined the world; shared_views: by views of the window before;
    dead_reckoning: nothing was shared, so it stands where the last one ended."""
    shared_views: int
    scale: float
    """World units per unit of the window."""
    scale_source: ScaleSource
    """estimator: the network is metric; rig: baselines between cameras; chain: carried over from
    the window before; none: first window without any metric source."""
    scale_log_sigma: float
    """Standard deviation of log(scale) of the estimate; NaN when unknown."""
    is_metric: bool
    """Whether world units are metres."""
    rotation_residual_rad: float
    """RMS disagreement of the shared views' orientations; NaN without shared views."""
    translation_residual: float
    """RMS disagreement of the shared views' positions in world units; NaN without."""
    depth_residual: float
    """Robust spread of log depth ratios of shared views; NaN without."""
    note: str = ''
    """What a user should know, empty when nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowResult:
    """A window placed into the world."""

    window_index: int
    sets: int
    """Sets the window had in all."""
    new_sets: tuple[PosedSet, ...]
    """The sets no earlier window had, oldest first."""
    alignment: AlignmentReport
    estimate_s: float
    """Time the estimator took, on the injected clock; seconds."""
