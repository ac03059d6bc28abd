"""Points that are drawn: on the true surfaces, clean, evenly thinned, the same every time."""

from dataclasses import replace

import numpy as np
import pytest

from da3_ros.errors import ConfigError
from da3_ros.geometry.camera import ImageSize
from da3_ros.synthetic import START_NS, make_world
from da3_ros.types import PosedSet, PosedView
from da3_ros.web.points import evenly_spread, points_of_set
from da3_ros.web.settings import ViewSettings
from helpers.posed_results import posed_set

WORLD = make_world(0, ImageSize(96, 128))
ALL = ViewSettings(points_per_view=100_000, edge_filter=0.0)


@pytest.fixture(scope='module')
def posed() -> PosedSet:
    return posed_set(WORLD, START_NS)


def _one(posed: PosedSet, view: PosedView) -> PosedSet:
    return replace(posed, views=(view,))


def test_points_lie_on_the_true_surfaces(posed: PosedSet) -> None:
    drawn = points_of_set(posed, ALL)

    assert len(drawn.points) == 3 * 96 * 128
    assert np.abs(WORLD.scene.clearance_m(drawn.points.astype(float))).max() < 1e-3


def test_points_project_to_the_pixels_whose_colours_they_have(posed: PosedSet) -> None:
    view = posed.views[1]
    drawn = points_of_set(_one(posed, view), ViewSettings(points_per_view=500))
    camera_from_world = np.linalg.inv(view.world_from_camera)
    inside = drawn.points @ camera_from_world[:3, :3].T + camera_from_world[:3, 3]
    pixels = view.camera.project(inside)
    columns, rows = np.round(pixels).astype(int).T

    assert np.abs(pixels - np.round(pixels)).max() < 1e-3
    np.testing.assert_array_equal(drawn.colours, view.image[rows, columns])
    np.testing.assert_allclose(drawn.depth, inside[:, 2], rtol=1e-5)


def test_height_counts_from_the_base(posed: PosedSet) -> None:
    lifted = replace(posed, world_from_base=posed.world_from_base + _shift_z(0.75))
    low, high = points_of_set(posed, ALL), points_of_set(lifted, ALL)

    np.testing.assert_allclose(low.height - high.height, 0.75, atol=1e-5)


def _shift_z(metres: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    shift = np.zeros((4, 4))
    shift[2, 3] = metres
    return shift


def test_unknown_depth_and_sky_make_no_points(posed: PosedSet) -> None:
    view = posed.views[0]
    depth = view.depth.copy()
    depth[0, :10] = [np.nan, np.inf, -np.inf, 0, -1, np.nan, np.inf, 0, 0, 0]
    sky = np.zeros(depth.shape, bool)
    sky[5:7] = True

    drawn = points_of_set(_one(posed, replace(view, depth=depth, sky=sky)), ALL)

    assert len(drawn.points) == depth.size - 10 - 2 * depth.shape[1]
    assert np.isfinite(drawn.points).all()


def test_a_view_without_any_depth_is_no_points(posed: PosedSet) -> None:
    view = replace(posed.views[0], depth=np.full((96, 128), np.nan, np.float32))

    assert points_of_set(_one(posed, view), ViewSettings()).points.shape == (0, 3)


def test_pixels_between_two_surfaces_are_left_out(posed: PosedSet) -> None:
    depth = np.full((96, 128), 2.0, np.float32)
    depth[:, 64:] = 6.0
    depth[:, 64] = 3.5
    view = replace(posed.views[0], depth=depth)

    with_them = points_of_set(_one(posed, view), ALL)
    without = points_of_set(_one(posed, view), replace(ALL, edge_filter=0.1))

    assert 3.5 in with_them.depth
    assert sorted(set(without.depth.tolist())) == [2.0, 6.0]
    assert len(without.depth) == depth.size - 96


def test_thinning_is_even_repeatable_and_nested() -> None:
    mask = np.ones((120, 160), bool)
    mask[:, 80:100] = False
    few, many = evenly_spread(mask, 300), evenly_spread(mask, 3000)

    np.testing.assert_array_equal(few, evenly_spread(mask.copy(), 300))
    np.testing.assert_array_equal(few, many[:300])
    assert len(set(many.tolist())) == 3000
    assert mask.ravel()[many].all()
    # Every block of 10 x 20 pixels gets its share of 300 / 84 or so.
    rows, columns = np.divmod(few, 160)
    counts = np.histogram2d(rows, columns, bins=(12, 8), range=((0, 120), (0, 160)))[0]
    known = np.delete(counts, 4, axis=1)
    assert known.min() >= 1
    assert known.max() <= 8


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (5, 1), (3, 200)])
def test_thinning_takes_every_pixel_of_any_shape(shape: tuple[int, int]) -> None:
    mask = np.ones(shape, bool)

    assert sorted(evenly_spread(mask, 10_000).tolist()) == list(range(mask.size))


def test_filters_of_the_controls(posed: PosedSet) -> None:
    drawn = points_of_set(posed, ALL)

    far = drawn.visible(ViewSettings(max_depth=2.0))
    high = drawn.visible(ViewSettings(max_height=1.0))

    assert drawn.visible(ViewSettings()).all()
    assert not drawn.visible(ViewSettings(min_confidence=2.5)).any()
    np.testing.assert_array_equal(far, drawn.depth <= 2.0)
    np.testing.assert_array_equal(high, drawn.height <= 1.0)
    assert 0 < far.sum() < len(far)
    assert 0 < high.sum() < len(high)


def test_views_without_confidence_pass_every_threshold(posed: PosedSet) -> None:
    drawn = points_of_set(_one(posed, replace(posed.views[0], confidence=None)), ALL)

    assert drawn.visible(ViewSettings(min_confidence=1e6)).all()


@pytest.mark.parametrize(
    ('name', 'value'), [('past_sets', 0), ('point_size', float('nan')), ('min_confidence', 0.5)]
)
def test_settings_outside_their_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        ViewSettings(**{name: value})  # type: ignore[arg-type]
