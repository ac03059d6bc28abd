"""How far an estimate is from the truth: depth, relative pose, trajectory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import as_float
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import similarity_from_points


@dataclass(frozen=True, slots=True)
class DepthError:
    """Agreement of two depth images over the pixels where both are known."""

    abs_rel: float
    """Mean of |estimate - truth| / truth."""
    delta1: float
    """Share of pixels with max(estimate / truth, truth / estimate) < 1.25."""
    scale: float
    """Factor that the estimate was multiplied by before comparing (1 when not aligned)."""
    pixels: int
    """Number of pixels compared."""


def depth_error(
    estimate: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]], *, align_scale: bool
) -> DepthError:
    """Compare two depth images of one size.

    Args:
        estimate: depth; NaN, infinite and non-positive pixels are left out.
        truth: depth in the unit wanted; the same pixels are left out.
        align_scale: multiply the estimate by the median of truth / estimate first.

    Raises:
        GeometryError: the sizes differ or no pixel is known in both.

    Source: Eigen et al. 2014, section 3.2 (AbsRel and threshold accuracy).
    """
    if estimate.shape != truth.shape:
        raise GeometryError(f'depth error: sizes differ, {estimate.shape} and {truth.shape}')
    known = np.isfinite(estimate) & np.isfinite(truth) & (estimate > 0) & (truth > 0)
    if not known.any():
        raise GeometryError('depth error: no pixel is known in both images')
    e = estimate[known].astype(np.float64)
    t = truth[known].astype(np.float64)
    scale = float(np.median(t / e)) if align_scale else 1.0
    e *= scale
    ratio = np.maximum(e / t, t / e)
    return DepthError(
        abs_rel=float(np.mean(np.abs(e - t) / t)),
        delta1=float(np.mean(ratio < 1.25)),
        scale=scale,
        pixels=int(known.sum()),
    )


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """Absolute error of a trajectory after the stated alignment."""

    rmse: float
    """Root mean square of the position errors, in the truth's unit."""
    rotation_rmse_rad: float
    """Root mean square of the rotation errors after the same alignment."""
    scale: float
    """Scale of the alignment (1 when the estimate was taken as it is)."""
    aligned: bool
    """Whether a similarity was fitted first; False also when the path is too straight for one."""


def trajectory_error(
    world_from_estimate: ArrayLike, world_from_truth: ArrayLike, *, align: bool
) -> TrajectoryError:
    """Compare poses (N, 4, 4) of the same instants.

    Args:
        world_from_estimate: estimated poses.
        world_from_truth: true poses at the same times.
        align: fit a similarity to the positions first; a path that determines none (on one
            line, or standing) is compared as it is.

    Source: Sturm et al. 2012, section VI (absolute trajectory error); alignment Umeyama 1991.
    """
    truth = as_float('true poses', world_from_truth, (None, 4, 4))
    estimate = as_float('estimated poses', world_from_estimate, (truth.shape[0], 4, 4))
    similarity, aligned = Sim3.identity(), False
    if align:
        try:
            similarity = similarity_from_points(estimate[:, :3, 3], truth[:, :3, 3])
            aligned = True
        except GeometryError:
            aligned = False
    moved = similarity.apply_to_pose(estimate)
    position = np.linalg.norm(moved[:, :3, 3] - truth[:, :3, 3], axis=1)
    angle = rotation_angle_rad(np.swapaxes(moved[:, :3, :3], 1, 2) @ truth[:, :3, :3])
    return TrajectoryError(
        rmse=float(np.sqrt(np.mean(position**2))),
        rotation_rmse_rad=float(np.sqrt(np.mean(angle**2))),
        scale=similarity.scale,
        aligned=aligned,
    )
