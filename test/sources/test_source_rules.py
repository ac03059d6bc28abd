"""Small rules of images and COLMAP folders, one by one."""

import logging
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.colmap import PinholeImages, looks_like_colmap, read_colmap
from da3_ros.sources.colmap_cameras import MODELS, NAMES, ColmapCamera
from da3_ros.sources.colmap_files import read_cameras, read_images
from da3_ros.sources.images import has_images, list_images, parse_suffixes, read_header
from helpers.colmap_writer import write_binary, write_text

POSE = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
# COLMAP, src/colmap/sensor/models.h: the numbers in binary files.
COLMAP_NUMBERS = {
    'SIMPLE_PINHOLE': 0,
    'PINHOLE': 1,
    'SIMPLE_RADIAL': 2,
    'RADIAL': 3,
    'OPENCV': 4,
    'OPENCV_FISHEYE': 5,
    'FULL_OPENCV': 6,
    'FOV': 7,
    'SIMPLE_RADIAL_FISHEYE': 8,
    'RADIAL_FISHEYE': 9,
    'THIN_PRISM_FISHEYE': 10,
    'RAD_TAN_THIN_PRISM_FISHEYE': 11,
    'SIMPLE_DIVISION': 12,
    'DIVISION': 13,
    'SIMPLE_FISHEYE': 14,
    'FISHEYE': 15,
    'EUCM': 16,
}


def picture(path: Path, size: tuple[int, int] = (48, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 90, np.uint8))
    return path


def dataset(folder: Path, size: tuple[int, int] = (48, 64)) -> Path:
    """Write a dataset of one pinhole image."""
    write_text(
        folder / 'sparse' / '0',
        [(1, 'PINHOLE', 64, 48, (50.0, 50.0, 32.0, 24.0))],
        [(1, POSE, 1, 'a.png', [])],
    )
    picture(folder / 'images' / 'a.png', size)
    return folder


# COLMAP


def test_models_have_the_numbers_of_colmap() -> None:
    assert {name: model.number for name, model in MODELS.items()} == COLMAP_NUMBERS
    assert {number: name for name, number in COLMAP_NUMBERS.items()} == NAMES


@pytest.mark.parametrize('model', MODELS)
def test_a_camera_without_coefficients_is_a_pinhole_unless_it_goes_by_angles(model: str) -> None:
    """By the law itself: with coefficients of zero, does a ray at 45 degrees leave its place?"""
    kind = MODELS[model]
    zeros = [0.0] * kind.coefficients
    if model == 'FOV':
        zeros = [1e-9]  # its limit
    camera = ColmapCamera(
        1, model, ImageSize(480, 640), (*[300.0] * kind.focals, 320.0, 240.0, *zeros)
    )
    moved = abs(float(camera.project(np.array([1.0, 0.0]))[0]) - 620.0) > 1
    if model in ('FOV', 'EUCM'):  # angular in general, a pinhole at this end of their range
        assert camera.is_distorted
    else:
        assert camera.is_distorted == moved


@pytest.mark.parametrize(('across', 'down'), [(0.5, 0.5), (0.5, 0.25), (2.0, 3.0)])
def test_resizing_scales_each_side_by_its_own(across: float, down: float) -> None:
    size = ImageSize(round(480 * down), round(640 * across))
    camera = ColmapCamera(1, 'OPENCV', ImageSize(480, 640), (500, 400, 320, 240, 0.1, 0, 0, 0))
    wanted = (500 * across, 400 * down, 320 * across, 240 * down, 0.1, 0, 0, 0)
    assert camera.resized(size).params == pytest.approx(wanted)
    simple = ColmapCamera(1, 'SIMPLE_RADIAL', ImageSize(480, 640), (500, 320, 240, 0.1))
    mean = 500 * (across + down) / 2
    assert simple.resized(size).params == pytest.approx((mean, 320 * across, 240 * down, 0.1))


@pytest.mark.parametrize('focal', [0.0, -1.0])
@pytest.mark.parametrize('place', [0, 1])
def test_focal_lengths_are_positive(focal: float, place: int) -> None:
    params = [500.0, 500.0, 0.0, -3.0]
    assert ColmapCamera(1, 'PINHOLE', ImageSize(4, 4), tuple(params)).params[3] == -3
    params[place] = focal
    with pytest.raises(SourceError, match='focal lengths above 0'):
        ColmapCamera(1, 'PINHOLE', ImageSize(4, 4), tuple(params))


def test_a_folder_looks_like_colmap_with_both_folders_only(tmp_path: Path) -> None:
    assert not looks_like_colmap(tmp_path)
    (tmp_path / 'images').mkdir()
    assert not looks_like_colmap(tmp_path)
    (tmp_path / 'sparse').mkdir()
    assert looks_like_colmap(tmp_path)
    (tmp_path / 'images').rmdir()
    assert not looks_like_colmap(tmp_path)


