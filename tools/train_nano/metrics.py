"""Accuracy on held-out scenes, and of baselines that know nothing on the same scenes.

Depth: AbsRel and delta1 after the median scale of a scene (Eigen et al. 2014, section 3.2).
Cameras: angle between true and predicted rotation from one view to another, and the area under
the curve of pairs whose rotation and direction of translation are both right within 1 to 30
degrees (Wang et al., "PoseDiffusion", 2023, section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from da3_ros.geometry.camera import ImageSize
from da3_ros.metrics.depth import depth_error
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.pose_encoding import invert_rigid
from da3_ros.synthetic.family_scene import Split
from tools.train_nano.config import FIRST, NANO_SIZE
from tools.train_nano.losses import square_spread
from tools.train_nano.scenes import make_batch
from tools.train_nano.targets import Targets, make_targets

AUC_LIMIT_DEG = 30
ROW_PROFILE_SCENES = 96
SCENES = {1: 64, 2: 48, 4: 48, 6: 48}
"""Views per scene to scenes measured."""

_NO_DIRECTION_DEG = 90.0
_MIN_BASELINE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationSet:
    """Scenes of one number of views."""

    targets: Targets
    row_depth: Tensor
    """(H,) mean depth by image row over training scenes of as many views."""


def evaluation_set(
    split: Split,
    views: int,
    scenes: int,
    size: ImageSize = NANO_SIZE,
    *,
    profile_scenes: int = ROW_PROFILE_SCENES,
) -> EvaluationSet:
    """Make the first scenes of a split.

    Args:
        split: set of scenes.
        views: per scene.
        scenes: how many.
        size: of the images.
        profile_scenes: training scenes whose mean depth by row is a baseline.
    """
    targets = make_targets(make_batch(split, range(scenes), views, size))
    train = make_targets(make_batch(Split.TRAIN, range(profile_scenes), views, size))
    weights = train.known.sum(dim=(0, 1, 3)).clamp_min(1)
    logs = (train.depth.log() * train.known).sum(dim=(0, 1, 3)) / weights
    return EvaluationSet(targets, logs.exp())


@torch.no_grad()
def measure(network: AnyViewNetwork, data: EvaluationSet) -> dict[str, float]:
    """Return the figures of a network and of the baselines, by name."""
    targets = data.targets
    views = targets.images.shape[1]
    free = network(targets.images, options=FIRST)
    figures = depth_figures(free.depth, targets)
    told = network(targets.images, targets.told, targets.intrinsics, options=FIRST)
    figures['absrel_posed'] = depth_figures(told.depth, targets)['absrel']
    constant = depth_figures(torch.ones_like(targets.depth), targets)
    by_row = depth_figures(data.row_depth[:, None].expand_as(targets.depth), targets)
    figures |= {f'{name}_constant': value for name, value in constant.items()}
    figures |= {f'{name}_row': value for name, value in by_row.items()}
    if views > 1:
        assert told.extrinsics is not None
        figures['absrel_metric'] = metric_error(told.depth, told.extrinsics, targets)
        still = torch.eye(4).expand_as(targets.extrinsics)
        predicted = torch.cat((free.extrinsics, still[..., 3:, :].to(free.extrinsics)), dim=-2)
        figures |= pose_figures(predicted, targets.extrinsics)
        baseline = pose_figures(still, targets.extrinsics)
        figures |= {f'{name}_still': value for name, value in baseline.items()}
    return figures


def measure_all(network: AnyViewNetwork, sets: dict[int, EvaluationSet]) -> dict[str, float]:
    """Return the figures of all sets, names ending in `_v<views>`."""
    return {
        f'{name}_v{views}': round(value, 5)
        for views, data in sets.items()
        for name, value in measure(network, data).items()
    }


def score(figures: dict[str, float]) -> float:
    """Return one figure for choosing the best weights, lower is better: depth and motion."""
    depth = sum(figures[f'absrel_v{views}'] for views in (1, 2, 4)) / 3
    return depth + figures['absrel_metric_v4'] / 2 + (100 - figures['auc30_v4']) / 400


def depth_figures(depth: Tensor, targets: Targets) -> dict[str, float]:
    """Return AbsRel and delta1 of depth (S, V, H, W), every scene scaled by one median."""
    scenes = [
        depth_error(
            guess[known].cpu().numpy(), truth[known].cpu().numpy(), align_scale=True
        ).figures
        for guess, truth, known in zip(depth, targets.depth, targets.known, strict=True)
    ]
    return {
        'absrel': float(np.mean([scene.abs_rel for scene in scenes])),
        'delta1': float(np.mean([scene.delta1 for scene in scenes])),
    }


def metric_error(depth: Tensor, extrinsics: Tensor, targets: Targets) -> float:
    """Return AbsRel of depth that has its scale from the distances of known cameras.

    Args:
        depth: (S, V, H, W) what the network answered when it was told the true cameras.
        extrinsics: (S, V, 3, 4) camera_from_world in the same answer.
        targets: the truth.
    """
    guess, truth = (
        square_spread(invert_rigid(poses)[..., :3, 3]).sqrt()
        for poses in (extrinsics, targets.extrinsics)
    )
    scale = truth / guess.clamp_min(_MIN_BASELINE)
    error = (depth * scale[:, None, None, None] - targets.depth).abs() / targets.depth
    known = targets.known
    return float(((error * known).flatten(1).sum(1) / known.flatten(1).sum(1)).mean())


def pose_figures(extrinsics: Tensor, truth: Tensor) -> dict[str, float]:
    """Return how well the motion between all pairs of views of a scene is known.

    Args:
        extrinsics: (S, V, 4, 4) predicted camera_from_world.
        truth: (S, V, 4, 4) true ones.
    """
    rotation, direction = relative_errors(extrinsics, truth)
    worst = torch.maximum(rotation, direction)
    return {
        'rotation_deg': float(rotation.mean()),
        'rotation_median_deg': float(rotation.median()),
        'auc30': area_under_curve(worst.tolist()),
        'auc30_rotation': area_under_curve(rotation.tolist()),
    }


def relative_errors(extrinsics: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return errors in degrees of rotation and of the direction of translation, (pairs,)."""
    views = truth.shape[1]
    first, second = torch.triu_indices(views, views, offset=1)

    def motion(poses: Tensor) -> Tensor:
        poses = poses.double()
        return poses[:, second] @ invert_rigid(poses[:, first])

    guess, wanted = motion(extrinsics), motion(truth)
    turned = guess[..., :3, :3].transpose(-1, -2) @ wanted[..., :3, :3]
    trace = turned.diagonal(dim1=-2, dim2=-1).sum(-1)
    rotation = torch.rad2deg(torch.acos(((trace - 1) / 2).clamp(-1, 1)))
    a, b = guess[..., :3, 3], wanted[..., :3, 3]
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    cosine = (a * b).sum(-1) / lengths.clamp_min(_MIN_BASELINE**2)
    angle = torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))
    # A camera that does not move has no direction that could be right.
    direction = torch.where(lengths > _MIN_BASELINE**2, angle, _NO_DIRECTION_DEG)
    return rotation.flatten(), direction.flatten()


def area_under_curve(errors_deg: Sequence[float], limit_deg: int = AUC_LIMIT_DEG) -> float:
    """Return the mean share, in percent, of errors below 1, 2, ... `limit_deg` degrees."""
    errors = np.asarray(errors_deg)[:, None]
    return float(100.0 * (errors < np.arange(1, limit_deg + 1)).mean())
