"""RViz: the displays PointCloud2, DepthCloud, Camera, Image, Odometry and Path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from helpers.consumer_rules import (
    FLOAT32,
    Pinhole,
    norm,
    ns,
    pixels,
    points_by_depth_image_proc,
    rgb_by_rviz,
    xyz,
)
from helpers.ros_process import ROOT

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')


def test_the_size_of_a_cloud_is_that_of_its_data(metres: Taken) -> None:
    for key in ('/points', '/front/points'):
        for cloud in metres.of(key):
            assert cloud.width * cloud.height * cloud.point_step == len(cloud.data)
            assert all(f.offset + 4 <= cloud.point_step for f in cloud.fields)


def test_a_cloud_has_colours_that_it_shows(metres: Taken) -> None:
    for image, cloud in zip(
        metres.of('/front/color/image'), metres.of('/front/points'), strict=True
    ):
        (rgb,) = [f for f in cloud.fields if f.name == 'rgb']
        assert rgb.datatype == FLOAT32
        assert not [f for f in cloud.fields if f.name == 'rgba']
        np.testing.assert_array_equal(rgb_by_rviz(cloud), pixels(image))


def test_a_depth_cloud_is_our_cloud(metres: Taken, millimetres: Taken) -> None:
    for taken, tolerance in ((metres, 1e-5), (millimetres, 1.1e-3)):
        for depth, info, cloud in zip(
            taken.of('/front/depth/image'),
            taken.of('/front/depth/camera_info'),
            taken.of('/front/points'),
            strict=True,
        ):
            assert info.roi.width in (0, info.width)
            assert info.roi.height in (0, info.height)
            assert (info.width, info.height) == (depth.width, depth.height)
            shown = points_by_depth_image_proc(depth, info)
            np.testing.assert_allclose(xyz(cloud), shown, atol=tolerance)


def test_colour_over_a_depth_cloud_fits_pixel_by_pixel(metres: Taken) -> None:
    for depth, colour in zip(
        metres.of('/front/depth/image'), metres.of('/front/color/image'), strict=True
    ):
        assert (depth.width, depth.height) == (colour.width, colour.height)
        assert 'rgb' in colour.encoding


def test_a_depth_cloud_may_keep_its_first_calibration(metres: Taken) -> None:
    # It takes P once for each size of the image.
    for camera in CAMERAS:
        infos = metres.of(f'/{camera}/depth/camera_info')
        assert len({Pinhole.of(info) for info in infos}) == 1


def test_a_camera_display_can_look_through_the_camera(metres: Taken) -> None:
    for camera in CAMERAS:
        for info in metres.of(f'/{camera}/color/camera_info'):
            assert all(np.isfinite(values).all() for values in (info.d, info.k, info.r, info.p))
            assert info.width > 0
            assert info.height > 0
            assert info.p[0] > 0
            assert info.p[5] > 0
            assert (info.p[3], info.p[7]) == (0.0, 0.0)


def test_the_depth_image_is_shown_within_a_fixed_range() -> None:
    # With a range of its own it divides by the +Inf of what is beyond range: all is black.
    config = yaml.safe_load((ROOT / 'rviz' / 'da3.rviz').read_text(encoding='utf-8'))
    of_depth = [
        display
        for display in _displays(config['Visualization Manager']['Displays'])
        if display.get('Topic', {}).get('Value', '').endswith('/depth/image')
    ]
    assert of_depth
    for display in of_depth:
        assert display['Normalize Range'] is False
        assert display['Min Value'] < display['Max Value']


def _displays(displays: list[dict[str, Any]]) -> list[dict[str, Any]]:
    inner = [d.get('Displays', []) for d in displays]
    return [*displays, *(d for group in inner for d in _displays(group))]


def test_images_have_encodings_that_it_shows(metres: Taken, millimetres: Taken) -> None:
    shown = {'rgb8', 'mono8', '16UC1', '32FC1'}
    for taken in (metres, millimetres):
        for topic in ('depth/image', 'color/image'):
            assert {m.encoding for m in taken.of(f'/front/{topic}')} <= shown
    assert {m.encoding for m in metres.of('/front/depth/debug')} == {'rgb8'}


def test_odometry_is_drawn(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        pose = odometry.pose.pose
        position = [pose.position.x, pose.position.y, pose.position.z]
        assert np.isfinite([*position, *odometry.pose.covariance]).all()
        assert abs(norm(pose.orientation) - 1) < 1e-3


def test_a_path_is_drawn(metres: Taken) -> None:
    path = metres.of('/path')[-1]
    assert path.header.frame_id == 'odom'
    assert ns(path.header.stamp) == metres.stamps[-1]
    for pose in path.poses:
        assert pose.header.frame_id == path.header.frame_id
        assert abs(norm(pose.pose.orientation) - 1) < 1e-3


def test_every_message_has_a_frame_that_it_finds(metres: Taken) -> None:
    for key in ('/points', '/front/points', '/left/points', '/odometry', '/front/depth/image'):
        for message in metres.of(key):
            frame = message.header.frame_id
            metres.tree.a_from_b('odom', frame, ns(message.header.stamp))
