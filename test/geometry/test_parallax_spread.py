"""What parts of images say about a unit, on differences whose answers are known beforehand."""

from dataclasses import replace
import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.parallax_spread import (
    GRID,
    PARTS,
    SHIFTS_PX,
    Agreement,
    Float32Array,
    PartCosts,
    agreement,
    lowest,
    part_costs,
)

GOOD = Agreement(parts=20, spread=0.1, at_edge=0.0, offset_px=0.0, parallax_px=8.0)
COUNT = PARTS[0] * PARTS[1]


def sigma(views: int = 6, **changed: Any) -> float:
    found = replace(GOOD, **changed).sigma(views)
    assert found is not None
    return found


@pytest.mark.parametrize('vertex', [-0.37, -0.2, 0.013, 0.4])
@pytest.mark.parametrize('steepness', [0.3, 70.0])
def test_the_lowest_place_of_a_parabola_is_its_vertex(vertex: float, steepness: float) -> None:
    places = np.linspace(-0.5, 0.5, 21)
    costs = steepness * (places - vertex) ** 2 + 2.0
    assert lowest(places, costs) == pytest.approx(vertex, abs=1e-9)


def test_the_lowest_place_stays_beside_the_lowest_cost() -> None:
    """At the ends there is no parabola around it: one step more than the last inner place."""
    places = np.linspace(0.0, 1.0, 11)
    assert lowest(places, places**2) == pytest.approx(0.0)
    assert lowest(places, (places - 3.0) ** 2) == pytest.approx(1.0)
    # A curve without a bottom has the first of its equal places.
    assert lowest(places, np.ones(11)) == pytest.approx(0.1)
    # A corner: the parabola through three points of |x - 0.52| leans to its side.
    assert 0.5 < lowest(places, np.abs(places - 0.52)) < 0.55


def test_no_direction_is_preferred() -> None:
    for places in (GRID, SHIFTS_PX):
        np.testing.assert_allclose(places, -places[::-1], atol=1e-12)
        np.testing.assert_allclose(np.diff(places), places[1] - places[0])


def test_a_unit_is_better_known_where_parts_agree_and_parallax_is_large() -> None:
    assert sigma(spread=0.2) > sigma(spread=0.1) > sigma(spread=0.0) > 0
    assert sigma(offset_px=0.5) > sigma(offset_px=0.3) > sigma()
    assert sigma(offset_px=0.3, parallax_px=4.0) > sigma(offset_px=0.3)
    assert sigma(views=2) > sigma(views=3) > sigma(views=4) == sigma(views=30)


def test_the_causes_of_error_are_independent() -> None:
    """Their squares add; a spread of zero and exact poses still leave something."""
    floor = sigma(spread=0.0)
    assert 0.001 < floor < 0.01

    def share(offset_px: float) -> float:
        """Return how much of a spread of 0.1 is left when poses are off by so much."""
        pose = sigma(spread=0.0, offset_px=offset_px)
        return math.sqrt(sigma(offset_px=offset_px) ** 2 - pose**2) / 0.1

    # Noise of parts averages out, errors of poses do not: from the one to the other in proportion,
    # up to a quarter of a pixel.
    exact, off = share(0.0), share(0.25)
    assert 0.1 < exact < 0.3 < off < 0.8
    assert share(0.125) == pytest.approx((exact + off) / 2)
    assert share(0.25 / 4) == pytest.approx((3 * exact + off) / 4)
    assert share(4.0) == pytest.approx(off)
    # Errors of poses are as so many pixels of parallax, whatever the spread.
    pose = math.sqrt(sigma(spread=0.0, offset_px=4.0) ** 2 - floor**2)
    for factor in (0.5, 3.0):
        more = sigma(spread=0.0, offset_px=4.0 * factor, parallax_px=8.0 * factor)
        assert math.sqrt(more**2 - floor**2) == pytest.approx(pose)
        more = sigma(spread=0.0, offset_px=4.0 * factor)
        assert math.sqrt(more**2 - floor**2) == pytest.approx(pose * factor)


@pytest.mark.parametrize(
    'contradicted',
    [
        {'parts': 5},
        {'parallax_px': 0.0},
        {'spread': 0.5},
        {'at_edge': 0.5},
        {'spread': 0.3, 'at_edge': 0.3},
    ],
)
def test_few_parts_and_parts_that_contradict_one_another_say_nothing(
    contradicted: dict[str, Any],
) -> None:
    assert replace(GOOD, **contradicted).sigma(6) is None
    assert replace(GOOD, parts=6, parallax_px=0.1, spread=0.2, at_edge=0.2).sigma(6) is not None


def parabolas(places: FloatArray, vertices: FloatArray, points: int = 30) -> FloatArray:
    """Return differences (G, P) whose sum over each part is lowest at its vertex."""
    curves = (places[:, None] - vertices) ** 2
    return np.repeat(curves, points, axis=1)


def costs_of(logs: FloatArray, offsets: FloatArray, parallax: FloatArray) -> PartCosts:
    """Return the differences of a pair with one answer per part, thirty points each."""
    part = np.repeat(np.arange(len(logs)), 30)
    return PartCosts(
        parabolas(GRID, logs), parabolas(SHIFTS_PX, offsets), np.repeat(parallax, 30), part
    )


