"""Frames, sets and a small analytic world for tests of the stream.

The world is the inside of a box: depth is the exact intersection of pixel rays with its walls.
It shares no code with da3_ros.synthetic, so the two check each other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.notes import Note
from da3_ros.stream.scale.samples import DepthSample
from da3_ros.stream.window import SlidingWindow
from da3_ros.types import (
    CameraFrame,
    FloatImage,
    FrameSet,
    PosePrior,
    RigCalibration,
    ViewPrediction,
    Window,
    WindowPrediction,
    WindowResult,
)

PERIOD_NS = 33_000_000
_HALF_BOX_M = np.array([6.0, 5.0, 2.5])
_PIXEL = np.zeros((1, 1, 3), np.uint8)


def frame(camera: str, stamp_ns: int, image: NDArray[np.uint8] = _PIXEL) -> CameraFrame:
    return CameraFrame(camera, stamp_ns, f'{camera}_optical_frame', image)


def frame_set(cameras: Sequence[str], stamp_ns: int) -> FrameSet:
    return FrameSet(stamp_ns, tuple(frame(camera, stamp_ns) for camera in cameras))


def rig_of(**yaw_and_position: tuple[float, float, float, float]) -> RigCalibration:
    """Return cameras by name: yaw in degrees (body z), then x, y, z in metres."""
    poses = {}
    for name, (yaw_deg, *position) in yaw_and_position.items():
        turn = Rotation.from_euler('z', yaw_deg, degrees=True).as_matrix()
        poses[name] = rigid(turn @ BODY_FROM_OPTICAL[:3, :3], position)
    return RigCalibration(poses)


THREE_CAMERAS = rig_of(
    front=(0.0, 0.20, 0.0, 0.50), left=(70.0, 0.0, 0.18, 0.50), right=(-70.0, 0.0, -0.18, 0.55)
)


def drive(stamp_ns: int) -> FloatArray:
    """Return a smooth world_from_base: a slow loop with some nodding."""
    t = stamp_ns / PERIOD_NS / 20
    turn = Rotation.from_euler('zyx', [0.6 * t, 0.05 * np.sin(2 * t), 0.03 * np.cos(t)])
    return rigid(turn.as_matrix(), [1.8 * np.sin(t), 1.4 * np.cos(t), 0.1 * np.sin(3 * t) - 0.5])


def stand(stamp_ns: int) -> FloatArray:
    del stamp_ns
    return drive(7 * PERIOD_NS)


def turn_on_the_spot(stamp_ns: int) -> FloatArray:
    pose = drive(stamp_ns)
    return rigid(pose[:3, :3], [0.3, -0.2, 0.0])


@dataclass(frozen=True, eq=False)
class BoxWorld:
    """What the cameras of a rig see while it moves inside a box."""

    rig: RigCalibration
    world_from_base: Callable[[int], FloatArray] = drive
    camera: PinholeCamera = field(
        default_factory=lambda: PinholeCamera.from_focal(22, 22, 15.5, 11.5, ImageSize(24, 32))
    )

    def world_from_camera(self, camera: str, stamp_ns: int) -> FloatArray:
        return np.asarray(self.world_from_base(stamp_ns) @ self.rig.base_from_camera[camera])

    def depth(self, world_from_camera: FloatArray) -> FloatArray:
        rays = self.camera.rays() @ world_from_camera[:3, :3].T
        with np.errstate(divide='ignore'):
            to_walls = (np.sign(rays) * _HALF_BOX_M - world_from_camera[:3, 3]) / rays
        return np.asarray(to_walls.min(axis=-1))


@dataclass(eq=False)
class BoxEstimator:
    """The truth about a BoxWorld in a random gauge and scale per window, plus noise asked for.

    Args:
        world: what is seen.
        seed: of gauges, scales and noise.
        position_noise_m: per axis, before the gauge.
        rotation_noise_rad: per axis.
        depth_noise: standard deviation of log depth per pixel.
        new_set_bias: the views of a window's new sets look nearer by this share.
        spoil: changes a prediction before it is returned.
    """

    world: BoxWorld
    seed: int = 0
    position_noise_m: float = 0.0
    rotation_noise_rad: float = 0.0
    depth_noise: float = 0.0
    new_set_bias: float = 0.0
    is_metric: bool = False
    spoil: Callable[[Window, WindowPrediction], WindowPrediction] | None = None
    scales: dict[int, float] = field(default_factory=dict)
    """Window index to units of the window per metre."""

    def estimate(self, window: Window) -> WindowPrediction:
        rng = np.random.default_rng((self.seed, window.index))
        scale = 1.0 if self.is_metric else float(np.exp(rng.uniform(-1.5, 1.5)))
        self.scales[window.index] = scale
        gauge = Sim3(scale, Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3) * 5)
        new = {id(view) for item in window.sets[-window.new_sets :] for view in item.frames}
        views = tuple(
            self._view(view, gauge, 1 - self.new_set_bias * (id(view) in new), rng)
            for view in window.views
        )
        # Its distances are true up to the noise that residuals show, and it says so.
        prediction = WindowPrediction(views, self.is_metric, unit_sigma=0.0)
        if self.spoil:
            return self.spoil(window, prediction)
        return as_asked(window, prediction)

    def _view(
        self, view: CameraFrame, gauge: Sim3, depth_factor: float, rng: np.random.Generator
    ) -> ViewPrediction:
        pose = self.world.world_from_camera(view.camera, view.stamp_ns)
        depth = gauge.scale * depth_factor * self.world.depth(pose)
        depth = depth * np.exp(self.depth_noise * rng.normal(size=depth.shape))
        turn = Rotation.from_rotvec(self.rotation_noise_rad * rng.normal(size=3)).as_matrix()
        shift = self.position_noise_m * rng.normal(size=3)
        noisy = rigid(turn @ pose[:3, :3], pose[:3, 3] + shift)
        return ViewPrediction(
            depth=depth.astype(np.float32),
            image=np.zeros((*depth.shape, 3), np.uint8),
            window_from_camera=gauge.apply_to_pose(noisy),
            camera=self.world.camera,
            calibrated_camera=None,
            confidence=np.ones(depth.shape, np.float32),
        )


def as_asked(window: Window, prediction: WindowPrediction) -> WindowPrediction:
    """Return a prediction without the depth that the window did not ask for, as networks do."""
    if len(prediction.views) != len(window.views):
        return prediction
    views = [
        view
        if window.needs_depth(frame.id) or not isinstance(view, ViewPrediction)
        else replace(view, depth=None, confidence=None, sky=None)
        for frame, view in zip(window.views, prediction.views, strict=True)
    ]
    return replace(prediction, views=tuple(views))


def windows_of(sets: Sequence[FrameSet], window: int, stride: int) -> list[Window]:
    sliding = SlidingWindow(window, stride)
    return [made for item in sets if (made := sliding.push(item)) is not None]


def sets_of(cameras: Sequence[str], count: int) -> list[FrameSet]:
    return [frame_set(cameras, i * PERIOD_NS) for i in range(count)]


ODOM_FROM_WORLD = rigid(Rotation.from_euler('zyx', [2.0, 0.3, -0.2]).as_matrix(), [7.0, -3.0, 1.0])
"""Where the odometry of tests began: no axis and no origin is the world's."""


