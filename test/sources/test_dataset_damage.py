"""Datasets that are wrong: what is left of them is read, and what is missing is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
import random
import re
import shutil

import cv2
import numpy as np
import pytest

from da3_ros.errors import SourceError
from da3_ros.sources.datasets import Dataset, open_dataset
from helpers.dataset_checks import said
from helpers.dataset_folders import SIZE, WRITERS, Shoot, seconds, shoot, write_lines, write_tum

TEXTS = ('.txt', '.csv', '.yaml', '.json', '.freiburg')
MAX_MESSAGE = 2500


@pytest.fixture(scope='module')
def shots() -> Shoot:
    return shoot(3)


@pytest.fixture
def tum(shots: Shoot, tmp_path: Path) -> Path:
    return write_tum(tmp_path / 'rgbd_dataset_freiburg3_mini', shots)


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def empty(data: bytes) -> bytes:
    return b''


def noise(data: bytes) -> bytes:
    return random.Random(len(data)).randbytes(2000)


def zeros(data: bytes) -> bytes:
    return data[:40] + b'\0' * 5000 + data[40:]


def nan(data: bytes) -> bytes:
    return re.sub(rb'(?<![\w.])-?\d+\.\d+', b'nan', data)


def absurd(data: bytes) -> bytes:
    return re.sub(rb'\d+', b'9' * 400, data)


def negative(data: bytes) -> bytes:
    return re.sub(rb'(?<![\w.-])(?=\d)', b'-', data)


def outside(data: bytes) -> bytes:
    return re.sub(rb'(?:rgb|depth|images)/', b'../../etc/', data).replace(b'.png', b'/../../x')


def one_line(data: bytes) -> bytes:
    return data.replace(b'\n', b' ') * 50


def backwards(data: bytes) -> bytes:
    return b'\n'.join(reversed(data.split(b'\n')))


DAMAGES: tuple[Callable[[bytes], bytes], ...] = (
    cut, empty, noise, zeros, nan, absurd, negative, outside, one_line, backwards,
)  # fmt: skip


@pytest.mark.parametrize('kind', WRITERS)
def test_damaged_texts_end_in_an_error_or_in_a_note(
    kind: str, shots: Shoot, tmp_path: Path
) -> None:
    folder = WRITERS[kind](tmp_path / 'whole', shots)
    whole = open_dataset(folder)
    texts = [p for p in sorted((tmp_path / 'whole').rglob('*')) if p.suffix in TEXTS]
    assert texts
    for path in texts:
        data = path.read_bytes()
        for damage in DAMAGES:
            path.write_bytes(damage(data))
            found = opened(folder, kind, whole)
            if found is not None and damage is not backwards and 'Split' not in path.name:
                assert found.notes != whole.notes or same(found, whole), (path, damage)
        path.write_bytes(data)
    for path in texts:
        path.unlink()
    opened(folder, kind, whole)


def opened(folder: Path, kind: str, whole: Dataset) -> Dataset | None:
    """Open what is left of a dataset; None where that is refused, in words that can be read."""
    try:
        found = open_dataset(folder, kind)
    except SourceError as error:
        message = str(error)
        if not message.isprintable() or len(message) > MAX_MESSAGE:
            raise AssertionError(message) from error
        return None
    check_usable(found, whole)
    return found


def check_usable(found: Dataset, whole: Dataset) -> None:
    """What is left is no less sound than that of a whole dataset."""
    assert {frame.image for frame in found.frames} <= {frame.image for frame in whole.frames}
    order = [(f.stamp_ns, found.cameras.index(f.camera)) for f in found.frames]
    assert order == sorted(set(order))
    stamps = [pose.stamp_ns for pose in found.truth]
    assert stamps == sorted(set(stamps))
    poses = [pose.world_from_base for pose in found.truth]
    poses += [f.world_from_camera for f in found.frames if f.world_from_camera is not None]
    for pose in poses:
        np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-9)
        assert np.isfinite(pose).all()
    for note in found.notes:
        assert note.text.isprintable(), note.text
        assert len(note.text) < MAX_MESSAGE


def same(found: Dataset, whole: Dataset) -> bool:
    """Return whether a damage was none."""
    return len(found) == len(whole) and len(found.truth) == len(whole.truth)


@pytest.mark.parametrize(
    'name',
    ['../../etc/passwd', '/etc/passwd', 'rgb/../../../x.png', 'C:\\x.png', '..\\..\\x.png', ''],
)
def test_names_that_lead_out_of_the_folder_are_left_out(name: str, tum: Path) -> None:
    lines = (tum / 'rgb.txt').read_text() + f'1700000009.0 {name}\n'
    (tum / 'rgb.txt').write_text(lines)
    dataset = open_dataset(tum)
    assert len(dataset) == 3
    text = said(dataset, 'dataset_lines_left_out')
    assert 'left out line 6: expected the name of a file inside the dataset' in text


def test_images_that_are_missing_or_come_twice_are_said(tum: Path) -> None:
    lines = (tum / 'rgb.txt').read_text().splitlines()
    write_lines(tum / 'rgb.txt', [*reversed(lines), lines[-1], '1700000009.5 rgb/gone.png'])
    dataset = open_dataset(tum)
    stamps = [frame.stamp_ns for frame in dataset.frames]
    assert stamps == sorted(stamps)
    assert len(stamps) == 3
    assert said(dataset, 'dataset_files_missing').endswith('missing, first rgb/gone.png')
    assert said(dataset, 'dataset_stamps').endswith('1 stamps come again; the first counts')


def test_names_that_no_file_can_have_are_of_missing_files(tum: Path, shots: Shoot) -> None:
    lines = (tum / 'rgb.txt').read_text() + f'1700000009.0 {"x" * 1000}\n'
    (tum / 'rgb.txt').write_text(lines)
    assert len(open_dataset(tum)) == 3
    folder = WRITERS['cameras_json'](tum / 'json', shots)
    text = (folder / 'cameras.json').read_text()
    text = text.replace('images/0.png', 'images/\\u0000').replace('depth/1.png', 'd' * 1000)
    (folder / 'cameras.json').write_text(text)
    dataset = open_dataset(folder)
    assert len(dataset) == 2
    assert [frame.depth is None for frame in dataset.frames] == [True, False]
    assert '1 files are missing' in said(dataset, 'dataset_files_missing')


def test_names_with_blanks_backslashes_tabs_and_a_byte_order_mark(tum: Path, shots: Shoot) -> None:
    stamp = shots.stamps_ns[0]
    (tum / 'rgb' / f'{seconds(stamp)}.png').rename(tum / 'rgb' / 'a b.png')
    (tum / 'rgb.txt').write_bytes(f'\ufeff{seconds(stamp)}\trgb\\a b.png\r\n'.encode())
    (frame,) = open_dataset(tum).frames
    assert frame.image == tum / 'rgb' / 'a b.png'
    assert frame.stamp_ns == stamp
    assert frame.world_from_camera is not None


def test_a_dataset_without_depth_or_truth_has_none(tum: Path) -> None:
    (tum / 'depth.txt').unlink()
    (tum / 'groundtruth.txt').unlink()
    dataset = open_dataset(tum)
    assert dataset.truth == ()
    assert dataset.truth_of == ''
    assert all(f.depth is None and f.world_from_camera is None for f in dataset.frames)
    assert said(dataset, 'dataset_depth_missing') == 'there is no depth.txt'
    assert said(dataset, 'dataset_truth_missing') == 'there is no groundtruth.txt'


def test_a_dataset_none_of_whose_images_is_there_is_refused(tum: Path) -> None:
    shutil.rmtree(tum / 'rgb')
    with pytest.raises(SourceError, match=r'none of the 3 that it lists is there'):
        open_dataset(tum)


def test_damaged_images_are_found_when_they_are_read(tum: Path) -> None:
    dataset = open_dataset(tum)
    frame = dataset.frames[1]
    frame.image.write_bytes(frame.image.read_bytes()[:300])
    with pytest.raises(SourceError, match=r'\.png: cannot be read'):
        dataset.read_image(frame)
    assert cv2.imwrite(str(frame.image), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(SourceError, match=r'expected 64x48 as the calibration of rgb, got 10x10'):
        dataset.camera_frame(frame)
    other = dataset.frames[0]
    assert dataset.camera_frame(other).size == SIZE


@pytest.mark.parametrize(
    ('stored', 'message'),
    [
        (np.zeros((48, 64, 3), np.uint8), 'expected one channel of 16 bits, got RGB'),
        (np.zeros((48, 64), np.uint8), 'expected one channel of 16 bits, got L'),
        (np.zeros((48, 48), np.uint16), 'expected the aspect ratio of its image 64x48, got 48x48'),
    ],
)
def test_what_is_no_depth_is_refused(stored: np.ndarray, message: str, tum: Path) -> None:
    dataset = open_dataset(tum)
    frame = dataset.frames[0]
    assert frame.depth is not None
    assert cv2.imwrite(str(frame.depth), stored)
    with pytest.raises(SourceError, match=message):
        dataset.read_depth(frame)
    frame.depth.write_bytes(b'\x89PNG')
    with pytest.raises(SourceError, match=r'depth image .* cannot be read'):
        dataset.read_depth(frame)


def test_smaller_depth_is_picked_for_every_pixel_of_its_image(tum: Path) -> None:
    dataset = open_dataset(tum)
    frame = dataset.frames[0]
    assert frame.depth is not None
    small = np.arange(1, 13, dtype=np.uint16).reshape(3, 4) * 5000
    assert cv2.imwrite(str(frame.depth), small)
    np.testing.assert_allclose(
        dataset.read_depth(frame), np.repeat(np.repeat(small, 16, 0), 16, 1) / 5000
    )
