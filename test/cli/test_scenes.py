"""`da3 image`, `images`, `video`, `colmap` and `auto`: one scene from input to files."""

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from da3_ros.errors import CheckpointError, ExportError, ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.model.presets import CAUTIONS
from helpers.cli import SMALL, da3, da3_json, failure, invoke, results_in
from helpers.colmap_writer import write_binary
from helpers.rounding import DEEP, assert_equal_to_rounding

FILES = 'mini_npz'


def options(checkpoint: Path, out: Path, formats: str = FILES) -> tuple[str | Path, ...]:
    return ('--model-dir', checkpoint, '--export-dir', out, '--export-format', formats, *SMALL)


def results(out: Path, name: str = 'mini_npz') -> dict[str, np.ndarray]:
    with np.load(out / 'exports' / name / 'results.npz') as archive:
        return dict(archive)


def test_an_image_becomes_what_the_api_says(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / 'out'
    content = da3_json('image', photos / '0.png', *options(checkpoint, out, 'npz'))
    model = DepthAnything3.from_pretrained(checkpoint)
    expected = model.inference([str(photos / '0.png')], process_res=56)
    found = results(out, 'npz')
    assert_equal_to_rounding(found['depth'], expected.depth, DEEP)
    assert expected.intrinsics is not None
    np.testing.assert_allclose(found['intrinsics'], expected.intrinsics, rtol=1e-6)
    assert content['status'] == 'ok'
    assert content['views'] == 1
    assert content['size'] == list(expected.depth.shape[1:])
    assert content['model'] == 'tiny-gaussian'
    assert content['device'] == 'cpu'
    assert content['files'] == ['exports/npz/results.npz']
    assert set(content['seconds']) == {'load', 'predict', 'export'}


def test_a_folder_is_one_scene_in_the_order_of_names(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    da3('images', photos, *options(checkpoint, tmp_path / 'out'))
    model = DepthAnything3.from_pretrained(checkpoint)
    paths = [str(photos / f'{index}.png') for index in range(3)]
    expected = model.inference(paths, process_res=56)
    np.testing.assert_allclose(results(tmp_path / 'out')['depth'], expected.depth, rtol=1e-5)


def test_the_summary_names_the_files(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    out = tmp_path / 'out'
    text = da3('images', photos, *options(checkpoint, out, 'mini_npz-glb'), '--save-conf')
    assert '3 views of 56x42 in scene units' in text
    assert str(out / 'scene.glb') in text
    confidence = [np.load(out / 'conf' / f'{index:04d}.npy') for index in range(3)]
    stored = results(out)['conf']
    # mini_npz rounds to two decimals, this does not.
    np.testing.assert_allclose(confidence, stored, atol=0.0051)
    assert not np.array_equal(np.stack(confidence), stored)


def test_the_test_network_is_named_as_such(tmp_path: Path, photos: Path) -> None:
    text = CAUTIONS['da3-nano'].text
    chosen = ('--model', 'da3-nano', '--export-format', FILES)
    result = invoke('image', photos / '0.png', *chosen, '--export-dir', tmp_path / 'a', *SMALL)
    assert f'note: {text}' in result.stdout
    content = da3_json('images', photos, *chosen, '--export-dir', tmp_path / 'b', *SMALL)
    assert content['notes'] == [text]


@pytest.mark.parametrize('method', ['upper_bound_crop', 'lower_bound_resize'])
def test_options_reach_the_network(
    tmp_path: Path, checkpoint: Path, photos: Path, method: str
) -> None:
    out = tmp_path / 'out'
    arguments = ('--process-res-method', method, '--ref-view-strategy', 'middle', '--use-ray-pose')
    da3('images', photos, *options(checkpoint, out, 'npz'), *arguments)
    model = DepthAnything3.from_pretrained(checkpoint)
    paths = [str(photos / f'{index}.png') for index in range(3)]
    expected = model.inference(
        paths,
        process_res=56,
        process_res_method=method,
        ref_view_strategy='middle',
        use_ray_pose=True,
    )
    np.testing.assert_allclose(results(out, 'npz')['depth'], expected.depth, rtol=1e-5)
    assert expected.extrinsics is not None
    # The fit of cameras to rays hands on rounding many times larger.
    assert_equal_to_rounding(results(out, 'npz')['extrinsics'], expected.extrinsics, 1e-3)


def test_features_and_gaussians_are_exported(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    content = da3_json(
        'images', photos, *options(checkpoint, tmp_path / 'out', 'gs_ply'), '--overwrite'
    )
    assert any(name.startswith('gs_ply/') for name in content['files'])
    content = da3_json(
        'images', photos, *options(checkpoint, tmp_path / 'f', 'feat_vis'), '--export-feat', '5, 3'
    )
    layers = {name.split('/')[1].removesuffix('.mp4') for name in content['files']}
    assert layers == {'feat_layer_3', 'feat_layer_5'}


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds at 10 frames per second, each frame a grey level."""
    path = tmp_path / 'in.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for index in range(20):
            picture = np.full((48, 64, 3), 10 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_video_is_sampled_in_time(tmp_path: Path, checkpoint: Path, video: Path) -> None:
    out = tmp_path / 'out'
    content = da3_json('video', video, *options(checkpoint, out), '--fps', '2')
    assert content['views'] == 4
    frames = sorted((out / 'input_images').iterdir())
    assert [path.name for path in frames] == [f'{index:06d}.png' for index in range(4)]
    levels = [float(np.asarray(cv2.imread(str(path))).mean()) for path in frames]
    np.testing.assert_allclose(levels, [0, 50, 100, 150], atol=4)
    assert results_in(out) == {'exports', 'input_images'}


def test_frames_need_not_stay(tmp_path: Path, checkpoint: Path, video: Path) -> None:
    out = tmp_path / 'out'
    assert da3_json('video', video, *options(checkpoint, out), '--no-keep-frames')['views'] == 2
    assert results_in(out) == {'exports'}


def test_more_frames_than_there_are_is_a_note(
    tmp_path: Path, checkpoint: Path, video: Path
) -> None:
    out = options(checkpoint, tmp_path / 'out')
    content = da3_json('auto', video, *out, '--fps', '50', '--process-res', '28')
    assert content['views'] == 20
    assert any('10 frames per second' in note for note in content['notes'])


@pytest.mark.parametrize('fps', ['0', '-1', 'nan', 'inf'])
def test_impossible_rates_are_refused(
    tmp_path: Path, checkpoint: Path, video: Path, fps: str
) -> None:
    result = invoke('video', video, *options(checkpoint, tmp_path / 'out'), '--fps', fps)
    assert result.exit_code == 2
    assert 'expected more than 0' in result.stderr
    assert not (tmp_path / 'out').exists()


def colmap_dataset(folder: Path, model: str, params: tuple[float, ...]) -> None:
    images = []
    (folder / 'images').mkdir(parents=True)
    for index in range(3):
        rng = np.random.default_rng(index)
        pixels = cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (64, 48))
        cv2.imwrite(str(folder / 'images' / f'{index}.png'), pixels)
        pose = (1.0, 0.0, 0.0, 0.0, float(index), 0.1 * index, 0.0)
        images.append((index + 1, pose, 1, f'{index}.png', [(1.0, 1.0, -1)]))
    # The file's order is not that of the names.
    write_binary(folder / 'sparse' / '0', [(1, model, 64, 48, params)], images[::-1])


def test_colmap_cameras_are_kept(tmp_path: Path, checkpoint: Path) -> None:
    colmap_dataset(tmp_path / 'scene', 'PINHOLE', (60.0, 61.0, 32.0, 24.0))
    out = tmp_path / 'out'
    content = da3_json('auto', tmp_path / 'scene', *options(checkpoint, out))
    found = results(out)
    np.testing.assert_allclose(found['extrinsics'][:, 0, 3], [0, 1, 2], atol=1e-6)
    # 64x48 becomes 56x42, and both have the first pixel's centre at (0.5, 0.5).
    np.testing.assert_allclose(
        found['intrinsics'][1],
        np.array([[60 * 56 / 64, 0, 28], [0, 61 * 42 / 48, 21], [0, 0, 1]]),
        rtol=1e-6,
    )
    assert not (out / 'input_images').exists()
    assert content['command'] == 'auto'


def test_distorted_colmap_cameras_are_rectified(tmp_path: Path, checkpoint: Path) -> None:
    params = (60.0, 60.0, 32.0, 24.0, -0.1, 0.0, 0.0, 0.0)
    colmap_dataset(tmp_path / 'scene', 'OPENCV', params)
    out = tmp_path / 'out'
    content = da3_json('colmap', tmp_path / 'scene', *options(checkpoint, out))
    assert any('OPENCV' in note and 'rectified' in note for note in content['notes'])
    assert len(list((out / 'input_images').iterdir())) == 3
    np.testing.assert_allclose(results(out)['intrinsics'][0, :2, 2], [28, 21], atol=1e-5)


def test_auto_takes_any_image_and_refuses_the_rest(tmp_path: Path, checkpoint: Path) -> None:
    folder = tmp_path / 'photos'
    folder.mkdir()
    cv2.imwrite(str(folder / 'a.webp'), np.zeros((48, 64, 3), np.uint8))
    out = options(checkpoint, tmp_path / 'out')
    assert da3_json('auto', folder, *out)['views'] == 1
    assert da3_json('auto', folder / 'a.webp', *out, '--overwrite')['views'] == 1
    assert 'there is nothing' in failure('auto', tmp_path / 'nowhere', *out, '--overwrite')
    (tmp_path / 'notes.txt').touch()
    assert 'expected an image' in failure('auto', tmp_path / 'notes.txt', *out, '--overwrite')
    message = failure('auto', tmp_path, *out, '--overwrite')
    assert 'da3 images' in message


@pytest.fixture
def no_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with the arguments is said before a model is loaded."""

    def loaded(*_: object, **__: object) -> None:
        raise AssertionError('a model was loaded')

    monkeypatch.setattr(DepthAnything3, 'from_pretrained', loaded)


@pytest.mark.usefixtures('no_loading')
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('--export-format', 'glb-nonsense'), 'nonsense'),
        (('--export-format', ''), 'expected one or more'),
        (('--export-format', 'feat_vis'), '--export-feat'),
        (('--export-feat', '5,x'), 'expected numbers'),
        (('--model', 'da3-small', '--model-dir', 'elsewhere'), 'got both'),
        (('--process-res', '-1'), '--process-res'),
        (('--conf-thresh-percentile', '101'), '--conf-thresh-percentile'),
        (('--num-max-points', '0'), '--num-max-points'),
        (('--ref-view-strategy', 'empty'), '--ref-view-strategy'),
        (('--process-res-method', 'squash'), '--process-res-method'),
        (('--precision', 'int4'), '--precision'),
    ],
)
def test_wrong_options_are_found_first(
    tmp_path: Path, photos: Path, arguments: tuple[str, ...], message: str
) -> None:
    out = tmp_path / 'out'
    assert message in failure('images', photos, '--export-dir', out, *arguments)
    assert not out.exists()


@pytest.mark.usefixtures('no_loading')
def test_missing_and_broken_input_is_found_first(tmp_path: Path, photos: Path) -> None:
    out = ('--export-dir', tmp_path / 'out')
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken.png').write_bytes(b'no image')
    for arguments, message in (
        (('image', tmp_path / 'none.png'), 'there is none'),
        (('image', tmp_path / 'broken.png'), 'cannot be read'),
        (('images', tmp_path / 'empty'), 'expected images'),
        (('images', tmp_path / 'nowhere'), 'there is nothing'),
        (('images', photos, '--image-extensions', 'webp'), r'it has .png files'),
        (('video', tmp_path / 'none.mp4'), 'expected a file'),
        (('video', tmp_path / 'broken.png'), 'cannot be read'),
        (('colmap', photos), 'images'),
        (('images', photos, '--resume'), '--each'),
    ):
        assert message in failure(*arguments, *out), arguments
    assert not (tmp_path / 'out').exists()


def test_an_unknown_device_is_told(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    arguments = ('--model-dir', checkpoint, '--export-dir', tmp_path / 'out')
    for device in ('nonsense', 'cuda:77'):
        result = invoke('images', photos, *arguments, '--device', device)
        assert result.exit_code == 2
        assert device in result.stderr


def test_an_unreadable_image_names_itself(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    (photos / '1.png').write_bytes(b'no image')
    out = tmp_path / 'out'
    message = failure('images', photos, *options(checkpoint, out))
    assert str(photos / '1.png') in message
    assert not out.exists()


def test_a_network_without_gaussians_or_confidence_says_so(
    tmp_path: Path, single_view_checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / 'out'
    message = failure('images', photos, *options(single_view_checkpoint, out, 'gs_ply'))
    assert 'no Gaussians' in message
    message = failure('images', photos, *options(single_view_checkpoint, out), '--save-conf')
    assert 'no confidence' in message
    assert not out.exists()


def test_without_the_hub_the_default_model_says_what_to_do(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    result = invoke('images', photos, '--export-dir', tmp_path / 'out')
    assert isinstance(result.exception, CheckpointError)
    message = str(result.exception)
    assert message.endswith('hf download depth-anything/DA3-SMALL')
    assert '140 MB' in message
    assert len(message) < 250
    assert not (tmp_path / 'out').exists()


def test_too_many_views_for_the_memory_are_refused(
    tmp_path: Path, checkpoint: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DepthAnything3, 'views_that_fit', lambda *_, **__: 2)
    result = invoke('images', photos, *options(checkpoint, tmp_path / 'out'))
    assert isinstance(result.exception, ModelError)
    assert '3 views' in str(result.exception)
    assert '--each' in str(result.exception)
    assert not (tmp_path / 'out').exists()


def test_results_are_not_mixed_by_accident(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    out = tmp_path / 'out'
    da3('image', photos / '0.png', *options(checkpoint, out))
    before = results(out)['depth']
    (out / 'mine.txt').write_text('keep me', encoding='utf-8')
    message = failure('image', photos / '1.png', *options(checkpoint, out))
    for words in ('not empty', '--overwrite', '--auto-cleanup'):
        assert words in message
    np.testing.assert_array_equal(results(out)['depth'], before)
    da3('image', photos / '1.png', *options(checkpoint, out), '--overwrite')
    assert not np.array_equal(results(out)['depth'], before)
    assert (out / 'mine.txt').exists()
    arguments = (*options(checkpoint, out), '--auto-cleanup', '--export-format', 'glb')
    da3('image', photos / '1.png', *arguments)
    assert results_in(out) == {'scene.glb', 'scene.jpg', 'depth_vis', 'mine.txt'}


def test_a_failed_run_removes_nothing(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    out = tmp_path / 'out'
    da3('image', photos / '0.png', *options(checkpoint, out))
    before = results(out)['depth']
    (photos / '1.png').write_bytes(b'no image')
    failure('image', photos / '1.png', *options(checkpoint, out), '--auto-cleanup')
    failure('image', photos / '0.png', *options(tmp_path / 'no', out), '--auto-cleanup')
    np.testing.assert_array_equal(results(out)['depth'], before)


def test_a_full_disk_leaves_nothing(
    tmp_path: Path, checkpoint: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def write(self: Path, data: bytes) -> int:
        written.append(self)
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Path, 'write_bytes', write)
    out = tmp_path / 'results' / 'out'
    result = invoke('video', video, *options(checkpoint, out))
    assert isinstance(result.exception, ExportError)
    assert 'No space left' in str(result.exception)
    assert written
    assert not (tmp_path / 'results').exists()


def test_frames_disappear_when_the_export_fails(
    tmp_path: Path, checkpoint: Path, video: Path
) -> None:
    out = tmp_path / 'out'
    da3('video', video, *options(checkpoint, out))
    before = sorted(path.name for path in out.rglob('*'))
    # A folder where the file belongs.
    (out / 'exports' / 'mini_npz' / 'results.npz').unlink()
    (out / 'exports' / 'mini_npz' / 'results.npz').mkdir()
    result = invoke('video', video, *options(checkpoint, out), '--overwrite', '--fps', '5')
    assert isinstance(result.exception, ExportError)
    assert sorted(path.name for path in out.rglob('*')) == before


def test_errors_are_json_too(tmp_path: Path, photos: Path) -> None:
    for arguments, code in ((('--export-format', 'x'), 1), (('--export-feat', 'x'), 2)):
        result = invoke('images', photos, '--export-dir', tmp_path / 'o', *arguments, '--json')
        content = json.loads(result.stdout)
        assert result.exit_code == code
        assert content['status'] == 'error'
        assert content['exit_code'] == code
        assert content['error']