def with_odometry(
    sets: Sequence[FrameSet],
    world: BoxWorld,
    *,
    scale: float = 1.0,
    missing: Collection[int] = (),
    change: Callable[[int, FloatArray], FloatArray] | None = None,
) -> list[FrameSet]:
    """Return the sets with exact odometry of every camera, and no rig.

    Args:
        sets: at multiples of PERIOD_NS.
        world: where the cameras are.
        scale: of all lengths that the odometry tells.
        missing: numbers of sets without odometry.
        change: from number of the set and pose to the pose that is told instead.
    """

    def pose(camera: str, stamp_ns: int) -> FloatArray:
        told = Sim3(scale, np.eye(3), np.zeros(3)).apply_to_pose(
            ODOM_FROM_WORLD @ world.world_from_camera(camera, stamp_ns)
        )
        return change(stamp_ns // PERIOD_NS, told) if change else told

    def prior(item: FrameSet) -> PosePrior:
        if item.stamp_ns // PERIOD_NS in missing:
            return PosePrior(notes=(Note('transform_missing', 'odom to base_link: a hole'),))
        return PosePrior(
            odometry_from_camera={f.camera: pose(f.camera, f.stamp_ns) for f in item.frames}
        )

    return [replace(item, prior=prior(item)) for item in sets]


def poses_by_stamp(results: Sequence[WindowResult]) -> Mapping[int, FloatArray]:
    """Return world_from_base of every published set."""
    return {s.stamp_ns: s.world_from_base for result in results for s in result.new_sets}


def sampled_pair(
    world: FloatImage, window: FloatImage, confidence: FloatImage | None = None
) -> tuple[DepthSample, DepthSample]:
    """Return the samples of a view in the world and in a window, as sure in both."""
    return DepthSample.of(world, confidence), DepthSample.of(window, confidence)
