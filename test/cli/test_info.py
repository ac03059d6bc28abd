"""`da3 info`: what things are."""

from dataclasses import replace
import os
from pathlib import Path
import struct
import sys
import zlib

import av
import cv2
import numpy as np
import PIL.Image
import pytest

from da3_ros.cli.describe import describe
from da3_ros.errors import Da3Error, SourceError
from helpers.cli import SMALL, da3, da3_json, failure
from helpers.colmap_writer import Image, write_text
from helpers.raw_messages import cloud, text, write_bag


def test_images(tmp_path: Path, photos: Path) -> None:
    found = describe(photos / '0.png')
    assert found['kind'] == 'image'
    assert found['size'] == '64x48'
    assert found['network_input_at_504'] == '504x378'
    (photos / 'broken.png').write_bytes(b'no image')
    cv2.imwrite(str(photos / 'large.png'), np.zeros((60, 80, 3), np.uint8))
    found = describe(photos)
    assert found['kind'] == 'folder of images'
    assert found['sizes'] == {'64x48': 3, '80x60': 1}
    assert found['unreadable'] == ['broken.png']


def test_an_image_is_described_by_its_header_alone(tmp_path: Path) -> None:
    path = tmp_path / 'a.png'
    head = struct.pack('>IIBBBBB', 16_000, 12_000, 8, 2, 0, 0, 0)
    chunk = b'IHDR' + head
    start = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', len(head))
    path.write_bytes(start + chunk + struct.pack('>I', zlib.crc32(chunk)) + b'\0\0\0\4IDAT')
    found = describe(path)
    assert (found['size'], found['network_input_at_504']) == ('16000x12000', '504x378')
    cv2.imwrite(str(path), np.zeros((1, 400, 3), np.uint8))
    assert describe(path)['network_input_at_504'] == 'too narrow for it'


@pytest.mark.parametrize('suffix', ['.jp2', '.ppm', '.ico'])
def test_a_single_picture_of_any_kind_is_no_video(tmp_path: Path, suffix: str) -> None:
    PIL.Image.new('RGB', (32, 32)).save(tmp_path / f'a{suffix}')
    found = describe(tmp_path / f'a{suffix}')
    assert (found['kind'], found['size']) == ('image', '32x32')


def test_a_video(tmp_path: Path) -> None:
    path = tmp_path / 'in.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for _ in range(30):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format='rgb24')
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    found = describe(path)
    assert (found['kind'], found['size'], found['rate_hz']) == ('video', '64x48', 10)
    assert found['duration_s'] == pytest.approx(3.0)


def test_a_bag(tmp_path: Path) -> None:
    da3('synthesize', tmp_path / 'a.mcap', '--seconds', '0.2', '--rate', '5', '--size', '32x24')
    found = describe(tmp_path / 'a.mcap')
    assert found['kind'] == 'bag'
    topics = {topic['topic']: topic for topic in found['topics']}
    assert topics['/front/image_raw']['type'] == 'sensor_msgs/msg/Image'
    assert topics['/front/image_raw']['messages'] == 1
    assert '/front/image_raw' in da3('info', tmp_path / 'a.mcap')


def test_a_bag_that_is_damaged_is_described_with_what_is_missing(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'a', [text('/note', i, 'x' * 100) for i in range(100)])
    (path / 'metadata.yaml').unlink()
    (path / 'a.mcap').write_bytes((path / 'a.mcap').read_bytes()[:9000])
    found = describe(path)
    assert found['kind'] == 'bag'
    assert 10 < found['messages'] < 100
    assert f'it reads {found["messages"]} messages' in found['notes']
    (line,) = [x for x in da3('info', path).splitlines() if x.startswith('notes')]
    assert 'metadata.yaml is missing' in line
    assert 'a.mcap: ends within a chunk' in line