def test_other_models_beside_the_first_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset(tmp_path)
    (tmp_path / 'sparse' / '3').write_text('a file, no model')
    with caplog.at_level(logging.WARNING):
        read_colmap(tmp_path)
    assert not caplog.records
    for name in ('1', '2'):
        (tmp_path / 'sparse' / name).mkdir()
    with caplog.at_level(logging.WARNING):
        assert read_colmap(tmp_path).model_folder.name == '0'
    assert '1, 2' in caplog.text
    assert '3' not in caplog.messages[0].rpartition('also')[2]
    # Whoever chose one is not told, nor who has a model in sparse itself.
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        read_colmap(tmp_path, '0')
        for file in (tmp_path / 'sparse' / '0').iterdir():
            file.rename(tmp_path / 'sparse' / file.name)
        assert read_colmap(tmp_path).model_folder.name == 'sparse'
    assert not caplog.records


@pytest.mark.parametrize(('size', 'fits'), [((24, 32), True), ((25, 32), True), ((27, 32), False)])
def test_a_resized_image_may_be_a_pixel_off_its_aspect(
    tmp_path: Path, size: tuple[int, int], fits: bool
) -> None:
    view = read_colmap(dataset(tmp_path, size)).views[0]
    if fits:
        np.testing.assert_allclose(PinholeImages().of(view).camera.K[1, 1], 50 * size[0] / 48)
        return
    with pytest.raises(SourceError, match='or the same resized, got 32x27'):
        PinholeImages().of(view)


def test_upright_pinhole_images_stay_and_others_change(tmp_path: Path) -> None:
    view = read_colmap(dataset(tmp_path)).views[0]
    assert not PinholeImages.changes(view)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    Image.new('RGB', (64, 48)).save(view.path, exif=exif)
    assert PinholeImages.changes(view)


@pytest.mark.parametrize('side', ['width', 'height'])
@pytest.mark.parametrize(('pixels', 'fits'), [(1, True), (0, False), (10**6 + 1, False)])
def test_images_have_sides_that_exist(tmp_path: Path, side: str, pixels: int, fits: bool) -> None:
    width, height = (pixels, 48) if side == 'width' else (64, pixels)
    write_binary(tmp_path, [(1, 'PINHOLE', width, height, (5.0, 5.0, 3.0, 2.0))], [])
    if fits:
        assert read_cameras(tmp_path / 'cameras.bin')[1].size == ImageSize(height, width)
        return
    with pytest.raises(SourceError, match='expected an image size'):
        read_cameras(tmp_path / 'cameras.bin')


@pytest.mark.parametrize('name', ['a b  c.png', 'ä.png', 'x/y.png'])
@pytest.mark.parametrize('points', [0, 1, 5])
def test_names_and_poses_are_read_past_any_number_of_key_points(
    tmp_path: Path, name: str, points: int
) -> None:
    keys = [(1.5, 2.5, index) for index in range(points)]
    pose = tuple(float(number) for number in range(1, 8))
    images = [(4, pose, 9, name, keys), (5, pose[::-1], 8, 'last.png', keys)]
    for suffix, write in (('bin', write_binary), ('txt', write_text)):
        write(tmp_path, [], images)
        first, second = read_images(tmp_path / f'images.{suffix}')
        assert (first.image_id, first.camera_id, first.name) == (4, 9, name)
        assert (second.image_id, second.camera_id, second.name) == (5, 8, 'last.png')
        assert first.pose == pose
        assert second.pose == pose[::-1]


# Images


@pytest.mark.parametrize('value', [0, 9, 200])
def test_orientations_that_do_not_exist_are_upright(tmp_path: Path, value: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = value
    Image.new('RGB', (64, 48)).save(tmp_path / 'a.jpg', exif=exif)
    header = read_header(tmp_path / 'a.jpg')
    assert header.orientation == 1
    assert header.is_upright
    assert header.size == header.stored_size == ImageSize(48, 64)


@pytest.mark.parametrize('text', ['png,../x', '../x,png', 'png,a\\b', 'a/b,c/d'])
def test_one_folder_among_suffixes_is_enough_to_refuse(text: str) -> None:
    with pytest.raises(SourceError, match='image extensions'):
        parse_suffixes(text)


def test_suffixes_with_gaps_are_those_that_are_named() -> None:
    assert parse_suffixes(' .PNG,, jpg ,png') == ('.png', '.jpg')


def test_one_image_among_other_files_is_enough(tmp_path: Path) -> None:
    (tmp_path / 'notes.txt').write_text('x')
    (tmp_path / '.hidden.png').write_text('x')
    (tmp_path / 'folder.png').mkdir()
    assert not has_images(tmp_path)
    picture(tmp_path / 'b.PNG')
    picture(tmp_path / 'a.png')
    assert has_images(tmp_path)
    assert not has_images(tmp_path, ('.jpg',))
    assert [path.name for path in list_images(tmp_path)] == ['a.png', 'b.PNG']
    with pytest.raises(SourceError, match=r'among its 3 files; it has \.png files'):
        list_images(tmp_path, ('.jpg',))
