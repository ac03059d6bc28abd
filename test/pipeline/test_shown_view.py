"""What becomes of depth before it is published or recorded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from da3_ros.options import OutputOptions
from da3_ros.pipeline.shown_view import depth_in_mm, points_depth, published_depth
from helpers.odd_view import view

NAN, INF = float('nan'), float('inf')


def test_unknown_sky_and_zero_are_nan_and_far_is_infinite() -> None:
    depth = published_depth(view(), OutputOptions(max_depth_m=10.0))
    np.testing.assert_array_equal(depth, np.array([[1.0, 5.0, INF, NAN, NAN, NAN]], np.float32))
    assert depth.dtype == np.float32


def test_what_is_too_near_is_unknown() -> None:
    depth = published_depth(view(), OutputOptions(min_depth_m=5.0))
    np.testing.assert_array_equal(depth, np.array([[NAN, 5.0, 20.0, NAN, NAN, NAN]], np.float32))


def test_points_in_the_air_behind_an_edge_are_left_out_and_the_depth_image_keeps_them() -> None:
    row = np.array([[2.0, 2.0, 3.0, 5.0, 5.0, 5.0]], np.float32)
    item = replace(view(), depth=row, confidence=None, sky=None)
    options = OutputOptions(max_depth_m=4.0)
    depth = published_depth(item, options)
    np.testing.assert_array_equal(depth, np.array([[2, 2, 3, INF, INF, INF]], np.float32))
    known = points_depth(item, depth, options)
    np.testing.assert_array_equal(known, np.array([[2, 2, NAN, INF, INF, INF]], np.float32))
    assert points_depth(item, depth, OutputOptions(edge_filter=0.0)) is depth


def test_low_confidence_is_nan_also_when_far() -> None:
    depth = published_depth(view(), OutputOptions(min_confidence=2.0))
    np.testing.assert_array_equal(depth, np.array([[1.0, NAN, 20.0, NAN, NAN, NAN]], np.float32))


def test_views_without_confidence_and_sky_are_taken_as_they_are() -> None:
    plain = replace(view(), confidence=None, sky=None)
    depth = published_depth(plain, OutputOptions(min_confidence=2.0))
    np.testing.assert_array_equal(depth, np.array([[1.0, 5.0, 20.0, NAN, NAN, 3.0]], np.float32))


def test_the_view_itself_is_left_alone() -> None:
    item = view()
    before = item.depth.copy()
    published_depth(item, OutputOptions(max_depth_m=2.0))
    np.testing.assert_array_equal(item.depth, before)


def test_millimetres_are_rounded_and_zero_where_there_is_no_number() -> None:
    depth = np.array([[1.2344, 1.2346, NAN, INF, 65.535, 65.6]], np.float32)
    np.testing.assert_array_equal(depth_in_mm(depth), [[1234, 1235, 0, 0, 65535, 0]])
    assert depth_in_mm(depth).dtype == np.uint16
