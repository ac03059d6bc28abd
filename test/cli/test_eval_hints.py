"""What `da3 eval` says where figures would mislead: units, frames, clocks, pairs, pixels."""

from __future__ import annotations

from dataclasses import replace
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.cli.eval_traj_hints import hints
from da3_ros.cli.eval_trajectories import matched, named_trajectory
from da3_ros.export.tum import write_poses
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import invert, rigid
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.metrics.trajectory import absolute_errors, aligned
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import shared_definitions
from helpers.cli import da3, da3_json, failure, invoke

COUNT = 24
START_NS = 1_700_000_000_000_000_000
STAMPS = [START_NS + 100_000_000 * i for i in range(COUNT)]
SHAPE = (12, 16)
OPTICAL = rigid(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))


def curve(count: int = COUNT) -> FloatArray:
    t = np.linspace(0, 6, count)
    places = np.stack([3 * np.sin(t), 2 * np.cos(0.7 * t), 0.2 * t], axis=1)
    return rigid(Rotation.from_rotvec(np.outer(t, [0.1, 0.2, 0.7])).as_matrix(), places)


def write_tum(file: Path, poses: FloatArray) -> Path:
    stamped = [StampedPose(ns, pose) for ns, pose in zip(STAMPS, poses, strict=True)]
    write_poses(file, stamped, 'pose')
    return file


@pytest.fixture(scope='module')
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tum(tmp_path_factory.mktemp('truth') / 'truth.tum', curve())


def notes_of(truth: str | Path, estimate: str | Path, *words: str) -> str:
    (run,) = da3_json('eval', 'traj', truth, estimate, *words)['runs']
    assert run['problem'] is None
    return '\n'.join(run['notes'])


# Trajectories


def test_nothing_is_said_of_poses_that_are_right(tmp_path: Path, truth: Path) -> None:
    noise = np.random.default_rng(1).normal(scale=0.05, size=(COUNT, 3))
    poses = curve()
    poses[:, :3, 3] += noise
    assert notes_of(truth, write_tum(tmp_path / 'e.tum', poses)) == ''


def test_another_unit_is_said_with_its_scale(tmp_path: Path, truth: Path) -> None:
    poses = curve()
    poses[:, :3, 3] *= 1000
    file = write_tum(tmp_path / 'e.tum', poses)
    assert 'with a scale of 0.001 the error is' in notes_of(truth, file)
    assert 'another unit' in notes_of(truth, file, '--align', 'none')
    assert notes_of(truth, file, '--align', 'sim3') == ''


def test_poses_the_other_way_round_are_said(tmp_path: Path, truth: Path) -> None:
    file = write_tum(tmp_path / 'e.tum', invert(curve()))
    assert 'they are camera_from_world' in notes_of(truth, file)


def test_frames_that_are_the_same_are_not_called_two(tmp_path: Path, truth: Path) -> None:
    file = write_tum(tmp_path / 'e.tum', curve() @ OPTICAL)
    true, read = (replace(named_trajectory(str(f)), body='base_link') for f in (truth, file))
    match = matched(true, read, 0.01)
    poses = aligned(match.estimate, match.truth, 'se3')
    (said,) = hints(true, read, match, poses, absolute_errors(poses))
    assert 'off by the same 120.0 deg, by the alignment' in said


def test_orientations_of_another_frame_of_the_body_are_said(tmp_path: Path, truth: Path) -> None:
    file = write_tum(tmp_path / 'e.tum', curve() @ OPTICAL)
    assert 'off by the same 120.0 deg' in notes_of(truth, file)
    poses = curve()
    mixed = Rotation.from_matrix(poses[:, :3, :3]).as_quat()[:, [3, 0, 1, 2]]
    poses[:, :3, :3] = Rotation.from_quat(mixed).as_matrix()
    assert 'are quaternions x y z w' in notes_of(truth, write_tum(tmp_path / 'q.tum', poses))


def write_bag(path: Path, metric_windows: int, poses: FloatArray) -> Path:
    """Write odometry of base_link, the first pose NaN and the second without orientation."""
    definitions = shared_definitions()
    definitions.require('da3_ros/msg/WindowReport')
    store = definitions.typestore

    def default(kind: str, **given: Any) -> Any:
        values: dict[str, Any] = {}
        for name, (what, details) in store.fielddefs[kind][1]:
            if name in given:
                values[name] = given[name]
            elif what.name == 'NAME':
                values[name] = default(str(details))
            elif what.name == 'BASE':
                values[name] = '' if details[0] == 'string' else 0
            else:
                values[name] = np.zeros(36) if name == 'covariance' else []
        return store.types[kind](**values)

    with BagWriter(path) as bag:
        for place, (stamp, matrix) in enumerate(zip(STAMPS, poses, strict=True)):
            time = default(
                'builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9
            )
            header = default('std_msgs/msg/Header', stamp=time, frame_id='odom')
            x, y, z = matrix[:3, 3].tolist()
            q = Rotation.from_matrix(matrix[:3, :3]).as_quat() * (place != 1)
            pose = default(
                'geometry_msgs/msg/Pose',
                position=default('geometry_msgs/msg/Point', x=x if place else np.nan, y=y, z=z),
                orientation=default(
                    'geometry_msgs/msg/Quaternion', **dict(zip('xyzw', q.tolist(), strict=True))
                ),
            )
            message = default(
                'nav_msgs/msg/Odometry',
                header=header,
                child_frame_id='base_link',
                pose=default('geometry_msgs/msg/PoseWithCovariance', pose=pose),
            )
            report = default(
                'da3_ros/msg/WindowReport', header=header, is_metric=place < metric_windows
            )
            for topic, said in (('/odometry', message), ('/window', report)):
                kind = said.__msgtype__
                bag.add_topic(topic, kind)
                bag.write(topic, stamp, bytes(store.serialize_cdr(said, kind)))
    return path


