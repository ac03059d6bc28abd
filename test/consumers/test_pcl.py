"""pcl_conversions: a published cloud as pcl::PointCloud."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.consumer_rules import FLOAT32, pcl_mapping, pixels, xyz

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CLOUDS = ('/points', '/front/points', '/left/points')
POINT_XYZRGB = (('x', FLOAT32), ('y', FLOAT32), ('z', FLOAT32), ('rgb', FLOAT32))


def test_every_field_of_a_coloured_point_is_found(metres: Taken) -> None:
    for key in CLOUDS:
        for cloud in metres.of(key):
            assert pcl_mapping(cloud, POINT_XYZRGB) == {'x': 0, 'y': 4, 'z': 8, 'rgb': 12}


def test_rows_and_points_have_the_sizes_that_are_copied(metres: Taken) -> None:
    for key in CLOUDS:
        for cloud in metres.of(key):
            assert cloud.row_step == cloud.width * cloud.point_step
            assert len(cloud.data) == cloud.height * cloud.row_step


def test_a_cloud_is_dense_only_without_nan(metres: Taken) -> None:
    # Filters and trees skip the test of every point of a dense cloud.
    for key in CLOUDS:
        for cloud in metres.of(key):
            assert cloud.is_dense <= bool(np.isfinite(xyz(cloud)).all())


def test_a_point_has_a_place_or_none(metres: Taken) -> None:
    for cloud in metres.of('/front/points'):
        known = np.isfinite(xyz(cloud))
        np.testing.assert_array_equal(known.any(axis=-1), known.all(axis=-1))


def test_a_cloud_of_a_camera_is_organised_as_its_image(metres: Taken) -> None:
    for image, cloud in zip(
        metres.of('/front/color/image'), metres.of('/front/points'), strict=True
    ):
        assert (cloud.height, cloud.width) == pixels(image).shape[:2]
        assert cloud.height > 1
