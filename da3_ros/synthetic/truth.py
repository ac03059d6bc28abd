"""An estimator that knows the truth, and can hide some of it.

It takes the network's place: what it says about a window is exact up to a gauge and a scale that
change from window to window, plus the noise asked for. What the pipeline then gets wrong is the
pipeline's own.
"""

from __future__ import annotations

from collections.abc import Callable
import time

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw, nearest_rotation
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.synthetic.world import SyntheticWorld
from da3_ros.types import (
    CameraFrame,
    ColourImage,
    FloatImage,
    ViewPrediction,
    Window,
    WindowPrediction,
)

# Confidence falls to half of its excess over 1 at this depth.
_CONFIDENCE_DEPTH_M = 5.0
_CONFIDENCE_GAIN = 8.0
# Neighbours whose depths differ by more than this share straddle the edge of an object.
_EDGE_RATIO = 0.05
# Cameras that spread less than this stand in one place.
_STANDING_M = 1e-6


class TruthEstimator:
    """Answers windows of a synthetic world exactly, or as badly as asked.

    Equal arguments and equal windows give equal answers, whatever was asked before.

    Args:
        world: the world the frames come from; frames are looked up by camera and stamp.
        size: of the depth images; None for half of every input image.
        seed: of gauges, scales and noise.
        random_gauge: give every window a random rotation, translation and scale of its own. False
            answers in the world's frame and in metres, and says so (`is_metric`).
        position_noise_m: standard deviation of camera positions, each axis, before the gauge.
        rotation_noise_rad: standard deviation of the rotation vector of camera orientations.
        depth_noise_rel: standard deviation of the logarithm of depth, independent for each pixel.
        delay_s: how long every answer takes.
        sleep: what to call for the delay.
        conditioning: use the poses that the sets of a window are given beforehand, as a network
            does: the answer is then in their frame and in their unit (the best similarity over
            all views), and no pose is moved towards them. Windows whose poses are not all known
            are answered as without.
    """

    def __init__(
        self,
        world: SyntheticWorld,
        *,
        size: ImageSize | None = None,
        seed: int = 0,
        random_gauge: bool = True,
        position_noise_m: float = 0.0,
        rotation_noise_rad: float = 0.0,
        depth_noise_rel: float = 0.0,
        delay_s: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        conditioning: bool = False,
    ) -> None:
        self._conditioning = conditioning
        self._world = world
        self._size = size
        self._seed = seed
        self._random_gauge = random_gauge
        self._position_noise_m = position_noise_m
        self._rotation_noise_rad = rotation_noise_rad
        self._depth_noise_rel = depth_noise_rel
        self._delay_s = delay_s
        self._sleep = sleep

    def window_from_world(self, window_index: int) -> Sim3:
        """Return the gauge of a window: what a test must undo to compare with the truth."""
        if not self._random_gauge:
            return Sim3.identity()
        rng = np.random.default_rng((self._seed, window_index, 0))
        rotation = matrix_from_quaternion_xyzw(rng.standard_normal(4))
        scale = float(np.exp(rng.uniform(-1.0, 1.0)))
        return Sim3(scale, rotation, rng.uniform(-5.0, 5.0, 3))

    def estimate(self, window: Window) -> WindowPrediction:
        """Return one prediction per view of the window, in the order of its views.

        Raises:
            StreamError: a frame's camera is not in the world; names the camera.
        """
        gauge = self.window_from_world(window.index)
        known = window.known_poses().frame_from_camera if self._conditioning else None
        if known is not None:
            truth = [self._world.world_from_camera(f.camera, f.stamp_ns) for f in window.views]
            gauge = _similarity(np.array(truth), known, gauge.scale)
        rng = np.random.default_rng((self._seed, window.index, 1))
        views = tuple(
            self._view(frame, gauge, rng, with_depth=window.needs_depth(frame.id))
            for frame in window.views
        )
        if self._delay_s > 0:
            self._sleep(self._delay_s)
        return WindowPrediction(
            views,
            is_metric=not self._random_gauge,
            conditioning='none' if known is None else 'pose',
            # Its distances are true as long as no noise was asked for; known poses fix them all.
            unit_sigma=0.0 if known is not None or self._position_noise_m == 0 else None,
        )

    def _view(
        self, frame: CameraFrame, gauge: Sim3, rng: np.random.Generator, *, with_depth: bool
    ) -> ViewPrediction:
        size = self._size or ImageSize(
            max(1, frame.size.height // 2), max(1, frame.size.width // 2)
        )
        pose = self._world.world_from_camera(frame.camera, frame.stamp_ns)
        # A cropped or rectified image is of another camera than the rig's; it says which.
        full = frame.calibration or self._world.intrinsics(frame.camera, frame.size)
        camera = full.resized(size)
        depth = confidence = None
        if with_depth:
            depth = self._world.renderer.depth(camera, pose)
            confidence = _confidence(depth)
        if self._depth_noise_rel > 0:
            # Drawn in any case: what is asked for changes nothing of the other answers.
            noise = rng.standard_normal((size.height, size.width), dtype=np.float32)
            if depth is not None:
                depth = depth * np.exp(np.float32(self._depth_noise_rel) * noise)
        return ViewPrediction(
            depth=None if depth is None else depth * np.float32(gauge.scale),
            image=_resized(frame.image, size),
            window_from_camera=gauge.apply_to_pose(pose @ self._pose_noise(rng)),
            camera=camera,
            calibrated_camera=None if frame.calibration is None else camera,
            confidence=confidence,
        )

    def _pose_noise(self, rng: np.random.Generator) -> FloatArray:
        """Return a small random motion (4, 4) in the camera's own frame."""
        shift = self._position_noise_m * rng.standard_normal(3)
        half = 0.5 * self._rotation_noise_rad * rng.standard_normal(3)
        angle = float(np.linalg.norm(half))
        xyz = half * np.sinc(angle / np.pi)
        return rigid(matrix_from_quaternion_xyzw([*xyz, np.cos(angle)]), shift)


def _similarity(truth: FloatArray, known: FloatArray, scale: float) -> Sim3:
    """Return what lays true poses (N, 4, 4) over known ones; `scale` if none can be found."""
    rotation = nearest_rotation((known[:, :3, :3] @ np.swapaxes(truth[:, :3, :3], 1, 2)).sum(0))
    sources, targets = truth[:, :3, 3] @ rotation.T, known[:, :3, 3]
    middle, wanted = sources.mean(axis=0), targets.mean(axis=0)
    spread = float(((sources - middle) ** 2).sum())
    if spread > _STANDING_M**2:
        scale = float(((sources - middle) * (targets - wanted)).sum()) / spread
    scale = scale if scale > 0 else 1.0
    return Sim3(scale, rotation, wanted - scale * middle)


def _confidence(depth: FloatImage) -> FloatImage:
    """Return a confidence (H, W) >= 1 in DA3's manner: high when near, low at edges."""
    edge = np.zeros(depth.shape, bool)
    across = np.abs(np.diff(np.log(depth), axis=1)) > _EDGE_RATIO
    down = np.abs(np.diff(np.log(depth), axis=0)) > _EDGE_RATIO
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    edge[1:] |= down
    edge[:-1] |= down
    excess = _CONFIDENCE_GAIN / (1.0 + (depth / _CONFIDENCE_DEPTH_M) ** 2)
    return np.asarray(1.0 + np.where(edge, 0.1, 1.0) * excess, dtype=np.float32)


def _resized(image: ColourImage, size: ImageSize) -> ColourImage:
    """Return the image at another size, borders on borders: block means or nearest pixels."""
    height, width = image.shape[:2]
    if (height, width) == (size.height, size.width):
        return image
    if height % size.height == 0 and width % size.width == 0:
        blocks = image.reshape(
            size.height, height // size.height, size.width, width // size.width, 3
        )
        mean = blocks.mean(axis=(1, 3), dtype=np.float32)
        return np.asarray(mean + np.float32(0.5)).astype(np.uint8)
    rows = ((np.arange(size.height) + 0.5) * height / size.height).astype(int)
    columns = ((np.arange(size.width) + 0.5) * width / size.width).astype(int)
    return np.ascontiguousarray(image[rows[:, None], columns[None, :]])
