"""TUM RGB-D, ICL-NUIM and 7-Scenes: by their descriptions and by OpenCV."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.sources.datasets import open_dataset
from helpers.dataset_checks import assert_undone, said
from helpers.dataset_folders import (
    SIZE,
    Shoot,
    rays_of_lens,
    seconds,
    shoot,
    smooth_image,
    write_7scenes,
    write_depth,
    write_icl_nuim,
    write_image,
    write_lines,
    write_tum,
)

LARGE = ImageSize(60, 80)


@pytest.fixture(scope='module')
def shots() -> Shoot:
    return shoot(3)


# TUM RGB-D

# The benchmark's page, "Intrinsic Camera Calibration of the Kinect", RGB.
KINECTS = {
    'rgbd_dataset_freiburg1_xyz': (517.3, 516.5, 318.6, 255.3, 0.2624, -0.9531, -0.0054, 0.0026),
    'rgbd_dataset_freiburg2_desk': (520.9, 521.0, 325.1, 249.7, 0.2312, -0.7849, -0.0033, -0.0001),
    'fr3_office': (535.4, 539.2, 320.1, 247.6, 0, 0, 0, 0),
}
FIFTH = {'rgbd_dataset_freiburg1_xyz': 1.1633, 'rgbd_dataset_freiburg2_desk': 0.9172}


def one_image(folder: Path, image: np.ndarray) -> Path:
    write_image(folder / 'rgb' / 'a.png', image)
    write_lines(folder / 'rgb.txt', ['# timestamp filename', '1305031102.175304 rgb/a.png'])
    return folder


@pytest.mark.parametrize('name', KINECTS)
def test_the_kinects_of_tum_see_what_opencv_says(name: str, tmp_path: Path) -> None:
    """At an eighth of the size; distortion is that of directions and stays."""
    fx, fy, cx, cy, *rest = KINECTS[name]
    lens = PinholeCamera.from_focal(fx, fy, cx, cy, ImageSize(480, 640)).resized(LARGE)
    rays = rays_of_lens(lens, 'radtan', [*rest, FIFTH.get(name, 0.0)])
    dataset = open_dataset(one_image(tmp_path / name, smooth_image(rays)))
    (frame,) = dataset.frames
    assert frame.stamp_ns == 1305031102_175304000
    ideal = frame.calibration
    assert ideal is not None
    np.testing.assert_allclose(ideal.K[:2, 2], lens.K[:2, 2])
    zoom = ideal.K[0, 0] / lens.K[0, 0]
    assert zoom == pytest.approx(ideal.K[1, 1] / lens.K[1, 1])
    assert 1 <= zoom < 1.2
    assert_undone(dataset.read_image(frame), ideal)


def test_depth_of_a_distorted_image_is_picked_where_the_image_is(tmp_path: Path) -> None:
    """Nine numbers of a `calibration.txt`: a wide lens."""
    lens = PinholeCamera.from_focal(40, 40, 39.5, 29.5, LARGE)
    coefficients = (-0.28, 0.07, 0.002, -0.001, 0.01)
    rays = rays_of_lens(lens, 'radtan', coefficients)
    one_image(tmp_path, smooth_image(rays))
    numbers = ' '.join(map(str, (40, 40, 39.5, 29.5, *coefficients)))
    (tmp_path / 'calibration.txt').write_text(f'{numbers}\n')
    # A plane: 1 / z grows with the direction.
    plane = 1 / (0.5 + 0.2 * rays[..., 0] + 0.1 * rays[..., 1])
    plane[:20, :30] = np.nan
    write_depth(tmp_path / 'depth' / 'a.png', plane.astype(np.float32), 5000)
    write_lines(tmp_path / 'depth.txt', ['1305031102.180304 depth/a.png'])
    dataset = open_dataset(tmp_path)
    (frame,) = dataset.frames
    assert frame.calibration is not None
    assert_undone(dataset.read_image(frame), frame.calibration)
    depth = dataset.read_depth(frame)
    ideal = frame.calibration.rays()
    truth = 1 / (0.5 + 0.2 * ideal[..., 0] + 0.1 * ideal[..., 1])
    known = np.isfinite(depth)
    assert 0.7 < known.mean() < 0.95
    assert not known[:15, :20].any()
    # Half a pixel along the plane, of pixels that are larger at the border of such a lens.
    np.testing.assert_allclose(1 / depth[known], 1 / truth[known], atol=0.3 / 40)


def test_a_calibration_file_comes_before_the_name(shots: Shoot, tmp_path: Path) -> None:
    folder = write_tum(tmp_path / 'rgbd_dataset_freiburg1_own', shots)
    (folder / 'calibration.txt').write_text('40.5 41.5 31 23\n')
    calibration = open_dataset(folder).frames[0].calibration
    assert calibration is not None
    np.testing.assert_array_equal(calibration.K, [[40.5, 0, 31], [0, 41.5, 23], [0, 0, 1]])
    (folder / 'calibration.txt').write_text('40.5 41.5')
    dataset = open_dataset(folder)
    assert dataset.frames[0].calibration is None
    assert 'calibration.txt' in said(dataset, 'dataset_calibration')


def test_a_name_that_says_nothing_leaves_images_without_intrinsics(
    shots: Shoot, tmp_path: Path
) -> None:
    dataset = open_dataset(write_tum(tmp_path / 'my_run', shots))
    assert dataset.frames[0].calibration is None
    assert 'the name has no freiburg in it' in said(dataset, 'dataset_calibration')
    assert dataset.camera_frame(dataset.frames[0]).calibration is None


def test_images_that_are_no_resized_ones_of_a_kinect_have_no_intrinsics(tmp_path: Path) -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    dataset = open_dataset(one_image(tmp_path / 'rgbd_dataset_freiburg2_x', image))
    assert dataset.frames[0].calibration is None
    assert 'intrinsics are of 640x480' in said(dataset, 'dataset_calibration')


def test_depth_farther_than_twenty_milliseconds_is_that_of_no_image(
    shots: Shoot, tmp_path: Path
) -> None:
    near = open_dataset(write_tum(tmp_path / 'near', shots, depth_delay_ns=20_000_000))
    assert all(frame.depth is not None for frame in near.frames)
    far = open_dataset(write_tum(tmp_path / 'far', shots, depth_delay_ns=20_000_001))
    assert all(frame.depth is None for frame in far.frames)
    assert said(far, 'dataset_depth_missing').startswith('3 of 3 images')


def test_truth_is_interpolated_within_a_tenth_of_a_second_and_never_beyond(
    shots: Shoot, tmp_path: Path
) -> None:
    folder = write_tum(tmp_path / 'gap', shots)
    first, middle, last = shots.stamps_ns
    quarter = np.pi / 2
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    lines = [
        f'{seconds(first - 25_000_000)} 0 0 0 0 0 0 1',
        f'{seconds(first + 75_000_000)} 4 0 0 0 0 {np.sin(quarter / 2)} {np.cos(quarter / 2)}',
        f'{seconds(first + 175_000_001)} 8 0 0 0 0 0 1',
    ]
    write_lines(folder / 'groundtruth.txt', lines)
    poses = [frame.world_from_camera for frame in open_dataset(folder).frames]
    assert poses[0] is not None
    assert poses[1] is not None
    assert poses[2] is None, f'{last} is in a gap of more than 100 ms'
    assert middle == first + 50_000_000
    np.testing.assert_allclose(poses[0][:3, 3], [1, 0, 0])
    angle = cv2.Rodrigues(poses[0][:3, :3])[0].ravel()
    np.testing.assert_allclose(angle, [0, 0, quarter / 4], atol=1e-12)
    np.testing.assert_allclose(cv2.Rodrigues(turn)[0].ravel(), [0, 0, quarter])
    np.testing.assert_allclose(poses[1][:3, 3], [3, 0, 0])
    assert said(open_dataset(folder), 'dataset_truth_missing').startswith('1 of 3 images')


def test_rotations_are_interpolated_the_short_way(shots: Shoot, tmp_path: Path) -> None:
    """From 170 to 190 degrees through 180, whatever the signs of the quaternions."""
    folder = write_tum(tmp_path / 'turn', shots)
    lines = [
        f'{seconds(shots.stamps_ns[0] + delay)} 0 0 0 0 0 {np.sin(angle / 2)} {np.cos(angle / 2)}'
        for delay, angle in ((-10_000_000, np.radians(170)), (10_000_000, np.radians(190)))
    ]
    write_lines(folder / 'groundtruth.txt', lines)
    pose = open_dataset(folder).frames[0].world_from_camera
    assert pose is not None
    np.testing.assert_allclose(pose[:3, :3], np.diag([-1, -1, 1]), atol=1e-9)


# ICL-NUIM


def test_icl_nuim_is_known_beside_lists_that_users_make_for_it(
    shots: Shoot, tmp_path: Path
) -> None:
    write_icl_nuim(tmp_path, shots)
    write_lines(tmp_path / 'rgb.txt', [f'{i} rgb/{i}.png' for i in range(3)])
    assert open_dataset(tmp_path).kind == 'icl_nuim'
    (tmp_path / 'livingRoom0.gt.freiburg').unlink()
    assert open_dataset(tmp_path).kind == 'tum'


def test_icl_nuim_mirrors_a_renderer_whose_y_points_up(tmp_path: Path, shots: Shoot) -> None:
    """A camera that rises in the renderer's world falls in ours, where y points down."""
    write_icl_nuim(tmp_path, shots)
    lines = ['1 0 0 -2.25 0 0 0 1', f'2 0.1 0.2 -2 {np.sin(0.1)} 0 0 {np.cos(0.1)}']
    write_lines(tmp_path / 'livingRoom0.gt.freiburg', lines)
    none, first, second = (f.world_from_camera for f in open_dataset(tmp_path).frames)
    assert none is None
    assert first is not None
    assert second is not None
    np.testing.assert_allclose(first, rigid(np.eye(3), [0, 0, -2.25]), atol=1e-12)
    np.testing.assert_allclose(second[:3, 3], [0.1, -0.2, -2.0])
    np.testing.assert_allclose(cv2.Rodrigues(second[:3, :3])[0].ravel(), [-0.2, 0, 0], atol=1e-12)
    assert np.linalg.det(second) == pytest.approx(1)


