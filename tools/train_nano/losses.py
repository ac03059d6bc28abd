"""Losses.

Source: Lin et al., "Depth Anything 3" (2025, arXiv:2511.10647), section 3.3: depth weighted by
confidence, ray map, points from both, cameras, and depth gradients, mean absolute differences
(cameras: see `camera_loss`). The confidence term is that of Wang et al., "DUSt3R" (2024), section
3.2. Unlike there, depth is by default compared by logarithms: for a network as small as this one,
relative errors are what can be learned everywhere in a scene.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from da3_ros.model.camera_decoder import CameraDecoder
from da3_ros.model.heads import RayMaps
from da3_ros.model.pose_encoding import invert_rigid, rotation_from_quaternion
from tools.train_nano.config import DepthSpace, TrainConfig
from tools.train_nano.targets import Targets, at_cells

CAMERA_HUBER = 0.05
"""Differences of camera encodings from here on count by their size."""

ORIGIN_HUBER = 0.2
"""Likewise of the origins of rays."""

CLEAR_BASELINE = 0.1
"""Distance of two cameras, in scene units, from which on its direction counts in full."""

MIN_SPREAD = 1e-3
_MIN_DEPTH = 1e-4
_SHORT = 0.02
"""Lengths far below have no direction, in scene units."""


@dataclass(frozen=True, slots=True, eq=False)
class Losses:
    """The terms of a step, before weighting."""

    depth: Tensor
    gradient: Tensor
    camera: Tensor
    direction: Tensor
    spread: Tensor
    compass: Tensor
    ray: Tensor | None
    """None in steps without rays."""
    point: Tensor | None
    """Likewise."""

    def total(self, config: TrainConfig) -> Tensor:
        """Return the weighted sum."""
        total = self.depth + config.weight_gradient * self.gradient
        total = total + config.weight_camera * self.camera
        total = total + config.weight_direction * self.direction
        total = total + config.weight_spread * self.spread
        total = total + config.weight_compass * self.compass
        if self.ray is not None and self.point is not None:
            total = total + config.weight_ray * self.ray + config.weight_point * self.point
        return total


def all_losses(
    depth: Tensor,
    confidence: Tensor,
    encoding: Tensor,
    compass: Tensor,
    rays: RayMaps | None,
    targets: Targets,
    config: TrainConfig,
) -> Losses:
    """Compare predictions with the truth.

    Args:
        depth: (S, V, H, W) predicted.
        confidence: (S, V, H, W) predicted.
        encoding: (S, V, 9) predicted cameras.
        compass: (S, V, 6) predicted orientations in the world.
        rays: predicted rays (S, V, h, w, 6) and confidence, None when they were not computed.
        targets: the truth.
        config: weights.
    """
    guess = compared_depth(depth, config.depth_space)
    truth = compared_depth(targets.depth, config.depth_space)
    error = (guess - truth).abs()
    ray = point = None
    if rays is not None:
        away = ray_error(rays.rays, targets.rays)
        everywhere = torch.ones_like(away, dtype=torch.bool)
        ray = with_confidence(away, rays.confidence, everywhere, config.weight_confidence)
        point = point_loss(depth, rays.rays, targets)
    return Losses(
        depth=with_confidence(error, confidence, targets.known, config.weight_confidence),
        gradient=gradient_loss(guess, truth, targets.known),
        camera=camera_loss(encoding, targets.encoding),
        direction=direction_loss(encoding, targets.extrinsics),
        spread=spread_loss(encoding, targets.extrinsics),
        compass=compass_loss(compass, targets.compass),
        ray=ray,
        point=point,
    )


def compared_depth(depth: Tensor, space: DepthSpace) -> Tensor:
    """Return depth in the space in which errors are taken."""
    return depth.clamp_min(_MIN_DEPTH).log() if space == 'log' else depth


def with_confidence(error: Tensor, confidence: Tensor, known: Tensor, weight: float) -> Tensor:
    """Return the mean of confidence * error - weight * log(confidence) over known pixels.

    The best confidence is weight / error, at least one: it tells where errors are small.
    """
    terms = confidence * error - weight * confidence.log()
    return (terms * known).sum() / known.sum().clamp_min(1)


def ray_error(guess: Tensor, truth: Tensor) -> Tensor:
    """Return the mean difference of rays (..., 6), of origins by squares where it is small.

    For the same reason as in `camera_loss`: with absolute differences all origins stayed at zero.
    """
    direction = (guess[..., :3] - truth[..., :3]).abs()
    origin = functional.smooth_l1_loss(
        guess[..., 3:], truth[..., 3:], reduction='none', beta=ORIGIN_HUBER
    )
    return torch.cat((direction, origin), dim=-1).mean(dim=-1)


def gradient_loss(guess: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Return the mean absolute difference of the steps between neighbouring pixels."""
    error = guess - truth
    total, count = error.new_zeros(()), error.new_zeros(())
    for axis in (-1, -2):
        size = error.shape[axis] - 1
        near, far = (known.narrow(axis, start, size) for start in (0, 1))
        both = near & far
        total = total + (error.diff(dim=axis).abs() * both).sum()
        count = count + both.sum()
    return total / count.clamp_min(1)


