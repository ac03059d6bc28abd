"""depth_image_proc: a cloud of depth, calibration and colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.consumer_rules import Pinhole, pixels, points_by_depth_image_proc, rgb_by_rviz, xyz

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')


def test_encodings_are_those_that_it_knows(metres: Taken, millimetres: Taken) -> None:
    for camera in CAMERAS:
        assert {m.encoding for m in metres.of(f'/{camera}/depth/image')} == {'32FC1'}
        assert {m.encoding for m in millimetres.of(f'/{camera}/depth/image')} == {'16UC1'}
        assert {m.encoding for m in metres.of(f'/{camera}/color/image')} == {'rgb8'}


def test_depth_and_colour_have_one_size(metres: Taken) -> None:
    for camera in CAMERAS:
        sizes = {
            (m.width, m.height)
            for topic in ('depth/image', 'depth/camera_info', 'color/image', 'color/camera_info')
            for m in metres.of(f'/{camera}/{topic}')
        }
        assert len(sizes) == 1


def test_rows_are_as_long_as_they_say(metres: Taken, millimetres: Taken) -> None:
    for taken, topic, size in (
        (metres, 'depth/image', 4), (millimetres, 'depth/image', 2), (metres, 'color/image', 3),
    ):  # fmt: skip
        for image in taken.of(f'/front/{topic}'):
            assert image.is_bigendian == 0
            assert image.step == image.width * size
            assert len(image.data) == image.step * image.height


def test_no_pixel_is_a_point_at_the_camera(metres: Taken) -> None:
    # 0 is finite and so a valid depth: it would stand for a point in the lens.
    for image in metres.of('/front/depth/image'):
        depth = pixels(image)
        assert np.isnan(depth).any()
        assert np.isinf(depth).any()
        assert (depth[np.isfinite(depth)] > 0).all()


def test_its_cloud_is_our_cloud(metres: Taken) -> None:
    for camera in CAMERAS:
        for depth, info, ours in zip(
            metres.of(f'/{camera}/depth/image'),
            metres.of(f'/{camera}/color/camera_info'),
            metres.of(f'/{camera}/points'),
            strict=True,
        ):
            theirs = points_by_depth_image_proc(depth, info)
            assert np.isfinite(theirs).any()
            assert np.isnan(theirs).any()
            np.testing.assert_allclose(xyz(ours), theirs, atol=1e-5)


def test_its_cloud_of_millimetres_is_our_cloud(millimetres: Taken) -> None:
    for depth, info, ours in zip(
        millimetres.of('/front/depth/image'),
        millimetres.of('/front/depth/camera_info'),
        millimetres.of('/front/points'),
        strict=True,
    ):
        theirs = points_by_depth_image_proc(depth, info)
        # Half a millimetre of depth, along rays of up to 60 degrees.
        np.testing.assert_allclose(xyz(ours), theirs, atol=1.1e-3)


def test_its_colours_are_our_colours(metres: Taken) -> None:
    for image, ours in zip(
        metres.of('/front/color/image'), metres.of('/front/points'), strict=True
    ):
        np.testing.assert_array_equal(rgb_by_rviz(ours), pixels(image))


def test_depth_is_registered_to_colour_already(metres: Taken) -> None:
    # What `register` would do is then to leave every pixel where it is.
    for depth, colour in zip(
        metres.of('/front/depth/camera_info'), metres.of('/front/color/camera_info'), strict=True
    ):
        assert depth.header == colour.header
        assert Pinhole.of(depth) == Pinhole.of(colour)
        assert (Pinhole.of(depth).tx, Pinhole.of(depth).ty) == (0.0, 0.0)


def test_the_images_are_rectified(metres: Taken) -> None:
    for info in metres.of('/front/color/camera_info'):
        # Of another model than these, image_geometry refuses to rectify.
        assert info.distortion_model in ('plumb_bob', 'rational_polynomial', 'equidistant')
        assert not any(info.d)
        np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
        np.testing.assert_array_equal(
            np.reshape(info.p, (3, 4))[:, :3], np.reshape(info.k, (3, 3))
        )
