"""What is particular to each kind of dataset, by its description and by OpenCV."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid
from da3_ros.sources.datasets import Dataset, open_dataset
from helpers.colmap_writer import write_text
from helpers.dataset_folders import (
    SIZE,
    Shoot,
    rays_of_lens,
    seconds,
    shoot,
    smooth_image,
    write_7scenes,
    write_cameras_json,
    write_depth,
    write_euroc,
    write_icl_nuim,
    write_image,
    write_kitti,
    write_lines,
    write_sensor,
    write_tum,
)
from helpers.middlebury import MissingSetError
from helpers.real_sets import committed_set, find_set

LARGE = ImageSize(120, 160)


@pytest.fixture(scope='module')
def shots() -> Shoot:
    return shoot(3)


def codes(dataset: Dataset) -> list[str]:
    return [note.code for note in dataset.notes]


def said(dataset: Dataset, code: str) -> str:
    (text,) = [note.text for note in dataset.notes if note.code == code]
    return text


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
    """At a quarter of the size; distortion is that of directions and stays."""
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
    seen = dataset.read_image(frame).astype(int)
    np.testing.assert_allclose(seen, smooth_image(ideal.rays()[..., :2]), atol=3)


def test_depth_of_a_distorted_image_is_picked_where_the_image_is(tmp_path: Path) -> None:
    folder = tmp_path / 'rgbd_dataset_freiburg1_xyz'
    fx, fy, cx, cy, *rest = KINECTS[folder.name]
    lens = PinholeCamera.from_focal(fx, fy, cx, cy, ImageSize(480, 640)).resized(LARGE)
    rays = rays_of_lens(lens, 'radtan', [*rest, FIFTH[folder.name]])
    one_image(folder, smooth_image(rays))
    # A slope seen along the axis: 1 / z grows with the direction.
    slope = 1 / (0.5 + 0.2 * rays[..., 0] + 0.1 * rays[..., 1])
    slope[:40, :60] = np.nan
    write_depth(folder / 'depth' / 'a.png', slope.astype(np.float32), 5000)
    write_lines(folder / 'depth.txt', ['1305031102.180304 depth/a.png'])
    dataset = open_dataset(folder)
    (frame,) = dataset.frames
    assert frame.calibration is not None
    depth = dataset.read_depth(frame)
    ideal = frame.calibration.rays()
    truth = 1 / (0.5 + 0.2 * ideal[..., 0] + 0.1 * ideal[..., 1])
    known = np.isfinite(depth)
    assert 0.8 < known.mean() < 0.95
    assert not known[:30, :50].any()
    # Half a pixel of the slope.
    np.testing.assert_allclose(depth[known], truth[known], rtol=0.005)


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


# KITTI


def test_the_four_cameras_of_kitti_stand_where_its_matrices_say(tmp_path: Path) -> None:
    """Sequence 00: the stereo baselines that its authors state are 0.54 m."""
    lines = [
        'P0: 7.188560e+02 0 6.071928e+02 0 0 7.188560e+02 1.852157e+02 0 0 0 1 0',
        'P1: 7.188560e+02 0 6.071928e+02 -3.861448e+02 0 7.188560e+02 1.852157e+02 0 0 0 1 0',
        'P2: 7.188560e+02 0 6.071928e+02 4.538225e+01 0 7.188560e+02 1.852157e+02 '
        '-1.130887e-01 0 0 1 3.779761e-03',
        'P3: 7.188560e+02 0 6.071928e+02 -3.372877e+02 0 7.188560e+02 1.852157e+02 '
        '2.369057e+00 0 0 1 4.915215e-03',
    ]
    folder = tmp_path / '00'
    for index in range(4):
        image = np.zeros((38, 124, 3), np.uint8)
        write_image(folder / f'image_{index}' / '000000.png', image)
    write_lines(folder / 'calib.txt', lines)
    write_lines(folder / 'times.txt', ['0.000000e+00'])
    dataset = open_dataset(folder)
    mounts = dataset.rig.base_from_camera
    assert list(mounts) == [f'image_{index}' for index in range(4)]
    # The body at camera 0: x forward, y left, z up.
    np.testing.assert_allclose(mounts['image_0'] @ [0, 0, 1, 1], [1, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(mounts['image_0'] @ [1, 0, 0, 1], [0, -1, 0, 1], atol=1e-12)
    places = {name: mount[:3, 3] for name, mount in mounts.items()}
    np.testing.assert_allclose(places['image_0'], 0, atol=1e-12)
    np.testing.assert_allclose(places['image_1'], [0, -386.1448 / 718.856, 0], atol=1e-9)
    assert np.linalg.norm(places['image_3'] - places['image_2']) == pytest.approx(0.54, abs=0.01)
    assert places['image_2'][1] == pytest.approx(0.06, abs=0.001)
    assert dataset.frames[0].calibration is not None
    assert dataset.frames[0].calibration.K[0].tolist() == [718.856, 0, 607.1928]
    assert dataset.truth == ()
    assert dataset.truth_of == ''
    assert all(frame.world_from_camera is None for frame in dataset.frames)
    assert 'there is no poses/00.txt' in said(dataset, 'dataset_truth_missing')


def test_a_dataset_of_one_sequence_is_opened_and_of_two_asks_which(
    shots: Shoot, tmp_path: Path
) -> None:
    write_kitti(tmp_path, shots)
    assert open_dataset(tmp_path).name == '04'
    assert open_dataset(tmp_path / 'sequences').name == '04'
    write_kitti(tmp_path, shots, '05')
    with pytest.raises(SourceError, match='expected one sequence, it has 04, 05; name the folder'):
        open_dataset(tmp_path)


def test_colour_alone_has_the_truth_of_the_grey_camera_that_is_not_there(
    shots: Shoot, tmp_path: Path
) -> None:
    folder = write_kitti(tmp_path, shots)
    (folder / 'image_0').rename(folder / 'elsewhere')
    dataset = open_dataset(folder)
    assert dataset.cameras == ('image_1',)
    assert dataset.truth_of == 'image_0'
    inverse = np.linalg.inv(shots.pose('left', shots.stamps_ns[0]))
    for frame, stamp in zip(dataset.frames, shots.stamps_ns, strict=True):
        assert frame.world_from_camera is not None
        np.testing.assert_allclose(
            frame.world_from_camera, inverse @ shots.pose('right', stamp), atol=1e-6
        )


def test_a_sequence_without_times_or_with_missing_images_says_so(
    shots: Shoot, tmp_path: Path
) -> None:
    folder = write_kitti(tmp_path, shots)
    (folder / 'image_1' / '000001.png').unlink()
    dataset = open_dataset(folder)
    assert said(dataset, 'dataset_files_missing') == 'image_1: 1 of 3 images are missing'
    assert [f.camera for f in dataset.frames].count('image_1') == 2
    (folder / 'times.txt').unlink()
    dataset = open_dataset(folder)
    assert not dataset.is_stamped
    assert [f.stamp_ns for f in dataset.of_camera('image_0')] == [0, 100_000_000, 200_000_000]
    assert len(dataset.truth) == 3


# EuRoC


@pytest.mark.parametrize('distortion', ['radtan', 'equidistant'])
def test_distortion_of_euroc_is_undone_as_opencv_says(
    distortion: str, shots: Shoot, tmp_path: Path
) -> None:
    write_euroc(tmp_path, shots, (distortion, distortion))
    camera = PinholeCamera.from_focal(80, 79, 80.3, 58.9, LARGE)
    write_sensor(tmp_path / 'mav0' / 'cam0' / 'sensor.yaml', camera, distortion, np.eye(4))
    image = smooth_image(rays_of_lens(camera, distortion))
    for path in (tmp_path / 'mav0' / 'cam0' / 'data').iterdir():
        write_image(path, image)
    dataset = open_dataset(tmp_path / 'mav0', 'euroc')
    frame = dataset.of_camera('cam0')[0]
    assert frame.calibration is not None
    seen = dataset.read_image(frame).astype(int)
    np.testing.assert_allclose(seen, smooth_image(frame.calibration.rays()[..., :2]), atol=3)
    assert dataset.name == tmp_path.name


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('camera_model: pinhole', 'camera_model: omni', 'expected camera_model pinhole'),
        ('radial-tangential', 'fov', "expected a distortion of .*got 'fov'"),
        ('resolution:', 'size:', 'resolution'),
        ('distortion_coefficients: [', 'distortion_coefficients: [.nan, ', 'distortion'),
    ],
)
def test_a_camera_that_is_not_understood_has_images_without_intrinsics(
    old: str, new: str, message: str, shots: Shoot, tmp_path: Path
) -> None:
    write_euroc(tmp_path, shots)
    path = tmp_path / 'mav0' / 'cam0' / 'sensor.yaml'
    path.write_text(path.read_text().replace(old, new))
    dataset = open_dataset(tmp_path)
    left, right = dataset.frames[:2]
    assert left.calibration is None
    assert right.calibration is not None
    assert left.world_from_camera is not None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said(dataset, 'dataset_calibration'))
    assert dataset.read_image(left).shape == (*shots.view('left', left.stamp_ns).depth.shape, 3)


def test_a_list_of_tum_vi_without_sensor_files_gives_images_and_truth(
    shots: Shoot, tmp_path: Path
) -> None:
    root = write_euroc(tmp_path, shots) / 'mav0'
    for camera in ('cam0', 'cam1'):
        (root / camera / 'sensor.yaml').unlink()
    (root / 'state_groundtruth_estimate0').rename(root / 'mocap0')
    dataset = open_dataset(tmp_path)
    assert len(dataset.truth) == 21
    assert dataset.rig.base_from_camera == {}
    assert all(f.calibration is None and f.world_from_camera is None for f in dataset.frames)
    assert codes(dataset).count('dataset_calibration') == 2


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


# COLMAP


def test_a_distorted_camera_of_colmap_and_its_resized_images(tmp_path: Path) -> None:
    """Its model is of images of twice the size; its pixels begin at their corner."""
    lens = PinholeCamera.from_focal(80, 80, 80.3, 58.9, LARGE)
    k1, k2, p1, p2 = 0.05, -0.02, 0.001, -0.002
    write_image(
        tmp_path / 'images' / 'a.png', smooth_image(rays_of_lens(lens, 'radtan', (k1, k2, p1, p2)))
    )
    camera = (1, 'OPENCV', 320, 240, (160.0, 160.0, 161.6, 118.8, k1, k2, p1, p2))
    pose = (1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0)
    images = [(1, pose, 1, 'a.png', []), (2, pose, 1, 'gone.png', [])]
    write_text(tmp_path / 'sparse' / '0', [camera], images)
    dataset = open_dataset(tmp_path)
    (frame,) = dataset.frames
    assert frame.calibration is not None
    np.testing.assert_allclose(frame.calibration.K[:2, 2], lens.K[:2, 2])
    assert frame.world_from_camera is not None
    np.testing.assert_allclose(frame.world_from_camera[:3, 3], [-1, -2, -3])
    seen = dataset.read_image(frame).astype(int)
    np.testing.assert_allclose(seen, smooth_image(frame.calibration.rays()[..., :2]), atol=3)
    assert 'first gone.png' in said(dataset, 'dataset_files_missing')
    assert not dataset.is_metric


# cameras.json


def test_depth_of_another_camera_is_moved_to_that_of_the_image(
    shots: Shoot, tmp_path: Path
) -> None:
    """The right camera's depth, at another size, as the left one's."""
    folder = write_cameras_json(tmp_path, shots)
    size = ImageSize(96, 128)
    right = replace(shots.world.intrinsics('right', size))
    for number, stamp in enumerate(shots.stamps_ns):
        depth = shots.world.renderer.depth(right, shots.pose('right', stamp))
        write_depth(folder / 'depth' / f'{number}.png', depth, 1000)
    content = json.loads((folder / 'cameras.json').read_text())
    stamp = shots.stamps_ns[0]
    pose = np.linalg.inv(shots.pose('right', stamp)) @ shots.pose('left', stamp)
    content |= {'depth_from_color': pose.tolist(), 'depth_K': right.K.tolist()}
    (folder / 'cameras.json').write_text(json.dumps(content))
    dataset = open_dataset(folder)
    for frame, at in zip(dataset.frames, shots.stamps_ns, strict=True):
        depth = dataset.read_depth(frame)
        truth = shots.view('left', at).depth
        known = np.isfinite(depth)
        assert known.mean() > 0.7
        assert np.median(np.abs(depth - truth)[known] / truth[known]) < 0.01


def test_entries_that_lack_something_lose_only_that(shots: Shoot, tmp_path: Path) -> None:
    folder = write_cameras_json(tmp_path, shots, is_stamped=False)
    content = json.loads((folder / 'cameras.json').read_text())
    first, second, third = content['frames']
    del first['K'], first['depth']
    second['world_from_camera'] = [[0] * 4] * 4
    third['image'] = '../../etc/passwd'
    content |= {'metric': False}
    (folder / 'cameras.json').write_text(json.dumps(content))
    dataset = open_dataset(folder)
    assert [frame.stamp_ns for frame in dataset.frames] == [0, 10**9]
    assert dataset.frames[0].calibration is None
    assert dataset.frames[0].depth is None
    assert dataset.frames[1].world_from_camera is None
    assert not dataset.is_metric
    assert set(codes(dataset)) == {
        'dataset_calibration', 'dataset_depth_missing', 'dataset_poses_left_out',
        'dataset_lines_left_out', 'dataset_stamps',
    }  # fmt: skip


@pytest.mark.parametrize('name', ['kinect_desk_five', 'hololens_office'])
def test_real_sets_are_read_as_the_tests_read_them(name: str) -> None:
    expected = committed_set(name)
    check_real(expected.folder, name)


@pytest.mark.parametrize('name', ['7scenes_redkitchen', 'middlebury_motorcycle'])
def test_real_sets_beside_the_checkout_are_read_as_the_tests_read_them(name: str) -> None:
    try:
        check_real(find_set(name).folder, name)
    except MissingSetError as error:
        pytest.skip(str(error))


def check_real(folder: Path, name: str) -> None:
    dataset = open_dataset(folder)
    entries = find_set(name)
    assert len(dataset) == len(entries)
    indices = [0, len(entries) - 1]
    for index, truth in zip(indices, entries.frames(indices), strict=True):
        frame = dataset.frames[index]
        assert frame.calibration is not None
        np.testing.assert_array_equal(frame.calibration.K, truth.camera.K)
        # Two libraries decode JPEG.
        np.testing.assert_allclose(dataset.read_image(frame).astype(int), truth.image, atol=3)
        np.testing.assert_allclose(frame.world_from_camera, truth.world_from_camera, atol=1e-9)
        if frame.depth is not None:
            depth = np.where(dataset.read_depth(frame) > 0.1, dataset.read_depth(frame), np.nan)
            np.testing.assert_array_equal(depth, truth.depth)