def write_dataset(folder: Path, stamps: bool, count: int = COUNT) -> Path:
    """Write images of nothing, their true poses and depth of image + 1 metres."""
    folder.mkdir()
    frames = []
    for place, pose in enumerate(curve()[:count]):
        cv2.imwrite(str(folder / f'{place:03d}.png'), np.zeros((*SHAPE, 3), np.uint8))
        depth = np.full(SHAPE, 1000 * (place + 1), np.uint16)
        cv2.imwrite(str(folder / f'd{place:03d}.png'), depth)
        frame = {
            'image': f'{place:03d}.png', 'depth': f'd{place:03d}.png',
            'world_from_camera': pose.tolist(),
        }  # fmt: skip
        frames.append(frame | ({'stamp_ns': STAMPS[place]} if stamps else {}))
    (folder / 'cameras.json').write_text(json.dumps({'frames': frames}))
    return folder


def test_a_bag_says_what_its_poses_are_of_and_in(tmp_path: Path, truth: Path) -> None:
    bag = write_bag(tmp_path / 'out.mcap', 20, curve())
    said = notes_of(truth, f'{bag}#/odometry')
    assert '2 poses are left out, first at 1700000000000000000 ns' in said
    assert '4 of 24 windows of /window are in a unit of their own' in said
    dataset = write_dataset(tmp_path / 'set', stamps=True)
    said = notes_of(dataset, f'{bag}#/odometry')
    assert 'the truth is of camera_optical_frame, the estimate of base_link' in said


