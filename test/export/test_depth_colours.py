"""The coloured depth image against published colours of turbo."""

import numpy as np

from da3_ros.ros.node.debug_image import coloured_depth

# First and last entry of Google's table of turbo.
FARTHEST, NEAREST = (48, 18, 59), (122, 4, 3)
GREY = (128, 128, 128)


def test_near_is_red_far_is_blue_and_unknown_is_grey() -> None:
    depth = np.repeat(np.array([[1.0, 2.0, 4.0, 50.0]], np.float32), 30, axis=0)
    depth[0] = [np.nan, np.inf, 0.0, np.nan]
    colours = coloured_depth(depth)
    assert colours.dtype == np.uint8
    assert colours.shape == (30, 4, 3)
    np.testing.assert_array_equal(colours[0], [GREY, FARTHEST, GREY, GREY])
    assert np.abs(colours[5, 0].astype(int) - NEAREST).max() <= 2
    assert np.abs(colours[5, 3].astype(int) - FARTHEST).max() <= 2
    # In between turbo goes through green.
    assert colours[5, 1].argmax() == 1


def test_the_colour_says_the_order_of_depth_and_not_its_unit() -> None:
    depth = np.random.default_rng(0).uniform(1, 9, (20, 30)).astype(np.float32)
    np.testing.assert_array_equal(coloured_depth(depth), coloured_depth(depth * 4))


def test_flat_and_empty_images_are_taken() -> None:
    flat = coloured_depth(np.full((4, 5), 2.0, np.float32))
    assert len(np.unique(flat.reshape(-1, 3), axis=0)) == 1
    assert (coloured_depth(np.full((4, 5), np.nan, np.float32)) == 128).all()
    assert (coloured_depth(np.full((4, 5), np.inf, np.float32)) == FARTHEST).all()
