"""KITTI, EuRoC, COLMAP and cameras.json: by their descriptions and by OpenCV."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
import re
import shutil

import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.sources.datasets import open_dataset
from helpers.colmap_writer import Image, write_text
from helpers.dataset_checks import assert_undone, said
from helpers.dataset_folders import (
    SIZE,
    Shoot,
    rays_of_lens,
    shoot,
    smooth_image,
    write_cameras_json,
    write_depth,
    write_euroc,
    write_image,
    write_kitti,
    write_lines,
    write_sensor,
)
from helpers.middlebury import MissingSetError
from helpers.real_sets import committed_set, find_set

LARGE = ImageSize(60, 80)


@pytest.fixture(scope='module')
def shots() -> Shoot:
    return shoot(3)


@pytest.fixture(scope='module')
def whole_euroc(shots: Shoot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_euroc(tmp_path_factory.mktemp('euroc'), shots)


@pytest.fixture
def euroc(whole_euroc: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole_euroc, tmp_path / 'euroc')


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
def test_distortion_of_euroc_is_undone_as_opencv_says(distortion: str, euroc: Path) -> None:
    camera = PinholeCamera.from_focal(40, 39.5, 40.2, 29.4, LARGE)
    write_sensor(euroc / 'mav0' / 'cam0' / 'sensor.yaml', camera, distortion, np.eye(4))
    image = smooth_image(rays_of_lens(camera, distortion))
    for path in (euroc / 'mav0' / 'cam0' / 'data').iterdir():
        write_image(path, image)
    dataset = open_dataset(euroc / 'mav0', 'euroc')
    frame = dataset.of_camera('cam0')[0]
    assert frame.calibration is not None
    assert_undone(dataset.read_image(frame), frame.calibration)
    assert dataset.name == 'euroc'


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
    old: str, new: str, message: str, euroc: Path
) -> None:
    path = euroc / 'mav0' / 'cam0' / 'sensor.yaml'
    path.write_text(path.read_text().replace(old, new))
    dataset = open_dataset(euroc)
    left, right = dataset.frames[:2]
    assert left.calibration is None
    assert right.calibration is not None
    assert left.world_from_camera is not None
    assert re.search(message, said(dataset, 'dataset_calibration'))
    assert dataset.read_image(left).shape == (SIZE.height, SIZE.width, 3)


def test_a_list_of_tum_vi_without_sensor_files_gives_images_and_truth(euroc: Path) -> None:
    root = euroc / 'mav0'
    for camera in ('cam0', 'cam1'):
        (root / camera / 'sensor.yaml').unlink()
    (root / 'state_groundtruth_estimate0').rename(root / 'mocap0')
    dataset = open_dataset(euroc)
    assert len(dataset.truth) == 21
    assert dataset.rig.base_from_camera == {}
    assert all(f.calibration is None and f.world_from_camera is None for f in dataset.frames)
    assert len(said(dataset, 'dataset_calibration').split('; ')) == 2


# COLMAP


def test_a_distorted_camera_of_colmap_and_its_resized_images(tmp_path: Path) -> None:
    """Its model is of images of twice the size; its pixels begin at their corner."""
    lens = PinholeCamera.from_focal(40, 40, 40.3, 29.4, LARGE)
    k1, k2, p1, p2 = 0.05, -0.02, 0.001, -0.002
    write_image(
        tmp_path / 'images' / 'a.png', smooth_image(rays_of_lens(lens, 'radtan', (k1, k2, p1, p2)))
    )
    camera = (1, 'OPENCV', 160, 120, (80.0, 80.0, 81.6, 59.8, k1, k2, p1, p2))
    pose = (1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0)
    images: list[Image] = [(1, pose, 1, 'a.png', []), (2, pose, 1, 'gone.png', [])]
    write_text(tmp_path / 'sparse' / '0', [camera], images)
    dataset = open_dataset(tmp_path)
    (frame,) = dataset.frames
    assert frame.calibration is not None
    np.testing.assert_allclose(frame.calibration.K[:2, 2], lens.K[:2, 2])
    assert frame.world_from_camera is not None
    np.testing.assert_allclose(frame.world_from_camera[:3, 3], [-1, -2, -3])
    assert_undone(dataset.read_image(frame), frame.calibration)
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
    assert {note.code for note in dataset.notes} == {
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
        assert frame.world_from_camera is not None
        np.testing.assert_allclose(frame.world_from_camera, truth.world_from_camera, atol=1e-9)
        if frame.depth is not None:
            depth = np.where(dataset.read_depth(frame) > 0.1, dataset.read_depth(frame), np.nan)
            np.testing.assert_array_equal(depth, truth.depth)
