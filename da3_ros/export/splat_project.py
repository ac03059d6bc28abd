"""Gaussians in space to Gaussians in the image.

Source: Zwicker et al., "EWA Splatting" (2002), for the affine approximation of the projection;
Kerbl et al., "3D Gaussian Splatting" (2023); the constants are those of gsplat 1.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.harmonics import harmonic_basis
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.rotation import matrix_from_quaternion_xyzw
from da3_ros.geometry.se3 import invert, transform_points

MIN_ALPHA = 1 / 255
"""Below this a Gaussian adds nothing to a pixel."""

_NEAR = 0.01
_LOW_PASS_PX2 = 0.3
"""Variance that is added in the image, so that no Gaussian falls between the pixels."""
_MARGIN = 0.3
"""The slope of the projection is taken at most this share of half the image (each side) outside
of it: far outside it grows without bounds, and the affine approximation with it."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCloud:
    """A cloud with what does not depend on the camera; Gaussians without effect are left out."""

    means: FloatArray
    """(P, 3)."""
    axes: FloatArray
    """(P, 3, 3) world_from_gaussian with the columns scaled: covariance = axes axes^T."""
    opacities: FloatArray
    """(P,), at least `MIN_ALPHA`."""
    harmonics: FloatArray
    """(P, 3, D)."""
    degree: int
    """Of the harmonics."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageSplats:
    """Gaussians in the image, nearest first; S of them."""

    mean_px: FloatArray
    """(S, 2) u and v."""
    precision: FloatArray
    """(S, 3) entries uu, uv, vv of the inverse covariance, 1 / px^2."""
    reach_px: FloatArray
    """(S, 2) how far from the mean along u and v alpha can reach `MIN_ALPHA`."""
    opacity: FloatArray
    """(S,)."""
    colour: FloatArray
    """(S, 3) as seen from this camera, at least 0."""
    depth: FloatArray
    """(S,) z of the mean."""


def prepare(cloud: GaussianCloud) -> PreparedCloud:
    """Return the cloud's Gaussians that are finite and not (nearly) transparent."""
    chosen = cloud.usable() & (cloud.opacities >= MIN_ALPHA)
    rotation = matrix_from_quaternion_xyzw(cloud.rotations_wxyz[chosen][:, [1, 2, 3, 0]])
    scales = cloud.scales[chosen].astype(np.float64)
    return PreparedCloud(
        means=cloud.means[chosen].astype(np.float64),
        axes=rotation * scales[:, None, :],
        opacities=cloud.opacities[chosen].astype(np.float64),
        harmonics=cloud.harmonics[chosen].astype(np.float64),
        degree=cloud.degree,
    )


def project(cloud: PreparedCloud, camera: PosedCamera) -> ImageSplats:
    """Return what of the cloud may touch the camera's image."""
    in_camera = transform_points(invert(camera.world_from_camera), cloud.means)
    ahead = np.flatnonzero(in_camera[:, 2] > _NEAR)
    in_camera = in_camera[ahead]
    mean_px = camera.camera.project(in_camera)
    uu, uv, vv = _image_covariance(cloud.axes[ahead], in_camera, camera)
    determinant = uu * vv - uv * uv
    # exp(-r^2 / 2) * opacity falls to MIN_ALPHA at this many standard deviations.
    sigmas = np.sqrt(2 * np.log(cloud.opacities[ahead] / MIN_ALPHA))
    reach_px = sigmas[:, None] * np.sqrt(np.stack([uu, vv], axis=1))
    size = np.array([camera.camera.size.width, camera.camera.size.height])
    seen = ((mean_px + reach_px >= 0) & (mean_px - reach_px <= size - 1)).all(axis=1)
    seen = np.flatnonzero(seen & (determinant > 0))
    seen = seen[np.argsort(in_camera[seen, 2], kind='stable')]
    precision = np.stack([vv, -uv, uu], axis=1)[seen] / determinant[seen, None]
    return ImageSplats(
        mean_px=mean_px[seen],
        precision=precision,
        reach_px=reach_px[seen],
        opacity=cloud.opacities[ahead[seen]],
        colour=_colours(cloud, ahead[seen], camera.world_from_camera[:3, 3]),
        depth=in_camera[seen, 2],
    )


def _image_covariance(
    axes: FloatArray, in_camera: FloatArray, camera: PosedCamera
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the entries uu, uv, vv (P,) of the covariance in the image, with the low pass."""
    (fx, skew, cx), (_, fy, cy), _ = camera.camera.K.tolist()
    width, height = camera.camera.size.width, camera.camera.size.height
    # From the image's corner, half a pixel before the first centre.
    left, top = cx + 0.5, cy + 0.5
    z = in_camera[:, 2]
    x = _within(in_camera[:, 0] / z, -left / fx, (width - left) / fx, _MARGIN * width / (2 * fx))
    y = _within(in_camera[:, 1] / z, -top / fy, (height - top) / fy, _MARGIN * height / (2 * fy))
    zero = np.zeros_like(z)
    u_slope = np.stack([fx / z, skew / z, -(fx * x + skew * y) / z], axis=1)
    v_slope = np.stack([zero, fy / z, -fy * y / z], axis=1)
    camera_from_world = camera.world_from_camera[:3, :3].T
    u_axes = np.einsum('pi,pij->pj', u_slope @ camera_from_world, axes)
    v_axes = np.einsum('pi,pij->pj', v_slope @ camera_from_world, axes)
    return (
        np.einsum('pi,pi->p', u_axes, u_axes) + _LOW_PASS_PX2,
        np.einsum('pi,pi->p', u_axes, v_axes),
        np.einsum('pi,pi->p', v_axes, v_axes) + _LOW_PASS_PX2,
    )


def _within(slope: FloatArray, low: float, high: float, margin: float) -> FloatArray:
    return np.clip(slope, low - margin, high + margin)


def _colours(cloud: PreparedCloud, chosen: NDArray[np.intp], eye: FloatArray) -> FloatArray:
    """Return the colours (S, 3) of the chosen Gaussians as the eye (3,) sees them."""
    directions = cloud.means[chosen] - eye
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    basis = harmonic_basis(directions, cloud.degree)
    colours = np.einsum('pcd,pd->pc', cloud.harmonics[chosen], basis) + 0.5
    return np.asarray(np.maximum(colours, 0.0))