@pytest.mark.parametrize('has_ros', [True, False])
def test_point_clouds_in_a_bag(
    has_ros: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their fields and extent are told, read by ROS where it is installed and without it too."""
    if not has_ros:
        monkeypatch.setitem(sys.modules, 'da3_ros.ros.messages.foreign_cloud', None)
    xyz = np.array([[3.0, 0.0, 4.0], [np.nan] * 3, [0.0, 12.0, 0.0]], '<f4')
    good, damaged = (cloud(topic, 10 + n, xyz) for n, topic in enumerate(('/lidar', '/cut')))
    damaged = replace(damaged, data=damaged.data[:-20])
    path = write_bag(tmp_path / 'a.mcap', [good, damaged, text('/note', 20, 'no cloud')])

    cut, lidar = describe(path)['clouds']

    assert lidar == {
        'topic': '/lidar',
        'frame': 'lidar',
        'fields': ['x', 'y', 'z'],
        'size': '3x1',
        'points': 2,
        'nearest_m': 5.0,
        'farthest_m': 12.0,
    }
    assert (cut['topic'], list(cut)) == ('/cut', ['topic', 'problem'])
    assert '/lidar  lidar  x, y, z  3x1  2  5  12' in da3('info', path)


def test_a_colmap_dataset(tmp_path: Path, photos: Path) -> None:
    photos.rename(tmp_path / 'images')
    pose = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    images: list[Image] = [(i, pose, 1, f'{i}.png', []) for i in range(4)]
    write_text(
        tmp_path / 'sparse', [(1, 'SIMPLE_RADIAL', 64, 48, (50.0, 32.0, 24.0, 0.1))], images
    )
    found = describe(tmp_path)
    assert (found['images'], found['missing_images']) == (3, 1)
    assert found['cameras'] == [
        {'camera': 1, 'model': 'SIMPLE_RADIAL', 'size': '64x48', 'lens': 'distorted'}
    ]


def test_a_checkpoint_and_its_weights(checkpoint: Path) -> None:
    found = describe(checkpoint)
    weights = describe(checkpoint / 'model.safetensors')
    assert found['kind'] == 'checkpoint'
    assert found['model'] == 'tiny-gaussian'
    assert 'gaussians' in found['capabilities']
    assert found['parameters'] == weights['parameters'] > 100_000
    assert weights['parameters_by_type'] == {'F32': weights['parameters']}


def test_exported_scenes(tmp_path: Path, checkpoint: Path, photos: Path) -> None:
    out = tmp_path / 'out'
    formats = ('--export-format', 'mini_npz-glb-ply-depth_png')
    da3('images', photos, '--model-dir', checkpoint, '--export-dir', out, *formats, *SMALL)
    found = describe(out)
    assert found['kind'] == 'exported scene'
    assert {'mini_npz', 'glb', 'ply', 'depth_png'} <= set(found['formats'])
    assert found['results']['views'] == 3
    points = describe(out / 'points.ply')
    assert points['kind'] == 'points (PLY)'
    scene = describe(out / 'scene.glb')
    assert scene['points'] == points['elements'][0]['count']
    assert scene['cameras_and_meshes'] == 3
    content = da3_json('info', out / 'exports' / 'mini_npz' / 'results.npz')
    assert content['depth']['percentile_2'] <= content['depth']['median']
    assert [3, 42, 56] in [array['shape'] for array in content['arrays']]
    assert '3x42x56' in da3('info', out)


def test_networks_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    found = describe(Path('da3-small'))
    assert found['kind'] == 'network'
    assert found['parameters'] == 34_299_463
    assert not found['cached']


def test_nothing_crashes_it(tmp_path: Path) -> None:
    for name in ('a.png', 'a.mp4', 'a.mcap', 'a.npz', 'a.glb', 'a.ply', 'a.safetensors', 'a.txt'):
        for content in (b'', b'glTF', b'ply\nelement\n', bytes(64), b'\xff' * 300):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(Da3Error, match=r'a\.'):
                describe(tmp_path / name)
    (tmp_path / 'folder').mkdir()
    with pytest.raises(SourceError, match='none of them'):
        describe(tmp_path / 'folder')
    (tmp_path / 'folder' / 'metadata.yaml').touch()
    with pytest.raises(SourceError):
        describe(tmp_path / 'folder')


def test_what_is_neither_a_file_nor_a_folder_is_no_network(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'link').symlink_to('nowhere')
    for name, said in (('pipe', 'device, pipe or socket'), ('link', 'links to nowhere')):
        with pytest.raises(SourceError, match=said):
            describe(tmp_path / name)
    with pytest.raises(SourceError, match='found none'):
        describe(tmp_path / 'nothing.png')


def test_names_of_nothing() -> None:
    assert 'expected a file' in failure('info', 'nonsense')
    assert 'hf download some/repository' in failure('info', 'some/repository')


def test_a_folder_of_scenes_is_known_as_a_batch(tmp_path: Path) -> None:
    for name in ('a', 'b'):
        (tmp_path / name / 'depth_png').mkdir(parents=True)
        (tmp_path / name / 'da3.json').write_text('{}')
        (tmp_path / name / 'depth_png' / '0000.png').write_bytes(b'')
    found = describe(tmp_path)
    assert found['kind'] == 'batch of exported scenes'
    assert (found['scenes'], found['first'], found['last']) == (2, 'a', 'b')
    assert found['formats'] == ['depth_png']
    assert 'such as' in failure('export', tmp_path, '-o', tmp_path / 'out')


def test_what_is_missing_in_a_folder_says_how_it_comes_there(tmp_path: Path) -> None:
    assert '--export-format npz' in failure('export', tmp_path, '-o', tmp_path / 'out')
    assert 'it is a folder' in failure('video', tmp_path, '-o', tmp_path / 'out')


def test_no_part_of_a_description_reaches_the_terminal_as_it_is(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"\\u001b[31m","shape":[],"data_offsets":[0,4]}}'
    path = tmp_path / 'a.safetensors'
    path.write_bytes(len(header).to_bytes(8, 'little') + header + bytes(4))
    said = da3('info', path)
    assert '\x1b' not in said
    assert '\\x1b[31m' in said