def camera_loss(encoding: Tensor, truth: Tensor) -> Tensor:
    """Return the mean difference of camera encodings, absolute where it is not small.

    Small differences count by their squares (Huber, as in Wang et al., "VGGT", 2025, section
    3.4). Many cameras hardly move: absolute differences would hold all answers at exactly zero,
    the median, before the first motion can be seen. A quaternion and its negative are one
    orientation: the nearer one counts.
    """
    sign = torch.sign((encoding[..., 3:7] * truth[..., 3:7]).sum(dim=-1, keepdim=True))
    flipped = torch.where(sign < 0, -truth[..., 3:7], truth[..., 3:7])
    nearer = torch.cat((truth[..., :3], flipped, truth[..., 7:]), dim=-1)
    terms = functional.smooth_l1_loss(encoding, nearer, reduction='none', beta=CAMERA_HUBER)
    return terms.sum(dim=-1).mean()


def direction_loss(encoding: Tensor, extrinsics: Tensor) -> Tensor:
    """Return how far the directions from every camera to every other are off, as chords.

    Not of the paper. What `camera_loss` sees of a short motion is small, wherever it points; here
    directions count alike from `CLEAR_BASELINE` on, and less in proportion below. Directions are
    in the axes of the camera that looks, as those that poses are judged by.

    Args:
        encoding: (S, V, 9) predicted cameras.
        extrinsics: (S, V, 4, 4) true camera_from_world.
    """
    rotation = rotation_from_quaternion(encoding[..., 3:7])
    guess = _from_others(rotation, encoding[..., :3])
    poses = invert_rigid(extrinsics)
    truth = _from_others(poses[..., :3, :3], poses[..., :3, 3])
    length = truth.norm(dim=-1)
    chord = (_direction(guess) - _direction(truth)).square().sum(dim=-1)
    weight = (length / CLEAR_BASELINE).clamp_max(1.0)
    views = extrinsics.shape[1]
    return ((chord + _SHORT**2).sqrt() - _SHORT).mul(weight).sum() / max(
        len(extrinsics) * views * (views - 1), 1
    )


def spread_loss(encoding: Tensor, extrinsics: Tensor) -> Tensor:
    """Return how far the cameras' distances from one another are off as a whole, by logarithms.

    Not of the paper. Poses that are told come without their scale, and depth gets it back from
    the ratio of the true and the predicted distances: that ratio is what is compared here.

    Args:
        encoding: (S, V, 9) predicted cameras.
        extrinsics: (S, V, 4, 4) true camera_from_world.
    """
    truth = invert_rigid(extrinsics)[..., :3, 3]
    return (_log_spread(encoding[..., :3]) - _log_spread(truth)).abs().mean()


def _log_spread(positions: Tensor) -> Tensor:
    """Return the logarithm of the spread of positions (S, V, 3), that of short ones bounded."""
    return 0.5 * (square_spread(positions) + _SHORT**2).log()


def square_spread(positions: Tensor) -> Tensor:
    """Return the mean square (S,) of the distances of positions (S, V, 3) from their middle."""
    away = positions - positions.mean(dim=1, keepdim=True)
    return away.square().sum(dim=-1).mean(dim=1)


def _from_others(rotation: Tensor, position: Tensor) -> Tensor:
    """Return (S, V, V, 3): where camera j stands seen from camera i, in the axes of i."""
    apart = position[:, None] - position[:, :, None]
    return torch.einsum('siba,sijb->sija', rotation, apart)


def _direction(vector: Tensor) -> Tensor:
    return vector / (vector.square().sum(dim=-1, keepdim=True) + _SHORT**2).sqrt()


def idle_loss(decoder: CameraDecoder, features: Tensor) -> Tensor:
    """Return how far hidden units of the camera decoder are from ever answering.

    Not of the paper. Units whose inputs lie more than a standard deviation below zero on average
    answer to few views or none, and none of the other losses would ever change that again. Only
    the decoder learns from this, not what is before it.

    Args:
        decoder: the network's decoder.
        features: (S, V, 2 C) its input.
    """
    x, total = features.detach().flatten(0, 1).float(), features.new_zeros(())
    for layer in decoder.backbone:
        x = layer(x)
        if isinstance(layer, nn.Linear):
            level = x.mean(dim=0) / (x.std(dim=0, correction=0) + MIN_SPREAD)
            total = total + functional.relu(-level - 1.0).mean()
    return total


def compass_loss(compass: Tensor, truth: Tensor) -> Tensor:
    """Return the mean absolute difference of axes of the cameras in the world.

    Not of the paper, and no part of the network that is exported. In these scenes a look at one
    image tells which way the camera points. A linear layer on the camera's token, before views
    see one another, is asked for that; what is left for the camera decoder is to compare the
    directions of two views.
    """
    return (compass - truth).abs().mean()


def point_loss(depth: Tensor, rays: Tensor, targets: Targets) -> Tensor:
    """Return the mean absolute difference of points on predicted rays at predicted depths."""
    cells = rays.shape[2:4]
    guess, truth = at_cells(depth, cells), at_cells(targets.depth, cells)
    known = at_cells(targets.known, cells)
    points = rays[..., :3] * guess[..., None] + rays[..., 3:]
    wanted = targets.rays[..., :3] * truth[..., None] + targets.rays[..., 3:]
    error = (points - wanted).abs().mean(dim=-1) / (1.0 + truth)
    return (error * known).sum() / known.sum().clamp_min(1)
