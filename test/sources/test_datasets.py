"""Laws that hold for datasets of every kind, against the world that their miniatures show."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.sources.datasets import KINDS, Dataset, DatasetFrame, open_dataset
from da3_ros.types import CameraFrame
from helpers.dataset_folders import WRITERS, Shoot, shoot, write_tum

WITH_DEPTH = ('tum', 'icl_nuim', '7scenes', 'cameras_json')
LEFT = MappingProxyType(dict.fromkeys(('image_0', 'cam0'), 'left'))
RIGHT = MappingProxyType(dict.fromkeys(('image_1', 'cam1'), 'right'))
WITHOUT_STAMPS = ('icl_nuim', '7scenes', 'colmap')


@pytest.fixture(scope='module')
def shots() -> Shoot:
    return shoot()


@pytest.fixture(scope='module')
def folders(shots: Shoot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        kind: write(tmp_path_factory.mktemp(f'a {kind}'), shots) for kind, write in WRITERS.items()
    }


def seen_by(frame: DatasetFrame) -> str:
    return {**LEFT, **RIGHT}.get(frame.camera, 'left')


def instants(dataset: Dataset) -> dict[int, int]:
    """Return which instant of the shoot a stamp of a dataset is."""
    stamps = sorted({frame.stamp_ns for frame in dataset.frames})
    return {stamp: place for place, stamp in enumerate(stamps)}


def true_pose(dataset: Dataset, frame: DatasetFrame, shots: Shoot) -> FloatArray:
    pose = shots.pose(seen_by(frame), shots.stamps_ns[instants(dataset)[frame.stamp_ns]])
    if dataset.kind != 'kitti':
        return pose
    return np.asarray(np.linalg.inv(shots.pose('left', shots.stamps_ns[0])) @ pose)


@pytest.mark.parametrize('kind', WRITERS)
def test_a_folder_is_known_by_its_layout(kind: str, folders: dict[str, Path]) -> None:
    assert set(WRITERS) == set(KINDS)
    assert open_dataset(folders[kind]).kind == kind
    assert open_dataset(folders[kind], kind).kind == kind
    for other in set(KINDS) - {kind}:
        with pytest.raises(SourceError, match=r'expected one of these layouts.*' + other):
            open_dataset(folders[kind], other)


@pytest.mark.parametrize('kind', WRITERS)
def test_frames_are_in_order_and_every_image_is_the_one_that_was_taken(
    kind: str, folders: dict[str, Path], shots: Shoot
) -> None:
    dataset = open_dataset(folders[kind])
    cameras = len(dataset.cameras)
    assert cameras == (2 if kind in ('kitti', 'euroc') else 1)
    assert len(dataset) == len(shots.stamps_ns) * cameras
    order = [(f.stamp_ns, dataset.cameras.index(f.camera)) for f in dataset.frames]
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    for frame in dataset.frames:
        image, made = dataset.read_image(frame), dataset.camera_frame(frame)
        assert isinstance(made, CameraFrame)
        assert made.stamp_ns == frame.stamp_ns
        assert made.valid is None
        np.testing.assert_array_equal(made.image, image)
        assert frame.calibration is not None
        assert made.calibration is not None
        np.testing.assert_array_equal(made.calibration.K, frame.calibration.K)
        stamp = shots.stamps_ns[instants(dataset)[frame.stamp_ns]]
        truth = shots.view(seen_by(frame), stamp, frame.calibration).image
        if kind == 'kitti':
            truth = np.repeat(np.asarray(Image.fromarray(truth).convert('L'))[..., None], 3, 2)
        if kind == 'euroc':  # resampled twice; exact lenses are in test_dataset_rigs.py
            assert np.corrcoef(image.ravel(), truth.ravel())[0, 1] > 0.93
        else:
            np.testing.assert_allclose(image.astype(int), truth, atol=1 if kind == 'kitti' else 0)


@pytest.mark.parametrize('kind', WRITERS)
def test_stamps_are_those_of_the_recording_where_it_has_some(
    kind: str, folders: dict[str, Path], shots: Shoot
) -> None:
    dataset = open_dataset(folders[kind])
    stamps = sorted({frame.stamp_ns for frame in dataset.frames})
    assert dataset.is_stamped == (kind not in WITHOUT_STAMPS)
    said = any(note.code == 'dataset_stamps' for note in dataset.notes)
    assert said == (not dataset.is_stamped)
    if dataset.is_stamped:
        begin = shots.stamps_ns[0] if kind == 'kitti' else 0
        assert stamps == [stamp - begin for stamp in shots.stamps_ns]


@pytest.mark.parametrize('kind', WRITERS)
def test_poses_are_true(kind: str, folders: dict[str, Path], shots: Shoot) -> None:
    dataset = open_dataset(folders[kind])
    assert dataset.truth_of == {'kitti': 'image_0', 'euroc': 'body'}.get(kind, dataset.cameras[0])
    assert dataset.is_metric == (kind != 'colmap')
    posed = [frame for frame in dataset.frames if frame.world_from_camera is not None]
    assert len(dataset) - len(posed) == (1 if kind == 'icl_nuim' else 0)
    for frame in posed:
        assert frame.world_from_camera is not None
        np.testing.assert_allclose(
            frame.world_from_camera, true_pose(dataset, frame, shots), atol=5e-6
        )
    stamps = [pose.stamp_ns for pose in dataset.truth]
    assert stamps == sorted(set(stamps))
    of_truth = {pose.stamp_ns: pose.world_from_base for pose in dataset.truth}
    mounts = dataset.rig.base_from_camera
    for frame in posed:
        if frame.stamp_ns in of_truth and frame.world_from_camera is not None:
            base_from_truth = mounts.get(dataset.truth_of, np.eye(4))
            mount = mounts.get(frame.camera, np.eye(4))
            expected = of_truth[frame.stamp_ns] @ np.linalg.inv(base_from_truth) @ mount
            np.testing.assert_allclose(frame.world_from_camera, expected, atol=1e-9)


@pytest.mark.parametrize('kind', WITH_DEPTH)
def test_depth_is_true_in_metres(kind: str, folders: dict[str, Path], shots: Shoot) -> None:
    dataset = open_dataset(folders[kind])
    for frame in dataset.frames:
        depth = dataset.read_depth(frame)
        assert depth.dtype == np.float32
        stamp = shots.stamps_ns[instants(dataset)[frame.stamp_ns]]
        truth = shots.view('left', stamp, frame.calibration).depth
        step = 1 / 5000 if kind in ('tum', 'icl_nuim') else 1 / 1000
        np.testing.assert_allclose(depth, truth, atol=0.51 * step)


@pytest.mark.parametrize('kind', WITH_DEPTH)
def test_depth_poses_and_intrinsics_fit_each_other(kind: str, folders: dict[str, Path]) -> None:
    """Points of one image lie where another image sees them."""
    dataset = open_dataset(folders[kind])
    first, second = dataset.frames[1], dataset.frames[-1]
    assert first.calibration is not None
    assert second.calibration is not None
    assert first.world_from_camera is not None
    assert second.world_from_camera is not None
    points = first.calibration.rays() * dataset.read_depth(first)[..., None]
    second_from_first = np.linalg.inv(second.world_from_camera) @ first.world_from_camera
    moved = points @ second_from_first[:3, :3].T + second_from_first[:3, 3]
    pixels = second.calibration.project(moved)
    inside = second.calibration.contains(pixels)
    assert inside.mean() > 0.5
    u, v = np.rint(pixels[inside]).astype(int).T
    there = dataset.read_depth(second)[v, u]
    relative = np.abs(there - moved[inside][:, 2]) / there
    assert np.median(relative) < 0.01


@pytest.mark.parametrize('kind', WRITERS)
def test_opening_looks_at_one_header_a_camera_and_decodes_nothing(
    kind: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, plain_open = list[object](), Image.open

    def counted(file: BinaryIO) -> Image.Image:
        opened.append(file)
        return plain_open(file)

    monkeypatch.setattr(Image, 'open', counted)
    monkeypatch.setattr(Image.Image, 'load', lambda image: pytest.fail('an image was decoded'))
    dataset = open_dataset(folders[kind])
    assert len(opened) <= len(dataset.cameras)


def test_a_frame_without_depth_says_so(folders: dict[str, Path]) -> None:
    dataset = open_dataset(folders['kitti'])
    with pytest.raises(SourceError, match=r'000000\.png: 04 has no depth'):
        dataset.read_depth(dataset.frames[0])


def test_frames_of_one_camera_are_asked_for_by_name(folders: dict[str, Path]) -> None:
    dataset = open_dataset(folders['euroc'])
    assert {frame.camera for frame in dataset.of_camera('cam1')} == {'cam1'}
    with pytest.raises(SourceError, match=r"expected one of the cameras cam0, cam1, got 'cam2'"):
        dataset.of_camera('cam2')


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='expected a folder, there is none'):
        open_dataset(tmp_path / 'nowhere')
    with pytest.raises(SourceError, match=r'it has none: .*kitti: calib\.txt'):
        open_dataset(tmp_path)
    (tmp_path / 'a.bin').write_bytes(b'x')
    with pytest.raises(SourceError, match='it has none'):
        open_dataset(tmp_path / 'a.bin')
    with pytest.raises(SourceError, match=r"expected a kind of auto, .*got 'nuscenes'"):
        open_dataset(tmp_path, 'nuscenes')


def test_a_folder_of_two_layouts_asks_for_the_kind(shots: Shoot, tmp_path: Path) -> None:
    write_tum(tmp_path, shots)
    WRITERS['cameras_json'](tmp_path, shots)
    with pytest.raises(SourceError, match='layouts of tum and cameras_json; name the kind'):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, 'tum').kind == 'tum'
