"""Gaussians to draw and to export: few by hand, many at random, and those of a true world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.scene import ExportScene
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import transform_points

SIZE = ImageSize(24, 32)
CAMERA = PosedCamera(np.eye(4), PinholeCamera.from_focal(30, 28, 14.3, 12.6, SIZE))
"""At the world's origin, with its principal point beside the middle and between pixels."""

DC_FACTOR = np.sqrt(4 * np.pi)
"""A coefficient of the constant function times this is the colour minus one half, inverted."""


def cloud_of(
    means: ArrayLike,
    scales: ArrayLike,
    rotations_wxyz: ArrayLike,
    harmonics: ArrayLike,
    opacities: ArrayLike,
) -> GaussianCloud:
    """Return a cloud of one row of pixels from anything that numpy reads."""
    arrays = [np.asarray(a, np.float32) for a in (means, scales, rotations_wxyz)]
    return GaussianCloud(
        arrays[0],
        arrays[1],
        arrays[2],
        np.asarray(harmonics, np.float32),
        np.asarray(opacities, np.float32),
        (1, 1, len(arrays[0])),
    )


def balls(
    means: Sequence[ArrayLike],
    scale: float,
    colours: Sequence[ArrayLike],
    opacities: Sequence[float],
) -> GaussianCloud:
    """Return round Gaussians of one colour each."""
    count = len(means)
    return cloud_of(
        np.array(means),
        np.full((count, 3), scale),
        np.tile([1.0, 0, 0, 0], (count, 1)),
        (np.array(colours)[:, :, None] - 0.5) * DC_FACTOR,
        opacities,
    )


def random_cloud(count: int, degree: int = 2, seed: int = 0) -> GaussianCloud:
    """Return Gaussians of all shapes before `CAMERA`, some of them partly outside of its image."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(1, 4, count)
    means = np.stack([rng.uniform(-0.6, 0.6, count) * z, rng.uniform(-0.5, 0.5, count) * z, z], 1)
    scales = np.exp(rng.normal(np.log(0.08), 0.7, (count, 3)))
    harmonics = rng.normal(0, 0.3, (count, 3, (degree + 1) ** 2))
    quaternions = rng.normal(size=(count, 4))
    return cloud_of(means, scales, quaternions, harmonics, rng.uniform(0.01, 1, count))


def pixel_gaussians(scene: ExportScene, opacity: float = 0.98) -> GaussianCloud:
    """Return a round Gaussian for every pixel of a scene whose depth is known everywhere.

    Each is as wide as its pixel's distance to the next, and has the pixel's colour.
    """
    parts: list[tuple[FloatArray, NDArray[np.float64], FloatArray]] = []
    for view in scene.views:
        depth = view.depth.astype(np.float64)[..., None]
        points = (view.camera.rays() * depth).reshape(-1, 3)
        scale = 0.5 * depth.reshape(-1, 1) / view.camera.K[0, 0]
        parts.append(
            (
                transform_points(view.world_from_camera, points),
                np.repeat(scale, 3, axis=1),
                (view.image.reshape(-1, 3) / 255 - 0.5) * DC_FACTOR,
            )
        )
    means, scales, harmonics = (np.concatenate(blocks) for blocks in zip(*parts, strict=True))
    count = len(means)
    flat = cloud_of(
        means,
        scales,
        np.tile([1.0, 0, 0, 0], (count, 1)),
        np.concatenate([harmonics[:, :, None], np.zeros((count, 3, 8))], axis=2),
        np.full(count, opacity),
    )
    return replace(flat, grid=(len(scene.views), *scene.views[0].depth.shape))


def with_gaussians(scene: ExportScene) -> ExportScene:
    """Return the scene with a Gaussian for every pixel."""
    return replace(scene, gaussians=pixel_gaussians(scene))