# 7-Scenes


def test_sequences_of_7scenes_by_scene_by_name_and_by_list(shots: Shoot, tmp_path: Path) -> None:
    scene = write_7scenes(tmp_path / 'heads', shots, (1, 2, 12))
    every = open_dataset(scene)
    assert [f.stamp_ns // 10**12 for f in every.frames] == [1, 1, 1, 2, 2, 2, 12, 12, 12]
    assert len(every.truth) == 9
    one = open_dataset(scene / 'seq-02')
    assert [frame.stamp_ns for frame in one.frames] == [0, 33_333_333, 66_666_666]
    (scene / 'TestSplit.txt').write_text('sequence12\r\nsequence2\r\nsequence7\r\n')
    some = open_dataset(scene / 'TestSplit.txt')
    assert [frame.image.parent.name for frame in some.frames] == ['seq-02'] * 3 + ['seq-12'] * 3
    assert "expected a sequence of the scene, got 'sequence7'" in said(
        some, 'dataset_lines_left_out'
    )
    calibration = every.frames[0].calibration
    assert calibration is not None
    # 585 and (320, 240) of 640x480, at a tenth: borders stay on borders.
    np.testing.assert_allclose(calibration.K[0], [58.5, 0, 31.55])
    assert 'default ones of the depth camera' in said(every, 'dataset_calibration')


def test_poses_that_are_none_and_depth_that_is_not_there_are_said(
    shots: Shoot, tmp_path: Path
) -> None:
    folder = write_7scenes(tmp_path / 'fire', shots) / 'seq-01'
    lines = ['-inf -inf -inf -inf'] * 3 + ['0 0 0 1']  # as ScanNet has them
    write_lines(folder / 'frame-000000.pose.txt', lines)
    (folder / 'frame-000001.pose.txt').unlink()
    (folder / 'frame-000002.depth.png').unlink()
    dataset = open_dataset(folder)
    assert [frame.world_from_camera is None for frame in dataset.frames] == [True, True, False]
    assert [frame.depth is None for frame in dataset.frames] == [False, False, True]
    assert said(dataset, 'dataset_poses_left_out').startswith('1 of 3 poses are none')
    assert said(dataset, 'dataset_truth_missing') == '1 of 3 frames have no pose'
    assert said(dataset, 'dataset_depth_missing').startswith('1 of 3 frames')
    assert len(dataset.truth) == 1


def test_65535_and_0_are_no_depth(shots: Shoot, tmp_path: Path) -> None:
    folder = write_7scenes(tmp_path / 'fire', shots) / 'seq-01'
    steps = np.full((SIZE.height, SIZE.width), 1500, np.uint16)
    steps[0, :2] = (65535, 0)
    assert cv2.imwrite(str(folder / 'frame-000000.depth.png'), steps)
    dataset = open_dataset(folder)
    depth = dataset.read_depth(dataset.frames[0])
    assert np.isnan(depth[0, :2]).all()
    assert np.unique(depth[np.isfinite(depth)]).tolist() == [np.float32(1.5)]
