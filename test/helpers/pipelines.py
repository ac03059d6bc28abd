"""A pipeline whose estimator and rig can be interrupted: what other threads do, in one thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from da3_ros.geometry.camera import PinholeCamera
from da3_ros.pipeline.rig import FrameIds
from da3_ros.types import (
    CameraFrame,
    FrameSet,
    PosePrior,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
)

METRES, UNITS = 2.0, 7.0
"""How far the wall of `Wall` is, when it says metres and when it says units of its own."""


def nothing() -> None:
    """Let nothing happen in between."""


@dataclass(eq=False)
class Wall:
    """An estimator of a wall before cameras that stand.

    The pixels of a view are those of its frame, so that a view tells where it comes from.
    """

    is_metric: bool = False
    fails: bool = False
    between: Callable[[], None] = nothing
    """What other threads do while the network computes."""
    windows: list[Window] = field(default_factory=list)

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view."""
        self.windows.append(window)
        is_metric = self.is_metric
        self.between()
        if self.fails:
            raise RuntimeError('the network is on fire')
        depth = METRES if is_metric else UNITS
        return WindowPrediction(
            tuple(_view(frame, depth) for frame in window.views), is_metric=is_metric
        )


def _view(frame: CameraFrame, depth: float) -> ViewPrediction:
    size = frame.size
    shape = (size.height, size.width)
    return ViewPrediction(
        depth=np.full(shape, depth, np.float32),
        image=frame.image,
        window_from_camera=np.eye(4),
        camera=PinholeCamera.from_focal(9.0, 9.0, size.width / 2, size.height / 2, size),
        calibrated_camera=None,
    )


@dataclass(eq=False)
class Rig:
    """A source that knows what it is told, when it is told."""

    known: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = field(
        default_factory=dict
    )
    between: Callable[[], None] = nothing
    """What other threads do while TF is waited for."""

    def rig(self, frame_ids: FrameIds) -> RigCalibration:
        """Return what is known of these cameras."""
        return RigCalibration({c: pose for c, pose in self.known.items() if c in frame_ids})

    def wait_for_rig(self, frame_ids: FrameIds, timeout_s: float) -> RigCalibration:
        """Return the same, after other threads had their turn."""
        self.between()
        return self.rig(frame_ids)

    def prior(self, frame_set: FrameSet) -> PosePrior | None:
        """Return nothing, after other threads had their turn."""
        self.between()
        return None
