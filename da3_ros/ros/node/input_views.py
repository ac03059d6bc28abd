"""The estimator as cameras need it: upright images in, answers in the cameras' own orientation.

Networks know which way is up. A camera mounted sideways or upside down has its images turned for
the network; depth, colour, intrinsics and poses are turned back, so that everything behind the
estimator belongs to the optical frame of the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.camera import ImageSize, PinholeCamera, turned_from_camera
from da3_ros.geometry.resample import DepthResampler, PixelMap
from da3_ros.ros.node.preparation import BlindAreas
from da3_ros.types import (
    CameraFrame,
    Estimator,
    FrameSet,
    ViewPrediction,
    Window,
    WindowPrediction,
)

_Pixels = TypeVar('_Pixels', bound=np.generic)


class InputViews:
    """An estimator around another one that turns images, and hides what the lens did not see.

    Args:
        inner: sees upright images.
        quarter_turns: camera name to clockwise quarters from its image to an upright one; a
            camera that is not named is upright.
        blind: pixels of rectified images that show nothing; depth there becomes unknown.
    """

    def __init__(
        self, inner: Estimator, quarter_turns: Mapping[str, int], blind: BlindAreas
    ) -> None:
        self._inner = inner
        self._turns = {camera: n % 4 for camera, n in quarter_turns.items() if n % 4}
        self._blind = blind
        # Of the last window: a frame that comes again is given on as the same object.
        self._turned: dict[int, tuple[CameraFrame, CameraFrame]] = {}

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view, in the orientation of the window's own frames.

        Raises:
            GeometryError: the intrinsics of a turned camera have skew.
        """
        prediction = self._inner.estimate(self._upright(window) if self._turns else window)
        frames = window.views
        if len(prediction.views) != len(frames):
            return prediction  # whoever asked says what is wrong with it
        views = [
            self._hidden(frame, turned_view(view, -self._turns.get(frame.camera, 0)))
            for frame, view in zip(frames, prediction.views, strict=True)
        ]
        return replace(prediction, views=tuple(views))

    def _upright(self, window: Window) -> Window:
        before, self._turned = self._turned, {}

        def turned(frame: CameraFrame) -> CameraFrame:
            turns = self._turns.get(frame.camera, 0)
            if not turns:
                return frame
            pair = before.get(id(frame))
            if pair is None:
                pair = (frame, turned_frame(frame, turns))
            self._turned[id(frame)] = pair
            return pair[1]

        camera_from_upright = {c: turned_from_camera(-n) for c, n in self._turns.items()}

        def upright(frame_set: FrameSet) -> FrameSet:
            prior = frame_set.prior
            return replace(
                frame_set,
                frames=tuple(turned(f) for f in frame_set.frames),
                prior=None if prior is None else prior.of_views(camera_from_upright),
            )

        return replace(window, sets=tuple(upright(frame_set) for frame_set in window.sets))

    def _hidden(self, frame: CameraFrame, view: ViewPrediction) -> ViewPrediction:
        """Return the view with unknown depth where the frame shows nothing."""
        valid = self._blind.valid(frame)
        if valid is None or frame.calibration is None or view.calibrated_camera is None:
            return view
        place = PixelMap.between(view.calibrated_camera, frame.calibration)
        shown = sampled_mask(valid, place, view.calibrated_camera.size)
        return replace(view, depth=np.where(shown, view.depth, np.float32(np.nan)))


def sampled_mask(valid: NDArray[np.bool_], place: PixelMap, size: ImageSize) -> NDArray[np.bool_]:
    """Return a mask (H, W) at another resolution, by nearest pixel, False where not covered."""
    nothing = np.ones(valid.shape, np.float32)
    return DepthResampler(nothing, place, size).mask(valid)


def turned_frame(frame: CameraFrame, quarter_turns: int) -> CameraFrame:
    """Return a frame with its image and intrinsics turned clockwise."""
    calibration = frame.calibration
    return replace(
        frame,
        image=turned_pixels(frame.image, quarter_turns),
        calibration=None if calibration is None else calibration.turned(quarter_turns),
    )


def turned_view(view: ViewPrediction, quarter_turns: int) -> ViewPrediction:
    """Return what is said about a view as it holds for the view turned clockwise."""
    if quarter_turns % 4 == 0:
        return view

    def camera(known: PinholeCamera | None) -> PinholeCamera | None:
        return None if known is None else known.turned(quarter_turns)

    camera_from_turned = turned_from_camera(-quarter_turns)
    return ViewPrediction(
        depth=turned_pixels(view.depth, quarter_turns),
        image=turned_pixels(view.image, quarter_turns),
        window_from_camera=view.window_from_camera @ camera_from_turned,
        camera=view.camera.turned(quarter_turns),
        calibrated_camera=camera(view.calibrated_camera),
        confidence=_turned_or_none(view.confidence, quarter_turns),
        sky=_turned_or_none(view.sky, quarter_turns),
    )


def turned_pixels(pixels: NDArray[_Pixels], quarter_turns: int) -> NDArray[_Pixels]:
    """Return an image (H, W, ...) turned clockwise by so many quarters, contiguous."""
    return np.ascontiguousarray(np.rot90(pixels, -quarter_turns))


def _turned_or_none(
    pixels: NDArray[_Pixels] | None, quarter_turns: int
) -> NDArray[_Pixels] | None:
    return None if pixels is None else turned_pixels(pixels, quarter_turns)
