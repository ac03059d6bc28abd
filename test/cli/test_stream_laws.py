"""Laws of `da3 stream`, over a world whose geometry is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
import tracemalloc
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
import trimesh

from da3_ros.errors import Da3Error, ExportError, PipelineError
from da3_ros.geometry.arrays import FloatArray
from da3_ros.sinks.stream_part import PART_PREFIX
from da3_ros.sinks.stream_results import Finished, finish
from da3_ros.types import Window, WindowPrediction
from helpers.box_stream import (
    SIZE,
    WORLD,
    bytes_of,
    in_metres,
    poses_of,
    run,
    stamp_ns,
    summary_of,
    true_pose,
    unit_of,
)
from helpers.ply_files import read_ply
from helpers.stream_builders import BoxEstimator

COUNT = 31
FORMATS = 'ply-tum-depth_png'


@pytest.fixture(scope='module')
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('stream') / 'out'
    run(folder, COUNT, export_format=FORMATS)
    return folder


def truth(count: int) -> FloatArray:
    return np.array([true_pose(number) for number in range(count)])


def test_poses_are_the_truth_up_to_one_scale(out: Path) -> None:
    poses = poses_of(out)
    np.testing.assert_allclose(poses[0], np.eye(4), atol=1e-12)
    np.testing.assert_allclose(in_metres(poses), truth(COUNT), atol=1e-6)


def test_every_frame_is_there_once_with_its_stamp(out: Path) -> None:
    content = summary_of(out)
    assert content['numbers'] == list(range(COUNT))
    assert content['stamps_ns'] == [stamp_ns(number) for number in range(COUNT)]
    assert (content['frames'], content['lost_frames'], content['windows']) == (COUNT, 0, 11)
    assert content['unit'] == 'unknown'
    assert len(list((out / 'results_output').iterdir())) == COUNT
    lines = (out / 'trajectory.tum').read_text(encoding='ascii').splitlines()
    stamps = [line.split()[0] for line in lines if not line.startswith('#')]
    assert stamps == [f'{stamp_ns(n) / 1e9:.9f}' for n in range(COUNT)]
    for name in ('tum/camera_front.txt', 'trajectory.tum'):
        rows = np.loadtxt(out / name)
        turns = Rotation.from_quat(rows[:, 4:]).as_matrix()
        first = np.eye(4)
        first[:3, :3], first[:3, 3] = turns[0], rows[0, 1:4]
        centres = (rows[:, 1:4] - first[:3, 3]) @ first[:3, :3]
        np.testing.assert_allclose(centres, poses_of(out)[:, :3, 3], atol=1e-6)


def test_frames_hold_depth_in_the_unit_of_the_poses(out: Path) -> None:
    unit = unit_of(poses_of(out))
    k = np.loadtxt(out / 'intrinsic.txt')
    own = WORLD.camera.K
    # The network's rule: half a pixel more than OpenCV's.
    expected = (own[0, 0], own[1, 1], own[0, 2] + 0.5, own[1, 2] + 0.5)
    np.testing.assert_allclose(k, np.tile(expected, (COUNT, 1)), rtol=1e-12)
    for number in (0, 7, COUNT - 1):
        pose = WORLD.world_from_camera('front', stamp_ns(number))
        with np.load(out / f'results_output/frame_{number}.npz') as frame:
            assert set(frame.files) == {'image', 'depth', 'conf', 'intrinsics'}
            np.testing.assert_allclose(frame['depth'], unit * WORLD.depth(pose), rtol=1e-5)
            assert frame['image'].shape == (SIZE.height, SIZE.width, 3)
            assert (frame['conf'] == 0).all()
            assert frame['intrinsics'][0, 2] == np.float32(k[number, 2])


def test_clouds_lie_on_the_walls(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    estimator = Sure(BoxEstimator(WORLD))
    run(out, COUNT, estimator, sample_ratio=0.25)
    unit = unit_of(poses_of(out))
    clouds = [read_ply(out / f'pcd/{number}_pcd.ply').xyz for number in range(11)]
    xyz = read_ply(out / 'pcd/combined_pcd.ply').xyz
    assert len(xyz) == COUNT * SIZE.height * SIZE.width // 4
    np.testing.assert_array_equal(xyz, np.concatenate(clouds))
    first = WORLD.world_from_camera('front', stamp_ns(0))
    points = xyz / unit @ first[:3, :3].T + first[:3, 3]
    off = np.abs(np.abs(points) - (6.0, 5.0, 2.5)).min(axis=1)
    assert off.max() < 1e-4


@pytest.mark.parametrize(('window', 'stride'), [(4, 3), (8, 1), (12, 6)])
def test_windows_of_another_size_give_the_same(
    tmp_path: Path, out: Path, window: int, stride: int
) -> None:
    other = tmp_path / 'out'
    run(other, COUNT, window=window, stride=stride)
    np.testing.assert_allclose(in_metres(poses_of(other)), in_metres(poses_of(out)), atol=1e-6)


def test_two_runs_give_the_same_bytes(tmp_path: Path, out: Path) -> None:
    other = tmp_path / 'out'
    run(other, COUNT, export_format=FORMATS)
    assert bytes_of(other) == bytes_of(out)


@dataclass(eq=False)
class Sure:
    """Answers with a confidence that depth has, and more where `near` is."""

    inner: Any
    value: float = 3.0

    def estimate(self, window: Window) -> WindowPrediction:
        said: WindowPrediction = self.inner.estimate(window)
        views = tuple(
            replace(v, confidence=None if v.depth is None else np.full_like(v.depth, self.value))
            for v in said.views
        )
        return replace(said, views=views)


@dataclass(eq=False)
class Interrupted:
    """Answers until it is asked for one window too many."""

    windows: int
    error: BaseException

    def estimate(self, window: Window) -> WindowPrediction:
        if window.index >= self.windows:
            raise self.error
        return BoxEstimator(WORLD).estimate(window)


@dataclass(eq=False)
class Counting:
    windows: list[int]

    def estimate(self, window: Window) -> WindowPrediction:
        self.windows.append(window.index)
        return BoxEstimator(WORLD).estimate(window)


@pytest.mark.parametrize('windows', [1, 5, 10])
def test_an_interrupted_run_goes_on_to_the_same_files(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, windows: int
) -> None:
    monkeypatch.setattr('da3_ros.cli.stream_run.FRAMES_OF_CHECKPOINT', 6)

    other = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        run(other, COUNT, Interrupted(windows, KeyboardInterrupt()), export_format=FORMATS)
    committed = windows // 2 * 2
    assert other.exists() == bool(committed)
    seen: list[int] = []
    run(other, COUNT, Counting(seen), export_format=FORMATS)
    assert seen == list(range(committed, 11))
    assert bytes_of(other) == bytes_of(out)
    assert not list(other.glob(f'{PART_PREFIX}*'))


def test_an_end_that_is_interrupted_is_done_again(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, formats = tmp_path / 'out', FORMATS

    def fails(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr('da3_ros.sinks.stream_results.combine_clouds', fails)
        with pytest.raises(KeyboardInterrupt):
            run(other, COUNT, export_format=formats)
    seen: list[int] = []
    run(other, COUNT, Counting(seen), export_format=formats)
    assert not seen
    assert bytes_of(other) == bytes_of(out)


def test_other_settings_are_refused_until_it_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('da3_ros.cli.stream_run.FRAMES_OF_CHECKPOINT', 6)
    out = tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        run(out, COUNT, Interrupted(4, KeyboardInterrupt()))
    before = bytes_of(out)
    with pytest.raises(ExportError, match=r'window was 6, is 8.*--restart'):
        run(out, COUNT, window=8)
    with pytest.raises(ExportError, match='input was 31 frames, is 30 frames'):
        run(out, COUNT - 1)
    assert bytes_of(out) == before == {}
    assert run(out, COUNT, window=8, restart=True).content['frames'] == COUNT


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    def again() -> None:
        with pytest.raises(ExportError, match='another da3 stream'):
            run(tmp_path / 'out', COUNT)

    run(tmp_path / 'out', 12, Between(again))


@dataclass(eq=False)
class Between:
    does: Callable[[], None]

    def estimate(self, window: Window) -> WindowPrediction:
        if window.index == 1:
            self.does()
        return BoxEstimator(WORLD).estimate(window)


def test_what_becomes_metric_is_so_from_the_beginning(tmp_path: Path) -> None:
    """The unit of the first windows is their own; in the end all is in metres."""

    @dataclass(eq=False)
    class Late:
        def estimate(self, window: Window) -> WindowPrediction:
            inner = BoxEstimator(WORLD, is_metric=window.index >= 4)
            return replace(inner.estimate(window), is_metric=inner.is_metric)

    out = tmp_path / 'out'
    run(out, COUNT, Sure(Late()), sample_ratio=0.25, export_format='ply')
    content = summary_of(out)
    assert content['unit'] == 'm'
    assert [change['frame'] for change in content['unit_changes']] == [12]
    assert any('found at frame 12' in note for note in content['notes'])
    assert not any('no metric source' in note for note in content['notes'])
    np.testing.assert_allclose(poses_of(out), truth(COUNT), atol=1e-6)
    for number in (0, 11, 12, COUNT - 1):
        pose = WORLD.world_from_camera('front', stamp_ns(number))
        with np.load(out / f'results_output/frame_{number}.npz') as frame:
            np.testing.assert_allclose(frame['depth'], WORLD.depth(pose), rtol=1e-4)
    first = WORLD.world_from_camera('front', stamp_ns(0))
    xyz = read_ply(out / 'pcd/combined_pcd.ply').xyz
    off = np.abs(np.abs(xyz @ first[:3, :3].T + first[:3, 3]) - (6.0, 5.0, 2.5)).min(axis=1)
    assert off.max() < 1e-3


def test_known_poses_give_their_metre_and_what_they_miss_is_said(tmp_path: Path) -> None:
    """A trajectory in another frame, with other stamps, whose lengths are half as long."""
    turn = Rotation.from_euler('zyx', [1.0, 0.2, -0.3])
    lines = []
    for step in range(-3, 4 * COUNT - 20):
        at_ns = stamp_ns(0) + step * (stamp_ns(1) - stamp_ns(0)) // 4
        pose = WORLD.world_from_camera('front', at_ns)
        place = turn.apply(0.5 * pose[:3, 3]) + np.array([3.0, -2.0, 1.0])
        quaternion = (turn * Rotation.from_matrix(pose[:3, :3])).as_quat()
        lines.append(f'{at_ns / 1e9:.9f} {" ".join(f"{x:.12f}" for x in (*place, *quaternion))}')
    path = tmp_path / 'odometry.tum'
    path.write_text('\n'.join(lines) + '\n', encoding='ascii')
    out = tmp_path / 'out'
    report = run(out, COUNT, known_poses=path)
    content = summary_of(out)
    assert content['unit'] == 'm'
    assert 'odometry' in content['scale_sources']
    assert '5 frames are outside the known poses' in report.content['notes']
    np.testing.assert_allclose(unit_of(poses_of(out)), 0.5, rtol=0.02)
    np.testing.assert_allclose(in_metres(poses_of(out)), truth(COUNT), atol=1e-6)
    path.write_text('\n'.join(f'9{line}' for line in lines), encoding='ascii')
    with pytest.raises(Da3Error, match='at the time of the frames'):
        run(tmp_path / 'other', COUNT, known_poses=path)


def test_cameras_of_a_rig_stand_in_one_metric_world(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    report = run(out, 12, cameras=('front', 'left'), window=3, stride=2)
    content = summary_of(out)
    assert (content['unit'], report.content['frames']) == ('m', 24)
    assert content['cameras'] == ['front', 'left']
    assert content['camera_of_frame'] == [0, 1] * 12
    assert content['numbers'] == [number for number in range(12) for _ in range(2)]
    expected = [true_pose(n, camera) for n in range(12) for camera in ('front', 'left')]
    np.testing.assert_allclose(poses_of(out), expected, atol=1e-3)
    for camera in ('front', 'left'):
        assert len(np.loadtxt(out / f'trajectory_{camera}.tum')) == 12


def test_windows_that_fail_are_made_up_for_or_said(tmp_path: Path) -> None:
    @dataclass(eq=False)
    class Moody:
        failing: tuple[int, ...]

        def estimate(self, window: Window) -> WindowPrediction:
            if window.index in self.failing:
                raise ValueError('not this one')
            return BoxEstimator(WORLD).estimate(window)

    out = tmp_path / 'out'
    report = run(out, COUNT, Moody((3,)))
    assert summary_of(out)['numbers'] == list(range(COUNT))
    assert any('1 windows failed' in note for note in report.content['notes'])
    lossy = tmp_path / 'lossy'
    report = run(lossy, COUNT, Moody((3, 4)))
    assert summary_of(lossy)['numbers'] == [n for n in range(COUNT) if n not in (9, 10, 11)]
    assert any('3 frames have no place' in note for note in report.content['notes'])
    with pytest.raises(PipelineError, match='not this one'):
        run(tmp_path / 'none', COUNT, Moody(tuple(range(20))))
    assert not (tmp_path / 'none').exists()


def test_what_is_not_kept_is_not_written(tmp_path: Path, out: Path) -> None:
    bare = tmp_path / 'bare'
    run(bare, COUNT, save_frames=False, sample_ratio=0.0)
    assert not (bare / 'results_output').exists()
    assert summary_of(bare)['points'] == 0
    assert bytes_of(bare)['camera_poses.txt'] == bytes_of(out)['camera_poses.txt']
    some = tmp_path / 'some'
    run(some, COUNT, save_frames=False, export_format='glb-ply')
    assert {'scene.glb', 'points.ply'} <= set(bytes_of(some))
    assert not (some / 'results_output').exists()


def test_confidence_decides_about_points(tmp_path: Path) -> None:
    out = tmp_path / 'out'
    run(out, 9, Sure(BoxEstimator(WORLD)), sample_ratio=1.0, conf_threshold_coef=1.01)
    assert summary_of(out)['points'] == 0


def test_options_of_the_formats_are_theirs(tmp_path: Path) -> None:
    some, all_of_them = tmp_path / 'some', tmp_path / 'all'
    formats = 'ply-glb'
    run(some, 9, export_format=formats, num_max_points=50, show_cameras=False)
    run(all_of_them, 9, export_format=formats, conf_thresh_percentile=0.0)
    assert len(read_ply(some / 'points.ply').xyz) == 50
    assert len(read_ply(all_of_them / 'points.ply').xyz) == 9 * SIZE.height * SIZE.width
    found = [trimesh.load_scene(folder / 'scene.glb') for folder in (some, all_of_them)]
    assert [len(scene.geometry) for scene in found] == [1, 10]


def test_a_long_stream_gives_some_frames_to_what_joins_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('da3_ros.sinks.stream_results.MOST_FUSED', 10)
    out = tmp_path / 'out'
    report = run(out, COUNT, export_format='colmap-depth_png')
    assert 'colmap: 8 of 31 frames, evenly chosen' in report.content['notes']
    assert len(list((out / 'images').iterdir())) == 8
    assert len(list((out / 'depth_png').iterdir())) == COUNT


def peak_of(out: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the most memory that was in use while frames were computed and written."""
    peaks = []

    def finish_after(*given: Any) -> Finished:
        peaks.append(tracemalloc.get_traced_memory()[1])
        return finish(*given)

    with monkeypatch.context() as patch:
        patch.setattr('da3_ros.sinks.stream_results.finish', finish_after)
        tracemalloc.start()
        try:
            run(out, count, save_frames=False)
        finally:
            tracemalloc.stop()
    return int(peaks[0])


def check_flat(tmp_path: Path, few: int, many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stamps and poses are all that grows; an image of each frame would be ten times as much."""
    monkeypatch.setattr('da3_ros.cli.stream_run.BYTES_AHEAD', 10_000)
    run(tmp_path / 'warm', 12, save_frames=False)
    peaks = [peak_of(tmp_path / str(count), count, monkeypatch) for count in (few, many)]
    assert peaks[1] - peaks[0] < 200 * (many - few) + 100_000, peaks


def test_memory_is_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_flat(tmp_path, 20, 100, monkeypatch)


@pytest.mark.slow
def test_memory_is_flat_over_many_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_flat(tmp_path, 200, 2000, monkeypatch)
