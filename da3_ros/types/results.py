"""What comes out: views in the world, and how their window was placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
import math
from typing import Literal

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.notes import Note
from da3_ros.types.frames import ViewId
from da3_ros.types.images import ColourImage, FloatImage, Mask
from da3_ros.types.predictions import Conditioning


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

METRES_FROM: Mapping[str, str] = {
    'camera_info': 'by the known focal length and a metric network',
    'estimator': 'by the network, which answers in metres',
    'metric_model': 'by the network, which answers in metres',
    'rig': 'by the known distances between the cameras',
    'odometry': 'by odometry',
    'chain': 'as in the window before',
}
"""How metres come about, behind the word metres; by `ScaleSource` and by its name in reports."""

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
    rotation_residual_rad: float = math.nan
    """RMS disagreement of the shared views' orientations; NaN without shared views."""
    translation_residual: float = math.nan
    """RMS disagreement of the shared views' positions in world units; NaN without."""
    depth_residual: float = math.nan
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
