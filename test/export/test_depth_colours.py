"""Colours of depth: the ends of the palette, what is unknown, and what the bar below says."""

from __future__ import annotations

import numpy as np
import pytest

from da3_ros.export.depth_colours import UNKNOWN_RGB, DepthRange, coloured_depth, depth_range
from da3_ros.export.picture_text import BarScale, bar_ticks, colour_bar, number_text, text_strip
from da3_ros.export.spectral import spectral
from da3_ros.types import ColourImage

# First and last class of ColorBrewer's Spectral.
NEAREST, FARTHEST = (158, 1, 66), (94, 79, 162)


def decoded(colours: ColourImage, shown: DepthRange) -> np.ndarray:
    """Return the depth (H, W) that colours stand for: that of the nearest entry of the palette."""
    shares = (np.arange(256) + 0.5) / 256
    table = spectral(shares).astype(int)
    far = np.abs(colours[..., None, :].astype(int) - table).sum(axis=-1)
    depths = np.array([shown.depth_at(share) for share in shares])
    return np.asarray(depths[far.argmin(axis=-1)])


def test_near_is_red_far_is_violet_and_unknown_is_black() -> None:
    depth = np.repeat(np.array([[1.0, 2.0, 4.0, 50.0]], np.float32), 30, axis=0)
    depth[0] = [np.nan, np.inf, 0.0, -1.0]
    colours = coloured_depth(depth)
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours[0], [UNKNOWN_RGB, FARTHEST, UNKNOWN_RGB, UNKNOWN_RGB])
    assert colours[5, 0].tolist() == list(NEAREST)
    assert colours[5, 3].tolist() == list(FARTHEST)


def test_unknown_has_a_colour_without_hue_that_the_palette_does_not_hold() -> None:
    table = spectral((np.arange(256) + 0.5) / 256).astype(int)
    assert len(set(UNKNOWN_RGB)) == 1
    assert np.abs(table - UNKNOWN_RGB).max(axis=1).min() > 60


def test_the_palette_names_every_depth_once() -> None:
    """No two places of the palette look alike, so that a colour has one depth."""
    table = spectral((np.arange(256) + 0.5) / 256)
    assert len(np.unique(table, axis=0)) == 256


def test_the_colour_says_the_order_of_depth_and_not_its_unit() -> None:
    depth = np.random.default_rng(0).uniform(1, 9, (20, 30)).astype(np.float32)
    np.testing.assert_array_equal(coloured_depth(depth), coloured_depth(depth * 4))


def test_flat_and_empty_images_are_taken() -> None:
    flat = coloured_depth(np.full((4, 5), 2.0, np.float32))
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 1
    assert (coloured_depth(np.full((4, 5), np.nan, np.float32)) == UNKNOWN_RGB).all()
    assert (coloured_depth(np.full((4, 5), np.inf, np.float32)) == FARTHEST).all()
    assert depth_range(np.full((4, 5), np.inf, np.float32)) is None


def test_pixels_decode_back_to_their_depth_by_the_range_on_the_bar() -> None:
    depth = np.random.default_rng(1).uniform(0.7, 6.0, (40, 50)).astype(np.float32)
    shown = depth_range(depth)
    assert shown is not None
    inside = (depth > shown.near) & (depth < shown.far)
    assert inside.mean() == pytest.approx(0.96, abs=0.01)
    back = decoded(coloured_depth(depth, shown), shown)
    # The 256 levels are equal steps of 1 / depth.
    step = (1 / shown.near - 1 / shown.far) / 256
    assert np.abs(1 / back - 1 / depth)[inside].max() <= 2 * step


@pytest.mark.parametrize('count', [2, 3, 5])
def test_ticks_carry_the_depth_that_the_bar_has_there(count: int) -> None:
    shown = DepthRange(1 / 4.97, 1 / 1.29)
    ticks = bar_ticks(BarScale(spectral, shown.depth_at, 'm'), count)
    assert (ticks[0], ticks[-1]) == ((0.0, '1.29 m'), (1.0, '4.97 m'))
    for share, text in ticks:
        value = float(text.split()[0])
        assert decoded(spectral(np.array([[share]])), shown)[0, 0] == pytest.approx(
            value, rel=0.01
        )
        assert float(shown.shares(np.array([value]))[0]) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize('width', [1, 30, 60, 100, 300, 2000])
@pytest.mark.parametrize('unit', ['m', 'scene units'])
def test_a_bar_runs_from_one_end_of_the_palette_to_the_other(width: int, unit: str) -> None:
    shown = DepthRange(1 / 123.4, 1 / 0.0321)
    bar = colour_bar(BarScale(spectral, shown.depth_at, unit), width)
    assert bar.shape[1:] == (width, 3)
    column = np.flatnonzero((bar == NEAREST).all(axis=2).any(axis=0))
    assert column[0] <= 16 * max(1, width // 1000) + 8
    if width >= 60:
        assert (bar == FARTHEST).all(axis=2).any()
        # The numbers below are ink on paper.
        assert (bar.sum(axis=2) < 200).any()


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (0.0, '0.00'),
        (0.0123, '0.0123'),
        (1.0, '1.00'),
        (4.966, '4.97'),
        (12.345, '12.3'),
        (123.45, '123'),
        (1234.5, '1230'),
        (1e-5, '1.00e-05'),
        (2.5e7, '2.50e+07'),
    ],
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.parametrize('width', [1, 20, 100, 640])
def test_every_letter_of_a_text_is_on_its_strip(width: int) -> None:
    """Half a text has less ink, whatever the width: nothing is cut off at the sides."""
    text = 'random weights: output means nothing ' + 'x' * 40
    whole, half = text_strip(text, width), text_strip(text[:38], width)
    assert whole.shape[1] == width
    assert (whole < 128).sum() >= (half < 128).sum()
    if width >= 20:
        margin = (whole[:, -1] < 128).any()
        assert (whole < 128).sum() > (half < 128).sum()
        assert not margin
