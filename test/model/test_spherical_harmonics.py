"""Rotated coefficients describe the rotated function."""

import numpy as np
from numpy.typing import NDArray
import pytest
from scipy.spatial.transform import Rotation
import torch
from torch import Tensor

from da3_ros.model.spherical_harmonics import rotate_harmonics

Array = NDArray[np.float64]


def basis(directions: Array) -> Array:
    """Return the real basis (N, 9) of 3D Gaussian Splatting, written out."""
    x, y, z = directions.T
    return np.stack(
        [
            np.full_like(x, 0.28209479177387814),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (2 * z * z - x * x - y * y),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (x * x - y * y),
        ],
        axis=-1,
    )


@pytest.fixture
def directions() -> Array:
    values = np.random.default_rng(0).normal(size=(40, 3))
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


def random_rotations(count: int) -> Array:
    return np.asarray(Rotation.random(count, rng=1).as_matrix())


@pytest.mark.parametrize('size', [1, 4, 9])
def test_the_function_turns_with_the_axes(directions: Array, size: int) -> None:
    coefficients = np.random.default_rng(2).normal(size=(5, 3, size))
    rotations = random_rotations(5)
    rotated = rotate_harmonics(torch.from_numpy(coefficients), torch.from_numpy(rotations)).numpy()
    for rotation, before, after in zip(rotations, coefficients, rotated, strict=True):
        seen_before = basis(directions)[:, :size] @ before.T
        seen_after = basis(directions @ rotation.T)[:, :size] @ after.T
        np.testing.assert_allclose(seen_after, seen_before, atol=1e-12)


def test_single_precision_is_enough() -> None:
    coefficients = torch.randn(8, 3, 9, generator=torch.Generator().manual_seed(0))
    rotations = torch.from_numpy(random_rotations(8))
    single = rotate_harmonics(coefficients, rotations.float())
    double = rotate_harmonics(coefficients.double(), rotations)
    np.testing.assert_allclose(single, double, atol=2e-6)


def test_two_turns_are_one_and_none_is_none() -> None:
    coefficients = torch.randn(3, 9, dtype=torch.float64, generator=torch.Generator())
    first, second = torch.from_numpy(random_rotations(2))

    def turn(values: Tensor, rotation: Tensor) -> Tensor:
        return rotate_harmonics(values, rotation)

    twice = turn(turn(coefficients, first), second)
    np.testing.assert_allclose(twice, turn(coefficients, second @ first), atol=1e-12)
    np.testing.assert_allclose(turn(coefficients, torch.eye(3).double()), coefficients, atol=1e-15)
