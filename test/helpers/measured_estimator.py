"""An estimator that answers with measured depth of real pictures, and noise as networks have it.

What `synthetic.truth.TruthEstimator` is for rendered worlds. The noise model is that of the
measurements beside the checkout (`../shared/real/map_real.py`), so that figures compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
import math

import numpy as np
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.parallax import metres_between_cameras
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import spread
from da3_ros.types import CameraFrame, FloatImage, ViewPrediction, Window, WindowPrediction
from helpers.depth_shapes import Shape, shaped, smooth_noise
from helpers.depths import depth_of
from helpers.real_sets import CAMERA, RealFrame

ROTATION_DEG = 0.5
"""Length of the rotation vector, RMS, of every camera."""
POSITION_SHARE = 0.01
"""Of the largest distance from the window's first camera, each axis."""
DEPTH_SHARE = 0.02
"""Smooth over the image."""

_CONFIDENCE = 2.0
# Stands for the distance of cameras that stand in one place, metres.
_STANDING_M = 0.1


@dataclass(frozen=True)
class MeasuredEstimator:
    """Answers windows of real pictures with their measured depth and poses.

    Equal arguments and equal windows give equal answers, whatever was asked before. Every window
    has a gauge and a scale of its own.
    """

    frames: Sequence[RealFrame]
    """Everything that may be asked for, found by stamp and, for a rig, by camera."""
    cameras: Sequence[str] = ()
    """Camera of every frame; all are `CAMERA` when empty."""
    seed: int = 0
    shape: Shape = 'measured'
    """Of depth; what is made up has the window's right median."""
    noise: float = 1.0
    """How many times the noise of poses and of depth."""
    depth_factor: float = 1.0
    """Depth is so many times too long for the distances between cameras."""
    conditioning: bool = False
    """Answer in the frame and the unit of the poses that a window is told, if they all are, and
    look for that unit in the pictures, as networks are run here."""

    def window_from_world(self, window: Window) -> Sim3:
        """Return the gauge of a window: what a test must undo to compare with the truth."""
        known = window.known_poses().frame_from_camera if self.conditioning else None
        if known is not None:
            return _similarity(np.array([f.world_from_camera for f in self._of(window)]), known)
        rng = np.random.default_rng((self.seed, window.index, 0))
        rotation = Rotation.random(random_state=rng).as_matrix()
        scale = math.exp(rng.uniform(-1.0, 1.0))
        return Sim3(scale, rotation, rng.uniform(-5.0, 5.0, 3))

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view of the window, in the order of its views."""
        rng = np.random.default_rng((self.seed, window.index, 1))
        gauge = self.window_from_world(window)
        frames = self._of(window)
        poses = np.array([frame.world_from_camera for frame in frames])
        reach = float(np.linalg.norm(poses[:, :3, 3] - poses[0, :3, 3], axis=1).max())
        depth = shaped(np.stack([frame.depth for frame in frames]), self.shape, rng)
        views = tuple(
            self._view(given, frame, z, gauge, reach or _STANDING_M, rng)
            for given, frame, z in zip(window.views, frames, depth, strict=True)
        )
        known = window.known_poses().frame_from_camera if self.conditioning else None
        return WindowPrediction(views) if known is None else _looked_at(views, known)

    def _view(
        self,
        given: CameraFrame,
        frame: RealFrame,
        depth: FloatImage,
        gauge: Sim3,
        reach: float,
        rng: np.random.Generator,
    ) -> ViewPrediction:
        turn = math.radians(ROTATION_DEG * self.noise) * rng.standard_normal(3) / math.sqrt(3)
        shift = POSITION_SHARE * self.noise * reach * rng.standard_normal(3)
        pose = frame.world_from_camera @ rigid(Rotation.from_rotvec(turn).as_matrix(), shift)
        noisy = depth * smooth_noise(depth.shape, DEPTH_SHARE * self.noise, rng)
        return ViewPrediction(
            depth=np.asarray(noisy * np.float32(gauge.scale * self.depth_factor), np.float32),
            image=given.image,
            window_from_camera=gauge.apply_to_pose(pose),
            camera=frame.camera,
            calibrated_camera=given.calibration,
            confidence=np.full(depth.shape, _CONFIDENCE, np.float32),
        )

    def _of(self, window: Window) -> list[RealFrame]:
        """Return the measured frames of a window's views."""
        names = self.cameras or [CAMERA] * len(self.frames)
        by_view = {
            (name, frame.stamp_ns): frame for name, frame in zip(names, self.frames, strict=True)
        }
        return [by_view[view.camera, view.stamp_ns] for view in window.views]


def at_one_instant(frames: Sequence[RealFrame]) -> list[RealFrame]:
    """Return the frames as if a rig had taken them all at the first one's stamp."""
    return [replace(frame, stamp_ns=frames[0].stamp_ns) for frame in frames]


def _looked_at(views: tuple[ViewPrediction, ...], known: FloatArray) -> WindowPrediction:
    """Return what is answered with told poses (N, 4, 4): distances as parallax tells them."""
    seen = np.array([view.window_from_camera[:3, 3] for view in views])
    found = metres_between_cameras(
        np.stack([view.image for view in views]),
        np.stack([depth_of(view) for view in views]),
        [view.camera for view in views],
        invert(known),
        seen,
    )
    if found is None:
        return WindowPrediction(views, conditioning='pose')
    larger = spread(known[:, :3, 3]) / spread(seen) / math.exp(found.log_metres)
    stretch = Sim3(larger, np.eye(3), np.zeros(3))
    moved = tuple(
        replace(view, window_from_camera=stretch.apply_to_pose(view.window_from_camera))
        for view in views
    )
    return WindowPrediction(moved, conditioning='pose', unit_sigma=found.sigma)


def _similarity(truth: FloatArray, known: FloatArray) -> Sim3:
    """Return what lays the first of true poses (N, 4, 4) and the spread of all over known ones."""
    rotation = known[0, :3, :3] @ truth[0, :3, :3].T
    apart, wanted = spread(truth[:, :3, 3]), spread(known[:, :3, 3])
    scale = wanted / apart if min(apart, wanted) > 0 else 1.0
    return Sim3(scale, rotation, known[0, :3, 3] - scale * rotation @ truth[0, :3, 3])
