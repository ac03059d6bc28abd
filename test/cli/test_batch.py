"""`da3 images` with --each or several folders: one model, many scenes."""

from collections.abc import Callable
import json
from pathlib import Path
import struct
from typing import Any

import numpy as np
import pytest

from da3_ros.inference.api import DepthAnything3
from da3_ros.model.presets import CAUTIONS
from helpers.cli import SMALL, da3, da3_json, failure, invoke, results_in

Options = Callable[..., tuple[str | Path, ...]]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / 'out'


@pytest.fixture
def options(checkpoint: Path, out: Path) -> Options:
    def make(*more: str | Path) -> tuple[str | Path, ...]:
        given = ('--model-dir', checkpoint, '--export-dir', out, '--export-format', 'mini_npz')
        return (*given, *SMALL, *more)

    return make


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded, one entry per call."""
    calls: list[Any] = []
    load = DepthAnything3.from_pretrained

    def counting(source: Any, **options: Any) -> DepthAnything3:
        calls.append(source)
        return load(source, **options)

    monkeypatch.setattr(DepthAnything3, 'from_pretrained', counting)
    return calls


def depth(folder: Path) -> np.ndarray:
    with np.load(folder / 'exports' / 'mini_npz' / 'results.npz') as archive:
        return np.asarray(archive['depth'])


def test_every_image_is_what_it_is_alone(
    out: Path, options: Options, photos: Path, checkpoint: Path, loads: list[Any]
) -> None:
    content = da3_json('images', photos, '--each', *options())
    assert len(loads) == 1
    assert (content['done'], content['failed'], content['skipped']) == (3, 0, 0)
    assert [scene['name'] for scene in content['scenes']] == ['0', '1', '2']
    model = DepthAnything3.from_pretrained(checkpoint)
    for name in ('0', '1', '2'):
        alone = model.inference([str(photos / f'{name}.png')], process_res=56)
        np.testing.assert_allclose(depth(out / name), alone.depth, rtol=1e-5)
        assert results_in(out / name) == {'exports', 'da3.json'}


def test_the_test_network_is_named_once(
    out: Path, options: Options, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caution = CAUTIONS['da3-nano']
    result = invoke('images', photos, '--each', *options('--model-dir', 'da3-nano'))
    assert result.stdout.count(caution.text) == 1
    assert caplog.text.count(caution.text) == 1
    again = options('--model-dir', 'da3-nano', '--overwrite', '--json')
    content = json.loads(da3('images', photos, '--each', *again))
    assert content['notes'] == [caution.text]
    # Each folder may be carried elsewhere, and its record with it.
    assert all(
        json.loads((out / name / 'da3.json').read_text())['summary']['notes'] == [caution.text]
        for name in ('0', '1', '2')
    )


def test_original_images_are_known_to_exports(out: Path, options: Options, photos: Path) -> None:
    arguments = options('--export-format', 'colmap')
    content = da3_json('images', photos, '--each', *arguments)
    assert content['done'] == 3
    # COLMAP's model refers to the image by its name, not to an array without one.
    assert b'0.png' in (out / '0' / 'images.bin').read_bytes()


def test_one_bad_image_stops_no_other(out: Path, options: Options, photos: Path) -> None:
    (photos / '1.png').write_bytes(b'no image')
    result = invoke('images', photos, '--each', *options())
    assert result.exit_code == 1
    assert '3 scenes' in result.stdout
    assert '2 done, 1 failed' in result.stdout
    assert f'failed: {photos / "1.png"}' in result.stdout
    assert str(photos / '1.png') in result.stderr
    assert {path.name for path in out.iterdir()} == {'0', '2'}


def test_no_decoder_ends_a_batch(out: Path, options: Options, photos: Path) -> None:
    # A TIFF whose strips begin at a fraction, which no decoder expects.
    tags = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 5, 1, 0), (277, 3, 1, 1), (278, 4, 1, 8), (279, 4, 1, 64)]
    entries = b''.join(struct.pack('<HHII', *tag) for tag in tags)
    head = struct.pack('<2sHIH', b'II', 42, 8, len(tags))
    (photos / '0.png').write_bytes(head + entries + bytes(4) + bytes(64))
    (photos / '1.png').write_bytes(b'RIFF\x20\0\0\0WEBPVP8 \xff\xff\xff\xff')
    result = invoke('images', photos, '--each', *options('--json'))
    content = json.loads(result.stdout)
    assert [scene['status'] for scene in content['scenes']] == ['failed', 'failed', 'done']
    assert all(scene.get('error', 'x').isprintable() for scene in content['scenes'])


def test_failures_are_in_the_json(options: Options, photos: Path) -> None:
    (photos / '1.png').write_bytes(b'no image')
    result = invoke('images', photos, '--each', *options('--json'))
    content = json.loads(result.stdout)
    assert result.exit_code == 1
    assert content['status'] == 'failed'
    assert [scene['status'] for scene in content['scenes']] == ['done', 'failed', 'done']
    assert str(photos / '1.png') in content['scenes'][1]['error']


def test_resume_does_what_is_left(
    out: Path, options: Options, photos: Path, loads: list[Any]
) -> None:
    good = (photos / '1.png').read_bytes()
    (photos / '1.png').write_bytes(b'no image')
    assert invoke('images', photos, '--each', *options()).exit_code == 1
    stamps = {name: (out / name / 'da3.json').stat().st_mtime_ns for name in ('0', '2')}
    (photos / '1.png').write_bytes(good)
    content = da3_json('images', photos, '--each', '--resume', *options())
    assert (content['done'], content['skipped']) == (1, 2)
    assert stamps == {n: (out / n / 'da3.json').stat().st_mtime_ns for n in ('0', '2')}
    assert len(loads) == 2
    # With nothing left no model is loaded.
    assert da3_json('images', photos, '--each', '--resume', *options())['skipped'] == 3
    assert len(loads) == 2


@pytest.mark.parametrize(
    'change',
    [
        ('--process-res', '42'),
        ('--export-format', 'npz'),
        ('--use-ray-pose',),
    ],
)
def test_resume_repeats_what_was_done_otherwise(
    options: Options, photos: Path, change: tuple[str, ...]
) -> None:
    da3('images', photos, '--each', *options())
    content = da3_json('images', photos, '--each', '--resume', *options(*change))
    assert content['done'] == 3


def test_resume_repeats_what_lost_its_files_or_its_record(
    out: Path, options: Options, photos: Path
) -> None:
    da3('images', photos, '--each', *options())
    (out / '0' / 'exports' / 'mini_npz' / 'results.npz').unlink()
    (out / '1' / 'da3.json').unlink()
    content = da3_json('images', photos, '--each', '--resume', *options())
    done = {scene['name'] for scene in content['scenes'] if scene['status'] == 'done'}
    assert done == {'0', '1'}


def test_resume_replaces_no_record_that_somebody_changed(
    out: Path, options: Options, photos: Path
) -> None:
    da3('images', photos, '--each', *options())
    (out / '1' / 'da3.json').write_text('{"request": ', encoding='utf-8')
    result = invoke('images', photos, '--each', '--resume', *options())
    assert result.exit_code == 1
    assert 'da3.json was not written by da3, or was changed since' in result.stderr
    assert (out / '1' / 'da3.json').read_text(encoding='utf-8') == '{"request": '
    da3('images', photos, '--each', '--overwrite', *options())
    assert json.loads((out / '1' / 'da3.json').read_text(encoding='utf-8'))


def test_equal_names_get_folders_of_their_own(
    tmp_path: Path, out: Path, options: Options, photos: Path
) -> None:
    (photos / '0.jpg').write_bytes((photos / '0.png').read_bytes())
    other = tmp_path / 'other' / 'photos'
    other.mkdir(parents=True)
    (other / '1.png').write_bytes((photos / '1.png').read_bytes())
    content = da3_json('images', photos, other, '--each', *options())
    names = [scene['name'] for scene in content['scenes']]
    assert names == ['0.jpg', '0.png', '1.png', '2', '1.png_1']
    assert {path.name for path in out.iterdir()} == set(names)


def test_folders_are_scenes(
    tmp_path: Path, out: Path, options: Options, photos: Path, loads: list[Any]
) -> None:
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'a.png').write_bytes((photos / '0.png').read_bytes())
    content = da3_json('images', photos, other, *options())
    assert len(loads) == 1
    assert [(scene['name'], scene['views']) for scene in content['scenes']] == [
        ('photos', 3), ('other', 1),
    ]  # fmt: skip
    assert depth(out / 'photos').shape[0] == 3
    assert depth(out / 'other').shape[0] == 1


def test_names_of_files_stay_in_the_folder(
    tmp_path: Path, out: Path, options: Options, photos: Path
) -> None:
    (photos / 'a..b ~;$(c).png').write_bytes((photos / '0.png').read_bytes())
    folder = tmp_path / 'x y'
    photos.rename(folder)
    da3('images', folder, '--each', *options())
    # All of them directly below the folder of the results.
    assert len([path for path in out.iterdir() if (path / 'da3.json').is_file()]) == 4


def test_a_used_folder_is_refused_and_a_batch_can_start_anew(
    out: Path, options: Options, photos: Path
) -> None:
    da3('images', photos, '--each', *options())
    refusal = failure('images', photos, '--each', *options())
    assert 'holds 3 of these 3 scenes: --resume goes on' in refusal
    assert 'got both' in failure(
        'images', photos, '--each', '--resume', '--auto-cleanup', *options()
    )
    (out / 'old').mkdir()
    da3('images', photos, '--each', '--overwrite', *options())
    assert (out / 'old').is_dir()
    (photos / '2.png').unlink()
    da3('images', photos, '--each', '--auto-cleanup', *options())
    # What another batch left is gone, what somebody else made is not.
    assert {path.name for path in out.iterdir()} == {'0', '1', 'old'}


def test_a_wrong_checkpoint_ends_the_batch_at_once(
    tmp_path: Path, out: Path, options: Options, photos: Path
) -> None:
    message = failure('images', photos, '--each', *options('--model-dir', tmp_path / 'no'))
    assert 'no such folder' in message
    assert not out.exists()
