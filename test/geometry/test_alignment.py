"""Closed-form and robust similarity, and voxel thinning."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import median_and_sigma, ransac_similarity
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import similarity_from_points
from da3_ros.geometry.voxel import first_per_voxel
from helpers.rounding import assert_equal_to_rounding

TRUE = Sim3(2.5, Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix(), np.array([1.0, -2.0, 3.0]))


def _points(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, 3))


@pytest.mark.parametrize('count', [3, 4, 50])
def test_exact_points_give_the_exact_similarity(count: int) -> None:
    points = _points(count)
    found = similarity_from_points(points, TRUE.apply(points))
    np.testing.assert_allclose(found.rotation, TRUE.rotation, atol=1e-9)
    assert found.scale == pytest.approx(TRUE.scale, rel=1e-9)
    np.testing.assert_allclose(found.translation, TRUE.translation, atol=1e-9)


def test_mirrored_points_still_give_a_rotation() -> None:
    points = _points(10)
    found = similarity_from_points(points, points * (1, 1, -1))
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_weight_zero_is_the_same_as_leaving_a_point_out() -> None:
    points = _points(8)
    target = TRUE.apply(points)
    target[0] += 5
    weights = np.ones(8)
    weights[0] = 0
    found = similarity_from_points(points, target, weights)
    without = similarity_from_points(points[1:], target[1:])
    np.testing.assert_allclose(found.apply(points), without.apply(points), atol=1e-12)


def test_the_closed_form_is_the_least_squares_optimum() -> None:
    """Any small change of the similarity makes the squared error larger."""
    rng = np.random.default_rng(5)
    points = _points(12)
    target = TRUE.apply(points) + rng.normal(scale=0.2, size=(12, 3))
    best = similarity_from_points(points, target)

    def cost(similarity: Sim3) -> float:
        return float(((similarity.apply(points) - target) ** 2).sum())

    for _ in range(50):
        change = Sim3(
            float(np.exp(rng.normal(scale=1e-3))),
            Rotation.from_rotvec(rng.normal(scale=1e-3, size=3)).as_matrix(),
            rng.normal(scale=1e-3, size=3),
        )
        assert cost(change @ best) > cost(best)


@pytest.mark.parametrize(
    'points',
    [np.zeros((5, 3)), np.outer(np.arange(5.0), [1, 2, 3]), _points(2)],
    ids=['one place', 'one line', 'two points'],
)
def test_undetermined_rotations_are_refused(points: FloatArray) -> None:
    with pytest.raises(GeometryError, match='similarity'):
        similarity_from_points(points, TRUE.apply(points))


def test_ransac_ignores_a_minority_of_wrong_points() -> None:
    points = _points(20)
    target = TRUE.apply(points)
    target[:4] += 30
    found = ransac_similarity(points, target, sample_size=3, threshold=1e-6, iterations=50)
    assert found.inliers.tolist() == [False] * 4 + [True] * 16
    np.testing.assert_allclose(found.target_from_source.apply(points[4:]), target[4:], atol=1e-9)


def test_ransac_is_repeatable() -> None:
    points, target = _points(12), TRUE.apply(_points(12)) + _points(12, 3) * 0.1
    a, b = (ransac_similarity(points, target).target_from_source for _ in range(2))
    assert a.scale == pytest.approx(b.scale, rel=1e-12)
    assert_equal_to_rounding(a.rotation, b.rotation)


def test_median_and_sigma_of_normal_numbers_ignore_outliers() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 20000)
    values[:1000] = 1e9
    middle, sigma = median_and_sigma(values)
    assert middle == pytest.approx(3.0, abs=0.2)
    assert sigma == pytest.approx(2.0, rel=0.1)
    with pytest.raises(GeometryError, match='at least one'):
        median_and_sigma([])


def test_one_point_stays_per_voxel_and_keeps_its_place() -> None:
    points = np.random.default_rng(1).uniform(-3, 3, (5000, 3)).astype(np.float32)
    kept = first_per_voxel(points, 0.5)
    cells = {tuple(c) for c in np.floor(points / 0.5).astype(int)}
    assert len(kept) == len(cells)
    assert {tuple(c) for c in np.floor(points[kept] / 0.5).astype(int)} == cells
    np.testing.assert_array_equal(kept, np.sort(kept))
    np.testing.assert_array_equal(first_per_voxel(points[kept], 0.5), np.arange(len(kept)))


def test_voxels_of_a_huge_extent_do_not_collide() -> None:
    points = np.array([[0, 0, 0], [1e7, 1e7, 1e7], [-1e7, 1e7, 0], [0, 0, 0.001]], np.float32)
    assert first_per_voxel(points, 0.01).tolist() == [0, 1, 2]
    assert first_per_voxel(points, 0.0).tolist() == [0, 1, 2, 3]
    with pytest.raises(GeometryError, match='voxel size'):
        first_per_voxel(points, -1.0)