def test_spread_and_offset_are_the_robust_deviations_of_the_parts() -> None:
    rng = np.random.default_rng(2)
    logs, offsets = rng.normal(0.05, 0.1, COUNT), rng.normal(0.4, 0.5, COUNT)
    parallax = rng.uniform(2.0, 9.0, COUNT)
    said = agreement([costs_of(logs, offsets, parallax)])
    assert said is not None
    assert said.parts == COUNT
    assert said.at_edge == 0
    wanted = float(median_abs_deviation(logs, scale='normal'))
    assert said.spread == pytest.approx(wanted, rel=1e-4)
    # Displacement is measured from where the poses say, which is zero.
    around_zero = float(median_abs_deviation(offsets, center=lambda x, axis: 0.0, scale='normal'))
    assert said.offset_px == pytest.approx(around_zero, rel=1e-4)
    assert said.parallax_px == pytest.approx(float(np.median(parallax)))
    # Pairs are put together as if their parts were those of one.
    both = agreement([costs_of(logs, offsets, parallax)] * 2)
    assert both == replace(said, parts=2 * COUNT)


def test_parts_that_find_nothing_within_the_grid_count_as_at_the_edge() -> None:
    logs = np.zeros(COUNT)
    logs[:3] = 0.49, -0.49, 0.44
    said = agreement([costs_of(logs, np.zeros(COUNT), np.ones(COUNT))])
    assert said is not None
    assert said.at_edge == pytest.approx(2 / COUNT)


def test_parts_with_few_points_or_without_a_bottom_are_left_out() -> None:
    pair = costs_of(np.zeros(COUNT), np.zeros(COUNT), np.ones(COUNT))
    few = np.ones(len(pair.part), bool)
    few[:6] = False  # 24 of 30 are left in the first part
    flat = pair.along.copy()
    flat[:, 30:60] = 7.0  # the second part agrees as badly everywhere
    said = agreement(
        [PartCosts(flat[:, few], pair.across[:, few], pair.parallax_px[few], pair.part[few])]
    )
    assert said is not None
    assert said.parts == COUNT - 2
    assert agreement([]) is None
    assert agreement([replace(pair, along=np.ones_like(pair.along))]) is None
    assert agreement([replace(pair, across=np.ones_like(pair.across))]) is None


SLOPE_U, SLOPE_V = 0.03, 0.05
SHAPE = (60, 80)


def ramp() -> Float32Array:
    """Return an image whose value is an affine function of the place, so sampling it is exact."""
    v, u = np.indices(SHAPE)
    return (SLOPE_U * u + SLOPE_V * v).astype(np.float32)


def moved(u: FloatArray, v: FloatArray, motion: tuple[float, float]) -> Float32Array:
    """Return places (2, G, P) of points that move by so many pixels per logarithm."""
    along = np.array(motion)[:, None, None] * GRID[None, :, None]
    return (np.stack([u, v])[:, None] + along).astype(np.float32)


@pytest.mark.parametrize('motion', [(8.0, 0.0), (0.0, -5.0), (3.0, 4.0)])
def test_differences_along_and_across_are_those_of_an_affine_image(
    motion: tuple[float, float],
) -> None:
    rng = np.random.default_rng(4)
    u, v = rng.uniform(12, 67, 200), rng.uniform(12, 47, 200)
    value = (SLOPE_U * u + SLOPE_V * v).astype(np.float32)
    places = moved(u, v, motion)
    costs = part_costs(ramp(), value, places, np.ones((len(GRID), 200), bool), 10.0)
    assert costs is not None
    length = math.hypot(*motion)
    np.testing.assert_allclose(costs.parallax_px, length, rtol=1e-4)
    along = np.abs(GRID * (SLOPE_U * motion[0] + SLOPE_V * motion[1]))
    np.testing.assert_allclose(costs.along, np.tile(along[:, None], 200), atol=3e-3)
    # A quarter turn from the motion, by whole pixels whatever its length.
    across = np.abs(SHIFTS_PX * (-SLOPE_U * motion[1] + SLOPE_V * motion[0]) / length)
    np.testing.assert_allclose(costs.across, np.tile(across[:, None], 200), atol=3e-3)
    np.testing.assert_array_equal(costs.part, (v // 20) * 4 + u // 20)


def test_differences_are_bounded_and_points_that_leave_the_image_are_left_out() -> None:
    u, v = np.linspace(10.0, 60.0, 100), np.full(100, 30.0)
    places = moved(u, v, (5.0, 0.0))
    inside = np.ones((len(GRID), 100), bool)
    inside[0, :40] = False
    inside[-1, 20:50] = False
    costs = part_costs(ramp(), np.full(100, 99.0, np.float32), places, inside, 1.5)
    assert costs is not None
    assert costs.along.shape == (len(GRID), 50)
    assert costs.across.shape == (len(SHIFTS_PX), 50)
    assert (costs.along == 1.5).all()
    np.testing.assert_array_equal(costs.part, 4 + u[50:] // 20)
    inside[7, 74:] = False
    assert part_costs(ramp(), np.zeros(100, np.float32), places, inside, 1.5) is None


def test_points_on_the_last_rows_and_columns_belong_to_the_last_parts() -> None:
    u, v = np.linspace(0, 79.4, 60), np.linspace(0, 59.4, 60)
    inside = np.ones((len(GRID), 60), bool)
    costs = part_costs(ramp(), np.zeros(60, np.float32), moved(u, v, (0, 0)), inside, 1.5)
    assert costs is not None
    assert costs.part.max() == COUNT - 1
    assert np.isfinite(costs.across).all()
    assert (costs.parallax_px == 0).all()
