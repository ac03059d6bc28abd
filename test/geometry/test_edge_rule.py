"""The rule of an edge, step by step, on rows of inverse depth that are made for it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.geometry.edges import edges_down, edges_right, flying_pixels, inverse_depth

STEP = 0.05


def row_of(steps: Sequence[float], first: float = 1.0) -> NDArray[np.float32]:
    """Return a row (1, W) of inverse depth with these steps."""
    return (first + np.cumsum([0.0, *steps]))[None].astype(np.float32)


def edges(steps: Sequence[float], first: float = 1.0) -> list[int]:
    """Return where a row with these steps has edges; a column gives the same."""
    inverse = row_of(steps, first)
    right = edges_right(inverse, STEP)
    np.testing.assert_array_equal(edges_down(np.ascontiguousarray(inverse.T), STEP), right.T)
    return [int(place) for place in np.flatnonzero(right[0])]


@pytest.mark.parametrize('near_first', [True, False])
@pytest.mark.parametrize('near_m', [0.2, 3.0])
@pytest.mark.parametrize('step', [0.05, 0.5])
def test_an_edge_is_a_share_of_the_larger_inverse_depth(
    near_m: float, near_first: bool, step: float
) -> None:
    """1 / near - 1 / far > step / near: the far one is farther than near / (1 - step)."""
    for share, wanted in ((0.98, False), (1.02, True)):
        far_m = near_m / (1 - share * step)
        # Something nearer at the border has no say in it.
        depth = np.array([[near_m / 2] * 4 + [near_m] * 4 + [far_m] * 4], np.float32)
        inverse = inverse_depth(depth if near_first else depth[:, ::-1])
        found = edges_right(inverse, step)[0]
        assert found[7 if near_first else 3] == wanted
        assert found.sum() == wanted + (step < 0.5)


def test_two_steps_on_either_side_have_to_be_like_it() -> None:
    """In a slope of equal steps one pixel repeats: the two steps before it and after are edges."""
    steps = [0.2] * 12
    assert edges(steps) == []
    steps[6] = 0.0
    assert edges(steps) == [4, 5, 7, 8]
    # The other way down the slope, and a step that is too large instead.
    assert edges([-step for step in steps], first=2.6) == [4, 5, 7, 8]
    steps[6] = 0.5
    assert edges(steps) == [4, 5, 6, 7, 8]
    steps[6] = -0.2
    assert edges(steps) == [4, 5, 6, 7, 8]


@pytest.mark.parametrize('place', [0, 1, 10, 11])
def test_what_lies_beyond_the_border_is_taken_to_be_like_it(place: int) -> None:
    steps = [0.2] * 12
    steps[place] = 0.0
    near = {place - 2, place - 1, place + 1, place + 2}
    assert edges(steps) == sorted(near & set(range(12)))


def test_curved_surfaces_are_none_and_bent_ones_are() -> None:
    """Steps that grow by a fifth each are a surface, steps that double are not."""
    # The slope is so steep that each step alone would be an edge.
    curved = [0.2 * 1.2**i for i in range(4)]
    assert edges([curved[0]] * 3 + curved[:2] + [curved[1]] * 3) == []
    for bend in (2.0, 0.5):
        assert edges([0.4] * 4 + [0.4 * bend] * 4) == [2, 3, 4, 5]


def test_a_step_at_unknown_depth_is_an_edge_whatever_is_beside_it() -> None:
    row = row_of([0.2] * 8)
    row[0, 4] = np.nan
    np.testing.assert_array_equal(np.flatnonzero(edges_right(row, STEP)[0])[1:3], [2, 3])
    assert edges_right(row, STEP)[0, [3, 4]].all()
    assert not edges_right(np.zeros((3, 7), np.float32), STEP).any()  # sky


def test_two_pixels_are_an_edge_by_their_step_alone() -> None:
    assert edges([0.2]) == [0]
    assert edges([0.01]) == []
    assert edges([0.2, 0.2]) == []
    assert edges([0.2, 0.0]) == [0]


@pytest.mark.parametrize('mirrored', [False, True])
def test_a_pixel_flies_that_falls_on_both_sides_and_is_across_an_edge(mirrored: bool) -> None:
    def flying(row: list[float]) -> list[bool]:
        depth = np.array([row[::-1] if mirrored else row] * 3, np.float32)
        marked = flying_pixels(depth, 0.1)
        assert (marked == marked[0]).all()
        np.testing.assert_array_equal(flying_pixels(np.ascontiguousarray(depth.T), 0.1), marked.T)
        found: list[bool] = marked[0, :: -1 if mirrored else 1].tolist()
        return found

    assert flying([2, 2, 2, 3, 5, 5, 5]) == [False] * 3 + [True] + [False] * 3
    # Nearer than both sides is a thin thing, farther than both a gap.
    assert flying([5, 5, 5, 3, 5, 5, 5]) == [False] * 7
    assert flying([2, 2, 2, 3, 2, 2, 2]) == [False] * 7
    # Beside a clean edge a change below a quarter of an edge is none: 1 / 2 * 0.1 / 4 = 0.0125.
    assert flying([2, 2, 2 / (1 - 0.02), 5, 5, 5]) == [False] * 6
    assert flying([2, 2, 2 / (1 - 0.035), 5, 5, 5])[2]
    # Three pixels are the least that can show it; of two there is none between.
    assert flying([2, 2.2, 8]) == [False, True, False]
    assert flying([2, 5]) == [False, False]
    # Unknown and infinite pixels are never marked.
    assert flying([2, 2, float('nan'), 5, 5]) == [False] * 5
    assert not any(flying([2, 2, 3, float('inf'), float('inf')])[3:])
