"""The basis of colour, against scipy's complex spherical harmonics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy import special

from da3_ros.export.harmonics import MAX_DEGREE, harmonic_basis


def complex_harmonic(
    degree: int, order: int, polar: NDArray[np.float64], azimuth: NDArray[np.float64]
) -> NDArray[np.complex128]:
    # Older versions of scipy have the same function under another name and signature only.
    if hasattr(special, 'sph_harm_y'):
        return np.asarray(special.sph_harm_y(degree, order, polar, azimuth))
    older = vars(special)['sph_harm']
    return np.asarray(older(order, degree, azimuth, polar))


def directions(count: int = 200) -> NDArray[np.float64]:
    vectors = np.random.default_rng(0).normal(size=(count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize('degree', range(MAX_DEGREE + 1))
def test_basis_is_the_real_and_imaginary_part_of_the_complex_one(degree: int) -> None:
    x, y, z = directions().T
    polar, azimuth = np.arccos(z), np.arctan2(y, x)
    expected = []
    for n in range(degree + 1):
        for m in range(-n, n + 1):
            value = complex_harmonic(n, abs(m), polar, azimuth)
            part = value.imag if m < 0 else value.real
            expected.append(part * (1 if m == 0 else np.sqrt(2)))
    basis = harmonic_basis(directions(), degree)
    np.testing.assert_allclose(basis, np.stack(expected, axis=1), atol=1e-14)


def test_basis_is_orthonormal_on_the_sphere() -> None:
    # Gauss-Legendre in z and equal steps in azimuth integrate products of this degree exactly.
    z, weight = np.polynomial.legendre.leggauss(8)
    azimuth = np.arange(16) * np.pi / 8
    ring = np.sqrt(1 - z**2)
    grid = np.stack(
        [
            np.outer(ring, np.cos(azimuth)),
            np.outer(ring, np.sin(azimuth)),
            np.outer(z, np.ones(16)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    basis = harmonic_basis(grid, MAX_DEGREE)
    weights = np.repeat(weight, 16) * np.pi / 8
    np.testing.assert_allclose(basis.T @ (basis * weights[:, None]), np.eye(16), atol=1e-13)
