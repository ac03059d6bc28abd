"""`da3 eval traj`: whatever a trajectory is in, runs side by side, and what gives no figures."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.cli import eval_output
from da3_ros.export.tum import write_poses
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.geometry.sim3 import Sim3
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.metrics.trajectory import trajectory_error
from da3_ros.sinks.camera_bag import CameraBagWriter
from helpers.cli import da3, da3_json, failure, invoke
from helpers.eval_schema import assert_described

COUNT = 40
STAMPS = [1_700_000_000_000_000_000 + 100_000_000 * i for i in range(COUNT)]
GAUGE = Sim3(0.4, Rotation.from_rotvec([0.3, 0.8, -0.2]).as_matrix(), np.array([1.0, 2.0, 3.0]))


def curve() -> FloatArray:
    """Return poses along a curve of which no part is straight."""
    t = np.linspace(0, 6, COUNT)
    places = np.stack([3 * np.sin(t), 2 * np.cos(0.7 * t), 0.2 * t], axis=1)
    return rigid(Rotation.from_rotvec(np.outer(t, [0.1, 0.2, 0.7])).as_matrix(), places)


def noisy(poses: FloatArray, seed: int, size: float) -> FloatArray:
    found: FloatArray = poses.copy()
    found[:, :3, 3] += np.random.default_rng(seed).normal(scale=size, size=(len(poses), 3))
    return found


def write_tum(file: Path, poses: FloatArray, shift_ns: int = 0) -> Path:
    stamped = [StampedPose(ns + shift_ns, pose) for ns, pose in zip(STAMPS, poses, strict=False)]
    write_poses(file, stamped, 'pose of the base in the world')
    return file


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A true trajectory, two runs in another frame and unit, and one without stamps."""
    folder = tmp_path_factory.mktemp('runs')
    write_tum(folder / 'truth.tum', curve())
    write_tum(folder / 'good.tum', GAUGE.apply_to_pose(noisy(curve(), 1, 0.01)), 4_000_000)
    write_tum(folder / 'poor.tum', GAUGE.apply_to_pose(noisy(curve(), 2, 0.1)))
    (folder / 'official').mkdir()
    rows = [' '.join(map(repr, pose.ravel().tolist())) for pose in GAUGE.apply_to_pose(curve())]
    (folder / 'official' / 'camera_poses.txt').write_text('\n'.join(rows) + '\n')
    return folder


def test_runs_side_by_side_in_one_object(folder: Path) -> None:
    names = ('good.tum', 'poor.tum')
    content = da3_json(
        'eval', 'traj', folder / 'truth.tum', *(folder / name for name in names),
        '--align', 'sim3', '--delta', '0.5s', '--consecutive',
    )  # fmt: skip
    assert (content['command'], content['schema']) == ('eval traj', 'da3.eval.traj/1')
    assert content['settings'] == {
        'align': 'sim3',
        'max_difference_s': 0.02,
        'delta': 0.5,
        'delta_unit': 's',
        'pairs': 'consecutive',
    }
    for run, seed, size in zip(content['runs'], (1, 2), (0.01, 0.1), strict=True):
        wanted = trajectory_error(GAUGE.apply_to_pose(noisy(curve(), seed, size)), curve(), 'sim3')
        assert run['absolute']['translation']['rmse'] == pytest.approx(wanted.rmse, rel=1e-6)
        assert run['truth_from_estimate']['scale'] == pytest.approx(wanted.scale, rel=1e-6)
        assert run['pairs'] == run['poses'] == COUNT
        assert run['relative']['translation']['count'] == 7
        assert run['problem'] is None
    assert_described(content)
    good, poor = content['runs']
    assert good['largest_difference_s'] == 0.004
    assert good['absolute']['translation']['rmse'] < 0.2 * poor['absolute']['translation']['rmse']
    assert good['absolute']['translation_percent_of_path'] == pytest.approx(
        100 * good['absolute']['translation']['rmse'] / good['path_length']
    )


