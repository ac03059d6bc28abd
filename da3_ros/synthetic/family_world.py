"""A scene of the family as a world to drive through: what networks trained on the family know.

The same interface as `world.SyntheticWorld`; the room, its look, the rig and the path lie within
what training shows, the room itself belongs to no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from da3_ros.errors import ConfigError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.synthetic.family_cast import Float32Array, Numbers, Rays, SceneArrays, cast, make_rays
from da3_ros.synthetic.family_look import shade
from da3_ros.synthetic.family_scene import (
    FAMILY_VERSION,
    FamilyScene,
    Kind,
    Plan,
    Split,
    sample_plan,
    sample_scene,
)
from da3_ros.synthetic.render import RenderedView
from da3_ros.synthetic.rig import DEFAULT_CAMERAS, FAN_MOUNTS, SyntheticRig, make_rig
from da3_ros.synthetic.trajectory import START_NS, Trajectory
from da3_ros.synthetic.world import SyntheticWorld
from da3_ros.types import FloatImage

FIELD_OF_VIEW_DEG = 85.0
"""Of every camera, horizontal."""

_LEAST_HALF_M = 3.4
_WALL_TO_PATH_M = 2.4
_PERIOD_S = 24.0
_LEAST_BOXES = 5
_PATH_POINTS = 180
# Scenes of batches differ in how many views they have; worlds have none.
_WORLD_VIEWS = 0
_BLOCK_ROWS = 64


class FamilyRenderer:
    """Renders one scene of the family from any camera.

    Args:
        scene: what is to be seen.
    """

    def __init__(self, scene: FamilyScene) -> None:
        self._arrays = SceneArrays.of([scene])

    def depth(self, camera: PinholeCamera, world_from_camera: FloatArray) -> FloatImage:
        """Return the exact depth image (H, W) in metres, +Inf for the sky."""
        rows = [self._cast(rays)[0] for rays in _blocks(camera, world_from_camera)]
        return np.concatenate(rows, axis=1).reshape(camera.size.height, camera.size.width)

    def render(
        self, camera: PinholeCamera, world_from_camera: FloatArray, supersample: int = 1
    ) -> RenderedView:
        """Return the image and its depth.

        Args:
            camera: intrinsics without skew.
            world_from_camera: (4, 4) pose of the optical frame.
            supersample: colour is the mean of this many samples per side of a pixel; depth is
                always that of the pixel's centre.
        """
        size = camera.size
        fine = camera.resized(ImageSize(size.height * supersample, size.width * supersample))
        depth, colour = self._seen(fine, world_from_camera)
        if supersample > 1:
            depth = self.depth(camera, world_from_camera)
            blocks = colour.reshape(size.height, supersample, size.width, supersample, 3)
            colour = blocks.mean(axis=(1, 3), dtype=np.float32)
        image = (np.clip(colour, 0.0, 1.0) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
        return RenderedView(image, depth, camera, world_from_camera)

    def _cast(self, rays: Rays) -> tuple[Float32Array, Numbers]:
        return cast(rays, self._arrays)

    def _seen(
        self, camera: PinholeCamera, world_from_camera: FloatArray
    ) -> tuple[FloatImage, Float32Array]:
        """Return depth (H, W) and colour (H, W, 3)."""
        focal = np.array([camera.K[0, 0]], np.float32)
        depths, colours = [], []
        for rays in _blocks(camera, world_from_camera):
            depth, surface = self._cast(rays)
            depths.append(depth)
            colours.append(shade(rays, self._arrays, depth, surface, focal))
        shape = (camera.size.height, camera.size.width)
        depth = np.concatenate(depths, axis=1).reshape(shape)
        return depth, np.concatenate(colours, axis=1).reshape(*shape, 3)


def _blocks(camera: PinholeCamera, world_from_camera: FloatArray) -> list[Rays]:
    """Return the rays of an image, some rows at a time."""
    pose = world_from_camera.astype(np.float32)[None]
    pixels = camera.rays()[..., :2].astype(np.float32)
    return [
        make_rays(
            np.zeros(1, np.intp),
            pose[:, :3, :3],
            pose[:, :3, 3],
            pixels[start : start + _BLOCK_ROWS].reshape(1, -1, 2).swapaxes(1, 2),
        )
        for start in range(0, camera.size.height, _BLOCK_ROWS)
    ]


@dataclass(frozen=True, slots=True, eq=False)
class FamilyWorld(SyntheticWorld):
    """A room of the family, a robot with cameras in it, and its path."""

    scene: FamilyScene


def make_family_world(
    number: int = 0,
    size: ImageSize = ImageSize(480, 640),
    cameras: Sequence[str] = DEFAULT_CAMERAS,
) -> FamilyWorld:
    """Return a held-out room: equal arguments give equal worlds, to the bit.

    Args:
        number: of the room, from 0 on.
        size: of every image.
        cameras: some of front, left, right, back, in the order of the rig.

    Raises:
        ConfigError: a negative number, or a camera that the robot does not have.
    """
    if number < 0:
        raise ConfigError(f'family world: expected a number from 0 on, got {number}')
    rig = make_rig(size, cameras, FIELD_OF_VIEW_DEG, FAN_MOUNTS)
    rng = np.random.default_rng((FAMILY_VERSION, Split.TEST.value, number, _WORLD_VIEWS))
    plan = _large_room(rng)
    trajectory = Trajectory(
        half_axes_m=(plan.half_x_m - _WALL_TO_PATH_M, plan.half_y_m - _WALL_TO_PATH_M),
        period_s=_PERIOD_S,
        start_angle_rad=float(rng.uniform(0.0, 2 * np.pi)),
    )
    # Whatever cameras are asked for, the furniture is the same.
    path = _path_of_cameras(make_rig(size, tuple(FAN_MOUNTS), mounts=FAN_MOUNTS), trajectory)
    scene = sample_scene(rng, plan, path)
    while len(scene.box_yaws_rad) < _LEAST_BOXES:
        scene = sample_scene(rng, plan, path)
    return FamilyWorld(rig, trajectory, FamilyRenderer(scene), scene)


def _large_room(rng: np.random.Generator) -> Plan:
    """Return a room with space for a loop inside it and furniture around that."""
    plan = sample_plan(rng, (Kind.ROOM,))
    while min(plan.half_x_m, plan.half_y_m) < _LEAST_HALF_M:
        plan = sample_plan(rng, (Kind.ROOM,))
    return plan


def _path_of_cameras(rig: SyntheticRig, trajectory: Trajectory) -> FloatArray:
    """Return where cameras stand during a loop (n, 2), and the base."""
    step_ns = round(trajectory.period_s * 1e9 / _PATH_POINTS)
    poses = [trajectory.world_from_base(START_NS + i * step_ns) for i in range(_PATH_POINTS)]
    mounts = [np.eye(4), *rig.calibration.base_from_camera.values()]
    return np.array([(pose @ mount)[:2, 3] for pose in poses for mount in mounts])
