"""Which pixels of shared views count: the lower confidence of both, all where one has none."""

from __future__ import annotations

from dataclasses import replace
import math

import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.stream.alignment import Anchor, PlacedView, compare_shared, known_depth
from da3_ros.stream.scale.samples import DepthSample
from da3_ros.types import ViewPrediction

SHAPE = (24, 32)
CAMERA = PinholeCamera.from_focal(22, 22, 15.5, 11.5, ImageSize(*SHAPE))
KEY = ('front', 7)


def halves(left: float, right: float) -> np.ndarray:
    image = np.full(SHAPE, left, np.float32)
    image[:, 16:] = right
    return image


def scale(before: np.ndarray | None, now: np.ndarray | None) -> float:
    """Return the scale by a view whose left half grew by two and whose right half by three."""
    depth = np.random.default_rng(0).uniform(1, 8, SHAPE).astype(np.float32)
    view = ViewPrediction(
        depth=depth,
        image=np.zeros((*SHAPE, 3), np.uint8),
        window_from_camera=np.eye(4),
        camera=CAMERA,
        calibrated_camera=None,
        confidence=now,
    )
    anchor = Anchor(np.eye(4), DepthSample.of(depth * halves(2.0, 3.0), before))
    shared = compare_shared([PlacedView.of(KEY, view)], {KEY: anchor}, 0.01)
    assert shared is not None
    assert shared.chain is not None
    return math.exp(shared.chain.value)


def test_pixels_count_that_both_are_sure_of() -> None:
    left, right, all_alike = halves(5, 1), halves(1, 5), halves(4, 4)
    assert scale(left, all_alike) == pytest.approx(2, rel=1e-4)
    assert scale(all_alike, right) == pytest.approx(3, rel=1e-4)
    assert scale(halves(9, 6), halves(2, 6)) == pytest.approx(3, rel=1e-4)


def test_without_confidence_on_one_side_all_pixels_count() -> None:
    everywhere = scale(None, None)
    assert 2 <= everywhere <= 3
    for before, now in ((halves(5, 1), None), (None, halves(5, 1))):
        assert scale(before, now) == pytest.approx(everywhere)


def test_views_that_the_world_does_not_know_say_nothing() -> None:
    assert compare_shared([], {}, 0.01) is None


def test_sky_has_no_depth() -> None:
    view = ViewPrediction(
        depth=np.ones(SHAPE, np.float32),
        image=np.zeros((*SHAPE, 3), np.uint8),
        window_from_camera=np.eye(4),
        camera=CAMERA,
        calibrated_camera=None,
    )
    assert known_depth(view) is view.depth
    sky = halves(0, 1).astype(bool)
    depth = known_depth(replace(view, sky=sky))
    assert depth is not None
    np.testing.assert_array_equal(np.isnan(depth), sky)
    assert known_depth(replace(view, depth=None, sky=sky)) is None
