"""Frozen values that travel between layers, and the roles that layers play for each other.

Numpy only. Images are uint8 RGB (H, W, 3); depth is z along the optical axis; stamps are integer
nanoseconds; poses are world_from_camera of the optical frame. Arrays are read-only by contract:
whoever needs another value makes another array.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
import math
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import GeometryError, StreamError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.geometry.se3 import require_rigid
from da3_ros.notes import Note

ColourImage = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
Conditioning = Literal['none', 'pose']


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

    def __post_init__(self) -> None:
        """Check that the image is one, and that calibration and valid mask are of its size."""
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
        if self.valid is not None and self.valid.shape != self.image.shape[:2]:
            raise StreamError(
                f'camera {self.camera}: the image is {self.size}, '
                f'its valid mask {self.valid.shape}'
            )

    @property
    def id(self) -> ViewId:
        """Which image of which camera this is."""
        return ViewId(self.camera, self.stamp_ns, self.frame_id)

    @property
    def size(self) -> ImageSize:
        """The image's size."""
        return ImageSize(int(self.image.shape[0]), int(self.image.shape[1]))


@dataclass(frozen=True, slots=True, eq=False)
class PosePrior:
    """What is known of the poses of one set's cameras without looking at its images.

    Two kinds of knowledge, of different worth. The rig relates cameras of one instant and is
    exact: millimetres, and no drift. Odometry relates instants, too. Over the seconds of a window
    its error is about a percent of the distance and a few millimetres. But its frame drifts, and
    single poses may be plainly wrong. Poses that are not rigid (NaN, a zero matrix) are left out
    at once.
    """

    base_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to (4, 4), metres: the optical frame in the body frame at this instant, which
    for a camera on a moving head changes. Replaces the rig's calibration for this set: a camera
    that is not named stands nobody knows where."""
    odometry_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to (4, 4), metres: the optical frame at the stamp of its own image, in the
    fixed frame of the odometry."""
    notes: tuple[Note, ...] = ()
    """What is missing and why."""

    def __post_init__(self) -> None:
        """Leave out what is not rigid."""
        for name in ('base_from_camera', 'odometry_from_camera'):
            object.__setattr__(self, name, _rigid_ones(getattr(self, name)))

    def of_views(self, camera_from_view: Mapping[str, FloatArray]) -> PosePrior:
        """Return the prior of views that are rotated in their cameras.

        Args:
            camera_from_view: camera name to (4, 4) pose of the view's optical frame in the
                camera's; a camera that is not named keeps its own.
        """

        def rotated(poses: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
            return {
                camera: pose @ camera_from_view[camera] if camera in camera_from_view else pose
                for camera, pose in poses.items()
            }

        return PosePrior(
            rotated(self.base_from_camera), rotated(self.odometry_from_camera), self.notes
        )


def _rigid_ones(poses: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {camera: pose for camera, pose in poses.items() if _is_rigid(pose)}


def _is_rigid(pose: FloatArray) -> bool:
    try:
        require_rigid('pose', pose)
    except GeometryError:
        return False
    return True


@dataclass(frozen=True, slots=True, eq=False)
class KnownPoses:
    """What is known of the poses of a window's views before any network looks at them."""

    frame_from_camera: FloatArray | None
    """(N, 4, 4), metres, all in one frame, in the order of `Window.views`; None when they are
    not all known in one frame, which is what a network needs."""
    kind: Literal['none', 'rig', 'odometry']
    """odometry: in its fixed frame; rig: one instant, in the body frame, exact."""
    odometry_views: int
    """Views whose pose the odometry knows."""
    notes: tuple[Note, ...] = ()
    """Why the poses are not known although there is a prior; empty otherwise."""


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

    def __post_init__(self) -> None:
        """Check the number of new sets."""
        if not 1 <= self.new_sets <= len(self.sets):
            raise StreamError(f'window {self.index}: {self.new_sets} new of {len(self.sets)} sets')

    @property
    def views(self) -> tuple[CameraFrame, ...]:
        """All frames, set by set: the order of `WindowPrediction.views`."""
        return tuple(frame for frame_set in self.sets for frame in frame_set.frames)

    def known_poses(self) -> KnownPoses:
        """Return what the priors of the sets tell about the poses of the views."""
        priors = [frame_set.prior or PosePrior() for frame_set in self.sets]
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
            notes = (_incomplete(missing, len(self.views), reason),)
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
    pixel_map: PixelMap | None = None
    """Where the pixels of the frame's image lie in this view; None when the view is the whole
    image, resized."""


@dataclass(frozen=True, slots=True, eq=False)
class WindowPrediction:
    """What a network says about a window: geometry in a gauge and a scale of its own."""

    views: tuple[ViewPrediction, ...]
    """In the order of `Window.views`."""
    is_metric: bool = False
    """Whether depth and positions are in metres already."""
    conditioning: Conditioning = 'none'
    """Whether known poses went into the prediction."""
    unit_sigma: float | None = None
    """Of the logarithm of how far cameras are apart relative to depth, where images told it
    (`geometry.parallax`). None where it is the network's own opinion; with known poses that is no
    evidence of a length, since the network had been given it."""
    metric_by: Literal['model', 'camera_info'] = 'model'
    """What makes it metric: the network itself, or the calibrated focal length."""
    notes: tuple[Note, ...] = ()
    """What was done otherwise than asked."""


class Estimator(Protocol):
    """Turns windows into geometry: DA3, or the truth over a synthetic world.

    That is all the stream needs. What some estimators offer besides are protocols of their own,
    and who wants it asks by `isinstance`: `NetworkEstimator` (device, caution) and
    `export.gs_scene.SplatSource` (Gaussians).
    """

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view of the window, in the order of its views."""
        ...


@dataclass(frozen=True, slots=True)
class Caution:
    """What whoever looks at the results of a network has to be told."""

    brief: str
    """For what comes with every window."""
    text: str
    """The same with its reason and with what to do."""


@runtime_checkable
class NetworkEstimator(Estimator, Protocol):
    """An estimator that is a network: it computes on a device, and is good for some images."""

    @property
    def device(self) -> str:
        """Device of the network, as torch names it."""
        ...

    @property
    def caution(self) -> Caution | None:
        """What to know before relying on its answers; None for most networks."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RigCalibration:
    """Where the cameras sit on the robot."""

    base_from_camera: Mapping[str, FloatArray] = field(default_factory=dict)
    """Camera name to rigid (4, 4), metres, optical frame in the body frame; may be partial."""


@dataclass(frozen=True, slots=True, eq=False)
class InputGeometry:
    """How a view lies on the image of the camera that it was made from, which is not kept."""

    size: ImageSize
    """Of the camera's image."""
    calibration: PinholeCamera | None
    """The source's own intrinsics at that size; None when unknown."""
    pixel_map: PixelMap
    """Where the pixels of the camera's image lie in the view."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedView:
    """One view in the world: what is published, stored and exported."""

    id: ViewId
    """Camera, exact stamp and frame id of the input."""
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
    input: InputGeometry | None = None
    """None when the view itself is all there is, as when it comes from a file."""


@dataclass(frozen=True, slots=True, eq=False)
class PosedSet:
    """All views of one instant in the world."""

    stamp_ns: int
    views: tuple[PosedView, ...]
    world_from_base: FloatArray
    """(4, 4) pose of the rig: base frame when the rig's calibration is known, else the body axes
    (x forward, z up) of the camera that was first when the world began; while that one is missing
    they follow the cameras seen beside it."""
    generation: int = 0
    """Which world it stands in, see `WindowResult.generation`."""


ScaleSource = Literal['none', 'camera_info', 'estimator', 'rig', 'odometry', 'chain']
AlignmentMethod = Literal['first', 'shared_views', 'odometry', 'dead_reckoning']


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """How a window was placed into the world."""

    method: AlignmentMethod
    """first: it defined the world; shared_views: by views of the window before;
    odometry: nothing was shared, so it moved on as the odometry says; dead_reckoning: nothing was
    known, so it stands where the last one ended."""
    shared_views: int
    scale: float
    """World units per unit of the window."""
    scale_source: ScaleSource
    """odometry: motion by TF; rig: baselines between cameras; estimator: the network is
    metric; camera_info: so is it by the focal length; chain: carried over from the window before;
    none: first window without any metric source."""
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
    notes: tuple[Note, ...] = ()
    """What a user should know."""
    is_new_unit: bool = False
    """Whether the world's unit is another one than that of the window before, so that what was
    placed up to then does not fit what comes."""
    conditioning: Conditioning = 'none'
    """Whether known poses went into the network."""
    views: int = 0
    """Views of the window."""
    odometry_views: int = 0
    """How many of them have a pose by odometry."""
    rig_rotation_residual_rad: float = math.nan
    """How far the network's cameras of one instant are rotated against the rig: the worst new
    set's RMS; NaN without two calibrated cameras."""
    rig_translation_residual: float = math.nan
    """The same for positions, world units."""


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
    generation: int = 0
    """Which world the sets stand in: larger after every reset, jump of the clock and change of
    the unit. What is of another generation does not fit."""
    images: Mapping[ViewId, ColourImage] = field(default_factory=dict)
    """The input images of the new sets, (H, W, 3); empty where nobody may need them. Whoever keeps
    a result lets go of them: an image of the camera is larger than all that is made of it."""
