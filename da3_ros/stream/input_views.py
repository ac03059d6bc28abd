"""Upright images for the network, and its answers in the cameras' own orientation.

Networks know which way is up. A camera mounted sideways or upside down has its images rotated for
the network; depth, colour, intrinsics and poses are rotated back, so that everything behind the
network belongs to the optical frame of the driver.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from da3_ros.geometry.camera import ImageSize, PinholeCamera, rotated_from_camera
from da3_ros.geometry.resample import resampled_mask
from da3_ros.notes import Note
from da3_ros.stream.placing import pixel_map_of
from da3_ros.types import CameraFrame, FrameSet, ViewPrediction, Window, WindowPrediction

_Pixels = TypeVar('_Pixels', bound=np.generic)


class InputViews:
    """Rotates windows for the network and its answers back.

    Args:
        quarter_turns: camera name to clockwise quarters from its image to an upright one; a
            camera that is not named is upright.
    """

    def __init__(self, quarter_turns: Mapping[str, int]) -> None:
        self._turns = {camera: n % 4 for camera, n in quarter_turns.items() if n % 4}
        # Of the last window: a frame that comes again is given on as the same object.
        self._rotated: dict[int, tuple[CameraFrame, CameraFrame]] = {}

    @property
    def sideways(self) -> frozenset[str]:
        """Cameras whose images are rotated by an odd number of quarters."""
        return frozenset(camera for camera, turns in self._turns.items() if turns % 2)

    def notes(self, window: Window) -> Iterable[Note]:
        """Yield a note for every camera whose calibration the network does not get."""
        if not self._turns:
            return
        for camera in dict.fromkeys(f.camera for f in window.views if self._is_skewed(f)):
            text = (
                f'camera {camera}: its calibration has skew, which an image that is rotated by a '
                "quarter cannot have: the network's own intrinsics are used"
            )
            yield Note('calibration_left_out', text)

    def _is_skewed(self, frame: CameraFrame) -> bool:
        known = frame.calibration
        return frame.camera in self.sideways and known is not None and known.K[0, 1] != 0

    def upright(self, window: Window) -> Window:
        """Return the window as the network sees it, with the poses of the upright cameras.

        A calibration with skew is left out where the image is rotated by a quarter.
        """
        if not self._turns:
            return window
        before, self._rotated = self._rotated, {}

        def rotated(frame: CameraFrame) -> CameraFrame:
            turns = self._turns.get(frame.camera, 0)
            if not turns:
                return frame
            pair = before.get(id(frame))
            if pair is None:
                plain = replace(frame, calibration=None) if self._is_skewed(frame) else frame
                pair = (frame, rotated_frame(plain, turns))
            self._rotated[id(frame)] = pair
            return pair[1]

        camera_from_upright = {c: rotated_from_camera(-n) for c, n in self._turns.items()}

        def upright(frame_set: FrameSet) -> FrameSet:
            prior = frame_set.prior
            return replace(
                frame_set,
                frames=tuple(rotated(f) for f in frame_set.frames),
                prior=None if prior is None else prior.of_views(camera_from_upright),
            )

        return replace(window, sets=tuple(upright(frame_set) for frame_set in window.sets))

    def as_taken(self, window: Window, prediction: WindowPrediction) -> WindowPrediction:
        """Return what the network says, in the orientation of the window's own frames.

        Depth is unknown where a frame shows nothing.

        Args:
            window: as the cameras took it.
            prediction: about `upright(window)`, checked.
        """
        frames = window.views
        if not self._turns and all(frame.valid is None for frame in frames):
            return prediction
        views = [
            _hidden(frame, rotated_view(frame, view, -self._turns.get(frame.camera, 0)))
            for frame, view in zip(frames, prediction.views, strict=True)
        ]
        return replace(prediction, views=tuple(views))


def rotated_frame(frame: CameraFrame, quarter_turns: int) -> CameraFrame:
    """Return a frame with its image, valid mask and intrinsics rotated clockwise.

    Raises:
        GeometryError: the intrinsics have skew, and the number of quarters is odd.
    """
    calibration = frame.calibration
    return replace(
        frame,
        image=rotated_pixels(frame.image, quarter_turns),
        calibration=None if calibration is None else calibration.rotated(quarter_turns),
        valid=_rotated_or_none(frame.valid, quarter_turns),
        quarter_turns=(frame.quarter_turns + quarter_turns) % 4,
    )


def rotated_view(frame: CameraFrame, view: ViewPrediction, quarter_turns: int) -> ViewPrediction:
    """Return what is said about a rotated frame as it holds for the frame itself.

    Args:
        frame: as it was taken.
        view: about the frame rotated by as many quarters the other way.
        quarter_turns: clockwise.
    """
    if quarter_turns % 4 == 0:
        return view

    def camera(known: PinholeCamera | None) -> PinholeCamera | None:
        return None if known is None else known.rotated(quarter_turns)

    pixel_map = view.pixel_map
    if pixel_map is not None:
        upright = frame.size
        if quarter_turns % 2:
            upright = ImageSize(upright.width, upright.height)
        pixel_map = pixel_map.rotated(quarter_turns, upright, view.camera.size)
    return ViewPrediction(
        depth=_rotated_or_none(view.depth, quarter_turns),
        image=rotated_pixels(view.image, quarter_turns),
        window_from_camera=view.window_from_camera @ rotated_from_camera(-quarter_turns),
        camera=view.camera.rotated(quarter_turns),
        calibrated_camera=camera(view.calibrated_camera),
        confidence=_rotated_or_none(view.confidence, quarter_turns),
        sky=_rotated_or_none(view.sky, quarter_turns),
        pixel_map=pixel_map,
    )


def rotated_pixels(pixels: NDArray[_Pixels], quarter_turns: int) -> NDArray[_Pixels]:
    """Return an image (H, W, ...) rotated clockwise by so many quarters, contiguous."""
    return np.ascontiguousarray(np.rot90(pixels, -quarter_turns))


def _rotated_or_none(
    pixels: NDArray[_Pixels] | None, quarter_turns: int
) -> NDArray[_Pixels] | None:
    return None if pixels is None else rotated_pixels(pixels, quarter_turns)


def _hidden(frame: CameraFrame, view: ViewPrediction) -> ViewPrediction:
    """Return the view with unknown depth where the frame shows nothing."""
    if frame.valid is None or view.depth is None:
        return view
    shown = resampled_mask(frame.valid, pixel_map_of(frame, view).inverse(), view.camera.size)
    return replace(view, depth=np.where(shown, view.depth, np.float32(np.nan)))
