"""Edges of depth and pixels that hang behind them, on analytic planes and steps."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.edges import edges_down, edges_right, flying_pixels, inverse_depth

Array = np.ndarray[Any, Any]
CAMERA = PinholeCamera.from_focal(60.0, 60.0, 39.5, 29.5, ImageSize(60, 80))


def plane(normal: tuple[float, float, float], distance: float) -> Array:
    """Return the depth image of the plane normal . x = distance."""
    cosine = CAMERA.rays() @ np.array(normal)
    with np.errstate(divide='ignore'):
        depth = distance / cosine
    return np.where(depth > 0, depth, np.inf).astype(np.float32)


def step(near_m: float = 2.0, far_m: float = 5.0) -> Array:
    depth = np.full((60, 80), far_m, np.float32)
    depth[20:40, 30:50] = near_m
    return depth


def test_unknown_depth_has_no_inverse_and_infinity_has_zero() -> None:
    depth = np.array([[2.0, np.nan, 0.0, -1.0, np.inf, 1e-45]], np.float32)
    np.testing.assert_array_equal(inverse_depth(depth), [[0.5, np.nan, np.nan, np.nan, 0, np.nan]])


@pytest.mark.parametrize('normal', [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, 1.0, 0.02)])
def test_planes_have_no_edges_however_slanted(normal: tuple[float, float, float]) -> None:
    """The last one is a floor below the camera: its depth doubles within two pixels."""
    depth = plane(normal, 1.0)
    visible = np.isfinite(depth) & (depth < 100)
    inverse = inverse_depth(np.where(visible, depth, np.nan).astype(np.float32))
    right = edges_right(inverse, 0.05)
    assert not right[visible[:, 1:] & visible[:, :-1]].any()
    # What lies beside the horizon looks across it.
    inner = visible.copy()
    for rows in (1, 2, 3):
        inner[rows:] &= visible[:-rows]
    assert inner.sum() > 0.4 * inner.size
    assert not edges_down(inverse, 0.05)[inner[1:] & inner[:-1]].any()
    assert not flying_pixels(depth, 0.1)[inner].any()


def test_a_step_is_an_edge_exactly_where_it_is() -> None:
    inverse = inverse_depth(step())
    wanted = np.zeros((60, 79), bool)
    wanted[20:40, [29, 49]] = True
    np.testing.assert_array_equal(edges_right(inverse, 0.05), wanted)
    wanted = np.zeros((59, 80), bool)
    wanted[[[19], [39]], 30:50] = True
    np.testing.assert_array_equal(edges_down(inverse, 0.05), wanted)


def test_small_steps_are_none_and_unknown_pixels_are_edges() -> None:
    assert not edges_right(inverse_depth(step(5.0, 5.2)), 0.05).any()
    depth = np.ones((1, 5), np.float32)
    depth[0, 2] = np.nan
    edges = edges_right(inverse_depth(depth), 0.05)
    np.testing.assert_array_equal(edges, [[False, True, True, False]])
    assert edges_right(inverse_depth(np.array([[1.0, 3.0]], np.float32)), 0.05).all()


def test_clean_steps_and_thin_things_have_no_flying_pixels() -> None:
    assert not flying_pixels(step(), 0.1).any()
    pole = np.full((20, 21), 6.0, np.float32)
    pole[:, 10] = 2.0
    assert not flying_pixels(pole, 0.1).any()


@pytest.mark.parametrize('between', [[3.0], [2.4, 3.6], [2.3, 2.9, 3.9]])
def test_pixels_of_a_ramp_between_two_surfaces_fly_and_no_others(between: list[float]) -> None:
    row = [2.0] * 8 + between + [5.0] * 8
    depth = np.array([row] * 9, np.float32)
    wanted = np.zeros_like(depth, bool)
    wanted[:, 8 : 8 + len(between)] = True
    np.testing.assert_array_equal(flying_pixels(depth, 0.1), wanted)
    np.testing.assert_array_equal(flying_pixels(depth[:, ::-1], 0.1), wanted[:, ::-1])
    np.testing.assert_array_equal(flying_pixels(depth.T, 0.1), wanted.T)


def test_nothing_is_left_in_the_air_behind_a_blurred_step() -> None:
    """Blurring with OpenCV is the independent witness of what a network does to an edge."""
    depth = np.asarray(cv2.blur(step(), (3, 3)), np.float32)
    left = depth[~flying_pixels(depth, 0.1)]
    # A tenth of the nearer surface's depth is what the filter calls no edge.
    in_the_air = (left > 2.0 * 1.1) & (left < 5.0 / 1.1)
    assert (depth[(depth > 2.2) & (depth < 4.5)]).size > 100
    assert in_the_air.sum() <= 4  # the corners
    assert flying_pixels(depth, 0.1).mean() < 0.06


def test_what_is_not_finite_is_not_marked() -> None:
    depth = np.array([[2.0, 2.0, 4.0, np.inf, np.inf], [2.0, 2.0, np.nan, 5.0, 5.0]], np.float32)
    marked = flying_pixels(depth, 0.1)
    assert not marked[~np.isfinite(depth)].any()
    assert marked[0, 2]


@pytest.mark.parametrize('shape', [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_tiny_images_are_taken(shape: tuple[int, int]) -> None:
    assert flying_pixels(np.ones(shape, np.float32), 0.1).shape == shape