def test_the_table_has_a_column_for_every_run(folder: Path) -> None:
    text = da3('eval', 'traj', folder / 'truth.tum', folder / 'good.tum', folder / 'good.tum')
    head = next(line for line in text.splitlines() if line.strip().startswith('good'))
    assert head.split() == ['good', 'good', '(2)']
    row = next(line for line in text.splitlines() if 'translation rmse' in line).split()
    assert row[2] == row[3]
    assert f'{COUNT} of {COUNT}' in text


def test_bags_have_trajectories_in_topics_and_in_transforms(tmp_path: Path, folder: Path) -> None:
    bag = tmp_path / 'drive.mcap'
    poses = curve()
    half = rigid(Rotation.from_rotvec([0, 0, 0.4]).as_matrix(), [1.0, 0, 0])
    with CameraBagWriter(bag) as writer:
        for stamp, pose in zip(STAMPS, poses, strict=True):
            writer.write_odometry(stamp, pose)
            writer.write_transform(stamp, 'map', 'odom', half)
            writer.write_transform(stamp, 'odom', 'base_link', np.linalg.inv(half) @ pose)
    truth = folder / 'truth.tum'
    runs = da3_json(
        'eval', 'traj', truth, f'{bag}#/truth/odometry', f'{bag}#/tf:map:base_link',
        '--align', 'none',
    )['runs']  # fmt: skip
    for run in runs:
        assert run['pairs'] == COUNT
        assert run['absolute']['translation']['max'] < 1e-6
        assert run['absolute']['rotation_deg']['max'] < 1e-4
    for source, reason in (
        (str(bag), 'expected a topic of the bag'),
        (f'{bag}#/nothing', 'no topic /nothing; it has'),
        (f'{bag}#/tf', 'expected two frames'),
        (f'{bag}#/tf:map:moon', 'no transforms connect map to moon'),
    ):
        assert reason in failure('eval', 'traj', source, truth)


def test_poses_without_stamps_pair_by_their_place(folder: Path) -> None:
    (run,) = da3_json(
        'eval', 'traj', folder / 'truth.tum', folder / 'official', '--align', 'sim3'
    )['runs']
    assert run['paired_by'] == 'place'
    assert run['absolute']['translation']['max'] < 1e-6
    assert any('no stamps' in note for note in run['notes'])


