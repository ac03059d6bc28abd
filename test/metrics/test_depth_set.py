"""Many images read twice, one at a time: the same figures as with all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
import math
import tracemalloc

import numpy as np
import pytest

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.metrics.calibration import NORMAL_SHARES, ConfidenceSums, SpreadSums
from da3_ros.metrics.depth import depth_error
from da3_ros.metrics.depth_set import VARIANTS, DepthPair, DepthSetFigures, measure_depth

EDGES = (0.0, 2.0, 4.0, 8.0)


def pair(seed: int, shape: tuple[int, int] = (24, 32), gauge: float = 0.5) -> DepthPair:
    """Return a floor that comes nearer from row to row, and a noisy estimate in another unit."""
    rng = np.random.default_rng(seed)
    rows = np.linspace(9, 1, shape[0])[:, None] * np.exp(rng.normal(0, 0.3, shape))
    truth = rows.astype(np.float32)
    truth[rng.random(shape) < 0.2] = np.nan
    sigma = 0.1 * rows * rng.uniform(0.5, 2, shape)
    estimate = gauge * (rows + sigma * rng.standard_normal(shape))
    estimate[rng.random(shape) < 0.1] = 0
    return DepthPair(
        f'image {seed}',
        truth,
        estimate.astype(np.float32),
        (gauge * sigma).astype(np.float32),
        (1 / sigma).astype(np.float32),
    )


PAIRS = [pair(seed, gauge=0.5 + 0.02 * seed) for seed in range(6)]


@pytest.fixture(scope='module')
def found() -> DepthSetFigures:
    return measure_depth(lambda: iter(PAIRS), EDGES)


def known_of(one: DepthPair) -> np.ndarray:
    return np.isfinite(one.truth) & (one.estimate > 0)


def pooled(name: str) -> FloatArray:
    return np.concatenate([getattr(one, name)[known_of(one)].astype(float) for one in PAIRS])


def test_the_estimate_as_it_is_and_by_scales(found: DepthSetFigures) -> None:
    truth, estimate = pooled('truth'), pooled('estimate')
    whole = depth_error(estimate, truth, align_scale=False).figures
    assert found.pooled['as_is'].abs_rel == pytest.approx(whole.abs_rel, rel=1e-9)
    assert found.pooled['as_is'].rmse == pytest.approx(whole.rmse, rel=1e-9)
    assert found.pooled['as_is'].pixels == whole.pixels
    one = depth_error(estimate, truth, align_scale=True)
    assert found.scale == pytest.approx(one.scale, rel=1e-4)
    assert found.pooled['scale_all'].abs_rel == pytest.approx(one.figures.abs_rel, rel=1e-3)
    each = [depth_error(own.estimate, own.truth, align_scale=True) for own in PAIRS]
    assert found.mean['scale_each'].delta1 == pytest.approx(
        np.mean([own.figures.delta1 for own in each])
    )
    assert [own.scale for own in found.images] == pytest.approx([own.scale for own in each])
    scales = np.log([own.scale for own in each])
    assert found.scale_spread == pytest.approx(scales.std())


def test_baselines_are_medians_of_the_truth(found: DepthSetFigures) -> None:
    first = PAIRS[0]
    compared = np.where(known_of(first), first.truth, np.nan)
    constant = np.full_like(first.truth, np.nanmedian(compared))
    rows = np.broadcast_to(np.nanmedian(compared, axis=1, keepdims=True), compared.shape)
    for variant, depth in (('constant_each', constant), ('rows_each', rows)):
        wanted = depth_error(np.asarray(depth), compared, align_scale=False).figures
        own = found.images[0].figures['constant_each' if depth is constant else 'rows_each']
        assert own.abs_rel == pytest.approx(wanted.abs_rel, rel=1e-6), variant
    truth = pooled('truth')
    wanted = depth_error(np.full_like(truth, np.median(truth)), truth, align_scale=False).figures
    assert found.pooled['constant_all'].abs_rel == pytest.approx(wanted.abs_rel, rel=1e-3)
    every = np.stack([np.where(known_of(one), one.truth, np.nan) for one in PAIRS])
    medians = np.nanmedian(every, axis=(0, 2))[None, :, None]
    wanted = depth_error(
        np.broadcast_to(medians, every.shape).ravel(), every.ravel(), align_scale=False
    ).figures
    assert found.pooled['rows_all'].abs_rel == pytest.approx(wanted.abs_rel, rel=5e-3)


def test_rows_of_images_of_another_height_are_those_at_the_same_height() -> None:
    truth = np.linspace(9, 1, 24, dtype=np.float32)[:, None] + np.zeros((24, 5), np.float32)
    tall = np.repeat(truth, 2, axis=0)
    pairs = [DepthPair('low', truth, truth), DepthPair('tall', tall, tall)]
    found = measure_depth(lambda: iter(pairs), EDGES)
    assert found.pooled['rows_all'].abs_rel < 5e-3
    assert found.pooled['rows_all'].pixels == 3 * truth.size


def test_ranges_divide_the_truth_and_add_up(found: DepthSetFigures) -> None:
    truth, estimate = pooled('truth'), pooled('estimate')
    for one, (near, far) in zip(found.ranges, ((0, 2), (2, 4), (4, 8)), strict=True):
        inside = (truth >= near) & (truth < far)
        wanted = depth_error(estimate[inside], truth[inside], align_scale=False).figures
        assert (one.near, one.far) == (near, far)
        assert one.figures['as_is'].pixels == wanted.pixels
        assert one.figures['as_is'].abs_rel == pytest.approx(wanted.abs_rel, rel=1e-9)
    beyond = np.count_nonzero(truth >= EDGES[-1])
    assert sum(one.figures['as_is'].pixels for one in found.ranges) + beyond == len(truth)
    assert beyond > 0


def test_errors_that_are_as_stated_are_calibrated() -> None:
    rng = np.random.default_rng(3)
    sigma = np.exp(rng.uniform(-3, 1, 200_000))
    error = sigma * rng.standard_normal(len(sigma))
    edges = np.quantile(sigma, np.arange(1, 10) / 10)
    sums = SpreadSums(edges)
    for part in (slice(0, 50_000), slice(50_000, None)):
        sums.add(error[part], sigma[part])
    honest = sums.result()
    assert honest is not None
    np.testing.assert_allclose(honest.within, NORMAL_SHARES, atol=0.005)
    assert honest.z_rms == pytest.approx(1, abs=0.01)
    assert honest.ence < 0.02
    assert honest.sharpness == pytest.approx(np.sqrt(np.mean(sigma**2)))
    density = np.exp(-((error / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
    assert honest.nll == pytest.approx(-np.mean(np.log(density)))
    assert len(honest.bins) == 10
    least = sigma[sigma < edges[0]]
    assert honest.bins[0].stated == pytest.approx(np.sqrt(np.mean(least**2)))
    assert honest.bins[0].pixels == len(least)
    for one in honest.bins:
        assert one.found == pytest.approx(one.stated, rel=0.05)
    # Half as much stated: twice the error for what is said, and a worse likelihood.
    bold = SpreadSums(edges / 2)
    bold.add(error, sigma / 2)
    said = bold.result()
    assert said is not None
    assert said.z_rms == pytest.approx(2 * honest.z_rms)
    assert said.within[0] < 0.4
    assert said.nll > honest.nll
    assert said.ence == pytest.approx(1, abs=0.05)
    assert SpreadSums(edges).result() is None


def test_the_scale_of_an_estimate_is_that_of_its_spread() -> None:
    steady = measure_depth(lambda: (pair(seed) for seed in range(6)), EDGES)
    as_is, scaled = (steady.calibration[variant] for variant in ('as_is', 'scale_all'))
    assert as_is.pixels == scaled.pixels == steady.pooled['as_is'].pixels
    # In its own unit the estimate is off by half the truth, which it does not know.
    assert as_is.within[0] < 0.1
    assert scaled.within[0] == pytest.approx(NORMAL_SHARES[0], abs=0.05)
    assert scaled.sharpness == pytest.approx(steady.scale * as_is.sharpness)


def test_errors_fall_with_confidence_that_is_worth_something() -> None:
    confidence = np.array([1.0, 1, 2, 2, 3, 3])
    error = np.array([0.5, 0.3, 0.2, 0.2, 0.1, 0.0])
    sums = ConfidenceSums(np.array([2.0, 3.0]))
    sums.add(error[:3], confidence[:3])
    sums.add(error[3:], confidence[3:])
    bins = sums.result()
    assert [one.pixels for one in bins] == [2, 2, 2]
    assert [one.confidence for one in bins] == [1, 2, 3]
    np.testing.assert_allclose([one.abs_rel for one in bins], [0.4, 0.2, 0.05])
    left = [one.abs_rel_from_here for one in bins]
    np.testing.assert_allclose(left, [error.mean(), 0.125, 0.05])


def test_confidence_is_divided_by_its_tenths(found: DepthSetFigures) -> None:
    assert len(found.confidence) == 10
    pixels = [one.pixels for one in found.confidence]
    assert max(pixels) - min(pixels) < 0.02 * sum(pixels)
    assert found.confidence[-1].abs_rel < found.confidence[0].abs_rel
    whole = found.pooled['scale_each']
    assert sum(pixels) == whole.pixels
    assert found.confidence[0].abs_rel_from_here == pytest.approx(whole.abs_rel)


def test_images_that_share_no_pixel_count_for_nothing() -> None:
    blank = DepthPair('blank', np.full((4, 5), np.nan, np.float32), np.ones((4, 5), np.float32))
    dark = DepthPair('dark', np.ones((4, 5), np.float32), np.zeros((4, 5), np.float32))
    with pytest.raises(GeometryError, match='of any of 2 pairs'):
        measure_depth(lambda: iter([blank, dark]), EDGES)
    mixed = measure_depth(lambda: iter([blank, PAIRS[0], dark]), EDGES)
    alone = measure_depth(lambda: iter([PAIRS[0]]), EDGES)
    assert mixed.mean == alone.mean
    assert mixed.pooled == alone.pooled
    assert [bool(one.figures) for one in mixed.images] == [False, True, False]
    assert math.isnan(mixed.images[0].known_share)
    assert mixed.images[2].known_share == 0


def test_estimates_without_spread_and_confidence_have_no_figures_of_them() -> None:
    bare = DepthPair('bare', PAIRS[0].truth, PAIRS[0].estimate)
    found = measure_depth(lambda: iter([bare]), EDGES)
    assert not found.calibration
    assert not found.confidence
    assert set(found.mean) == set(VARIANTS)


@pytest.mark.parametrize(
    'edges',
    [(1.0,), (2.0, 1.0), (-1.0, 2.0), (0.0, 0.0), (math.nan, 1.0), tuple(range(101))],
    ids=str,
)
def test_edges_that_make_no_range_are_refused(edges: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match='ranges'):
        measure_depth(lambda: iter(PAIRS), edges)


def test_memory_does_not_grow_with_the_number_of_images() -> None:
    def peak(count: int) -> int:
        def pairs() -> Iterator[DepthPair]:
            # The same few again and again: the range of the numbers, too, is the same.
            return (pair(number % 4, (60, 80)) for number in range(count))

        tracemalloc.start()
        measure_depth(pairs, EDGES)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(1)
    # A few kB of figures an image; each of its seven arrays has 19 kB or more.
    assert peak(24) - peak(8) < 16 * 19_000
