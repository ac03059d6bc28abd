"""Measurements of scale against numbers worked out by hand and against their own scatter."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import median_abs_deviation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.stream.scale.measurements import (
    FUSED_FLOOR,
    LogScale,
    agreeing,
    fuse,
    regression,
    scale_from_centres,
    scale_from_depths,
    scale_from_rig,
    typical_depth,
)
from da3_ros.stream.scale.samples import DepthSample, scaled_depth
from da3_ros.types import FloatImage
from helpers.stream_builders import sampled_pair

TURN = Rotation.from_rotvec([0.4, -0.3, 1.2]).as_matrix()


def depth_image(seed: int = 0, shape: tuple[int, int] = (30, 40)) -> FloatImage:
    return np.random.default_rng(seed).uniform(1, 8, shape).astype(np.float32)


def noisy_pair(seed: int, sigma: float, shift: float = 0.0) -> tuple[DepthSample, DepthSample]:
    depth = depth_image(seed)
    noise = np.random.default_rng(seed + 100).normal(shift, sigma, depth.shape)
    return sampled_pair((depth * np.exp(noise)).astype(np.float32), depth)


def points(count: int, seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).normal(size=(count, 3))


# Depth


def typical(*images: FloatImage) -> float:
    return typical_depth([DepthSample.of(image) for image in images])


def test_typical_depth_is_the_median_of_what_is_known() -> None:
    image = np.array([[1.0, 2.0, 3.0, np.nan], [np.inf, 0.0, -5.0, 4.0]], np.float32)
    assert typical(image) == 2.5
    assert typical(image, np.full((1, 1), 9.0, np.float32)) == 3
    assert math.isnan(typical())
    assert math.isnan(typical(np.full((3, 3), np.nan, np.float32)))
    # Large images are thinned, evenly.
    rows = np.repeat(np.arange(1.0, 601.0, dtype=np.float32)[:, None], 800, axis=1)
    assert typical(rows) == pytest.approx(300.5, rel=0.02)
    assert typical(np.ascontiguousarray(rows.T)) == pytest.approx(300.5, rel=0.02)


def test_a_sample_is_the_same_in_any_unit_and_of_known_pixels_only() -> None:
    depth = depth_image(shape=(240, 320))
    depth[::7] = np.nan
    sky = np.zeros(depth.shape, bool)
    sky[:, :100] = True
    sample = DepthSample.of(depth, sky=sky)
    assert sample.depth.size <= 4096
    assert set(sample.values) <= set(depth[~np.isnan(depth) & ~sky])
    scaled = DepthSample.of(scaled_depth(depth, math.pi), sky=sky)
    np.testing.assert_array_equal(sample.scaled(math.pi).values, scaled.values)
    np.testing.assert_allclose(scaled.values, sample.values * math.pi, rtol=2e-7)


def test_noise_of_depth_counts_as_that_of_few_independent_pixels() -> None:
    """One in a hundred is independent: 1200 pixels are twelve measurements."""
    found = scale_from_depths([noisy_pair(1, 0.2)])
    assert found is not None
    assert found.measured.sigma == pytest.approx(0.2 / math.sqrt(12), rel=0.1)
    assert found.spread == pytest.approx(0.2, rel=0.1)
    four = scale_from_depths([noisy_pair(seed, 0.2) for seed in range(4)])
    assert four is not None
    assert four.measured.sigma == pytest.approx(found.measured.sigma / 2, rel=0.15)
    assert abs(four.measured.value) < 3 * four.measured.sigma


def test_spread_is_that_of_all_pixels_by_scipy() -> None:
    pairs = [noisy_pair(1, 0.1, 0.05), noisy_pair(2, 0.1, -0.05)]
    ratios = np.concatenate(
        [np.log(a.depth / b.depth.astype(np.float64)).ravel() for a, b in pairs]
    )
    found = scale_from_depths(pairs)
    assert found is not None
    assert found.spread == pytest.approx(median_abs_deviation(ratios, scale='normal'), rel=1e-3)


def test_views_that_disagree_widen_the_error_and_one_that_is_wrong_is_left_out() -> None:
    shifts = [-0.1, 0.1, -0.1, 0.1]
    found = scale_from_depths([noisy_pair(s, 1e-4, shift) for s, shift in enumerate(shifts)])
    assert found is not None
    assert found.measured.value == pytest.approx(0.0, abs=1e-3)
    assert found.measured.sigma == pytest.approx(0.1 / math.sqrt(4), rel=0.01)
    shifts = [0.0, 0.001, -0.001, 0.0005, 1.0]
    found = scale_from_depths([noisy_pair(s, 1e-4, shift) for s, shift in enumerate(shifts)])
    assert found is not None
    assert abs(found.measured.value) < 0.002
    assert found.measured.sigma < 0.002


def test_exact_depth_is_known_to_the_floor_and_no_better() -> None:
    depth = depth_image()
    for count in (1, 100):
        found = scale_from_depths([sampled_pair(depth * 2, depth)] * count)
        assert found is not None
        assert found.measured.value == pytest.approx(math.log(2), abs=1e-6)
        assert FUSED_FLOOR <= found.measured.sigma <= 1e-3 + 1e-9


@pytest.mark.parametrize(('known', 'told'), [(31, False), (32, True)])
def test_a_view_counts_from_thirty_two_pixels(known: int, told: bool) -> None:
    depth = np.full((30, 40), np.nan, np.float32)
    depth.ravel()[:known] = 2.0
    assert (scale_from_depths([sampled_pair(depth, depth)]) is not None) == told


@pytest.mark.parametrize('unknown', [np.nan, np.inf, 0.0, -1.0])
def test_unknown_depth_on_either_side_is_left_out(unknown: float) -> None:
    depth = depth_image()
    for side in (0, 1):
        images = [depth * 3, depth.copy()]
        images[side][:10] = unknown
        found = scale_from_depths([sampled_pair(images[0], images[1])])
        assert found is not None
        assert found.measured.value == pytest.approx(math.log(3), abs=1e-6)


def test_confidence_that_is_not_known_is_not_trusted_unless_none_is() -> None:
    depth = depth_image()
    world = depth * 3
    world[:, 20:] *= 2
    confidence = np.ones_like(depth)
    confidence[:, 20:] = np.nan
    found = scale_from_depths([sampled_pair(world, depth, confidence)])
    assert found is not None
    assert found.measured.value == pytest.approx(math.log(3), abs=1e-6)
    nowhere = np.full_like(depth, np.nan)
    everywhere = scale_from_depths([sampled_pair(depth * 3, depth, nowhere)])
    assert everywhere is not None
    assert everywhere.measured.value == pytest.approx(math.log(3), abs=1e-6)


def test_a_ratio_beyond_all_reason_or_known_too_badly_is_none() -> None:
    depth = depth_image()
    for factor, told in ((1e10, True), (1e11, False), (1e-10, True), (1e-11, False)):
        pair = sampled_pair((depth * np.float32(factor)), depth)
        assert (scale_from_depths([pair]) is not None) == told  # exp(25) is 7e10
    assert scale_from_depths([noisy_pair(0, 1.2)]) is not None
    assert scale_from_depths([noisy_pair(0, 2.5)]) is None


# Centres


@pytest.mark.parametrize('count', [2, 3, 8])
def test_exact_centres_give_the_scale_and_what_is_assumed_of_their_noise(count: int) -> None:
    window = points(count)
    world = 2.5 * window @ TURN.T + (7.0, 8.0, 9.0)
    found = scale_from_centres(world, window, TURN, 0.01)
    assert found is not None
    assert found.value == pytest.approx(math.log(2.5))
    spread = math.sqrt(((window - window.mean(axis=0)) ** 2).sum())
    assert found.sigma == pytest.approx(0.01 / spread)
    sure = scale_from_centres(world, window, TURN, 0.0)
    assert sure is not None
    assert sure.sigma == FUSED_FLOOR


def test_the_error_by_centres_is_their_scatter() -> None:
    """Over many draws the stated standard deviation is the one that values have."""
    exact = points(8) * 3
    values, sigmas = [], []
    for seed in range(400):
        world = 2 * exact @ TURN.T + np.random.default_rng(seed).normal(0, 0.1, exact.shape)
        found = scale_from_centres(world, exact, TURN, 0.0)
        assert found is not None
        values.append(found.value)
        sigmas.append(found.sigma)
    assert np.mean(sigmas) == pytest.approx(np.std(values), rel=0.15)


@pytest.mark.parametrize('far', [0.0, 1e6])
def test_centres_in_one_place_say_nothing_however_far(far: float) -> None:
    window = np.full((4, 3), far) + 1e-12 * points(4)
    assert scale_from_centres(points(4), window, np.eye(3), 0.0) is None
    assert scale_from_centres(window, points(4), np.eye(3), 0.0) is None


@pytest.mark.parametrize(('share', 'is_kept'), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize('scale', [0.1, 5.0])
def test_a_centre_may_be_off_by_the_noise_in_units_of_the_world(
    share: float, is_kept: bool, scale: float
) -> None:
    """The others fit exactly: nothing but the assumed noise is left to forgive."""
    window = points(7)
    world = scale * window
    world[2, 0] += share * 0.05 * scale
    kept = agreeing(world, window, 0.05)
    assert kept.tolist() == [True, True, is_kept, True, True, True, True]


def test_three_centres_are_too_few_to_vote() -> None:
    world = 2 * points(3)
    world[0] += 50
    assert agreeing(world, points(3), 0.0).all()
    window = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    world = 2 * window
    world[2, :2] = -1.2, 1.4  # nearer to the first, farther from the second
    assert agreeing(world, window, 0.0).all()
    assert agreeing(np.zeros((5, 3)), np.zeros((5, 3)), 0.0).all()
    assert agreeing(np.empty((0, 3)), np.empty((0, 3)), 0.0).shape == (0,)


def test_three_of_four_centres_outvote_one_whose_distances_are_off_to_both_sides() -> None:
    window = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    world = 2 * window
    world[3, 1] -= 0.6  # nearer to two of them, farther from the third
    assert agreeing(world, window, 0.0).tolist() == [True, True, True, False]


def test_centres_in_one_place_do_not_keep_the_others_from_voting() -> None:
    window = points(7)
    window[1] = window[0]
    world = 2 * window
    world[4] += 5
    assert agreeing(world, window, 0.0).tolist() == [True] * 4 + [False, True, True]


@pytest.mark.parametrize(('sigmas', 'is_kept'), [(2.8, True), (3.2, False)])
def test_a_centre_may_be_off_by_three_deviations_of_the_others(
    sigmas: float, is_kept: bool
) -> None:
    """All but one are off by one to either side: that is their median absolute deviation."""
    window = points(7) * 1e3  # so long that the errors say nothing about the scale
    error = np.zeros((7, 3))
    error[:6, 0] = [1, -1, 1, -1, 1, -1]
    error[6, 1] = sigmas / 0.6745  # the 75th percentile of a normal distribution
    assert agreeing(window + error, window, 0.0).tolist() == [True] * 6 + [is_kept]


def test_a_regression_is_the_least_squares_line_of_numpy() -> None:
    template, noise = points(6) + 4, points(6, 1) * 0.1
    centres = 3 * template + noise + 20
    fit = regression(centres, template)
    assert fit is not None
    target = (template - template.mean(axis=0)).ravel()
    source = (centres - centres.mean(axis=0)).ravel()
    solution, residual, *_ = np.linalg.lstsq(target[:, None], source, rcond=None)
    assert fit.units_per_m == pytest.approx(float(solution[0]))
    assert fit.squares == pytest.approx(float(residual[0]))
    assert fit.weight == pytest.approx(float(target @ target))
    assert fit.freedom == 3 * 6 - 3 - 1  # less the three of the middle and the slope
    for size, told in ((0.5e-3, False), (2e-3, True)):
        short = np.array([[0.0, 0, 0], [size, 0, 0]])
        assert (regression(short, short) is not None) == told


# The rig


def rig(count: int = 3) -> dict[str, FloatArray]:
    return {f'c{i}': rigid(np.eye(3), place) for i, place in enumerate(points(count, 7))}


def predicted(units_per_m: float, seed: int = 0, noise: float = 0.0) -> dict[str, FloatArray]:
    """Return the cameras of the rig in a window, whose axes are others."""
    rng = np.random.default_rng(seed)
    poses = {}
    for name, pose in rig().items():
        place = units_per_m * (TURN @ pose[:3, 3]) + rng.normal(0, 1, 3) * noise + (5.0, 6.0, 7.0)
        poses[name] = rigid(TURN @ pose[:3, :3], place)
    return poses


def test_sets_of_one_window_count_with_the_root_of_their_number() -> None:
    one = scale_from_rig([(predicted(4.0), rig())], 0.02)
    sixteen = scale_from_rig([(predicted(4.0), rig())] * 16, 0.02)
    assert one is not None
    assert sixteen is not None
    assert one.value == sixteen.value == pytest.approx(-math.log(4.0))
    assert one.sigma / sixteen.sigma == pytest.approx(math.sqrt(math.sqrt(16)))
    places = np.array([pose[:3, 3] for pose in rig().values()])
    spread = math.sqrt(((places - places.mean(axis=0)) ** 2).sum())
    assert one.sigma == pytest.approx(0.02 / 4.0 / spread)


def test_the_error_by_the_rig_is_the_scatter_of_single_sets() -> None:
    found = [scale_from_rig([(predicted(2.0, seed, 0.05), rig())], 0.0) for seed in range(400)]
    told = [part for part in found if part is not None]
    assert len(told) > 390
    squares = np.mean([part.sigma**2 for part in told])
    assert squares == pytest.approx(np.var([part.value for part in told]), rel=0.2)


def test_cameras_without_calibration_are_left_out_of_a_set() -> None:
    poses = predicted(4.0) | {'other': rigid(np.eye(3), [9.0, 9.0, 9.0])}
    found = scale_from_rig([(poses, rig())], 0.02)
    assert found == scale_from_rig([(predicted(4.0), rig())], 0.02)
    assert scale_from_rig([({'c0': poses['c0'], 'other': np.eye(4)}, rig())], 0.02) is None


def test_how_well_residuals_have_to_fit_can_be_asked_for() -> None:
    sets = [(predicted(2.0, 3, 0.05), rig())]
    assert scale_from_rig(sets, 0.0) is not None
    assert scale_from_rig(sets, 0.0, 1e-4) is None
    # What is only assumed is not asked for.
    assert scale_from_rig([(predicted(2.0), rig())], 0.3, 1e-4) is not None


# Several measurements


def test_a_fusion_is_the_textbook_mean() -> None:
    parts = [LogScale(0.1, 0.2), LogScale(-0.3, 0.5), LogScale(0.2, 0.4)]
    weights = np.array([1 / part.sigma**2 for part in parts])
    found = fuse(parts)
    assert found is not None
    assert found.value == pytest.approx(np.average([0.1, -0.3, 0.2], weights=weights))
    assert found.sigma == pytest.approx(1 / math.sqrt(weights.sum()))
    # Chi squared per degree of freedom, where it is above one.
    apart = fuse([LogScale(-1.0, 0.1), LogScale(0.0, 0.1), LogScale(1.0, 0.1)])
    assert apart is not None
    assert apart.sigma == pytest.approx(0.1 / math.sqrt(3) * math.sqrt(200 / 2))
    alone = fuse([LogScale(0.3, 0.1)])
    assert alone is not None
    assert alone.value == 0.3
    assert alone.sigma == pytest.approx(0.1)
    assert fuse([]) is None


def test_an_uncertain_unit_adds_to_the_error_and_stays_in_common() -> None:
    part = LogScale(0.7, 0.3, 0.1).with_unit(0.4, 0.5)
    assert (part.value, part.sigma, part.common) == pytest.approx((0.7, 0.5, 0.2))
    assert LogScale(0.7, 0.3, 0.1).with_unit(0.1, 0.5).common == 0.1
