"""RTAB-Map: colour, depth, calibration and odometry of one camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.consumer_rules import depth_by_rtabmap, norm, ns, pixels, rigid, xyz
from helpers.posed_results import report

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')
BAD_COVARIANCE = 9999


def test_colour_is_a_whole_multiple_of_depth(metres: Taken) -> None:
    for colour, depth in zip(
        metres.of('/front/color/image'), metres.of('/front/depth/image'), strict=True
    ):
        assert colour.width // depth.width == colour.height // depth.height >= 1


def test_only_seen_depth_is_depth(metres: Taken, millimetres: Taken) -> None:
    for taken in (metres, millimetres):
        for depth, cloud in zip(
            taken.of('/front/depth/image'), taken.of('/front/points'), strict=True
        ):
            read = depth_by_rtabmap(depth)
            z = xyz(cloud)[..., 2].astype(np.float64)
            np.testing.assert_array_equal(read > 0, np.isfinite(z))
            np.testing.assert_allclose(read[read > 0], z[read > 0], atol=5.1e-4)
            assert (read >= 0).all()


def test_the_camera_has_a_place_on_the_base_at_its_stamp(metres: Taken) -> None:
    for camera in CAMERAS:
        for image in metres.of(f'/{camera}/color/image'):
            metres.tree.a_from_b('base_link', image.header.frame_id, ns(image.header.stamp))


def test_the_base_has_a_place_in_the_odometry_at_the_stamp(metres: Taken) -> None:
    # It takes TF instead of the message where it finds one: the two have to say the same.
    for odometry in metres.of('/odometry'):
        stamp_ns = ns(odometry.header.stamp)
        by_tf = metres.tree.a_from_b(odometry.header.frame_id, 'base_link', stamp_ns)
        pose = odometry.pose.pose
        assert odometry.child_frame_id == 'base_link'
        np.testing.assert_allclose(by_tf, rigid(pose.position, pose.orientation), atol=1e-12)


def test_a_pose_is_never_null_nor_a_restart(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        pose = odometry.pose.pose
        assert norm(pose.orientation) == pytest.approx(1.0)
        # Identity after another pose, or two such variances, begin a new map.
        assert not np.array_equal(rigid(pose.position, pose.orientation), np.eye(4))
        assert odometry.pose.covariance[0] < BAD_COVARIANCE
        assert odometry.twist.covariance[0] < BAD_COVARIANCE


def test_the_variance_is_one_that_it_uses(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        for covariance in (odometry.pose.covariance, odometry.twist.covariance):
            assert np.isfinite(covariance).all()
            assert covariance[0] > 0
            assert covariance[0] != 1.0


def test_a_pose_without_metres_begins_a_new_map() -> None:
    pytest.importorskip('nav_msgs')
    from da3_ros.pipeline.pose_uncertainty import PoseUncertainty

    unknown = report(is_metric=False)
    uncertainty = PoseUncertainty()
    uncertainty.add_window(unknown)
    assert uncertainty.pose(unknown, 1.0).position >= BAD_COVARIANCE
    assert uncertainty.twist(unknown, 0.1).position >= BAD_COVARIANCE


def test_the_calibration_has_shapes_that_it_takes(metres: Taken) -> None:
    for info in metres.of('/front/color/camera_info'):
        assert len(info.d) in (0, 4, 5, 6, 8, 12, 14)
        assert info.p[0] > 0
        assert info.p[5] > 0
        # A principal point of 0 would be taken for none, and the middle of the image used.
        assert info.p[2] > 0
        assert info.p[6] > 0
        assert (info.width, info.height) == (
            metres.of('/front/color/image')[0].width, metres.of('/front/color/image')[0].height,
        )  # fmt: skip


def test_a_scan_cloud_has_all_its_bytes(metres: Taken) -> None:
    for key in ('/front/points', '/points'):
        for cloud in metres.of(key):
            assert len(cloud.data) == cloud.row_step * cloud.height


def test_depth_keeps_its_type(metres: Taken) -> None:
    kinds = {
        (m.encoding, pixels(m).dtype) for c in CAMERAS for m in metres.of(f'/{c}/depth/image')
    }
    assert len(kinds) == 1
