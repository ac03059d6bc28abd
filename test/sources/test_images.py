"""Folders of images and their headers."""

from pathlib import Path
import re

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.options.scenes import INPUT
from da3_ros.sources.images import (
    IMAGE_SUFFIXES,
    find_images,
    has_images,
    list_images,
    parse_suffixes,
    read_header,
    read_stored,
)


def test_images_come_sorted_in_any_case(tmp_path: Path) -> None:
    for name in ('b.PNG', 'a.jpg', 'C.jpeg', '.hidden.png', 'notes.txt', 'd.webp', 'xpng'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    found = [path.name for path in list_images(tmp_path, parse_suffixes('png,jpg,jpeg'))]
    assert found == ['a.jpg', 'b.PNG', 'C.jpeg']
    assert [path.name for path in list_images(tmp_path)] == ['a.jpg', 'b.PNG', 'C.jpeg', 'd.webp']


@pytest.mark.parametrize(
    'names',
    [
        ('1.png', '2.png', '10.png', '11.png'),
        ('frame_0009.png', 'frame_0010.png', 'frame_00011.png', 'Frame_12.PNG'),
        ('a.png', 'A1.png', 'a2.png', 'a2b.png', 'a02c.png', 'a10.png', 'B1.png'),
        ('001.png', '01.png', '1.png', '002.png', '2.png'),
        ('v1.2.png', 'v1.10.png', 'v2.1.png'),
        # Arabic-Indic digits 2 and 10.
        ('x\u0662.png', 'x\u0661\u0660.png', 'x\u00b2.png'),
        (f'{"9" * 200}.png', f'1{"0" * 200}.png'),
    ],
)
def test_images_come_in_the_order_of_their_numbers(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in reversed(names):
        (tmp_path / name).touch()
    assert tuple(path.name for path in list_images(tmp_path)) == names


def test_images_that_are_left_out_are_counted_and_what_takes_them_is_said(
    tmp_path: Path,
) -> None:
    for name in ('a.png', 'b.webp', 'c.GIF', 'd.gif', 'e.dng', 'notes.txt'):
        (tmp_path / name).touch()
    found = find_images(tmp_path, ('.png',))
    assert [path.name for path in found.files] == ['a.png']
    (note,) = found.notes
    assert note.startswith('1 .dng, 2 .gif, 1 .webp files of the folder were left out')
    assert '--image-extensions png,' in note
    assert {'gif', 'webp'} <= set(re.split(r'[ ,]', note))
    assert 'raw images of cameras' in note
    assert find_images(tmp_path, ('.png', '.webp', '.gif', '.dng')).notes == ()


@pytest.mark.parametrize('reads', [False, True])
def test_heif_is_read_where_its_package_is_and_named_where_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr('da3_ros.sources.images.reads_heif', lambda: reads)
    for name in ('a.png', 'b.HEIC', 'c.heif'):
        (tmp_path / name).touch()
    found = find_images(tmp_path)
    if reads:
        assert [path.name for path in found.files] == ['a.png', 'b.HEIC', 'c.heif']
        assert found.notes == ()
        return
    assert [path.name for path in found.files] == ['a.png']
    assert found.notes == (
        '1 .heic, 1 .heif files of the folder were left out; pip install pillow-heif to read them',
    )
    (tmp_path / 'a.png').unlink()
    with pytest.raises(SourceError, match=r'it has \.heic, \.heif files: pip install pillow-heif'):
        find_images(tmp_path)


def test_heif_images_of_phones(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip('pillow_heif', reason='the extra heif is not installed')
    rows, columns = np.mgrid[0:64, 0:96]
    image = np.dstack([rows * 2, columns, rows + columns]).astype(np.uint8)
    pillow_heif.from_pillow(Image.fromarray(image)).save(tmp_path / 'a.HEIC', quality=95)
    (path,) = list_images(tmp_path)
    assert read_header(path).size == ImageSize(64, 96)
    assert np.abs(read_stored(path).astype(int) - image).mean() < 3


def test_the_default_suffixes_are_all_that_can_be_read() -> None:
    assert parse_suffixes(INPUT.image_extensions) == IMAGE_SUFFIXES


def test_a_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / 'a.webp').touch()
    with pytest.raises(SourceError, match=r'it has \.webp files'):
        list_images(tmp_path, ('.png',))
    assert has_images(tmp_path)
    with pytest.raises(SourceError, match='cannot be read as a folder'):
        list_images(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('png', ('.png',)), ('.PNG, jpg,png', ('.png', '.jpg')), ('tar.gz', ('.tar.gz',))],
)
def test_extensions_in_any_style(text: str, expected: tuple[str, ...]) -> None:
    assert parse_suffixes(text) == expected


@pytest.mark.parametrize('text', ['', ' , ', '../png', 'a\\b'])
def test_extensions_that_are_none(text: str) -> None:
    with pytest.raises(SourceError, match='image extensions'):
        parse_suffixes(text)


def test_ten_thousand_images_are_listed(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f'{number:05d}.png').touch()
    found = list_images(tmp_path)
    assert len(found) == 10_000
    assert found[0].name == '00000.png'
    assert found[-1].name == '09999.png'


@pytest.mark.parametrize('orientation', range(1, 9))
def test_headers_know_the_size_that_is_seen(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / 'a.jpg'
    Image.new('RGB', (40, 30)).save(path, exif=exif)
    header = read_header(path)
    assert header.stored_size == ImageSize(30, 40)
    assert header.size == (ImageSize(40, 30) if orientation >= 5 else ImageSize(30, 40))
    assert header.is_upright == (orientation == 1)
    assert read_stored(path).shape == (30, 40, 3)


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    with pytest.raises(SourceError, match='there is none'):
        read_header(path)
    with pytest.raises(SourceError, match='it is a folder'):
        read_header(tmp_path)
    path.write_bytes(b'no image')
    with pytest.raises(SourceError, match='cannot be read'):
        read_header(path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceError, match='cannot be read'):
        read_stored(path)
