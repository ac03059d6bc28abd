"""What cannot go well is said before anything is computed, and nothing computed is lost."""

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import ExportError, ModelError, PreprocessError
from da3_ros.export import mini_npz
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.random_weights import random_network
from helpers.tiny import ANY_VIEW, SINGLE_VIEW

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 42, 56, 3), np.uint8)


@pytest.fixture(scope='module')
def any_view() -> DepthAnything3:
    return DepthAnything3(network=random_network(ANY_VIEW, 0))


@pytest.fixture(scope='module')
def mono() -> DepthAnything3:
    config = replace(SINGLE_VIEW, name='tiny-mono', canonical_focal_px=None)
    return DepthAnything3(network=random_network(config, 0))


@pytest.fixture
def never_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(*_: Any, **__: Any) -> None:
        raise AssertionError('it computes')

    monkeypatch.setattr(DepthAnything3, 'forward', forward)


def refusal(model: DepthAnything3, images: Any = IMAGES, **options: Any) -> str:
    with pytest.raises((ExportError, ModelError, PreprocessError)) as caught:
        model.inference(images, process_res=56, **options)
    return str(caught.value)


@pytest.mark.usefixtures('never_computes')
def test_formats_that_the_network_cannot_serve(
    any_view: DepthAnything3, mono: DepthAnything3, tmp_path: Path
) -> None:
    out = tmp_path / 'out'

    def message(model: DepthAnything3, formats: str, **options: Any) -> str:
        return refusal(model, export_dir=out, export_format=formats, **options)

    assert 'predicts no Gaussians' in message(mono, 'gs_ply', infer_gs=True)
    assert 'no poses' in message(mono, 'npz-colmap')
    assert 'glb, ply' in message(mono, 'glb-ply')
    assert 'layers [8, 99]' in message(any_view, 'feat_vis', export_feat_layers=[1, 8, 99])
    assert 'expected export_feat_layers' in message(any_view, 'feat_vis')
    assert 'conf_thr' in refusal(any_view, conf_thr=float('nan'))
    assert not out.exists()


def test_formats_of_one_world_take_one_image_or_given_poses(
    mono: DepthAnything3, tmp_path: Path
) -> None:
    options: dict[str, Any] = {'process_res': 56, 'export_format': 'ply'}
    mono.inference(IMAGES[:1], export_dir=tmp_path / 'one', **options)
    poses = np.tile(np.eye(4), (2, 1, 1))
    mono.inference(IMAGES, poses, export_dir=tmp_path / 'two', **options)


@pytest.mark.parametrize(
    'formats', ['mini_npz', 'glb-depth_vis', 'colmap', 'tum', 'feat_vis', 'gs_ply-gs_video']
)
def test_files_that_are_there(
    any_view: DepthAnything3, tmp_path: Path, formats: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused beforehand is what would be refused at the end."""
    options: dict[str, Any] = {
        'export_dir': tmp_path, 'export_format': formats, 'infer_gs': True,
        'export_feat_layers': [1],
    }  # fmt: skip
    any_view.inference(IMAGES, process_res=56, **options, overwrite=False)
    written = sorted(path for path in tmp_path.rglob('*') if path.is_file())
    monkeypatch.setattr(DepthAnything3, 'forward', None)
    for path in written:
        aside = path.read_bytes()
        for other in written:
            other.unlink()
        path.write_bytes(aside)
        message = refusal(any_view, **options, overwrite=False)
        assert path.name in message
        for other in written:
            other.write_bytes(b'')


@pytest.mark.usefixtures('never_computes')
def test_folders_that_cannot_be_written(any_view: DepthAnything3, tmp_path: Path) -> None:
    file = tmp_path / 'file'
    file.write_text('mine')
    (tmp_path / 'folder' / 'scene.glb').mkdir(parents=True)
    for folder in (file, file / 'below'):
        assert str(file) in refusal(any_view, export_dir=folder)
    message = refusal(any_view, export_dir=tmp_path / 'folder', export_format='glb')
    assert 'scene.glb' in message
    assert file.read_text() == 'mine'
    if os.geteuid() == 0:
        # Root may write everywhere but where the file system itself refuses.
        assert 'cannot be written' in refusal(any_view, export_dir='/proc/nowhere')
        return
    tmp_path.chmod(0o500)
    assert 'cannot be written' in refusal(any_view, export_dir=tmp_path / 'new')
    tmp_path.chmod(0o700)


@pytest.mark.usefixtures('never_computes')
def test_a_broken_image_among_the_inputs(any_view: DepthAnything3, tmp_path: Path) -> None:
    paths = [tmp_path / f'{index}.jpg' for index in range(3)]
    for path in paths:
        Image.fromarray(IMAGES[0]).save(path)
    whole = paths[1].read_bytes()
    for content in (whole[: len(whole) // 2], b'no image'):
        paths[1].write_bytes(content)
        message = refusal(any_view, [str(path) for path in paths], export_dir=tmp_path / 'out')
        assert 'image 1' in message
        assert str(paths[1]) in message


def test_a_device_that_is_not_there_is_found_before_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    # Also before the checkpoint is looked for.
    for name in ('cuda', 'cuda:7'):
        with pytest.raises(ModelError, match=f"device '{name}'"):
            DepthAnything3.from_pretrained('nobody/nothing', map_location=name)
    with pytest.raises(ModelError, match="device 'gpu'"):
        DepthAnything3.from_pretrained('da3-nano', map_location='gpu')


def disk_full(*_: Any) -> int:
    raise OSError(28, 'No space left on device')


def too_little_memory(*_: Any) -> int:
    raise MemoryError


@pytest.mark.parametrize('failure', [disk_full, too_little_memory])
def test_what_was_computed_is_in_the_error_when_writing_fails(
    any_view: DepthAnything3,
    tmp_path: Path,
    failure: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = any_view.inference(IMAGES, process_res=56)
    with monkeypatch.context() as patch:
        patch.setattr(mini_npz, 'write_arrays', failure)
        with pytest.raises(ExportError, match='not lost') as caught:
            any_view.inference(IMAGES, process_res=56, export_dir=tmp_path / 'out')
    kept = caught.value.prediction
    np.testing.assert_array_equal(kept.depth, expected.depth)
    assert not (tmp_path / 'out').exists()
    # And can be written when there is room again.
    assert kept.export(tmp_path / 'out', 'mini_npz').files


def test_a_second_export_replaces_its_own_files_and_nothing_else(
    any_view: DepthAnything3, tmp_path: Path
) -> None:
    options: dict[str, Any] = {'export_dir': tmp_path, 'export_format': 'mini_npz-glb'}
    any_view.inference(IMAGES, process_res=56, **options)
    (tmp_path / 'mine.txt').write_text('keep')
    before = (tmp_path / 'scene.glb').read_bytes()
    any_view.inference(IMAGES[::-1], process_res=56, **options)
    assert (tmp_path / 'scene.glb').read_bytes() != before
    assert (tmp_path / 'mine.txt').read_text() == 'keep'


@pytest.mark.usefixtures('never_computes')
def test_an_export_never_replaces_an_image_it_is_made_of(
    any_view: DepthAnything3, tmp_path: Path
) -> None:
    image = tmp_path / 'depth_vis' / '0000.jpg'
    image.parent.mkdir()
    Image.fromarray(IMAGES[0]).save(image)
    message = refusal(any_view, [image], export_dir=tmp_path, export_format='depth_vis')
    assert f'{image}: is an input' in message
