"""Every image of a COLMAP dataset has a picture of its own, whatever the names are."""

from collections.abc import Sequence
import os
from pathlib import Path, PurePosixPath
import unicodedata

import cv2
import numpy as np
import pytest

from da3_ros.cli.colmap_source import ColmapSource, file_names
from da3_ros.errors import SourceError
from da3_ros.sources.colmap import read_colmap
from helpers.colmap_writer import Image, write_binary, write_text

CAMERA = (1, 'SIMPLE_RADIAL', 64, 48, (60.0, 32.0, 24.0, 0.05))
SETS = {
    'stems': ['a.png', 'a.jpg', 'b.png'],
    'folders': ['left/0.jpg', 'right/0.jpg', 'right/0.png', '0.png'],
    'case': ['A.jpg', 'a.png', 'a.PNG', 'B/x.jpg', 'b/X.png'],
    'no suffix': ['img.001.jpg', 'img.002.jpg', 'img.001.png'],
    'taken': ['a.jpg', 'a.png', 'a.jpg.jpg', 'a.png.jpg', 'a.jpg.png'],
    'folder and file': ['a.png/b.jpg', 'a.jpg'],
    'words': ['a b.jpg', 'a  b.png', 'grün/ö.jpg', 'grün/ö.png', '写真.jpg'],
    'hidden': ['.a.jpg', '.a.png'],
}


def add_images(folder: Path, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        path = folder / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _, data = cv2.imencode('.png', np.full((48, 64, 3), 40 * index, np.uint8))
        path.write_bytes(data.tobytes())


def dataset(folder: Path, names: Sequence[str], listed: Sequence[str] | None = None) -> Path:
    """Write distorted images, each of its own grey, and a model."""
    add_images(folder, names)
    images: list[Image] = [
        (index + 1, (1.0, 0.0, 0.0, 0.0, float(index), 0.0, 0.0), 1, name, [])
        for index, name in enumerate(names if listed is None else listed)
    ]
    write_binary(folder / 'sparse' / '0', [CAMERA], images)
    return folder


@pytest.mark.parametrize('names', SETS.values(), ids=list(SETS))
def test_there_are_as_many_pictures_as_views(tmp_path: Path, names: list[str]) -> None:
    source = ColmapSource(dataset(tmp_path / 'in', names), '', align_to_input_ext_scale=True)
    out = tmp_path / 'out'
    with source.open(out, shrink=lambda image: image, most=None) as scene:
        assert len(scene.images) == len(names) == source.extent().views
        assert scene.extrinsics is not None
        # Sorted by name, each picture goes with its pose.
        for path, pose in zip(scene.images, scene.extrinsics, strict=True):
            level = cv2.imdecode(np.fromfile(str(path), np.uint8), cv2.IMREAD_COLOR)
            assert level is not None
            assert (level == 40 * int(pose[0, 3])).all()
    written = [path for path in (out / 'input_images').rglob('*') if path.is_file()]
    assert len(written) == len(names)


@pytest.mark.parametrize('names', SETS.values(), ids=list(SETS))
def test_names_of_pictures_differ_where_case_is_ignored(names: list[str]) -> None:
    chosen = file_names(names)
    folders = {str(parent).casefold() for name in chosen for parent in PurePosixPath(name).parents}
    assert len({name.casefold() for name in chosen} | folders) == len(names) + len(folders)
    assert all(PurePosixPath(name).suffix == '.png' for name in chosen)
    assert [PurePosixPath(name).parent for name in chosen] == [
        PurePosixPath(name).parent for name in names
    ]


def test_pictures_of_one_stem_keep_their_names() -> None:
    chosen = file_names(['a.jpg', 'a.png', 'b.jpg'])
    assert chosen == ['a.jpg.png', 'a.png.png', 'b.png']


def test_an_image_that_is_listed_twice_is_one_view(tmp_path: Path) -> None:
    listed = ['a.png', 'b.png', 'a.png', './b.png', 'gone.png']
    source = ColmapSource(
        dataset(tmp_path / 'in', ['a.png', 'b.png'], listed), '', align_to_input_ext_scale=True
    )
    with source.open(tmp_path / 'out', shrink=lambda image: image, most=None) as scene:
        assert len(scene.images) == 2
        assert scene.extrinsics is not None
        notes = ' '.join(scene.notes)
    assert '2 images are listed more than once' in notes
    assert '1 images of the model are missing, e.g. gone.png' in notes


def test_names_of_other_systems_are_found(tmp_path: Path) -> None:
    composed, parted = (unicodedata.normalize(form, 'é.png') for form in ('NFC', 'NFD'))
    assert composed != parted
    folder = dataset(tmp_path, ['left/a.png', f'nfc/{composed}', f'nfd/{parted}'], [
        'left\\a.png', f'nfc/{parted}', f'nfd/{composed}',
    ])  # fmt: skip
    assert len(read_colmap(folder).views) == 3


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9.png')
    add_images(tmp_path, [name])
    pose = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    write_text(tmp_path / 'sparse' / '0', [CAMERA], [(1, pose, 1, 'caf?.png', [])])
    for file in ('images.txt', 'cameras.txt'):
        path = tmp_path / 'sparse' / '0' / file
        text = b'\xef\xbb\xbf# comment of a French author: caf\xe9\n' + path.read_bytes()
        path.write_bytes(text.replace(b'caf?', b'caf\xe9'))
    (view,) = read_colmap(tmp_path).views
    assert view.path.is_file()


@pytest.mark.parametrize('name', ['/etc/a.png', '../a.png', 'x/../../a.png', 'C:\\a.png', ''])
def test_names_outside_are_one_clear_line(tmp_path: Path, name: str) -> None:
    folder = dataset(tmp_path, ['a.png'], [name])
    with pytest.raises(SourceError, match='inside the folder') as error:
        read_colmap(folder)
    assert '\n' not in str(error.value)
