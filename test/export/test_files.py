"""Half-written exports of killed processes, and the way of the robot as one file."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from da3_ros.errors import ExportError
from da3_ros.export.files import staged
from da3_ros.export.staging import remove_abandoned
from da3_ros.export.trajectory_file import save_trajectory
from da3_ros.geometry.trajectory import StampedPose

ROOT = Path(__file__).resolve().parents[2]
WRITER = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from da3_ros.export.files import staged

    with staged(Path(sys.argv[1]), ['big.bin'], overwrite=False) as folder:
        (folder / 'big.bin').write_bytes(bytes(1000))
        print('half', flush=True)
        time.sleep(60)
""")


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path: Path,
) -> None:
    folder = tmp_path / 'scene_0000'
    command = [sys.executable, '-c', WRITER, str(folder)]
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b'half\n'
            assert remove_abandoned(tmp_path) == 0
            assert len(list(folder.glob('.partial-*/big.bin'))) == 1
        finally:
            writer.send_signal(signal.SIGKILL)
    assert len(list(folder.glob('.partial-*/big.bin'))) == 1
    assert remove_abandoned(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []
    with staged(folder, ['big.bin'], overwrite=False) as staging:
        (staging / 'big.bin').write_bytes(b'whole')
    assert [p.name for p in folder.iterdir()] == ['big.bin']


def test_files_of_others_and_links_are_left_alone(tmp_path: Path) -> None:
    inside = tmp_path / 'exports'
    inside.mkdir()
    (tmp_path / 'kept').mkdir()
    (inside / '.partial-link').symlink_to(tmp_path / 'kept')
    (inside / '.partial-file').write_text('x')
    assert remove_abandoned(inside) == 0
    assert (tmp_path / 'kept').is_dir()
    assert remove_abandoned(tmp_path / 'nowhere') == 0


def way(count: int) -> list[StampedPose]:
    rng = np.random.default_rng(3)
    poses = []
    for step in range(count):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
        pose[:3, 3] = rng.normal(size=3) * 100
        poses.append(StampedPose(1_700_000_000_123_456_789 + step * 33_333_333, pose))
    return poses


def test_a_saved_trajectory_gives_back_stamps_to_the_nanosecond_and_poses(tmp_path: Path) -> None:
    poses = way(50)
    path, count = save_trajectory(tmp_path, 'a/run.txt', poses, is_metric=True, overwrite=False)
    assert (path, count) == (tmp_path / 'a' / 'run.txt', 50)
    lines = path.read_text().splitlines()
    assert lines[0] == '# timestamp tx ty tz qx qy qz qw'
    assert 'metres' in lines[1]
    rows = [line.split() for line in lines if not line.startswith('#')]
    for row, pose in zip(rows, poses, strict=True):
        assert int(row[0].replace('.', '')) == pose.stamp_ns
        numbers = [float(text) for text in row[1:]]
        np.testing.assert_allclose(numbers[:3], pose.world_from_base[:3, 3], rtol=1e-11)
        rotation = Rotation.from_quat(numbers[3:]).as_matrix()
        np.testing.assert_allclose(rotation, pose.world_from_base[:3, :3], atol=1e-11)


def test_a_trajectory_is_replaced_only_on_request(tmp_path: Path) -> None:
    path, _ = save_trajectory(tmp_path, '', way(2), is_metric=False, overwrite=False)
    assert path == tmp_path / 'trajectory.tum'
    before = path.read_bytes()
    assert b'unit unknown' in before
    with pytest.raises(ExportError, match=r'trajectory\.tum already there; ask for overwrite'):
        save_trajectory(tmp_path, '', way(3), is_metric=False, overwrite=False)
    assert path.read_bytes() == before
    assert save_trajectory(tmp_path, '', way(3), is_metric=False, overwrite=True)[1] == 3
    assert [p.name for p in tmp_path.iterdir()] == ['trajectory.tum']


@pytest.mark.parametrize('file', ['../out.tum', '/out.tum', '.', 'a/../..', 'a\x00b'])
def test_trajectories_stay_inside_their_folder(tmp_path: Path, file: str) -> None:
    inside = tmp_path / 'exports'
    inside.mkdir()
    with pytest.raises(ExportError):
        save_trajectory(inside, file, way(2), is_metric=True, overwrite=True)
    assert list(tmp_path.iterdir()) == [inside]
    assert list(inside.iterdir()) == []


def test_nothing_is_left_where_there_is_no_pose_or_no_disk(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match='none yet'):
        save_trajectory(tmp_path / 'x', 'way.tum', [], is_metric=True, overwrite=False)
    assert list(tmp_path.iterdir()) == []

    def breaks() -> object:
        yield way(1)[0]
        raise OSError(28, 'No space left on device')

    with pytest.raises(ExportError, match='No space left'):
        save_trajectory(tmp_path / 'x', 'b/w.tum', breaks(), is_metric=True, overwrite=False)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / 'folder').mkdir()
    with pytest.raises(ExportError, match='it is a folder'):
        save_trajectory(tmp_path, 'folder', way(1), is_metric=True, overwrite=True)


@pytest.mark.parametrize('count', range(1, 7))
def test_files_in_the_way_are_named_or_counted_each_once(tmp_path: Path, count: int) -> None:
    names = [f'{number}.txt' for number in range(count)]
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(ExportError) as caught, staged(tmp_path, names, overwrite=False):
        pass
    said = str(caught.value).removeprefix(f'{tmp_path}: ').partition(' already there')[0]
    shown, _, more = said.partition(' and ')
    assert shown.split(', ') == names[: len(shown.split(', '))]
    assert len(shown.split(', ')) + int(more.removesuffix(' more') or 0) == count
    assert more != '0 more'
