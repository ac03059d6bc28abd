"""Robust estimates and similarities, against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation
from scipy.stats import median_abs_deviation

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.robust import median_and_sigma, ransac_similarity
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.umeyama import similarity_from_points, spread

TRUE = Sim3(2.5, Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix(), np.array([1.0, -2.0, 3.0]))


def normal(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal((4.0, -3.0, 2.0), size=(count, 3))


def test_median_and_sigma_agree_with_scipy() -> None:
    values = np.random.default_rng(3).normal(2.0, 3.0, 101)
    middle, sigma = median_and_sigma(values)
    assert middle == np.median(values)
    assert sigma == pytest.approx(median_abs_deviation(values, scale='normal'), rel=1e-4)
    assert median_and_sigma([7.0]) == (7.0, 0.0)


def test_spread_is_the_root_mean_square_distance_from_the_middle() -> None:
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
    assert spread(square + np.array([5.0, 6.0, 7.0])) == pytest.approx(np.sqrt(2))
    assert spread(3 * square) == pytest.approx(3 * np.sqrt(2))
    points = normal(50)
    assert spread(points) == pytest.approx(np.sqrt(np.trace(np.cov(points.T, bias=True))))


def test_weights_count_points_as_often() -> None:
    """A weight of three is the point three times; weights have no unit."""
    points, noise = normal(6), normal(6, 1) * 0.1
    target = TRUE.apply(points) + noise
    weights = np.array([1.0, 3, 1, 2, 1, 1])
    wanted = similarity_from_points(
        np.repeat(points, weights.astype(int), axis=0), np.repeat(target, weights.astype(int), 0)
    )
    for factor in (1.0, 1e-6, 1e9):
        found = similarity_from_points(points, target, weights * factor)
        np.testing.assert_allclose(found.apply(points), wanted.apply(points), rtol=1e-9)


def test_the_closed_form_agrees_with_scipy_where_the_scale_is_one() -> None:
    points = normal(9)
    target = Rotation.from_rotvec([0.1, 0.7, -0.4]).apply(points) + normal(9, 1) * 0.02
    centred = target - target.mean(axis=0), points - points.mean(axis=0)
    wanted, _ = Rotation.align_vectors(*centred)
    found = similarity_from_points(points, target)
    np.testing.assert_allclose(found.rotation, wanted.as_matrix(), atol=1e-9)
    moved = points.mean(axis=0)
    np.testing.assert_allclose(found.apply(moved), target.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize('weights', [[1, 1, -1, 1, 1.0], [0.0] * 5])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(GeometryError, match='weighted points'):
        similarity_from_points(normal(5), normal(5), weights)


@pytest.mark.parametrize('size', [1e-6, 1.0, 1e6])
def test_points_in_a_plane_do_and_points_on_a_line_do_not_at_any_size(size: float) -> None:
    flat = normal(6) * (1, 1, 0) * size
    found = similarity_from_points(flat, TRUE.apply(flat))
    np.testing.assert_allclose(found.rotation, TRUE.rotation, atol=1e-6)
    line = np.outer(np.arange(6.0), [1.0, 2.0, 3.0]) * size
    with pytest.raises(GeometryError, match='one line'):
        similarity_from_points(line, TRUE.apply(line))


def test_ransac_takes_the_hypothesis_with_most_points_and_then_the_nearest() -> None:
    points = normal(12)
    target = TRUE.apply(points)
    target[:5] = Sim3(1.0, np.eye(3), np.zeros(3)).apply(points[:5])
    found = ransac_similarity(points, target, sample_size=3, threshold=1e-6, iterations=300)
    assert found.inliers.tolist() == [False] * 5 + [True] * 7
    np.testing.assert_allclose(found.target_from_source.rotation, TRUE.rotation, atol=1e-9)


def test_the_result_is_fitted_to_all_that_agree() -> None:
    points = normal(30)
    target = TRUE.apply(points) + normal(30, 1) * 0.01
    target[:6] += 20
    found = ransac_similarity(points, target, sample_size=4, threshold=0.5, iterations=100)
    assert found.inliers.sum() == 24
    wanted = similarity_from_points(points[6:], target[6:])
    np.testing.assert_allclose(
        found.target_from_source.apply(points), wanted.apply(points), rtol=1e-12
    )


def test_without_a_threshold_the_median_distance_to_the_nearest_target_is_one() -> None:
    points = normal(40)
    target = TRUE.apply(points) + normal(40, 1) * 0.05
    aligned = similarity_from_points(points, target).apply(points)
    threshold = float(np.median(cKDTree(target).query(aligned)[0]))
    found, wanted = (
        ransac_similarity(points, target, threshold=t, iterations=5) for t in (None, threshold)
    )
    np.testing.assert_array_equal(found.inliers, wanted.inliers)
    assert not found.inliers.all()


@pytest.mark.parametrize(('count', 'size'), [(3, 3), (4, 3), (7, 4), (8, 4), (9, 5)])
def test_a_hypothesis_is_from_half_of_the_points_rounded_up(count: int, size: int) -> None:
    points = normal(count)
    target = TRUE.apply(points) + normal(count, 1) * 0.1
    found, wanted = (
        ransac_similarity(points, target, sample_size=s, threshold=0.0) for s in (None, size)
    )
    # Nothing agrees to the last bit, so that the hypothesis itself comes back.
    assert found.target_from_source.scale == wanted.target_from_source.scale


def test_sample_sizes_are_brought_within_what_there_is() -> None:
    points = normal(5)
    target = TRUE.apply(points)
    for sample_size in (1, 3, 5, 99):
        found = ransac_similarity(points, target, sample_size=sample_size, threshold=1e-6)
        np.testing.assert_allclose(found.target_from_source.apply(points), target, atol=1e-9)


def test_few_points_that_agree_leave_the_hypothesis_as_it_is() -> None:
    """With a threshold of zero at most rounding agrees; there is still an answer."""
    points = normal(8)
    target = TRUE.apply(points) + normal(8, 1) * 0.1
    found = ransac_similarity(points, target, threshold=0.0)
    assert found.inliers.sum() < 3
    assert 2 < found.target_from_source.scale < 3
    line = np.outer(np.arange(8.0), [1.0, 2.0, 3.0])
    with pytest.raises(GeometryError, match='similarity'):
        ransac_similarity(line, line, threshold=1.0)
