"""Cameras from predicted rays.

A ray direction d and a pixel p of a camera with rotation R and intrinsics K obey d ~ R K^-1 p, a
homography. It is fitted robustly to all rays of a view, then factorised into rotation and
intrinsics; the position is the mean ray origin.

The factorisation takes the 3 x 3 matrix as an orthogonal matrix times a *lower*-triangular one,
as the upstream method does. That equals R K^-1 exactly when the principal point is in the middle
of the image, which holds for the data the networks were trained on, and biases the rotation
otherwise.

Source: Lin et al., "Depth Anything 3" (2025), section 3.1 (pose from rays); Hartley & Zisserman,
"Multiple View Geometry", algorithm 4.2 (direct linear transform) and A4.1.1 (factorisation). The
least singular vector is taken from the 9 x 9 normal matrix in float64 instead of an SVD of the
full system.
"""

from typing import Protocol

import torch
from torch import Tensor

from da3_ros.model.pose_encoding import invert_rigid, pinhole_matrix

ITERATIONS = 100
SET_SIZE = 8
POOL_FRACTION = 0.3
"""Hypotheses are drawn from this most confident fraction of a view's rays."""

INLIER_THRESHOLD = 0.2
"""Largest reprojection error of an inlier, in units in which the image spans 2."""

MAX_REFIT_RAYS = 8000
REFIT_FRACTION = 0.95
MIN_DEPTH = 1e-4
"""Rays with a smaller z are ignored: they have no place on the image plane."""


class RaySampler(Protocol):
    """Source of the random choices of the fit."""

    def minimal_sets(self, pool: int) -> Tensor:
        """Return (ITERATIONS, SET_SIZE) int64 indices below `pool`, distinct within a row."""
        ...

    def refit_order(self, view: int, count: int) -> Tensor:
        """Return a permutation (count,) int64 from which a view's refit takes its first rays."""
        ...


class SeededSampler:
    """Choices from an own generator: the same for every call with the same seed."""

    def __init__(self, seed: int = 0) -> None:
        """Seed the generator; torch's global one is never touched."""
        self._generator = torch.Generator().manual_seed(seed)

    def minimal_sets(self, pool: int) -> Tensor:
        """Return random minimal sets."""
        rows = [
            torch.randperm(pool, generator=self._generator)[:SET_SIZE] for _ in range(ITERATIONS)
        ]
        return torch.stack(rows)

    def refit_order(self, view: int, count: int) -> Tensor:
        """Return a random permutation, whichever the view."""
        del view
        return torch.randperm(count, generator=self._generator)


def cameras_from_rays(
    rays: Tensor,
    confidence: Tensor,
    image_size: tuple[int, int],
    sampler: RaySampler | None = None,
) -> tuple[Tensor, Tensor]:
    """Estimate the camera of every view from its rays.

    Args:
        rays: (..., h, w, 6) direction and origin of each cell's ray.
        confidence: (..., h, w) non-negative weights.
        image_size: (H, W) in which the intrinsics are wanted.
        sampler: Random choices; freshly seeded ones when None.

    Returns:
        Extrinsics (..., 3, 4) camera_from_world and intrinsics (..., 3, 3) in pixels.
    """
    batch = rays.shape[:-3]
    world_from_camera, focal, centre = poses_from_rays(
        rays.flatten(0, -4), confidence.flatten(0, -3), sampler or SeededSampler()
    )
    height, width = image_size
    intrinsics = pinhole_matrix(
        focal[:, 0] * (width / 2),
        focal[:, 1] * (height / 2),
        centre[:, 0] * (width / 2),
        centre[:, 1] * (height / 2),
    )
    extrinsics = invert_rigid(world_from_camera)
    return torch.unflatten(extrinsics, 0, batch), torch.unflatten(intrinsics, 0, batch)


def poses_from_rays(
    rays: Tensor, confidence: Tensor, sampler: RaySampler
) -> tuple[Tensor, Tensor, Tensor]:
    """Estimate poses in units in which the image spans 2 in both directions.

    Args:
        rays: (V, h, w, 6) direction and origin of each cell's ray.
        confidence: (V, h, w) non-negative weights.
        sampler: Random choices.

    Returns:
        world_from_camera (V, 3, 4), focal lengths x, y (V, 2) and principal points x, y (V, 2)
        from the image's corner.
    """
    pixels = _cell_centres(rays)
    # Overflown rays get no weight instead of spoiling the whole fit.
    finite = torch.isfinite(rays).all(dim=-1) & torch.isfinite(confidence)
    rays = torch.where(finite[..., None], rays, 0.0)
    confidence = torch.where(finite, confidence, 0.0)
    directions, origins = rays[..., :3].flatten(1, 2), rays[..., 3:].flatten(1, 2)
    depth = directions[..., 2:]
    valid = depth.abs() > MIN_DEPTH
    targets = torch.where(valid, directions[..., :2] / depth, directions[..., :2])
    weights = torch.where(valid[..., 0], confidence.flatten(1), 0.0)

    pool = max(SET_SIZE, int(POOL_FRACTION * pixels.shape[0]))
    sets = sampler.minimal_sets(pool).to(rays.device)
    rotations, lowers = [], []
    for view in range(rays.shape[0]):
        matrix = _robust_homography(pixels, targets[view], weights[view], sets, sampler, view)
        rotation, lower = _orthogonal_lower(matrix)
        rotations.append(rotation)
        lowers.append(lower)
    rotation, lower = torch.stack(rotations), torch.stack(lowers)
    position = (weights[..., None] * origins).sum(1) / weights.sum(1)[:, None]
    world_from_camera = torch.cat((rotation, position[..., None]), dim=-1)
    focal = 1.0 / lower[:, :2, :2].diagonal(dim1=-2, dim2=-1)
    centre = lower[:, 2, :2] + 1.0
    return world_from_camera, focal, centre


