"""Batches of the family of synthetic scenes: what networks learn from and are measured on.

Every scene is named by its split and its number, and is the same whenever and wherever it is
made. Splits never share a scene: the split is part of every seed. The unseen kind of scene
belongs to no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.errors import ConfigError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic.family_cast import Float32Array, SceneArrays, cast, make_rays
from da3_ros.synthetic.family_look import shade
from da3_ros.synthetic.family_scene import (
    FAMILY_VERSION,
    FamilyScene,
    Split,
    sample_plan,
    sample_scene,
)
from tools.train_nano.scene_views import FamilyViews, sample_views

_BLOCK_RAYS = 60_000
_NOISE_LEVELS = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class FamilyBatch:
    """S scenes of V views each, and the truth about them."""

    images: NDArray[np.uint8]
    """(S, V, H, W, 3) RGB."""
    depth: Float32Array
    """(S, V, H, W) z along the optical axis, metres; +Inf for the sky."""
    intrinsics: FloatArray
    """(S, V, 3, 3) pixels, the first pixel's centre at (0, 0)."""
    world_from_camera: FloatArray
    """(S, V, 4, 4) metres."""
    size: ImageSize
    """Of every image."""


def make_batch(
    split: Split, numbers: Sequence[int], views: int, size: ImageSize, *, supersample: int = 1
) -> FamilyBatch:
    """Make scenes and render them.

    Args:
        split: set of scenes.
        numbers: which of its scenes, each from 0 on.
        views: V, views per scene; a scene furnished for another V is another scene.
        size: of the images.
        supersample: colour is the mean of this many samples per side of a pixel; depth is
            always that of the pixel's centre.

    Raises:
        ConfigError: a number is negative, or there are no views or samples.
    """
    if views < 1 or supersample < 1 or not numbers or min(numbers) < 0:
        raise ConfigError(
            'scene family: expected scene numbers from 0 on, views and supersample from 1 on, '
            f'got {list(numbers)}, {views} and {supersample}'
        )
    made = [_make(split, number, views) for number in numbers]
    poses = np.stack([cameras.world_from_camera for _, cameras, _ in made])
    fov = np.stack([cameras.fov_rad for _, cameras, _ in made])
    arrays = SceneArrays.of([scene for scene, _, _ in made])
    intrinsics = _intrinsics(fov, size)
    depth, colour = _render(arrays, poses, intrinsics, size)
    if supersample > 1:
        fine = ImageSize(size.height * supersample, size.width * supersample)
        _, colour = _render(arrays, poses, _intrinsics(fov, fine), fine)
        blocks = (*colour.shape[:2], size.height, supersample, size.width, supersample, 3)
        colour = colour.reshape(blocks).mean(axis=(3, 5))
    images = np.stack([_expose(colour[row], rng) for row, (_, _, rng) in enumerate(made)])
    return FamilyBatch(images, depth, intrinsics, poses, size)


def make_scene(split: Split, number: int, views: int) -> tuple[FamilyScene, FamilyViews]:
    """Return one scene of `make_batch` and its cameras, not rendered."""
    scene, cameras, _ = _make(split, number, views)
    return scene, cameras


def _make(
    split: Split, number: int, views: int
) -> tuple[FamilyScene, FamilyViews, np.random.Generator]:
    """Return a scene, its cameras and the generator of what is still random: the exposure."""
    rng = np.random.default_rng((FAMILY_VERSION, split.value, number, views))
    plan = sample_plan(rng, split.kinds)
    cameras = sample_views(rng, plan, views)
    scene = sample_scene(rng, plan, cameras.world_from_camera[:, :2, 3])
    return scene, cameras, rng


def _intrinsics(fov_rad: FloatArray, size: ImageSize) -> FloatArray:
    matrix = np.zeros((*fov_rad.shape, 3, 3))
    focal = size.width / 2 / np.tan(fov_rad / 2)
    matrix[..., 0, 0] = matrix[..., 1, 1] = focal
    matrix[..., 0, 2], matrix[..., 1, 2] = (size.width - 1) / 2, (size.height - 1) / 2
    matrix[..., 2, 2] = 1.0
    return matrix


def _render(
    scenes: SceneArrays, poses: FloatArray, intrinsics: FloatArray, size: ImageSize
) -> tuple[Float32Array, Float32Array]:
    """Return depth (S, V, H, W) and colour (S, V, H, W, 3)."""
    count, views = poses.shape[:2]
    pose = poses.reshape(-1, 4, 4).astype(np.float32)
    k = intrinsics.reshape(-1, 3, 3).astype(np.float32)
    scene = np.repeat(np.arange(count), views)
    v, u = (axis.ravel().astype(np.float32) for axis in np.indices((size.height, size.width)))
    depth = np.empty((count * views, u.size), np.float32)
    colour = np.empty((count * views, u.size, 3), np.float32)
    step = max(1, _BLOCK_RAYS // u.size)
    for start in range(0, count * views, step):
        rows = slice(start, start + step)
        focal = k[rows, 0, 0]
        x = (u - k[rows, 0, 2:]) / focal[:, None]
        y = (v - k[rows, 1, 2:]) / k[rows, 1, 1][:, None]
        pixels = np.stack([x, y], axis=1)
        rays = make_rays(scene[rows], pose[rows, :3, :3], pose[rows, :3, 3], pixels)
        depth[rows], surface = cast(rays, scenes)
        colour[rows] = shade(rays, scenes, depth[rows], surface, focal)
    shape = (count, views, size.height, size.width)
    return depth.reshape(shape), colour.reshape(*shape, 3)


def _expose(colour: Float32Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Turn the colours (V, H, W, 3) of one scene into images: exposure, white balance, noise."""
    gain = rng.uniform(0.8, 1.15) * rng.uniform(0.95, 1.05, (len(colour), 1, 1, 1))
    balance = rng.uniform(0.95, 1.05, 3)
    noise = rng.standard_normal(colour.shape, np.float32)
    levels = colour * (255.0 * gain * balance).astype(np.float32)
    levels += np.float32(rng.uniform(0.0, _NOISE_LEVELS)) * noise
    return np.asarray(np.clip(levels + np.float32(0.5), 0.0, 255.0), np.uint8)
