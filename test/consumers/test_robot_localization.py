"""robot_localization and tf2: poses, velocities and transforms that nobody throws away."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from helpers.consumer_rules import norm, ns, rigid

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
EXTREME = 1e3


def test_frames_are_those_of_the_filter(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        assert (odometry.header.frame_id, odometry.child_frame_id) == ('odom', 'base_link')


def test_variances_are_neither_zero_nor_extreme(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        for covariance in (odometry.pose.covariance, odometry.twist.covariance):
            matrix = np.reshape(covariance, (6, 6))
            assert (np.diag(matrix) > 0).all()
            assert (np.abs(matrix) < EXTREME).all()


def test_covariances_can_be_inverted(metres: Taken) -> None:
    for odometry in metres.of('/odometry'):
        for covariance in (odometry.pose.covariance, odometry.twist.covariance):
            matrix = np.reshape(covariance, (6, 6))
            np.testing.assert_array_equal(matrix, matrix.T)
            assert np.linalg.eigvalsh(matrix).min() > 0


def test_velocities_are_of_the_base_and_in_its_axes(metres: Taken) -> None:
    # From one pose to the next, seen from the first: first order in the turn between them.
    messages = metres.of('/odometry')
    for before, after in itertools.pairwise(messages):
        poses = [rigid(m.pose.pose.position, m.pose.pose.orientation) for m in (before, after)]
        seconds = (ns(after.header.stamp) - ns(before.header.stamp)) / 1e9
        moved = np.linalg.inv(poses[0]) @ poses[1]
        linear = after.twist.twist.linear
        angular = after.twist.twist.angular
        np.testing.assert_allclose(
            [linear.x, linear.y, linear.z], moved[:3, 3] / seconds, atol=1e-2
        )
        turn = np.array([moved[2, 1], moved[0, 2], moved[1, 0]]) / seconds
        np.testing.assert_allclose([angular.x, angular.y, angular.z], turn, atol=1e-2)


def test_transforms_are_numbers_with_two_frames(metres: Taken) -> None:
    for message in (*metres.of('/tf'), *metres.of('/tf_static')):
        for transform in message.transforms:
            assert transform.header.frame_id
            assert transform.child_frame_id
            assert transform.header.frame_id != transform.child_frame_id
            t = transform.transform.translation
            assert np.isfinite([t.x, t.y, t.z]).all()
            assert abs(norm(transform.transform.rotation) - 1) < 10e-3


def test_no_transform_is_older_than_or_as_old_as_the_one_before(metres: Taken) -> None:
    stamps: dict[str, list[int]] = {}
    for message in metres.of('/tf'):
        for transform in message.transforms:
            stamps.setdefault(transform.child_frame_id, []).append(ns(transform.header.stamp))
    assert stamps
    for child, times in stamps.items():
        assert all(a < b for a, b in itertools.pairwise(times)), child


def test_every_set_has_its_transform(metres: Taken) -> None:
    for stamp_ns in metres.stamps:
        metres.tree.a_from_b('odom', 'base_link', stamp_ns)
