"""Folders of images and their headers."""

from pathlib import Path

import numpy as np
from PIL import Image
import pytest

from da3_ros.errors import SourceError
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.images import (
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
    with pytest.raises(SourceError, match='damaged'):
        read_stored(path)
