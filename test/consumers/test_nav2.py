"""Costmap layers, the collision monitor and octomap_server: clouds in the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from helpers.consumer_rules import FLOAT32, Tree, column, ns, xyz

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CLOUDS = ('/points', '/front/points', '/left/points')


def in_frame(tree: Tree, frame: str, cloud: Any) -> np.ndarray[Any, Any]:
    """Return the points (P, 3) as tf2::doTransform moves them."""
    pose = tree.a_from_b(frame, cloud.header.frame_id, ns(cloud.header.stamp))
    return np.asarray(xyz(cloud).reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3])


def test_coordinates_are_floats_by_name(metres: Taken) -> None:
    for key in CLOUDS:
        for cloud in metres.of(key):
            kinds = {f.name: (f.datatype, f.count) for f in cloud.fields}
            assert [kinds[axis] for axis in 'xyz'] == [(FLOAT32, 1)] * 3
            assert not cloud.is_bigendian


def test_a_layer_keeps_no_point_without_a_place(metres: Taken) -> None:
    # Only the height is compared, and no comparison holds for NaN.
    for key in CLOUDS:
        for cloud in metres.of(key):
            points = in_frame(metres.tree, 'odom', cloud)
            z = points[:, 2]
            kept = points[(z <= 2.0) & (z >= -2.0)]
            assert len(kept)
            assert np.isfinite(kept).all()


def test_beyond_range_is_no_point(metres: Taken) -> None:
    # An obstacle at infinity would be a ray that clears everything before it.
    for key in CLOUDS:
        for cloud in metres.of(key):
            assert not np.isinf(xyz(cloud)).any()


def test_the_merged_cloud_has_numbers_only(metres: Taken) -> None:
    # The spatio-temporal voxel layer without a filter marks NaN: no comparison leaves it out.
    for cloud in metres.of('/points'):
        assert cloud.is_dense
        assert np.isfinite(xyz(cloud)).all()


def test_the_merged_cloud_needs_no_transform(metres: Taken) -> None:
    for cloud in metres.of('/points'):
        assert cloud.header.frame_id == 'odom'


def test_rays_begin_at_a_camera_that_has_a_place_at_the_stamp(metres: Taken) -> None:
    for cloud in metres.of('/points'):
        stamp_ns = ns(cloud.header.stamp)
        origins = {
            camera: metres.tree.a_from_b('odom', frame_id, stamp_ns)[:3, 3]
            for camera, frame_id in metres.frame_ids.items()
        }
        # Each point is where one of the cameras saw it, and none sees nearer than this.
        distances = [np.linalg.norm(xyz(cloud)[0] - origin, axis=1) for origin in origins.values()]
        assert np.maximum(*distances).min() >= 1.5


def test_the_merged_cloud_is_what_the_cameras_saw(metres: Taken) -> None:
    for number, cloud in enumerate(metres.of('/points')):
        seen = np.concatenate(
            [
                in_frame(metres.tree, 'odom', metres.of(f'/{camera}/points')[number])
                for camera in metres.frame_ids
            ]
        )
        seen = seen[np.isfinite(seen).all(axis=1)]
        merged = xyz(cloud)[0]
        gaps, _ = cKDTree(seen).query(merged)
        assert np.max(gaps) < 1e-5


def test_the_collision_monitor_sees_no_obstacle_at_the_robot(metres: Taken) -> None:
    # Its ranges are of the points as they come; 0 would be the camera itself.
    for key in ('/front/points', '/left/points'):
        for cloud in metres.of(key):
            ranges = np.linalg.norm(xyz(cloud), axis=-1)
            in_base = in_frame(metres.tree, 'base_link', cloud)
            kept = (in_base[:, 2] >= 0.05) & (in_base[:, 2] <= 3.0) & ~(ranges.reshape(-1) < 0.0)
            assert np.isfinite(in_base[kept]).all()
            assert (ranges[np.isfinite(ranges)] >= 1.5).all()


def test_an_empty_cloud_is_whole() -> None:
    pytest.importorskip('sensor_msgs')
    from da3_ros.pipeline.shown_view import rgb_bits
    from da3_ros.ros.messages.point_cloud import CloudView
    from helpers.clouds import merged_cloud
    from helpers.export_scenes import make_view

    view = make_view()
    nothing = CloudView(view, np.full_like(view.depth, np.nan), rgb_bits(view.image))
    cloud = merged_cloud('odom', [nothing], 0.05)
    assert (cloud.height, cloud.width, cloud.row_step, len(cloud.data)) == (1, 0, 0, 0)
    assert [column(cloud, axis).size for axis in 'xyz'] == [0, 0, 0]


def test_octomap_server_finds_the_cloud_in_the_map_at_its_stamp(metres: Taken) -> None:
    for key in CLOUDS:
        for cloud in metres.of(key):
            stamp_ns = ns(cloud.header.stamp)
            metres.tree.a_from_b('odom', cloud.header.frame_id, stamp_ns)
            metres.tree.a_from_b('odom', 'base_link', stamp_ns)
