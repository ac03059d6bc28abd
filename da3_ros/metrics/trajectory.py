"""How far an estimated trajectory is from the true one, as a whole and from pose to pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import are_rigid, invert
from da3_ros.geometry.sim3 import Sim3
from da3_ros.metrics.alignment import Alignment, truth_from_estimate
from da3_ros.metrics.pose_pairs import Delta, pose_pairs
from da3_ros.metrics.summary import ErrorSummary


@dataclass(frozen=True, slots=True, eq=False)
class AlignedPoses:
    """Poses of the same instants in one frame."""

    truth: FloatArray
    """(N, 4, 4) world_from_body."""
    estimate: FloatArray
    """(N, 4, 4) in the frame and unit of the truth, as far as the alignment brings it there."""
    alignment: Alignment
    truth_from_estimate: Sim3
    """What the estimate was moved by."""


@dataclass(frozen=True, slots=True, eq=False)
class PoseErrors:
    """Errors of poses, or of motions between two poses."""

    translation: FloatArray
    """(N,), in the truth's unit."""
    rotation_rad: FloatArray
    """(N,), from 0 to pi."""
    places: NDArray[np.int64]
    """(N,) which pose each is of; of a motion the one that it ends at."""

    @property
    def translation_summary(self) -> ErrorSummary:
        """Figures in the truth's unit."""
        return ErrorSummary.of(self.translation)

    @property
    def rotation_summary_rad(self) -> ErrorSummary:
        """Figures in rad."""
        return ErrorSummary.of(self.rotation_rad)


def aligned(
    world_from_estimate: ArrayLike, world_from_truth: ArrayLike, alignment: Alignment
) -> AlignedPoses:
    """Bring estimated poses (N, 4, 4) into the frame of the true ones of the same instants.

    Args:
        world_from_estimate: estimated poses.
        world_from_truth: true poses.
        alignment: what may be fitted.

    Raises:
        GeometryError: the numbers differ, there is no pose, one is not rigid (NaN, too), or the
            positions do not determine the alignment.
    """
    truth = _poses('true', world_from_truth)
    estimate = _poses('estimated', world_from_estimate)
    if not 0 < len(truth) == len(estimate):
        raise GeometryError(
            f'trajectory: expected as many true poses as estimated ones, got {len(truth)} and '
            f'{len(estimate)}'
        )
    similarity = truth_from_estimate(estimate[:, :3, 3], truth[:, :3, 3], alignment)
    return AlignedPoses(truth, similarity.apply_to_pose(estimate), alignment, similarity)


def _poses(name: str, matrices: ArrayLike) -> FloatArray:
    poses = np.asarray(matrices, dtype=np.float64)
    if poses.ndim != 3 or poses.shape[1:] != (4, 4):
        raise GeometryError(f'trajectory: expected {name} poses (N, 4, 4), got {poses.shape}')
    rigid = are_rigid(poses)
    if not rigid.all():
        first = int(np.argmin(rigid))
        raise GeometryError(
            f'trajectory: {name} pose {first} of {len(poses)} is no rigid transform: '
            f'{poses[first].tolist()}'
        )
    return poses


def absolute_errors(poses: AlignedPoses) -> PoseErrors:
    """Return how far every pose is from the true one (ATE).

    Source: Sturm et al. 2012, section VI (absolute trajectory error).
    """
    truth, estimate = poses.truth, poses.estimate
    between = np.swapaxes(truth[:, :3, :3], 1, 2) @ estimate[:, :3, :3]
    return PoseErrors(
        np.linalg.norm(estimate[:, :3, 3] - truth[:, :3, 3], axis=1),
        rotation_angle_rad(between),
        np.arange(len(truth)),
    )


def relative_errors(poses: AlignedPoses, stamps_ns: NDArray[np.int64], delta: Delta) -> PoseErrors:
    """Return how far motions between two poses are from the true ones (RPE).

    Args:
        poses: of which only the scale of the alignment matters here.
        stamps_ns: (N,), ascending.
        delta: how far apart the two poses are.

    Raises:
        GeometryError: no two poses are so far apart.

    Source: Sturm et al. 2012, section VI (relative pose error).
    """
    pairs = pose_pairs(delta, stamps_ns, poses.truth[:, :3, 3])
    true_motion, motion = (
        invert(of[pairs.first]) @ of[pairs.second] for of in (poses.truth, poses.estimate)
    )
    error = invert(true_motion) @ motion
    return PoseErrors(
        np.linalg.norm(error[:, :3, 3], axis=1), rotation_angle_rad(error[:, :3, :3]), pairs.second
    )


@dataclass(frozen=True, slots=True)
class TrajectoryError:
    """The two figures of a trajectory that fit into one line."""

    rmse: float
    """Root mean square of the position errors, in the truth's unit."""
    rotation_rmse_rad: float
    """Root mean square of the rotation errors after the same alignment."""
    alignment: Alignment
    scale: float
    """Scale of the alignment (1 where it has none)."""


def trajectory_error(
    world_from_estimate: ArrayLike, world_from_truth: ArrayLike, alignment: Alignment
) -> TrajectoryError:
    """Return the absolute error of poses (N, 4, 4); arguments and errors as of `aligned`."""
    poses = aligned(world_from_estimate, world_from_truth, alignment)
    errors = absolute_errors(poses)
    return TrajectoryError(
        rmse=errors.translation_summary.rmse,
        rotation_rmse_rad=errors.rotation_summary_rad.rmse,
        alignment=alignment,
        scale=poses.truth_from_estimate.scale,
    )