def test_poses_of_the_images_of_a_dataset_have_their_stamps(tmp_path: Path, folder: Path) -> None:
    """Of every image there is a pose, of every other one a true one."""
    frames = []
    for place, (stamp, pose) in enumerate(zip(STAMPS, curve(), strict=True)):
        cv2.imwrite(str(tmp_path / f'{place}.png'), np.zeros((4, 6, 3), np.uint8))
        frame = {'image': f'{place}.png', 'stamp_ns': stamp}
        if place % 2:
            frame['world_from_camera'] = pose.tolist()
        frames.append(frame)
    (tmp_path / 'cameras.json').write_text(json.dumps({'metric': True, 'frames': frames}))
    (run,) = da3_json('eval', 'traj', tmp_path, folder / 'official', '--align', 'sim3')['runs']
    assert (run['paired_by'], run['pairs'], run['poses']) == ('stamp', COUNT // 2, COUNT)
    assert run['absolute']['translation']['max'] < 1e-6


def test_a_run_without_figures_says_why_and_the_others_have_theirs(
    tmp_path: Path, folder: Path
) -> None:
    late = write_tum(tmp_path / 'late.tum', curve(), shift_ns=10**12)
    line = np.tile(np.eye(4), (COUNT, 1, 1))
    line[:, 0, 3] = np.arange(COUNT)
    short = tmp_path / 'short'
    short.mkdir()
    rows = (folder / 'official' / 'camera_poses.txt').read_text().splitlines()
    (short / 'camera_poses.txt').write_text('\n'.join(rows[:30]) + '\n')
    sources = [
        late, write_tum(tmp_path / 'line.tum', line), short, tmp_path / 'none.tum',
        write_tum(tmp_path / 'one.tum', curve()[:1]), folder / 'good.tum',
    ]  # fmt: skip
    result = invoke('eval', 'traj', folder / 'truth.tum', *sources, '--json')
    content = json.loads(result.stdout)
    assert (result.exit_code, content['status']) == (1, 'failed')
    reasons = [run['problem'] for run in content['runs']]
    for reason, part in zip(
        reasons,
        (
            'no two stamps are within 0.02 s',
            'on one line',
            'expected as many in both, got 40 true ones and 30',
            'none.tum',
            '3 or more poses of the same instants, got 1',
        ),
        strict=False,
    ):
        assert part in reason
    assert reasons[-1] is None
    assert content['runs'][-1]['absolute']['translation']['rmse'] > 0
    table = invoke('eval', 'traj', folder / 'truth.tum', *sources).stdout
    assert 'late: association: no two stamps' in table


def test_a_delta_out_of_reach_leaves_the_absolute_errors(folder: Path) -> None:
    result = invoke(
        'eval', 'traj', folder / 'truth.tum', folder / 'good.tum', '--delta', '900m', '--json'
    )
    (run,) = json.loads(result.stdout)['runs']
    assert result.exit_code == 1
    assert 'no two poses are 900 m apart' in run['problem']
    assert run['relative'] is None
    assert run['absolute']['translation']['count'] == COUNT


@pytest.mark.parametrize('delta', ['', 'far', '0', '-1s', '1.5', '3km', 'nan'])
def test_a_delta_that_is_none_is_wrong_usage(folder: Path, delta: str) -> None:
    result = invoke(
        'eval', 'traj', folder / 'truth.tum', folder / 'good.tum', f'--delta={delta}', '--json'
    )
    content = json.loads(result.stdout)
    assert (result.exit_code, content['command']) == (2, 'eval traj')
    assert '--delta' in content['error']


def test_files_are_written_and_never_replaced_unasked(tmp_path: Path, folder: Path) -> None:
    pytest.importorskip('matplotlib')
    words = (
        'eval', 'traj', folder / 'truth.tum', folder / 'good.tum', folder / 'poor.tum',
        '--align', 'sim3', '--plots', tmp_path / 'plots', '--json-file', tmp_path / 'all.json',
    )  # fmt: skip
    text = da3(*words)
    pictures = sorted((tmp_path / 'plots').glob('*.png'))
    names = ['error_over_time.png', 'from_above.png', 'relative_error.png']
    assert [path.name for path in pictures] == names
    for path in pictures:
        assert str(path) in text
        drawn = cv2.imread(str(path))
        assert drawn is not None
        # Both runs have their colours in every picture.
        for colour in ((214, 48, 49), (38, 98, 178)):
            apart = np.abs(drawn[..., ::-1].astype(int) - colour).max(axis=2)
            assert (apart < 80).any(), (path.name, colour)
    content = json.loads((tmp_path / 'all.json').read_text())
    assert content['command'] == 'eval traj'
    assert [run['name'] for run in content['runs']] == ['good', 'poor']
    before = pictures[0].stat().st_mtime_ns
    assert 'already there' in failure(*words)
    assert pictures[0].stat().st_mtime_ns == before
    without = [word for word in words if word not in ('--plots', tmp_path / 'plots')]
    assert 'all.json' in failure(*without)
    da3(*without, '--overwrite')


def test_without_matplotlib_pictures_say_what_to_install(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_output, 'find_spec', lambda name: None)
    words = ('eval', 'traj', folder / 'truth.tum', folder / 'good.tum')
    assert 'pip install matplotlib' in failure(*words, '--plots', tmp_path / 'plots')
    assert not (tmp_path / 'plots').exists()
    da3(*words)


def test_trajectories_of_bags_and_files_need_no_network_and_no_ros(folder: Path) -> None:
    """Nor matplotlib, where no picture is asked for; in a process of its own."""
    code = (
        'import sys\n'
        'from da3_ros.cli import eval_depth_run, eval_depth_table\n'
        'from da3_ros.cli.app import app\n'
        'app(sys.argv[1:], standalone_mode=False)\n'
        'print({"torch", "rclpy", "matplotlib"} & set(sys.modules))'
    )
    words = ['eval', 'traj', str(folder / 'truth.tum'), str(folder / 'good.tum')]
    done = subprocess.run(
        [sys.executable, '-c', code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == 'set()'


def test_the_group_lists_its_commands() -> None:
    text = da3('eval', '--help')
    assert 'traj' in text
    assert 'depth' in text
    assert invoke('eval', 'other').exit_code == 2
