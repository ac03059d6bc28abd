"""`da3 stream` as a command: its inputs, its options, what it refuses."""

from __future__ import annotations

from collections.abc import Callable
import errno
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from da3_ros.cli.stream_job import make_job
from da3_ros.cli.stream_reading import Reading
from da3_ros.cli.stream_run import node_options
from da3_ros.cli.stream_source import stream_source
from da3_ros.errors import ExportError
from da3_ros.export.staging import STAGING_PREFIX
from da3_ros.inference.api import DepthAnything3
from da3_ros.options import to_flat
from da3_ros.sources.image_stamps import stamps_of_names
from helpers.box_stream import BoxStream, bytes_of, poses_of, request, run, summary_of
from helpers.cli import SMALL, da3, da3_json, failure, results_in
from helpers.dataset_folders import shoot, write_cameras_json, write_euroc, write_tum
from helpers.foreign_files import ForeignFiles
from helpers.odd_videos import write_video

WINDOW = ('--window', '4')


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 20 frames of 64x48."""
    return write_video(tmp_path_factory.mktemp('video') / 'in.mp4', count=20)


@pytest.fixture
def options(checkpoint: Path) -> Callable[[Path], tuple[str | Path, ...]]:
    def of(out: Path) -> tuple[str | Path, ...]:
        return (*('--model', checkpoint, *SMALL, '--export-format', ''), '-o', out)

    return of


Options = Callable[[Path], tuple[str | Path, ...]]


def test_a_video_has_true_stamps_and_is_thinned_as_asked(
    tmp_path: Path, options: Options, video: Path
) -> None:
    content = da3_json('stream', video, *options(tmp_path / 'a'), *WINDOW)
    assert (content['frames'], content['windows']) == (20, 10)
    stamps = np.array(summary_of(tmp_path / 'a')['stamps_ns'])
    np.testing.assert_array_equal(np.diff(stamps), 100_000_000)
    assert len(poses_of(tmp_path / 'a')) == 20
    da3('stream', video, *options(tmp_path / 'b'), *WINDOW, '--every', '3')
    assert summary_of(tmp_path / 'b')['numbers'] == [0, 3, 6, 9, 12, 15, 18]
    assert summary_of(tmp_path / 'b')['stamps_ns'] == stamps[::3].tolist()
    da3('stream', video, *options(tmp_path / 'c'), *WINDOW, '--fps', '5')
    assert summary_of(tmp_path / 'c')['stamps_ns'] == stamps[::2].tolist()


def test_images_come_in_natural_order_with_stamps_of_rate_or_names(
    tmp_path: Path, options: Options
) -> None:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number in (10, 9, 2, 1):
        image = np.full((48, 64, 3), 20 * number, np.uint8)
        cv2.imwrite(str(folder / f'{number}.png'), image)
    (folder / '3.png').write_bytes(b'no image')
    content = da3_json('stream', folder, *options(tmp_path / 'a'), *WINDOW, '--fps', '4')
    assert any('3.png' in note and 'cannot be read' in note for note in content['notes'])
    summary = summary_of(tmp_path / 'a')
    assert summary['numbers'] == [0, 1, 3, 4]
    stamps = np.array(summary['stamps_ns'])
    assert ((stamps - stamps[0]) // 250_000_000).tolist() == [0, 1, 3, 4]
    for index, level in enumerate((20, 40, 180, 200)):
        with np.load(tmp_path / f'a/results_output/frame_{index}.npz') as frame:
            assert abs(int(frame['image'].mean()) - level) <= 1
    few = ('stream', folder, *options(tmp_path / 'c'), '--image-extensions', 'jpg')
    assert 'expected images (.jpg)' in failure(*few)
    (folder / '3.png').unlink()
    for number in (10, 9, 2, 1):
        (folder / f'{number}.png').rename(folder / f'130503110{number % 10}.250000.png')
    content = da3_json('stream', folder / '*.png', *options(tmp_path / 'b'), *WINDOW)
    assert summary_of(tmp_path / 'b')['stamps_ns'] == [
        1305031100_250000000 + n * 1_000_000_000 for n in (0, 1, 2, 9)
    ]
    assert not any('assumed' in note for note in content['notes'])


def test_a_dataset_has_its_stamps_cameras_and_intrinsics(tmp_path: Path, options: Options) -> None:
    shots = shoot(4)
    folder = write_euroc(tmp_path / 'MH_01', shots)
    content = da3_json('stream', folder, *options(tmp_path / 'a'), *WINDOW)
    summary = summary_of(tmp_path / 'a')
    assert (content['frames'], len(summary['cameras'])) == (8, 2)
    assert summary['camera_of_frame'] == [0, 1] * 4
    assert summary['stamps_ns'] == [stamp for stamp in shots.stamps_ns for _ in range(2)]
    assert len(np.loadtxt(tmp_path / f'a/trajectory_{summary["cameras"][1]}.tum')) == 4
    folder = write_cameras_json(tmp_path / 'real', shots)
    da3('stream', folder, *options(tmp_path / 'e'), *WINDOW)
    k = np.loadtxt(tmp_path / 'e/intrinsic.txt')
    # 56 columns of 64, and the pixel rule of the network.
    own = shots.camera.K
    assert abs(k[0, 0] - own[0, 0] * 56 / 64) < 1e-6
    assert abs(k[0, 2] - (own[0, 2] + 0.5) * 56 / 64) < 1e-6
    desk = write_tum(tmp_path / 'desk', shots)
    da3('stream', desk, *options(tmp_path / 'b'), *WINDOW, '--every', '2')
    assert summary_of(tmp_path / 'b')['stamps_ns'] == list(shots.stamps_ns[::2])
    plain = ('stream', desk / 'rgb', *options(tmp_path / 'c'), *WINDOW, '--dataset', 'none')
    assert da3_json(*plain)['frames'] == 4
    assert 'it has none' in failure(*plain[:2], *options(tmp_path / 'd'), '--dataset', 'tum')


def test_options_of_network_and_stream_reach_the_pipeline(tmp_path: Path) -> None:
    given = {
        'ref_view_strategy': 'first', 'use_ray_pose': True, 'conditioning': 'off',
        'process_res_method': 'upper_bound_crop', 'threads': 2, 'runtime': 'torch',
        'precision': 'fp32', 'scale_source': 'none', 'window': 5, 'stride': 2,
    }  # fmt: skip
    job = make_job(BoxStream(9), request(tmp_path, **given), ())
    made = node_options(job.request, job.plan, ('front',), has_poses=True)
    flat = to_flat(made)
    assert {name: flat[name] for name in given} == given
    assert made.output.prior_frame
    assert not node_options(job.request, job.plan, ('front',), has_poses=False).output.prior_frame


def test_a_plan_is_made_by_the_header_alone(
    tmp_path: Path, options: Options, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = classmethod(lambda *_, **__: pytest.fail('a model was loaded'))
    monkeypatch.setattr(DepthAnything3, 'from_pretrained', never)
    monkeypatch.setattr(
        'da3_ros.sources.video.VideoReader.frames', lambda _: pytest.fail('a frame was decoded')
    )
    arguments = ('stream', video, *options(tmp_path / 'out'), '--dry-run')
    plan = da3_json(*arguments, '--window', '8', '--stride', '2')['plan']
    assert (plan['frames'], plan['windows'], plan['window'], plan['stride']) == (20, 10, 8, 2)
    assert plan['size'] == [42, 56]
    assert plan['disk_bytes'] >= 20 * 42 * 56 * 11
    assert plan['seconds'] > 0
    assert da3_json(*arguments)['plan']['stride'] * 2 == da3_json(*arguments)['plan']['window']
    assert '20 frames in 10 windows of 8 (6 shared)' in da3(
        *arguments, '--window', '8', '--stride', '2'
    )
    assert not (tmp_path / 'out').exists()


def test_a_configuration_sets_what_the_command_line_leaves(
    tmp_path: Path, options: Options, video: Path
) -> None:
    config = tmp_path / 'config.yaml'
    config.write_text(
        'Model: {chunk_size: 6, overlap: 2, loop_enable: true, save_depth_conf_result: false}\n',
        encoding='utf-8',
    )
    arguments = ('stream', video, *options(tmp_path / 'out'), '--config', config)
    plan = da3_json(*arguments, '--dry-run')
    assert (plan['plan']['window'], plan['plan']['stride']) == (6, 4)
    assert any('means nothing here: Model.loop_enable' in note for note in plan['notes'])
    plan = da3_json(*arguments, '--window', '8', '--dry-run')
    assert (plan['plan']['window'], plan['plan']['stride']) == (8, 4)
    da3(*arguments, '--every', '4')
    assert not (tmp_path / 'out' / 'results_output').exists()
    config.write_text('Model: {chunk_size: 300, overlap: 2}\n', encoding='utf-8')
    assert 'config.yaml: window' in failure(*arguments, '--overwrite')


def test_what_makes_no_sense_is_refused_before_anything_is_done(
    tmp_path: Path, options: Options, video: Path
) -> None:
    arguments = ('stream', video, *options(tmp_path / 'out'))
    assert 'npz: holds all frames' in failure(*arguments, '--export-format', 'npz-glb')
    assert '--stride' in failure(*arguments, '--window', '4', '--stride', '5')
    assert '--fps' in failure(*arguments, '--fps', '-1')
    tmp_path.joinpath('poses.txt').write_text('1 0 0 0 0 1 0 0 0 0 1 0\n' * 20, encoding='ascii')
    assert 'expected stamps' in failure(*arguments, '--poses', tmp_path / 'poses.txt')
    assert not (tmp_path / 'out').exists()


def test_what_others_wrote_stays_and_what_we_wrote_goes(
    tmp_path: Path, options: Options, video: Path
) -> None:
    out = tmp_path / 'out'
    foreign = ForeignFiles(out)
    arguments = ('stream', video, *options(out), *WINDOW)
    assert 'not empty' in failure(*arguments)
    da3(*arguments, '--overwrite', '--every', '2')
    first = results_in(out)
    da3(*arguments, '--overwrite', '--every', '5')
    assert results_in(out) == first
    assert len(list((out / 'results_output').iterdir())) == 4
    assert foreign.changed() == set()
    da3(*arguments, '--auto-cleanup', '--no-save-frames', '--every', '5')
    assert not (out / 'results_output').exists()
    assert foreign.changed() == set()
    assert not [p for p in out.rglob(f'{STAGING_PREFIX}*') if 'stranger' not in p.name]


def test_two_runs_of_a_network_give_the_same_bytes(
    tmp_path: Path, options: Options, video: Path
) -> None:
    for name in 'ab':
        arguments = (*options(tmp_path / name), *WINDOW, '--export-format', 'glb')
        da3('stream', video, *arguments, '--every', '2')
    assert bytes_of(tmp_path / 'a') == bytes_of(tmp_path / 'b')


def test_the_window_is_of_the_device_and_not_of_what_is_free(
    tmp_path: Path, options: Options, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = 'da3_ros.inference.view_limit'
    arguments = ('stream', video, *options(tmp_path / 'out'), '--dry-run')
    plans = []
    for free in (2**40, 2**30):
        monkeypatch.setattr(f'{where}.available_bytes', lambda _, free=free: free)
        plans.append(da3_json(*arguments)['plan'])
    assert [(p['window'], p['stride'], p['window_by']) for p in plans] == [(16, 8, 'default')] * 2
    monkeypatch.setattr(f'{where}.available_bytes', lambda _: 0)
    assert 'fit into what is free now; free some, or use --window 1' in failure(*arguments)
    monkeypatch.setattr(f'{where}.available_bytes', lambda _: 2**40)
    monkeypatch.setattr(f'{where}._SHARE', 1.0)
    model = DepthAnything3.from_pretrained(options(tmp_path)[1])
    estimate = model.estimate_memory(8, (42, 56))
    weights = 4 * sum(p.numel() for p in model.model.parameters())
    total = int(weights + estimate.chunk_bytes + 9.5 * estimate.view_bytes)
    monkeypatch.setattr(f'{where}.total_bytes', lambda _: total)
    plan = da3_json(*arguments)['plan']
    assert (plan['window'], plan['stride'], plan['window_by']) == (8, 4, 'memory')
    assert 'as the memory of the device allows' in da3(*arguments)


def test_images_that_cannot_be_read_are_said_and_others_go_on(
    tmp_path: Path, options: Options
) -> None:
    folder = tmp_path / 'photos'
    folder.mkdir()
    image = np.full((48, 64, 3), 90, np.uint8)
    for name in (b'1.png', b'2 \n b.png', b'\xff 4.png'):
        cv2.imwrite(str(folder / 'made.png'), image)
        (folder / 'made.png').rename(folder / os.fsdecode(name))
    (folder / '0.png').write_bytes(b'no image')
    cv2.imwrite(str(folder / '3.png'), np.full((20, 64, 3), 90, np.uint8))
    notes = da3_json('stream', folder / '*.png', *options(tmp_path / 'a'), *WINDOW)['notes']
    assert any('1 images that cannot be read: 0.png' in note for note in notes)
    # The images of a window get one shape, that of the flat one.
    assert any('1 of 4 frames are cut, frame 3' in n and '(56x42 to 56x14)' in n for n in notes)


def test_options_that_change_nothing_are_said(
    tmp_path: Path, options: Options, video: Path
) -> None:
    folder = tmp_path / 'photos'
    folder.mkdir()
    for name in ('1305031101.250000', '1305031102.250000'):
        cv2.imwrite(str(folder / f'{name}.png'), np.full((48, 64, 3), 90, np.uint8))
    arguments = (*options(tmp_path / 'out'), '--dry-run')
    said = da3_json('stream', folder, *arguments, '--fps', '5')['notes']
    assert any('--fps changes nothing' in note for note in said)
    real = write_cameras_json(tmp_path / 'real', shoot(2))
    said = da3_json('stream', real, *arguments, '--fps', '5')['notes']
    assert any('--fps changes nothing' in note for note in said)
    assert '--dataset tum: expected' in failure('stream', video, *arguments, '--dataset', 'tum')
    assert '--fps: expected' in failure('stream', folder, *arguments, '--fps', '1e-300')


def test_what_changed_between_kill_and_resume_has_another_identity(tmp_path: Path) -> None:
    folder = write_cameras_json(tmp_path / 'real', shoot(3))
    reading = Reading(0.0, 1, ('.png',), 'auto')
    before = stream_source([folder], reading).identity
    assert stream_source([folder], reading).identity == before
    text = (folder / 'cameras.json').read_text(encoding='utf-8')
    content = json.loads(text)
    content['frames'][1]['K'][0][0] += 1.0
    (folder / 'cameras.json').write_text(json.dumps(content), encoding='utf-8')
    assert stream_source([folder], reading).identity != before


def test_numbers_with_zeros_in_front_are_no_times(tmp_path: Path) -> None:
    names = [tmp_path / f'{number:013d}.png' for number in range(3)]
    assert stamps_of_names(names) is None
    assert stamps_of_names([tmp_path / f'{1403636579763 + n}.png' for n in range(3)]) is not None


def test_poses_without_stamps_are_those_of_the_images(tmp_path: Path, options: Options) -> None:
    folder = write_cameras_json(tmp_path / 'real', shoot(3))
    poses = tmp_path / 'poses.txt'
    poses.write_text('1 0 0 0 0 1 0 0 0 0 1 0\n' * 3, encoding='ascii')
    arguments = ('stream', folder, *options(tmp_path / 'out'), '--poses', poses, '--dry-run')
    assert not any('i seconds' in n and 'pose' in n for n in da3_json(*arguments)['notes'])
    poses.write_text('.1 0 0 0 0 0 0 1\n0 0 0 0 0 0 0 1\n', encoding='ascii')
    (note,) = (n for n in da3_json(*arguments)['notes'] if 'go back' in n)
    assert note.count('poses.txt') == 1


def test_a_full_disk_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr('da3_ros.sinks.stream_folder.write_frame', full)
    with pytest.raises(ExportError, match=r'/out: No space left on device'):
        run(tmp_path / 'out', 9)
