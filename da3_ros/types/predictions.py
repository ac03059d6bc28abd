"""What an estimator says about a window, and the roles that estimators play."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.notes import Note
from da3_ros.types.frames import Window
from da3_ros.types.images import ColourImage, FloatImage, Mask

Conditioning = Literal['none', 'pose']


@dataclass(frozen=True, slots=True, eq=False)
class ViewPrediction:
    """What a network says about one view."""

    depth: FloatImage | None
    """(h, w) in the window's unit; NaN unknown. None when the window did not ask for it."""
    image: ColourImage
    """(h, w, 3) uint8 RGB, the pixels that depth belongs to."""
    window_from_camera: FloatArray
    """(4, 4) pose of the optical frame in the window's own gauge."""
    camera: PinholeCamera
    """Intrinsics at (h, w) as the network sees them."""
    calibrated_camera: PinholeCamera | None
    """The frame's own calibration carried through resize and crop; None when it had none."""
    confidence: FloatImage | None = None
    """(h, w), DA3's raw confidence, >= 1; None when the network gives none, or without depth."""
    sky: Mask | None = None
    """(h, w), True where there is sky; None when the network does not segment it, or without
    depth."""
    pixel_map: PixelMap | None = None
    """Where the pixels of the frame's image lie in this view. None when both calibrations say it;
    without them the view then is the whole image, resized."""


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
    """Of the logarithm of how far cameras are apart relative to depth, where images show it
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
    """What everybody who looks at the results of a network has to know."""

    brief: str
    """For what comes with every window."""
    text: str
    """The same with its reason and with what to do."""


@runtime_checkable
class SaysWhatComputes(Protocol):
    """An estimator that says what computes it."""

    @property
    def computed_by(self) -> str:
        """Runtime and number format, e.g. `openvino in fp32`."""
        ...


@runtime_checkable
class ForgetsViews(Protocol):
    """An estimator that keeps what it computed of views for the windows that follow."""

    def forget(self) -> None:
        """Keep nothing of earlier windows: the next one is computed as if it were the first."""
        ...


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
