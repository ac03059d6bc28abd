"""Image files of users on their way through the commands."""

from pathlib import Path
import struct
from typing import Any
import warnings

import av
import cv2
import numpy as np
from PIL import Image
import pytest

from da3_ros.cli.named_inputs import named_inputs
from helpers.cli import SMALL, da3, da3_json, failure
from helpers.colmap_writer import write_binary
from helpers.ply_files import read_ply


def options(checkpoint: Path, out: Path, formats: str) -> tuple[str | Path, ...]:
    return ('--model', checkpoint, '--export-dir', out, '--export-format', formats, *SMALL)


def results(out: Path, name: str = 'npz') -> dict[str, np.ndarray[Any, Any]]:
    with np.load(out / 'exports' / name / 'results.npz') as archive:
        return dict(archive)


def depth_png(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_sixteen_bits_of_grey_are_the_same_picture_in_every_command(
    tmp_path: Path, checkpoint: Path
) -> None:
    rows, columns = np.mgrid[0:42, 0:56]
    grey = ((rows + columns) % 200 + 20).astype(np.uint16)
    folder = tmp_path / 'in'
    folder.mkdir()
    path = folder / 'a.png'
    cv2.imwrite(str(path), grey * 257)
    for number, command in enumerate((('image', path), ('images', folder), ('auto', path))):
        out = tmp_path / str(number)
        da3_json(*command, *options(checkpoint, out, 'npz'))
        [image] = results(out)['image']
        np.testing.assert_array_equal(image, np.dstack([grey] * 3))
    out = tmp_path / 'each'
    da3_json('images', folder, '--each', *options(checkpoint, out, 'npz'))
    np.testing.assert_array_equal(results(out / 'a')['image'][0], np.dstack([grey] * 3))


@pytest.mark.parametrize('each', [False, True])
def test_nothing_stands_where_an_image_is_transparent(
    tmp_path: Path, checkpoint: Path, each: bool
) -> None:
    folder = tmp_path / 'in'
    folder.mkdir()
    pixels = np.full((42, 56, 4), 255, np.uint8)
    pixels[..., :3] = np.random.default_rng(0).integers(60, 250, (42, 56, 3))
    pixels[:14] = (255, 0, 0, 0)
    Image.fromarray(pixels).save(folder / 'a.png')
    out = tmp_path / 'out'
    formats = 'npz-ply-depth_png-gs_ply'
    extra = ('--each',) if each else ()
    content = da3_json(
        'images', folder, *extra, *options(checkpoint, out, formats),
        '--conf-thresh-percentile', '0',
    )  # fmt: skip
    if each:
        out, content = out / 'a', content['scenes'][0]
    assert 'a.png: transparent pixels have no depth' in ' '.join(content['notes'])
    stored = results(out)
    np.testing.assert_array_equal(np.isfinite(stored['depth'][0]), pixels[..., 3] > 0)
    assert (stored['conf'][0][:14] == 0).all()
    assert content['points'] == 28 * 56
    depth = depth_png(out / 'depth_png' / '0000.png')
    assert not depth[:14].any()
    # Of Gaussians at most those of the visible pixels.
    assert 0 < len(read_ply(out / 'gs_ply' / '0000.ply').xyz) <= 28 * 56


def test_depth_at_the_size_of_the_images(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    arguments = ('images', photos, '--depth-size', 'input')
    content = da3_json(*arguments, *options(checkpoint, tmp_path / 'a', 'mini_npz-depth_png'))
    assert content['size'] == [48, 64]
    stored = results(tmp_path / 'a', 'mini_npz')
    assert stored['depth'].shape == (3, 48, 64)
    np.testing.assert_allclose(stored['intrinsics'][:, 0, 2], 32, atol=1e-3)
    depth = depth_png(tmp_path / 'a' / 'depth_png' / '0002.png')
    np.testing.assert_allclose(depth, stored['depth'][2] * 1000, atol=0.51)
    message = failure(*arguments, *options(checkpoint, tmp_path / 'b', 'gs_ply'))
    assert 'Gaussians' in message
    assert not (tmp_path / 'b').exists()


def test_landscape_beside_portrait_is_never_cropped_in_silence(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    with Image.open(photos / '1.png') as image:
        image.rotate(90, expand=True).save(photos / '1.png')
    content = da3_json('images', photos, *options(checkpoint, tmp_path / 'a', 'mini_npz'))
    assert content['size'] == [42, 42]
    assert any('3 of 3 images lose part of their view' in note for note in content['notes'])
    each = ('images', photos, '--each')
    content = da3_json(*each, *options(checkpoint, tmp_path / 'b', 'mini_npz'))
    assert [scene['notes'] for scene in content['scenes']] == [[], [], []]
    message = failure(
        'images', photos, '--depth-size', 'input', *options(checkpoint, tmp_path / 'c', 'mini_npz')
    )
    assert 'expected images of one size' in message


def test_images_that_a_folder_has_besides_are_in_the_notes(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    (photos / 'b.gif').touch()
    (photos / 'c.gif').touch()
    content = da3_json('images', photos, *options(checkpoint, tmp_path / 'a', 'mini_npz'))
    assert content['views'] == 3
    assert any(note.startswith('2 .gif files') for note in content['notes'])


def test_rectified_images_stay_transparent(tmp_path: Path, checkpoint: Path) -> None:
    (tmp_path / 'images').mkdir()
    rows, columns = np.mgrid[0:48, 0:64]
    pixels = np.dstack([4 * columns, 5 * rows, columns + rows, rows * 0 + 255]).astype(np.uint8)
    pixels[:24, :, 3] = 0
    Image.fromarray(pixels).save(tmp_path / 'images' / 'a.png')
    params = (60.0, 60.0, 32.0, 24.0, -0.1, 0.0, 0.0, 0.0)
    pose = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    camera = (1, 'OPENCV', 64, 48, params)
    write_binary(tmp_path / 'sparse' / '0', [camera], [(1, pose, 1, 'a.png', ())])
    out = tmp_path / 'out'
    da3_json('colmap', tmp_path, *options(checkpoint, out, 'npz'))
    # The middle row is one, the lens moves pixels along the radius.
    known = np.isfinite(results(out)['depth'][0])
    assert not known[:20].any()
    assert known[23:].all()
    made = np.asarray(Image.open(out / 'input_images' / 'a.png'))
    assert set(np.unique(made[..., 3])) == {0, 255}


def test_frames_of_a_video_keep_their_size_for_depth_of_that_size(
    tmp_path: Path, checkpoint: Path
) -> None:
    path = tmp_path / 'a.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=2)
        stream.width, stream.height = 160, 120
        for shade in (50, 200):
            picture = np.full((120, 160, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode(None))
    out = tmp_path / 'out'
    content = da3_json(
        'video', path, '--fps', '2', '--depth-size', 'input', *options(checkpoint, out, 'npz')
    )
    assert content['size'] == [120, 160]
    assert results(out)['image'].shape == (content['views'], 120, 160, 3)


def test_what_a_pattern_matches_comes_in_the_order_of_numbers(tmp_path: Path) -> None:
    names = ('9/a2.png', '9/a10.png', '10/a1.png')
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = named_inputs([tmp_path / '*' / '*.png']).files
    assert [path.relative_to(tmp_path).as_posix() for path in found] == list(names)


def test_names_of_files_are_printed_without_their_control_characters(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    out = tmp_path / 'red\x1b[31m'
    said = da3('image', photos / '0.png', '--model', checkpoint, '--export-dir', out, *SMALL)
    assert 'red\\x1b[31m' in said
    assert '\x1b' not in said


def test_remarks_of_pillow_do_not_stand_beside_ours(tmp_path: Path) -> None:
    # An orientation of two values, where EXIF has one.
    tag = struct.pack('<HHIHH', 0x112, 3, 2, 6, 6)
    exif = b'Exif\0\0II*\0' + struct.pack('<IH', 8, 1) + tag + bytes(4)
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (64, 48)).save(path, exif=exif)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        da3('info', path)
    assert not seen
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        da3('-v', 'info', path)
    assert seen