def test_a_dataset_without_a_clock_pairs_by_place_with_one_that_has_one(tmp_path: Path) -> None:
    """Its i seconds are no times: a bag whose clock begins at zero would find false partners."""
    dataset = write_dataset(tmp_path / 'set', stamps=False)
    stamped = [StampedPose(250_000_000 * i, pose) for i, pose in enumerate(curve())]
    write_poses(tmp_path / 'all.tum', stamped, 'pose')
    write_poses(tmp_path / 'some.tum', stamped[:13], 'pose')
    write_poses(
        tmp_path / 'ours.tum',
        [StampedPose(10**9 * i, curve()[i]) for i in range(0, COUNT, 2)],
        'pose',
    )
    result = invoke(
        'eval', 'traj', dataset, tmp_path / 'all.tum', tmp_path / 'some.tum',
        tmp_path / 'ours.tum', '--json',
    )  # fmt: skip
    content = json.loads(result.stdout)
    every, some, ours = content['runs']
    assert content['truth']['is_stamped'] is False
    assert (every['paired_by'], every['pairs']) == ('place', COUNT)
    assert every['absolute']['translation']['max'] < 1e-6
    assert 'has no stamps' in some['problem']
    # Stamps that stand for the numbers of its images are those of the dataset.
    assert (ours['paired_by'], ours['pairs']) == ('stamp', COUNT // 2)
    assert ours['absolute']['translation']['max'] < 1e-6


def test_any_difference_of_stamps_may_be_allowed(truth: Path) -> None:
    (run,) = da3_json('eval', 'traj', truth, truth, '--max-difference', 'inf')['runs']
    assert run['pairs'] == COUNT


def test_results_without_a_trajectory_have_the_poses_of_their_views(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / 'set', stamps=True, count=8)
    depth = np.ones((8, *SHAPE), np.float32)
    camera = np.array([[20.0, 0, 8], [0, 20, 6], [0, 0, 1]])
    official = tmp_path / 'official' / 'exports' / 'mini_npz'
    official.mkdir(parents=True)
    np.savez(
        official / 'results.npz',
        depth=depth,
        extrinsics=invert(curve()[:8])[:, :3].astype(np.float32),
        intrinsics=np.tile(camera, (8, 1, 1)),
    )
    said = notes_of(dataset, tmp_path / 'official', '--align', 'none')
    assert said == 'poses are those of the views of results.npz'
    (run,) = da3_json('eval', 'traj', dataset, tmp_path / 'official')['runs']
    assert run['pairs'] == 8
    assert run['absolute']['translation']['max'] < 1e-5
    assert run['absolute']['rotation_deg']['max'] < 0.01
    np.savez(official / 'results.npz', depth=depth)
    result = invoke('eval', 'traj', dataset, tmp_path / 'official')
    assert 'expected extrinsics among its arrays, got depth' in result.stdout


# Depth


def true_depth(place: int) -> np.ndarray:
    rng = np.random.default_rng(place)
    return np.round(rng.uniform(1, 4, SHAPE), 3)


@pytest.fixture(scope='module')
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six true images, millimetres."""
    folder = tmp_path_factory.mktemp('depth')
    for place in range(6):
        steps = np.round(1000 * true_depth(place)).astype(np.uint16)
        cv2.imwrite(str(folder / f'{place:06d}.png'), steps)
    return folder


def depth_notes(*words: str | Path) -> str:
    return '\n'.join(da3_json('eval', 'depth', *words)['notes'])


def test_another_unit_of_depth_is_said(tmp_path: Path, depth: Path) -> None:
    for place in range(6):
        np.save(tmp_path / f'{place:06d}.npy', 1000 * true_depth(place))
    assert 'the truth is 0.001 times the estimate: another unit?' in depth_notes(depth, tmp_path)
    for place in range(6):
        np.save(tmp_path / f'{place:06d}.npy', 1.02 * true_depth(place))
    assert depth_notes(depth, tmp_path) == ''
    for place in range(6):
        np.save(tmp_path / f'{place:06d}.npy', 5 * true_depth(place))
    assert 'the truth is 0.2 times the estimate' in depth_notes(depth, tmp_path)


def test_counts_of_a_run_are_no_numbers_of_other_images(tmp_path: Path, depth: Path) -> None:
    """Every second image was estimated: what is called 1 there is the image 2."""
    every_second = [true_depth(place) for place in range(0, 6, 2)]
    official = tmp_path / 'official' / 'exports' / 'mini_npz'
    official.mkdir(parents=True)
    np.savez(official / 'results.npz', depth=np.stack(every_second), is_metric=False)
    frames = tmp_path / 'stream' / 'results_output'
    frames.mkdir(parents=True)
    for place, image in enumerate(every_second):
        np.savez(frames / f'frame_{place}.npz', depth=image)
    for results in (tmp_path / 'official', tmp_path / 'stream'):
        assert 'only by --pair number' in failure('eval', 'depth', depth, results)
        said = depth_notes(depth, results, '--pair', 'number')
        assert '3 true images have no partner' in said
        assert 'true only if both count the same images' in said
    assert 'a unit of its own' in depth_notes(depth, tmp_path / 'official', '--pair', 'number')


def test_stamps_that_stand_for_numbers_pair_with_no_clock(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / 'set', stamps=False, count=4)
    for clock, (folder, count) in ((250, ('quick', 4)), (250, ('few', 3)), (1000, ('ours', 2))):
        (tmp_path / folder).mkdir()
        for place in range(count):
            number = 2 * place if folder == 'ours' else place
            stamp = clock * number * 10**6 + 10**15 * (folder != 'ours')
            image = np.full(SHAPE, number + 1, np.float32)
            np.savez(tmp_path / folder / f'x{place}.npz', depth=image)
            stamps = tmp_path / folder / 'stream.json'
            known = json.loads(stamps.read_text())['stamps_ns'] if stamps.exists() else []
            stamps.write_text(json.dumps({'stamps_ns': [*known, stamp], 'is_metric': True}))
    content = da3_json('eval', 'depth', dataset, tmp_path / 'quick')
    assert content['paired_by'] != 'stamp'
    assert content['pooled']['as_is']['abs_rel'] == 0
    content = da3_json('eval', 'depth', dataset, tmp_path / 'ours')
    assert (content['paired_by'], content['pairs']) == ('stamp', 2)
    assert content['pooled']['as_is']['abs_rel'] == 0


def test_pixels_that_are_left_out_are_counted(tmp_path: Path, depth: Path) -> None:
    for place in range(6):
        image = true_depth(place).astype(np.float32)
        sigma = np.full(SHAPE, 0.1, np.float32)
        sigma[:3] = 0
        np.savez(tmp_path / f'{place:06d}.npz', depth=image, sigma=sigma, none=0 * sigma)
    assert '288 of 1152 pixels have no spread above 0' in depth_notes(
        depth, tmp_path, '--sigma', 'sigma'
    )
    assert '1152 of 1152 pixels have no spread' in depth_notes(depth, tmp_path, '--sigma', 'none')
    assert 'it is the depth itself' in failure(
        'eval', 'depth', depth, tmp_path, '--sigma', tmp_path
    )
    for place in range(6):
        image = true_depth(place).astype(np.float32)
        image[:6] = np.inf
        np.savez(tmp_path / f'{place:06d}.npz', depth=image)
    assert 'estimates know 50.0 % of the pixels that the truth knows' in da3(
        'eval', 'depth', depth, tmp_path
    )
