"""Camera paths: how many frames, formulas, and laws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from scipy.ndimage import correlate1d
from scipy.spatial.transform import Rotation

from da3_ros.errors import ExportError
from da3_ros.export.gs_pivot import pivot_poses
from da3_ros.export.gs_trajectory import interpolation_steps, make_trajectory, trajectory_mode
from da3_ros.export.splat_types import PosedCamera
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.rotation import rotation_angle_rad
from da3_ros.geometry.se3 import rigid
from da3_ros.options.choices import TrajectoryMode
from helpers.rounding import assert_equal_to_rounding

SIZE = ImageSize(48, 64)
LENS = PinholeCamera.from_focal(60, 58, 33, 22, SIZE)
EVERY_MODE = get_args(TrajectoryMode)


def looking_at(target: Sequence[float], origin: FloatArray) -> FloatArray:
    """Return a pose at `origin` that looks at `target` with y down where world z is up."""
    z = np.asarray(target) - origin
    z = z / np.linalg.norm(z)
    x = np.cross(z, [0, 0, 1.0])
    x /= np.linalg.norm(x)
    return rigid(np.stack([x, np.cross(z, x), z], axis=1), origin)


def circle(count: int, step_rad: float = 0.1) -> FloatArray:
    """Return poses (count, 4, 4) on a circle of radius 3, looking at (1, 2, 0.5)."""
    angle = step_rad * np.arange(count)
    ring = np.stack([np.cos(angle), np.sin(angle), np.zeros(count)], axis=1)
    return np.stack([looking_at((1, 2, 0.5), o) for o in (1, 2, 0.5) + 3 * ring])


def line(count: int) -> FloatArray:
    """Return poses on a line, all looking the same way."""
    turn = Rotation.from_rotvec([0.2, 0.4, -0.1]).as_matrix()
    return np.stack([rigid(turn, [0.3 * i, -0.1 * i, 1]) for i in range(count)])


def random_poses(count: int, seed: int = 0) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rigid(
        Rotation.from_rotvec(rng.normal(0, 0.4, (count, 3))).as_matrix(),
        rng.normal(size=(count, 3)),
    )


def cameras(poses: FloatArray, lens: PinholeCamera = LENS) -> list[PosedCamera]:
    return [PosedCamera(pose, lens) for pose in poses]


def poses_of(path: Sequence[PosedCamera]) -> FloatArray:
    return np.stack([frame.world_from_camera for frame in path])


def matrices_of(path: Sequence[PosedCamera]) -> FloatArray:
    return np.stack([frame.camera.K for frame in path])


def moved(poses: FloatArray, mode: TrajectoryMode) -> FloatArray:
    return poses_of(make_trajectory(cameras(poses), mode))


@pytest.mark.parametrize(
    ('views', 'steps', 'frames'),
    [(2, 48, 48), (3, 24, 47), (6, 9, 41), (7, 8, 43), (55, 8, 379), (56, 4, 166), (121, 2, 121)],
)
def test_interpolation_has_the_official_number_of_frames(
    views: int, steps: int, frames: int
) -> None:
    assert interpolation_steps(views) == steps
    poses = circle(views, 0.01)
    for mode in ('interpolate', 'interpolate_smooth'):
        assert len(moved(poses, mode)) == frames
    # The sway is as long as an eighth of the way, within bounds, and begins and ends at rest.
    inserted = max(36, min(60, frames // 2 // 2))
    assert len(moved(poses, 'extend')) == frames + 2 * inserted + 2


@pytest.mark.parametrize(
    ('mode', 'views', 'frames'),
    [
        ('original', 5, 5), ('smooth', 5, 5), ('smooth', 2, 2), ('wander', 5, 122),
        ('wander', 1, 122), ('original', 1, 122), ('extend', 1, 122), ('dolly_zoom', 3, 120),
        ('dolly_zoom', 1, 120), ('wobble', 4, 30), ('wobble', 6, 30), ('wobble', 7, 60),
        ('wobble', 10, 90), ('wobble', 3, 30), ('wobble', 2, 30), ('wobble_inter', 10, 90),
    ],
)  # fmt: skip
def test_other_modes_have_the_official_number_of_frames(
    mode: TrajectoryMode, views: int, frames: int
) -> None:
    assert len(moved(circle(views), mode)) == frames


@pytest.mark.parametrize('mode', EVERY_MODE)
@pytest.mark.parametrize('views', [1, 2, 5, 12])
def test_all_frames_are_rigid_and_of_one_size(mode: TrajectoryMode, views: int) -> None:
    path = make_trajectory(cameras(random_poses(views)), mode, ImageSize(20, 30))
    rotations = poses_of(path)[:, :3, :3]
    products = rotations @ rotations.swapaxes(1, 2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-12)
    assert {frame.camera.size for frame in path} == {ImageSize(20, 30)}


@pytest.mark.parametrize('mode', ['original', 'smooth', 'interpolate', 'interpolate_smooth'])
def test_a_camera_that_stands_still_keeps_standing(mode: TrajectoryMode) -> None:
    poses = np.repeat(random_poses(1), 9, axis=0)
    path = make_trajectory(cameras(poses), mode)
    expected = np.broadcast_to(poses[0], (len(path), 4, 4))
    np.testing.assert_allclose(poses_of(path), expected, atol=1e-12)
    np.testing.assert_allclose(
        matrices_of(path), np.broadcast_to(LENS.K, (len(path), 3, 3)), atol=1e-12
    )


@pytest.mark.parametrize('mode', EVERY_MODE)
def test_a_moved_world_moves_the_path(mode: TrajectoryMode) -> None:
    other_from_world = rigid(Rotation.from_rotvec([1, -2, 0.5]).as_matrix(), [3, -4, 5])
    poses = circle(7, 0.2)
    np.testing.assert_allclose(
        moved(other_from_world @ poses, mode), other_from_world @ moved(poses, mode), atol=1e-10
    )


def test_original_is_what_was_given() -> None:
    poses = random_poses(4)
    np.testing.assert_array_equal(moved(poses, 'original'), poses)


@pytest.mark.parametrize('poses', [random_poses(6), circle(4), line(5), circle(5, 0.004)])
def test_interpolation_passes_the_given_poses(poses: FloatArray) -> None:
    path = moved(poses, 'interpolate')
    every = interpolation_steps(len(poses)) - 1
    np.testing.assert_allclose(path[::every], poses, atol=1e-9)


def test_steps_are_slow_at_the_given_poses() -> None:
    positions = moved(line(2), 'interpolate')[:, :3, 3]
    share = np.linalg.norm(positions - positions[0], axis=1)
    share /= share[-1]
    expected = (1 - np.cos(np.pi * np.linspace(0, 1, 48))) / 2
    np.testing.assert_allclose(share, expected, atol=1e-12)


def test_a_turn_about_a_point_stays_on_its_circle() -> None:
    first, second = circle(2, 1.1)
    shares = np.linspace(0, 1, 12)
    path = pivot_poses(first, second, shares)
    offset = path[:, :3, 3] - (1, 2, 0.5)
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), 3, atol=1e-9)
    np.testing.assert_allclose(path[:, :3, 2], -offset / 3, atol=1e-9)
    rotated = rotation_angle_rad(first[:3, :3].T @ path[:, :3, :3])
    np.testing.assert_allclose(rotated, 1.1 * shares, atol=1e-9)


def test_parallel_cameras_go_straight_and_roll_the_short_way() -> None:
    first = rigid(np.eye(3), [0, 0, 0])
    second = rigid(Rotation.from_euler('z', 200, degrees=True).as_matrix(), [2, 1, 3])
    path = pivot_poses(first, second, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(
        path[:, :3, 3], np.array([[0, 0, 0], [1, 0.5, 1.5], [2.0, 1, 3]]), atol=1e-9
    )
    halfway = Rotation.from_euler('z', -80, degrees=True).as_matrix()
    np.testing.assert_allclose(path[1, :3, :3], halfway, atol=1e-9)


def test_intrinsics_change_in_a_straight_line() -> None:
    wide = PinholeCamera.from_focal(30, 30, 31, 24, SIZE)
    given = [PosedCamera(pose, k) for pose, k in zip(line(2), (LENS, wide), strict=True)]
    matrices = matrices_of(make_trajectory(given, 'interpolate'))
    share = (matrices[:, 0, 0] - 60) / (30 - 60)
    np.testing.assert_allclose(share[[0, -1]], [0, 1], atol=1e-12)
    expected = LENS.K + share[:, None, None] * (wide.K - LENS.K)
    np.testing.assert_allclose(matrices, expected, atol=1e-9)


def test_pictures_of_another_size_show_the_same() -> None:
    small = LENS.resized(ImageSize(24, 32))
    poses = circle(3)
    mixed = [PosedCamera(poses[0], LENS), *cameras(poses[1:], small)]
    for frame in make_trajectory(mixed, 'interpolate'):
        np.testing.assert_allclose(frame.camera.K, LENS.K, atol=1e-9)
    twice = make_trajectory(mixed, 'original', ImageSize(96, 128))
    np.testing.assert_allclose(twice[0].camera.K[:2, :2], 2 * LENS.K[:2, :2], atol=1e-12)


@pytest.mark.parametrize(('count', 'length'), [(12, 11), (51, 51), (80, 51)])
def test_smoothing_is_a_gaussian_mean_of_axes_and_positions(count: int, length: int) -> None:
    poses = circle(count, 0.03)
    poses[:, :3, 3] += np.random.default_rng(0).normal(0, 0.05, (count, 3))
    sigma = 0.3 * ((length - 1) / 2 - 1) + 0.8
    kernel = np.exp(-((np.arange(length) - length // 2) ** 2) / (2 * sigma**2))
    mean = correlate1d(poses, kernel / kernel.sum(), axis=0, mode='mirror')
    path = moved(poses, 'smooth')
    np.testing.assert_allclose(path[:, :3, 3], mean[:, :3, 3], atol=1e-9)
    x = mean[:, :3, 0] / np.linalg.norm(mean[:, :3, 0], axis=1, keepdims=True)
    np.testing.assert_allclose(path[:, :3, 0], x, atol=1e-9)
    look = np.cross(mean[:, :3, 0], mean[:, :3, 1])
    look /= np.linalg.norm(look, axis=1, keepdims=True)
    np.testing.assert_allclose(path[:, :3, 2], look, atol=1e-9)


def test_a_spinning_camera_without_a_mean_direction_is_left_alone() -> None:
    spin = Rotation.from_euler('z', 180.0 * np.arange(4)[:, None], degrees=True).as_matrix()
    # Of a kernel of three, half the weight is in the middle: every mean of axes is zero.
    poses = rigid(spin, np.zeros((4, 3)))
    np.testing.assert_array_equal(moved(poses, 'smooth'), poses)


def test_wander_is_a_tilted_ellipse_between_two_rests() -> None:
    poses = random_poses(3)
    path = np.linalg.inv(poses[0]) @ moved(poses, 'wander')
    angle = np.linspace(0, 2 * np.pi, 120)
    radius = 24 / 60
    expected = np.zeros((122, 3))
    expected[1:-1] = -radius * np.stack(
        [np.sin(angle), np.cos(angle) / 3, np.cos(angle) / 3], axis=1
    )
    np.testing.assert_allclose(path[:, :3, 3], expected, atol=1e-12)
    np.testing.assert_allclose(path[:, :3, :3], np.broadcast_to(np.eye(3), (122, 3, 3)), atol=1e-9)


def test_dolly_zoom_goes_back_and_widens() -> None:
    poses = random_poses(2)
    path = make_trajectory(cameras(poses), 'dolly_zoom')
    inside = np.linalg.inv(poses[0]) @ poses_of(path)
    back = 0.5 * (1 - np.cos(np.pi * np.linspace(0, 2, 120))) * 2
    np.testing.assert_allclose(inside[:, 2, 3], -back, atol=1e-12)
    np.testing.assert_allclose(inside[:, :2, 3], 0, atol=1e-12)
    matrices = matrices_of(path)
    np.testing.assert_allclose(matrices[:, 0, 0], 60 * 30 / (30 + back), atol=1e-12)
    np.testing.assert_allclose(matrices[:, 1, 1], 58 * 30 / (30 + back), atol=1e-12)
    np.testing.assert_allclose(matrices[:, :2, 2], np.tile([33, 22], (120, 1)), atol=1e-12)


def test_extend_puts_a_sway_and_a_zoom_into_the_middle_of_the_smooth_path() -> None:
    poses = circle(7)
    smooth, path = moved(poses, 'interpolate_smooth'), moved(poses, 'extend')
    middle, frames = 43 // 2, 36
    assert_equal_to_rounding(path[:middle], smooth[:middle])
    assert_equal_to_rounding(path[middle + 2 * frames + 2 :], smooth[middle:])
    inside = np.linalg.inv(smooth[middle]) @ path[middle : middle + 2 * frames + 2]
    sway, zoom = inside[: frames + 2, :3, 3], inside[frames + 2 :, :3, 3]
    np.testing.assert_allclose(sway[[0, -1]], 0, atol=1e-12)
    np.testing.assert_allclose(np.abs(sway[1:-1, 1:]).max(), 24 / 60 / 3, atol=1e-9)
    np.testing.assert_allclose(zoom[[0, -1]], 0, atol=1e-12)
    assert zoom[:, 2].min() == pytest.approx(-0.1, rel=0.01)
    focal = matrices_of(make_trajectory(cameras(poses), 'extend'))[:, 0, 0]
    assert focal.min() == pytest.approx(60 * 10 / 10.1, rel=1e-3)


def test_wobble_circles_about_the_way_from_every_third_pose() -> None:
    poses = line(10)
    # The third stretch is twice as long: its circles are as wide as the three are on average.
    poses[9, :3, 3] += poses[3, :3, 3] - poses[0, :3, 3]
    path = moved(poses, 'wobble')
    step = np.linalg.norm(poses[3, :3, 3] - poses[0, :3, 3])
    means = (step, step, 4 / 3 * step)
    shares = np.linspace(0, 1, 30)
    for index in range(3):
        first, second = poses[3 * index], poses[3 * index + 3]
        straight = first[:3, 3] + shares[:, None] * (second[:3, 3] - first[:3, 3])
        offset = (path[30 * index : 30 * index + 30, :3, 3] - straight) @ first[:3, :3]
        expected = np.stack(
            [np.sin(2 * np.pi * shares), -np.cos(2 * np.pi * shares), 0 * shares], axis=1
        )
        np.testing.assert_allclose(offset, 0.5 * means[index] * expected, atol=1e-9)


def test_a_single_camera_can_only_wander_or_zoom() -> None:
    for mode in EVERY_MODE:
        alone = 'dolly_zoom' if mode == 'dolly_zoom' else 'wander'
        assert trajectory_mode(mode, 1) == alone
        assert trajectory_mode(mode, 2) == mode


def test_no_cameras_and_unknown_modes_are_refused() -> None:
    with pytest.raises(ExportError, match='at least one camera'):
        make_trajectory([], 'smooth')
    with pytest.raises(ExportError, match='expected one of original'):
        make_trajectory(cameras(line(2)), 'loop')  # type: ignore[arg-type]


def test_poses_that_are_none_are_refused() -> None:
    with pytest.raises(ExportError, match='rotation'):
        PosedCamera(2 * np.eye(4), LENS)
