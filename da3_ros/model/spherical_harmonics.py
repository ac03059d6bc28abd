"""Rotation of spherical harmonics up to degree 2, in closed form.

Order and signs of the basis are those of 3D Gaussian Splatting: 1; -y, z, -x; xy, -yz,
2 z^2 - x^2 - y^2, -xz, x^2 - y^2, each with its factor. Every degree is closed under rotation:
degree 1 is a vector with axes swapped and flipped, degree 2 a symmetric matrix without trace.

Source: the transformation of linear and quadratic forms; Kerbl et al., "3D Gaussian Splatting for
Real-Time Radiance Field Rendering" (2023), for the basis.
"""

import math

import torch
from torch import Tensor

_HALF_ROOT3 = math.sqrt(3) / 2

_LINEAR_FORMS = ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, 0.0))
"""Row a: vector n with basis function n . v, up to the factor common to the degree."""

_QUADRATIC_FORMS = (
    ((0, _HALF_ROOT3, 0), (_HALF_ROOT3, 0, 0), (0, 0, 0)),
    ((0, 0, 0), (0, 0, -_HALF_ROOT3), (0, -_HALF_ROOT3, 0)),
    ((-0.5, 0, 0), (0, -0.5, 0), (0, 0, 1.0)),
    ((0, 0, -_HALF_ROOT3), (0, 0, 0), (-_HALF_ROOT3, 0, 0)),
    ((_HALF_ROOT3, 0, 0), (0, -_HALF_ROOT3, 0), (0, 0, 0)),
)
"""Entry a: symmetric matrix Q with basis function v . Q v, up to the factor common to the degree;
the entries are orthogonal, with equal norms."""

_QUADRATIC_NORM = 1.5
"""Squared Frobenius norm of every quadratic form."""


def rotate_harmonics(coefficients: Tensor, rotation: Tensor) -> Tensor:
    """Express functions on directions in rotated axes: new(R v) = old(v).

    Args:
        coefficients: (..., N, D) coefficients of N functions, D = 1, 4 or 9.
        rotation: (..., 3, 3) rotation R, one for all N functions.

    Returns:
        (..., N, D) coefficients.
    """
    parts = [coefficients[..., :1]]
    if coefficients.shape[-1] > 1:
        parts.append(coefficients[..., 1:4] @ _degree_one(rotation).transpose(-1, -2))
    if coefficients.shape[-1] > 4:
        parts.append(coefficients[..., 4:9] @ _degree_two(rotation).transpose(-1, -2))
    return torch.cat(parts, dim=-1)


def _degree_one(rotation: Tensor) -> Tensor:
    """Return M (..., 3, 3) with f(R v) = M f(v)."""
    forms = torch.tensor(_LINEAR_FORMS, dtype=rotation.dtype, device=rotation.device)
    return forms @ rotation @ forms.T


def _degree_two(rotation: Tensor) -> Tensor:
    """Return M (..., 5, 5) with f(R v) = M f(v)."""
    forms = torch.tensor(_QUADRATIC_FORMS, dtype=rotation.dtype, device=rotation.device)
    # f_a(R v) = v . (R^T Q_a R) v, and its part along Q_b is the entry (a, b).
    rotated = rotation.transpose(-1, -2)[..., None, :, :] @ forms @ rotation[..., None, :, :]
    return torch.einsum('...aij,bij->...ab', rotated, forms) / _QUADRATIC_NORM
