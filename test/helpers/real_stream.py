"""Real pictures through the reconstructor, and how right the metres are that it claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
import math

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.reconstructor import Reconstructor
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import (
    AlignmentReport,
    Estimator,
    FrameSet,
    PosePrior,
    RigCalibration,
    Window,
    WindowResult,
)
from helpers.measured_estimator import MeasuredEstimator
from helpers.real_sets import CAMERA, RealFrame

ODOM_FROM_WORLD = rigid(Rotation.from_euler('zyx', [2.0, 0.3, -0.2]).as_matrix(), [7.0, -3.0, 1.0])
"""Where odometry began: no axis and no origin is the world's."""
LEAST_LOG_BOUND = math.log(1.25)
"""A claim of metres may always be off by this."""
_SIGMAS = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """A window's report, and how depth of its new sets compares with what was measured."""

    report: AlignmentReport
    log_error: float
    """Median logarithm of published by measured depth; NaN without new sets."""

    @property
    def is_wrong(self) -> bool:
        """Whether metres are claimed that are further off than the claim allows."""
        if not self.report.is_metric:
            return False
        bound = max(_SIGMAS * self.report.scale_log_sigma, LEAST_LOG_BOUND)
        return not abs(self.log_error) <= bound


def small(frames: Sequence[RealFrame], width: int = 270) -> list[RealFrame]:
    """Return the frames at about the size at which networks answer."""
    return [
        frame.resized(ImageSize(round(frame.camera.size.height * width / w), width))
        if (w := frame.camera.size.width) > width
        else frame
        for frame in frames
    ]


def stream(
    frames: Sequence[RealFrame],
    estimator: Estimator,
    *,
    has_odometry: bool,
    window: int = 4,
    stride: int = 1,
    odometry_scale: float = 1.01,
) -> list[Told]:
    """Return what the reconstructor said about every window.

    Args:
        frames: of one camera, in order.
        estimator: what looks at them.
        has_odometry: whether odometry tells the pose of every frame.
        window: sets per window.
        stride: new sets per window.
        odometry_scale: of the ways that odometry tells.
    """
    reconstructor = Reconstructor(estimator, RigCalibration(), clock=lambda: 0.0)
    sliding = SlidingWindow(window, stride)
    sets = [_set(frame, odometry_scale if has_odometry else None) for frame in frames]
    windows = [made for item in sets if (made := sliding.push(item)) is not None]
    return [told(reconstructor.process(made), frames) for made in windows]


def rig_stream(frames: Sequence[RealFrame], estimator: MeasuredEstimator) -> Told:
    """Return what is said about one set of a calibrated rig that took all frames at once.

    Args:
        frames: at one instant, see `at_one_instant`.
        estimator: with the names of the cameras.
    """
    cameras = estimator.cameras
    pairs = list(zip(cameras, frames, strict=True))
    rig = RigCalibration({name: frame.world_from_camera for name, frame in pairs})
    reconstructor = Reconstructor(estimator, rig, clock=lambda: 0.0)
    inputs = tuple(frame.as_input(name) for name, frame in pairs)
    window = Window(0, (FrameSet(frames[0].stamp_ns, inputs),), 1)
    return told(reconstructor.process(window), frames)


def told(result: WindowResult, frames: Sequence[RealFrame]) -> Told:
    """Return a window's report beside what was measured.

    Args:
        result: of a window.
        frames: what it may have seen, found by stamp and calibration.
    """
    ratios = []
    for view in (view for posed in result.new_sets for view in posed.views):
        frame = next(f for f in frames if f.image is result.images[view.id])
        both = np.isfinite(view.depth) & np.isfinite(frame.depth)
        ratios.append(np.log(view.depth[both] / frame.depth[both]))
    error = float(np.median(np.concatenate(ratios))) if ratios else math.nan
    return Told(result.alignment, error)


def _set(frame: RealFrame, odometry_scale: float | None) -> FrameSet:
    if odometry_scale is None:
        return FrameSet(frame.stamp_ns, (frame.as_input(),))
    pose = ODOM_FROM_WORLD @ frame.world_from_camera
    pose[:3, 3] *= odometry_scale
    prior = PosePrior(odometry_from_camera={CAMERA: pose})
    return FrameSet(frame.stamp_ns, (frame.as_input(),), prior=prior)
