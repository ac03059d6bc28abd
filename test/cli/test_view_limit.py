"""What memory does not take is refused before anything is decoded, with advice that works."""

from collections.abc import Callable
from pathlib import Path
import re

import numpy as np
import pytest

from da3_ros.errors import ModelError
from da3_ros.export.registry import FORMATS
from da3_ros.geometry.camera import ImageSize
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.preprocess import bounded, input_size, preprocess
from da3_ros.options.choices import RESIZE_METHODS
from da3_ros.sources.colmap import read_colmap
from da3_ros.sources.video import VideoReader
from helpers.cli import SMALL, da3_json, failure, invoke
from helpers.odd_videos import write_video

SIZE = (42, 56)
"""Of the network's input for images of 64x48 at 56 px."""


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 20 frames of 64x48."""
    return write_video(tmp_path_factory.mktemp('video') / 'in.mp4', count=20)


@pytest.fixture
def room_for(
    monkeypatch: pytest.MonkeyPatch, checkpoint: Path
) -> Callable[[float, tuple[int, int]], None]:
    """Return a function that leaves memory for so many views of a size."""
    model = DepthAnything3.from_pretrained(checkpoint)

    def room(views: float, size: tuple[int, int] = SIZE) -> None:
        estimate = model.estimate_memory(8, size)
        free = int(estimate.chunk_bytes + views * estimate.view_bytes)
        for module in ('runner', 'view_limit'):
            monkeypatch.setattr(f'da3_ros.inference.{module}.available_bytes', lambda _: free)

    return room


def options(checkpoint: Path, out: Path) -> tuple[str | Path, ...]:
    return (
        *('--model-dir', checkpoint, *SMALL, '--export-format', 'mini_npz'),
        *('--export-dir', out),
    )


@pytest.mark.parametrize('views', [8.5, 1.5])
@pytest.mark.parametrize('is_loaded', [False, True])
def test_the_rate_that_is_advised_is_taken(
    tmp_path: Path,
    checkpoint: Path,
    video: Path,
    room_for: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    views: float,
    is_loaded: bool,
) -> None:
    room_for(views)
    if is_loaded:
        # Nobody knew before: it is said then, and still nothing is decoded.
        monkeypatch.setattr('da3_ros.inference.view_limit.available_bytes', lambda _: None)
    arguments = ('video', video, *options(checkpoint, tmp_path / 'out'))
    with monkeypatch.context() as patch:
        patch.setattr(VideoReader, 'frames', lambda _: pytest.fail('a frame was decoded'))
        if not is_loaded:
            never = classmethod(lambda *_, **__: pytest.fail('a model was loaded'))
            patch.setattr(DepthAnything3, 'from_pretrained', never)
        message = failure(*arguments, '--fps', '10')
    assert '20 views' in message
    assert f'about {int(views)} fit' in message
    assert not (tmp_path / 'out').exists()
    (rate,) = re.findall(r'--fps ([\d.e-]+)', message)
    taken = da3_json(*arguments, '--fps', rate)['views']
    # Before the weights are there, room is left for them.
    assert (0.6 * int(views) if is_loaded else 1) <= taken <= int(views)


def test_the_aspect_ratio_counts(
    tmp_path: Path, checkpoint: Path, room_for: Callable[..., None]
) -> None:
    """A wide video of 20 frames fits where a square one does not."""
    room_for(20.5, input_size(ImageSize(16, 64), 56, 'upper_bound_resize'))
    for size, fits in (((64, 16), True), ((64, 64), False)):
        path = write_video(tmp_path / f'{size[1]}.mp4', (size,), count=20)
        out = options(checkpoint, tmp_path / f'out{size[1]}')
        assert (invoke('video', path, *out, '--fps', '10').exit_code == 0) == fits


def test_a_header_that_says_too_little_is_noticed_while_reading(
    tmp_path: Path, checkpoint: Path, room_for: Callable[[float], None]
) -> None:
    path = tmp_path / 'joined.ts'
    path.write_bytes(write_video(tmp_path / 'part.ts').read_bytes() * 3)
    room_for(15.5)
    arguments = ('video', path, *options(checkpoint, tmp_path / 'out'))
    message = failure(*arguments, '--fps', '10')
    assert 'longer than its header says, 30 frames' in message
    assert not (tmp_path / 'out').exists()
    (rate,) = re.findall(r'use --fps ([\d.e-]+)', message)
    assert 8 <= da3_json(*arguments, '--fps', rate)['views'] <= 15


def test_a_header_that_says_too_much_refuses_nothing(
    tmp_path: Path, checkpoint: Path, room_for: Callable[[float], None]
) -> None:
    path = write_video(tmp_path / 'a.mp4', count=20, options={'movflags': 'faststart'})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10 + data.index(b'mdat') * 3 // 10])
    room_for(18.5)
    content = da3_json('video', path, *options(checkpoint, tmp_path / 'out'), '--fps', '10')
    assert 5 < content['views'] < 18
    assert any('20 frames' in note for note in content['notes'])


def test_folders_and_their_batches_are_counted(
    tmp_path: Path, checkpoint: Path, photos: Path, room_for: Callable[[float], None]
) -> None:
    room_for(2.5)
    message = failure('images', photos, *options(checkpoint, tmp_path / 'out'))
    assert '3 views' in message
    assert 'about 2 fit' in message
    other = tmp_path / 'other'
    other.mkdir()
    (other / '0.png').write_bytes((photos / '0.png').read_bytes())
    result = invoke('images', photos, other, *options(checkpoint, tmp_path / 'out'))
    assert result.exit_code == 1
    assert 'about 2 fit' in result.stderr
    assert (tmp_path / 'out' / 'other' / 'da3.json').is_file()
    room_for(3.5)
    assert da3_json('images', photos, *options(checkpoint, tmp_path / 'out3'))['views'] == 3


@pytest.mark.parametrize('is_loaded', [False, True])
def test_a_video_that_does_not_fit_becomes_a_stream_if_its_formats_can(
    tmp_path: Path,
    checkpoint: Path,
    video: Path,
    room_for: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    is_loaded: bool,
) -> None:
    room_for(8.5)
    if is_loaded:
        monkeypatch.setattr('da3_ros.inference.view_limit.available_bytes', lambda _: None)
    out = tmp_path / 'out'
    arguments = ('video', video, *options(checkpoint, out), '--fps', '10')
    message = failure(*arguments)
    assert '--fps' in message
    assert f'`da3 stream {video}`' in message
    assert 'mini_npz: holds all frames at once' in message
    assert '--save-conf' in failure(*arguments, '--save-conf', '--export-format', 'glb')
    assert not out.exists()
    content = da3_json(*arguments, '--export-format', 'glb-tum')
    assert (content['command'], content['frames']) == ('video', 20)
    assert any('da3 stream' in note and '20 views' in note for note in content['notes'])
    assert {'scene.glb', 'camera_poses.txt', 'tum/camera_camera.txt'} <= set(content['files'])


def test_images_that_do_not_fit_become_a_stream(
    tmp_path: Path, checkpoint: Path, photos: Path, room_for: Callable[[float], None]
) -> None:
    room_for(2.5)
    for command, named in (('images', photos), ('auto', photos / '*.png')):
        out = tmp_path / command
        arguments = (*options(checkpoint, out), '--export-format', 'ply')
        assert da3_json(command, named, *arguments)['frames'] == 3
        assert (out / 'points.ply').is_file()


def test_who_allows_smaller_images_is_not_refused(
    tmp_path: Path, checkpoint: Path, photos: Path, room_for: Callable[[float], None]
) -> None:
    room_for(1.5)
    arguments = ('images', photos, *options(checkpoint, tmp_path / 'out'))
    assert isinstance(invoke(*arguments).exception, ModelError)
    assert invoke(*arguments, '--allow-smaller').exit_code == 0


# What is kept of a frame


@pytest.mark.parametrize('method', RESIZE_METHODS)
def test_of_a_frame_that_was_shrunk_the_network_sees_the_same(method: str) -> None:
    rng = np.random.default_rng(0)
    for height, width in ((48, 64), (75, 133), (133, 75), (30, 110), (56, 56), (31, 40)):
        image = rng.integers(0, 255, (height, width, 3), np.uint8)
        kept = bounded(image, 56, method)
        whole = preprocess([image], 56, method)
        np.testing.assert_array_equal(preprocess([kept], 56, method).images, whole.images)
        assert input_size(ImageSize(height, width), 56, method) == whole.images.shape[1:3]


@pytest.mark.parametrize('keeps', [True, False])
def test_a_colmap_model_of_a_video_has_its_pictures(
    tmp_path: Path, checkpoint: Path, video: Path, keeps: bool
) -> None:
    assert 'colmap' in FORMATS
    out = tmp_path / 'out'
    arguments = (*options(checkpoint, out), '--export-format', 'colmap', '--process-res', '28')
    keep = '--keep-frames' if keeps else '--no-keep-frames'
    da3_json('video', video, *arguments, '--fps', '1', keep)
    images = out / ('input_images' if keeps else 'images')
    dataset = tmp_path / 'dataset'
    dataset.mkdir()
    (dataset / 'images').symlink_to(images)
    (dataset / 'sparse').symlink_to(out)
    views = read_colmap(dataset).views
    assert [view.name for view in views] == (
        ['000000.png', '000001.png'] if keeps else ['0000.png', '0001.png']
    )
    size = ImageSize(48, 64) if keeps else ImageSize(*input_size(ImageSize(48, 64), 28, 'upper'))
    assert {view.camera.size for view in views} == {size}
