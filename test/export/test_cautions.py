"""What has to be known of a network stands in every file of its results, for any program."""

from dataclasses import replace
import json
from pathlib import Path
import struct

import av
import numpy as np
from PIL import Image
import pytest

from da3_ros.export.options import ExportOptions
from da3_ros.export.picture_comment import with_comment
from da3_ros.export.registry import FORMATS, export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.export.trajectory_file import save_trajectory
from da3_ros.geometry.trajectory import StampedPose
from da3_ros.options.export import GlbOptions
from da3_ros.sources.results import read_results
from helpers.export_scenes import complete, two_walls

CAUTION = 'random weights: output means nothing'


def spoken(path: Path) -> str:
    """Return what a file says to whoever asks it, each kind by another library."""
    kind = path.suffix
    if kind == '.npz':
        with np.load(path, allow_pickle=False) as arrays:
            return str(arrays['caution']) if 'caution' in arrays else ''
    if kind == '.glb':
        data = path.read_bytes()
        (length,) = struct.unpack('<I', data[12:16])
        [scene] = json.loads(data[20 : 20 + length])['scenes']
        return str(scene['extras'].get('caution', ''))
    if kind in ('.png', '.jpg'):
        with Image.open(path) as picture:
            picture.load()
            comment = picture.info.get('Comment', picture.info.get('comment', b''))
            return comment.decode() if isinstance(comment, bytes) else str(comment)
    if kind == '.mp4':
        with av.open(str(path)) as video:
            return str(video.metadata.get('comment', ''))
    if kind == '.ply':
        return path.read_bytes().split(b'end_header')[0].decode()
    return path.read_text() if kind == '.txt' else ''


@pytest.fixture(scope='module')
def scene() -> ExportScene:
    return complete(two_walls())


def files_of(scene: ExportScene, folder: Path, encoding: str = 'binary') -> list[Path]:
    options = ExportOptions(
        colmap_encoding=encoding,  # type: ignore[arg-type]
        glb=GlbOptions(export_depth_vis=False),
    )
    return list(export_scene(scene, '-'.join(FORMATS), folder, options=options).files)


def test_every_file_says_it_and_without_one_none_does(scene: ExportScene, tmp_path: Path) -> None:
    with_one = files_of(replace(scene, caution=CAUTION), tmp_path / 'with')
    silent = {path.name for path in with_one if CAUTION not in spoken(path)}
    # COLMAP's binary files and KITTI's have no room for it; a text lies beside them.
    kitti = {'camera_front.txt', 'camera_front_times.txt'}
    assert silent - kitti == {
        f'{p}.bin' for p in ('rigs', 'cameras', 'frames', 'images', 'points3D')
    }
    assert {
        p.parent.name for p in with_one if CAUTION not in spoken(p) and p.suffix == '.txt'
    } == {'kitti'}
    assert 'caution.txt' in {path.name for path in with_one}
    without = files_of(scene, tmp_path / 'without')
    assert not [path for path in without if CAUTION in spoken(path)]
    assert {p.name for p in with_one} - {p.name for p in without} == {'caution.txt'}


def test_the_text_files_of_colmap_say_it_too(scene: ExportScene, tmp_path: Path) -> None:
    files = files_of(replace(scene, caution=CAUTION), tmp_path, 'text')
    assert {p.name for p in files if p.suffix == '.txt' and CAUTION in spoken(p)} >= {
        f'{part}.txt' for part in ('rigs', 'cameras', 'frames', 'images', 'points3D')
    }


def test_numbers_and_pictures_of_depth_are_the_same_with_it(
    scene: ExportScene, tmp_path: Path
) -> None:
    files_of(replace(scene, caution=CAUTION), tmp_path / 'with')
    files_of(scene, tmp_path / 'without')
    name = Path('depth_png/0000.png')
    with Image.open(tmp_path / 'with' / name) as a, Image.open(tmp_path / 'without' / name) as b:
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_saved_results_hand_it_on(scene: ExportScene, tmp_path: Path) -> None:
    files_of(replace(scene, caution=CAUTION), tmp_path)
    for kind in ('npz', 'mini_npz'):
        assert read_results(tmp_path / 'exports' / kind / 'results.npz').scene.caution == CAUTION


def test_a_caution_out_of_a_foreign_file_cannot_break_a_header(
    scene: ExportScene, tmp_path: Path
) -> None:
    hostile = replace(scene, caution='a\nelement vertex 7\n\x1b[2J' + 'x' * 9999 + 'ü')
    [file] = export_scene(hostile, 'ply', tmp_path).files
    header = file.read_bytes().split(b'end_header')[0].decode('ascii')
    assert header.count('\nelement ') == 1
    assert len(header) < 1000
    assert '\x1b' not in header


def test_a_trajectory_says_it(tmp_path: Path) -> None:
    poses = [StampedPose(1, np.eye(4))]
    path, _ = save_trajectory(
        tmp_path, '', poses, is_metric=True, overwrite=False, caution=CAUTION
    )
    assert f'# {CAUTION}\n' in path.read_text()
    assert np.loadtxt(path).shape == (8,)


def test_a_comment_in_a_picture_leaves_its_bytes_otherwise_as_they_are() -> None:
    assert with_comment(b'GIF89a', CAUTION) == b'GIF89a'
    png = b'\x89PNG\r\n\x1a\n' + bytes(25) + b'rest'
    assert with_comment(png, '') == png
    assert with_comment(png, 'x').replace(with_comment(png, 'x')[33:-4], b'') == png
