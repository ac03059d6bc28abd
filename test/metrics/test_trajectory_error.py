"""Errors of trajectories against numbers worked out by hand, and inputs that give none."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import GeometryError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.metrics.alignment import ALIGNMENTS, Alignment
from da3_ros.metrics.pose_pairs import TOLERANCE, Delta, DeltaUnit, pose_pairs
from da3_ros.metrics.summary import ErrorSummary
from da3_ros.metrics.trajectory import absolute_errors, aligned, relative_errors, trajectory_error

TRUE = Sim3(2.5, Rotation.from_rotvec([0.3, -1.0, 0.4]).as_matrix(), np.array([1.0, -2.0, 3.0]))


def poses(count: int, seed: int = 0) -> FloatArray:
    places = np.random.default_rng(seed).normal((4.0, -3.0, 2.0), size=(count, 3))
    return rigid(Rotation.random(count, random_state=1).as_matrix(), places)


def along_x(places: list[float]) -> FloatArray:
    positions = np.array([[x, 0.0, 0.0] for x in places])
    return rigid(np.tile(np.eye(3), (len(places), 1, 1)), positions)


def test_the_figures_of_errors() -> None:
    found = ErrorSummary.of([3.0, 4.0, 0.0, 1.0])
    assert found == ErrorSummary(
        rmse=np.sqrt(26 / 4), mean=2.0, median=2.0, std=np.sqrt(2.5), min=0.0, max=4.0, count=4
    )
    with pytest.raises(GeometryError, match='at least one'):
        ErrorSummary.of([])


def test_rotation_errors_are_squared_in_the_mean() -> None:
    truth = poses(8)
    angles = np.array([0.1, 0.1, 0.1, 0.1, 0.5, 0.5, 0.5, 0.5])
    off = Rotation.from_rotvec(angles[:, None] * [0.0, 0.6, 0.8]).as_matrix()
    estimate = rigid(truth[:, :3, :3] @ off, truth[:, :3, 3])
    for alignment in ALIGNMENTS:
        error = trajectory_error(estimate, truth, alignment)
        assert error.rotation_rmse_rad == pytest.approx(np.sqrt((0.01 + 0.25) / 2))
        assert error.rmse == pytest.approx(0, abs=1e-9)
        assert error.alignment == alignment
        assert error.scale == pytest.approx(1)


def test_position_errors_are_squared_in_the_mean() -> None:
    truth, estimate = poses(4), poses(4)
    estimate[0, :3, 3] += (0.0, 3.0, 4.0)
    assert trajectory_error(estimate, truth, 'none').rmse == pytest.approx(np.sqrt(25 / 4))


def test_an_alignment_takes_away_what_it_names_and_nothing_else() -> None:
    truth = poses(20)
    metres = Sim3(1.0, TRUE.rotation, TRUE.translation)
    about_origin = Sim3(TRUE.scale, np.eye(3), np.zeros(3))
    exact: dict[Alignment, Sim3] = {'se3': metres, 'sim3': TRUE, 'scale': about_origin}
    for alignment, gauge in exact.items():
        error = trajectory_error(gauge.apply_to_pose(truth), truth, alignment)
        assert error.rmse == pytest.approx(0, abs=1e-9)
        assert error.rotation_rmse_rad == pytest.approx(0, abs=1e-6)
        assert error.scale == pytest.approx(1 / gauge.scale)
    moved = TRUE.apply_to_pose(truth)
    for alignment in ('none', 'se3', 'scale'):
        assert trajectory_error(moved, truth, alignment).rmse > 0.5
    # A rotation stays where only the unit is fitted: each pose is off by its angle.
    only_scale = trajectory_error(moved, truth, 'scale')
    assert only_scale.rotation_rmse_rad == pytest.approx(np.linalg.norm([0.3, -1.0, 0.4]))


def test_a_drift_of_one_per_cent_of_the_path() -> None:
    truth, estimate = along_x([0, 1, 2, 3, 4]), along_x([0, 1.01, 2.02, 3.03, 4.04])
    absolute = absolute_errors(aligned(estimate, truth, 'none'))
    np.testing.assert_allclose(absolute.translation, [0, 0.01, 0.02, 0.03, 0.04])
    stamps = np.arange(5) * 500_000_000
    for delta, wanted, ends in (
        (Delta(1, 'frames'), [0.01] * 4, [1, 2, 3, 4]),
        (Delta(2, 'frames'), [0.02] * 3, [2, 3, 4]),
        (Delta(2, 'frames', is_consecutive=True), [0.02] * 2, [2, 4]),
        (Delta(1, 's'), [0.02] * 3, [2, 3, 4]),
        (Delta(1.5, 's', is_consecutive=True), [0.03], [3]),
        (Delta(3, 'm'), [0.03] * 2, [3, 4]),
        (Delta(2, 'm', is_consecutive=True), [0.02] * 2, [2, 4]),
    ):
        errors = relative_errors(aligned(estimate, truth, 'none'), stamps, delta)
        np.testing.assert_allclose(errors.translation, wanted, err_msg=str(delta))
        assert errors.places.tolist() == ends
        np.testing.assert_allclose(errors.rotation_rad, 0)


def test_a_motion_is_compared_in_its_own_frame() -> None:
    """One wrong rotation shows in the motion to it and from it, and moves nothing before."""
    truth = along_x([0, 1, 2, 3])
    estimate = truth.copy()
    estimate[1, :3, :3] = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
    errors = relative_errors(aligned(estimate, truth, 'none'), np.arange(4), Delta())
    np.testing.assert_allclose(errors.rotation_rad, [np.pi / 2, np.pi / 2, 0])
    # Seen from a robot that looks left, the next metre is to its right.
    np.testing.assert_allclose(errors.translation, [0, np.sqrt(2), 0], atol=1e-12)


@pytest.mark.parametrize('unit', ['s', 'm'])
def test_pairs_at_a_distance_as_the_slow_rule_says(unit: DeltaUnit) -> None:
    rng = np.random.default_rng(2)
    steps = rng.integers(0, 4, 40) * 0.25
    along = np.concatenate([[0.0], np.cumsum(steps)])
    stamps = (along * 1e9).astype(np.int64) + 10**18
    truth = np.stack([along, 0 * along, 0 * along], axis=1)
    pairs = pose_pairs(Delta(2.0, unit), stamps, truth)
    wanted = []
    for i in range(len(along) - 1):
        off = np.abs(along[i + 1 :] - along[i] - 2.0)
        if off.min() <= TOLERANCE * 2.0:
            wanted.append((i, i + 1 + int(off.argmin())))
    assert [*zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)] == wanted
    assert wanted


def test_what_gives_no_figures_says_why() -> None:
    assert trajectory_error(poses(3), poses(3), 'se3').rmse == pytest.approx(0, abs=1e-9)
    one, standing, line = poses(1), np.tile(np.eye(4), (5, 1, 1)), along_x([0, 1, 3, 4])
    assert trajectory_error(one, one, 'none').rmse == 0
    cases: tuple[tuple[FloatArray, FloatArray, Alignment, str], ...] = (
        (poses(2), poses(2), 'se3', r'3 or more poses .* got 2; compare with the alignment none'),
        (standing, standing, 'sim3', 'all estimated positions are in one place'),
        (poses(5), standing, 'se3', 'all true positions are in one place'),
        (line, line, 'se3', 'on one line'),
        (line, line, 'scale', 'on one line'),
        (poses(3), poses(4), 'none', 'as many true poses as estimated ones, got 4 and 3'),
        (np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), 'none', 'got 0 and 0'),
        (poses(4)[:, :3], poses(4), 'none', r'expected estimated poses \(N, 4, 4\)'),
    )
    for estimate, truth, alignment, reason in cases:
        with pytest.raises(GeometryError, match=reason):
            trajectory_error(estimate, truth, alignment)
    lost = poses(2000)
    lost[7, 1, 3] = np.nan
    with pytest.raises(GeometryError, match='estimated pose 7 of 2000') as raised:
        trajectory_error(lost, poses(2000), 'none')
    assert len(str(raised.value)) < 500


def test_a_delta_that_nothing_reaches_is_refused() -> None:
    poses_there = aligned(along_x([0, 1, 2]), along_x([0, 1, 2]), 'none')
    stamps = np.arange(3) * 1_000_000_000 + 10**18
    for delta, reason in (
        (Delta(3), 'no two poses are 3 frames apart, there are 3 poses;'),
        (Delta(9, 's'), '3 poses over 2 s'),
        (Delta(5, 'm', is_consecutive=True), '3 poses over 2 m'),
    ):
        with pytest.raises(GeometryError, match=reason):
            relative_errors(poses_there, stamps, delta)
    for value, reason in ((0.0, 'above 0'), (np.nan, 'above 0'), (1.5, 'whole number')):
        with pytest.raises(GeometryError, match=reason):
            Delta(value)


def test_ten_thousand_poses_take_less_than_a_second_of_this_processor() -> None:
    rng = np.random.default_rng(0)
    places = np.cumsum(rng.normal(size=(10_000, 3)), axis=0)
    truth = rigid(Rotation.random(10_000, random_state=0).as_matrix(), places)
    stamps = np.arange(10_000) * 33_000_000
    began = time.process_time()
    found = aligned(truth, truth, 'sim3')
    absolute_errors(found)
    for delta in (Delta(), Delta(1, 's'), Delta(1, 'm')):
        relative_errors(found, stamps, delta)
    # Four times what is promised, of CPU time: a busy machine counts its cache misses, too.
    assert time.process_time() - began < 4