def _cell_centres(rays: Tensor) -> Tensor:
    """Return cell centres x, y (h * w, 2) in [-1, 1], rows first."""
    h, w = rays.shape[1:3]
    axes = (
        torch.linspace(-(1 - 1 / n), 1 - 1 / n, n, device=rays.device, dtype=rays.dtype)
        for n in (h, w)
    )
    y, x = torch.meshgrid(*axes, indexing='ij')
    return torch.stack((x, y), dim=-1).flatten(0, 1)


def _robust_homography(
    pixels: Tensor,
    targets: Tensor,
    weights: Tensor,
    sets: Tensor,
    sampler: RaySampler,
    view: int,
) -> Tensor:
    """Fit H with targets ~ H pixels, first on minimal sets, then on the best one's inliers."""
    pool = weights.argsort(descending=True)
    chosen = pool[sets]
    hypotheses = _fit_homography(pixels[chosen], targets[chosen], weights[chosen])
    points = torch.cat((pixels, torch.ones_like(pixels[:, :1])), dim=-1)
    projected = points @ hypotheses.transpose(-1, -2)
    error = (projected[..., :2] / projected[..., 2:] - targets).norm(dim=-1)
    inlier = error < INLIER_THRESHOLD
    best = (inlier * weights).sum(-1).argmax()
    kept = inlier[best].nonzero()[:, 0]
    kept = kept[weights[kept].argsort(descending=True)]
    if kept.shape[0] > MAX_REFIT_RAYS:
        kept = kept[: max(int(REFIT_FRACTION * kept.shape[0]), MAX_REFIT_RAYS)]
        order = sampler.refit_order(view, kept.shape[0]).to(kept.device)
        kept = kept[order[:MAX_REFIT_RAYS]]
    return _fit_homography(pixels[kept], targets[kept], weights[kept])


def _fit_homography(pixels: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Solve the weighted direct linear transform.

    With p = (x, y, 1), the two rows per point (x, y) -> (u, v) are (-p, 0, u p) and (0, -p, v p);
    the normal matrix therefore consists of the moments of p weighted by 1, u, v and u^2 + v^2.

    Args:
        pixels: (..., n, 2).
        targets: (..., n, 2).
        weights: (..., n).

    Returns:
        (..., 3, 3) with last entry 1, in the dtype of the pixels.
    """
    p = torch.cat((pixels, torch.ones_like(pixels[..., :1])), dim=-1).double()
    u, v = targets.double().unbind(-1)
    w = weights.double()
    factors = torch.stack((w, w * u, w * v, w * (u * u + v * v)), dim=-2)
    moments = torch.einsum('...fn,...ni,...nj->...fij', factors, p, p)
    plain, by_u, by_v, by_square = moments.unbind(-3)
    zero = torch.zeros_like(plain)
    normal = torch.cat(
        (
            torch.cat((plain, zero, -by_u), dim=-1),
            torch.cat((zero, plain, -by_v), dim=-1),
            torch.cat((-by_u, -by_v, by_square), dim=-1),
        ),
        dim=-2,
    )
    # Eigenvalues come ascending: the first vector belongs to the smallest one.
    h = torch.unflatten(torch.linalg.eigh(normal).eigenvectors[..., 0], -1, (3, 3))
    return (h / h[..., 2:, 2:]).to(pixels.dtype)


def _orthogonal_lower(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Factorise a (3, 3) matrix into a rotation and a lower-triangular matrix.

    The diagonal of the second factor is positive and its last entry is scaled to one.
    """
    matrix = torch.where(torch.linalg.det(matrix) < 0, -matrix, matrix)
    # Reversing the columns turns the upper-triangular factor of QR into a lower-triangular one.
    q, r = torch.linalg.qr(matrix.flip(-1))
    q, lower = q.flip(-1), r.flip(-1).flip(-2)
    signs = torch.where(lower.diagonal() < 0, -1.0, 1.0).to(matrix.dtype)
    lower = lower * signs[:, None]
    return q * signs, lower / lower[2, 2]
