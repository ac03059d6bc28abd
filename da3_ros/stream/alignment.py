"""Where a window stands in the world, judged by the views that both know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
import math

import numpy as np

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import nearest_rotation, rotation_angle_rad
from da3_ros.geometry.se3 import invert
from da3_ros.geometry.sim3 import Sim3
from da3_ros.stream.robust_mean import mean_position, mean_rotation, rms
from da3_ros.stream.scale.measurements import (
    LogScale,
    fuse,
    scale_from_centres,
    scale_from_depths,
)
from da3_ros.stream.scale.samples import DepthSample
from da3_ros.types import FloatImage, ViewPrediction

ViewKey = tuple[str, int]
"""Camera name and stamp: what makes two views the same."""


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """A view whose place in the world is settled."""

    world_from_camera: FloatArray
    """(4, 4), world units."""
    sample: DepthSample | None
    """Of its depth, world units. None when the view was placed again without."""


@dataclass(frozen=True, slots=True, eq=False)
class PlacedView:
    """A view of the window with its checked pose."""

    key: ViewKey
    window_from_camera: FloatArray
    """(4, 4), rotation exactly orthonormal."""
    prediction: ViewPrediction
    sample: DepthSample | None
    """Of its depth, in the window's unit; None where the network gave none."""

    @staticmethod
    def of(key: ViewKey, view: ViewPrediction) -> PlacedView:
        """Return a view that was checked."""
        return PlacedView(key, view.window_from_camera, view, DepthSample.of_view(view))


@dataclass(frozen=True, slots=True, eq=False)
class SharedViews:
    """What the views shared with the world say about rotation and scale."""

    rotation: FloatArray
    """(3, 3) world from window."""
    chain: LogScale | None
    """Scale against the world; None when nothing measures it."""
    depth_spread: float
    """Robust spread of the log ratios of depth; NaN without any."""
    world_poses: FloatArray
    """(N, 4, 4) of the shared views."""
    window_poses: FloatArray
    """(N, 4, 4) of the same views in the window."""
    outliers: int
    """Views whose orientation contradicts the others; they measure nothing else."""


@dataclass(frozen=True, slots=True, eq=False)
class Alignment:
    """The place of a window, and how far the shared views are from agreeing with it."""

    world_from_window: Sim3
    rotation_residual_rad: float
    translation_residual: float


def compare_shared(
    views: Sequence[PlacedView], anchors: Mapping[ViewKey, Anchor], position_noise: float
) -> SharedViews | None:
    """Return rotation and scale by the views that are anchored already, None without any.

    Args:
        views: all views of the window.
        anchors: views with a settled place.
        position_noise: error of a centre that is assumed at least, window units.
    """
    shared = [(view, anchors[view.key]) for view in views if view.key in anchors]
    if not shared:
        return None
    world = np.array([anchor.world_from_camera for _, anchor in shared])
    window = np.array([view.window_from_camera for view, _ in shared])
    rotation, inliers = mean_rotation(world[:, :3, :3] @ np.swapaxes(window[:, :3, :3], 1, 2))
    pairs = [
        (anchor.sample, view.sample)
        for (view, anchor), use in zip(shared, inliers, strict=True)
        if use and anchor.sample is not None and view.sample is not None
    ]
    depths = scale_from_depths(pairs)
    centres = scale_from_centres(
        world[inliers, :3, 3], window[inliers, :3, 3], rotation, position_noise
    )
    return SharedViews(
        rotation=rotation,
        chain=fuse([centres, depths.measured if depths else None]),
        depth_spread=depths.spread if depths else math.nan,
        world_poses=world[inliers],
        window_poses=window[inliers],
        outliers=int((~inliers).sum()),
    )


def align(shared: SharedViews, scale: float) -> Alignment:
    """Return the window's place at a given scale: rotation and mean offset of shared views."""
    world, window = shared.world_poses, shared.window_poses
    offsets = world[:, :3, 3] - scale * window[:, :3, 3] @ shared.rotation.T
    translation, distance = mean_position(offsets)
    rotated = shared.rotation @ window[:, :3, :3]
    angles = rotation_angle_rad(np.swapaxes(world[:, :3, :3], 1, 2) @ rotated)
    return Alignment(Sim3(scale, shared.rotation, translation), rms(angles), rms(distance))


def align_pose(world_from_body: FloatArray, window_from_body: FloatArray, scale: float) -> Sim3:
    """Return the window's place such that one body pose comes to stand where it shall.

    Args:
        world_from_body: where the body shall stand, (4, 4).
        window_from_body: where the window, scaled by `scale`, has it, (4, 4).
        scale: world units per unit of the window.
    """
    placed = world_from_body @ invert(window_from_body)
    # Rounding would grow by a factor with every window that is placed by the one before.
    return Sim3(scale, nearest_rotation(placed[:3, :3]), placed[:3, 3])


def known_depth(view: ViewPrediction) -> FloatImage | None:
    """Return the depth (h, w) with NaN where the network sees sky; None where it has none."""
    if view.sky is None or view.depth is None:
        return view.depth
    return np.where(view.sky, np.float32(np.nan), view.depth)


def depth_samples(views: Iterable[PlacedView]) -> list[DepthSample]:
    """Return the samples of those views that have depth."""
    return [view.sample for view in views if view.sample is not None]
