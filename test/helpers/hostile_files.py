"""Files that are wrong: small good ones of every kind, and what damage and malice make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
import itertools
import json
from pathlib import Path
import random
import shutil
import struct
from typing import Any

import av
import numpy as np
from PIL import Image
from rosbags.rosbag2 import StoragePlugin
from safetensors.numpy import save_file

from da3_ros.cli.describe import describe
from da3_ros.errors import Da3Error
from da3_ros.inference.network_file import read_network_config
from da3_ros.ros.launch.launch_arguments import expected_options
from da3_ros.ros.launch.recipes import read_recipe
from da3_ros.ros.launch.rig_file import read_rig
from da3_ros.sources.bag import BagReader
from da3_ros.sources.colmap import read_colmap
from da3_ros.sources.images import read_stored
from da3_ros.sources.results import read_results
from da3_ros.sources.video import VideoReader
from helpers.colmap_writer import write_binary, write_text
from helpers.odd_bags import write_mcap, write_rosbag2
from helpers.raw_messages import text

ODD: tuple[Any, ...] = (
    None, True, -1, 0, 10**9, 10**30, -0.5, 1e308, '', 'x', '\x1b[31m', [], [[]], {}, {'a': []},
    [0, 1], 'a' * 500,
)  # fmt: skip
"""What stands where something else is expected."""
MAX_MESSAGE = 2500

CONFIG: dict[str, Any] = {
    'kind': 'any_view',
    'name': 'own',
    'backbone': {
        'embed_dim': 64, 'depth': 6, 'num_heads': 2, 'feed_forward': 'mlp',
        'out_layers': [1, 2, 3, 5], 'alt_start': 1,
    },
    'head': {'features': 16, 'out_channels': [8, 8, 8, 8]},
    'camera': {'trunk_depth': 1, 'num_heads': 2},
}  # fmt: skip
GLB: dict[str, Any] = {
    'asset': {'version': '2.0'},
    'scene': 0,
    'scenes': [{'nodes': [0]}],
    'nodes': [{'name': 'points', 'mesh': 0}, {'name': 'frame', 'children': [0]}],
    'meshes': [{'primitives': [{'mode': 0, 'attributes': {'POSITION': 0}}]}],
    'accessors': [{'count': 5, 'componentType': 5126, 'type': 'VEC3'}],
}
TREES: dict[str, dict[str, Any]] = {
    'config.json': CONFIG,
    'odd.glb': GLB,
    'rig.json': {
        'cameras': {'front': {'image': '/a', 'rotation_deg': 90, 'crop_px': [0, 0, 4, 4]}},
        'transport': 'raw',
        'parameters': {'window': 2},
    },
    'params.json': {'/**': {'ros__parameters': {'cameras': ['front'], 'window': 2}}},
    'recipe.json': {
        'consumer': {'package': 'a', 'executable': 'b', 'name': 'c'},
        'node': {'cameras': ['front']},
        'topics': {'depth': {'to': '/a', 'type': 'b', 'depth': 3}},
        'together': [['depth']],
        'frames': {'chain': ['map'], 'theirs': []},
    },
    'metadata.json': {
        'rosbag2_bagfile_information': {
            'version': 9,
            'relative_file_paths': ['bag.mcap'],
            'message_count': 4,
            'compression_format': '',
            'compression_mode': '',
        }
    },
    'weights.safetensors': {
        'a': {'dtype': 'F32', 'shape': [2, 2], 'data_offsets': [0, 16]},
        '__metadata__': {'format': 'pt'},
    },
}
"""What is said by name, by the file that says it; YAML reads JSON too."""


def saved_tree(name: str, tree: Any, folder: Path) -> Path:
    """Write a tree as the file of its kind."""
    data = json.dumps(tree).encode()
    if name == 'odd.glb':
        data = struct.pack('<4sIII4s', b'glTF', 2, 20 + len(data), len(data), b'JSON') + data
    elif name == 'weights.safetensors':
        data = len(data).to_bytes(8, 'little') + data + bytes(16)
    elif name == 'metadata.json':
        folder = folder / 'bag'
        folder.mkdir(exist_ok=True)
        if not (folder / 'bag.mcap').is_file():
            write_mcap(folder / 'bag.mcap', [text('/a', n, 'x') for n in range(4)])
        name = 'metadata.yaml'
    (folder / name).write_bytes(data)
    return folder / name


def odd_tree(tree: Any, rng: random.Random) -> Any:
    """Return a tree in which something, anywhere, is something else."""
    copied = json.loads(json.dumps(tree))
    at = copied
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = rng.choice(keys)
        inside = at[key]
        if isinstance(inside, (dict, list)) and inside and rng.random() < 0.8:
            at = inside
            continue
        if isinstance(at, dict) and rng.random() < 0.2:
            del at[key]
        else:
            at[key] = rng.choice(ODD)
        return copied


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return bytes that are flipped, cut, doubled, or say another length."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(found)) if found else 0
        kind = rng.randrange(6)
        if kind == 0 and found:
            found[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del found[at:]
        elif kind == 2:
            found[at:at] = found[at : at + rng.randrange(1, 64)]
        elif kind == 3:
            number = rng.choice((0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1))
            width = rng.choice((2, 4, 8))
            written = (number % (1 << 8 * width)).to_bytes(width, 'little')
            found[at : at + width] = written if rng.random() < 0.5 else written[::-1]
        elif kind == 4:
            found[at : at + 16] = bytes(16)
        else:
            del found[at : at + rng.randrange(1, 64)]
    return bytes(found)


def good_files(folder: Path) -> dict[str, Path]:
    """Write a small good file of every kind that is read, by a name for it."""
    messages = [text('/a', 10 + n, 'hello') for n in range(20)]
    write_mcap(folder / 'good.mcap', messages)
    bag = write_rosbag2(folder / 'sql', messages, StoragePlugin.SQLITE3)
    (next(bag.glob('*.db3'))).replace(folder / 'good.db3')
    shutil.rmtree(bag)
    depth = np.linspace(1, 9, 24, dtype=np.float32).reshape(2, 3, 4)
    np.savez_compressed(
        folder / 'good.npz',
        depth=depth,
        conf=depth,
        extrinsics=np.tile(np.eye(4)[:3], (2, 1, 1)),
        intrinsics=np.tile(np.array([[5.0, 0, 2], [0, 5, 1.5], [0, 0, 1]]), (2, 1, 1)),
        stamp_ns=np.arange(2),
        camera=np.array(['a', 'b']),
        pixel_centre=np.array(0.0),
    )
    save_file({'a': depth, 'b': depth.astype(np.float16)}, folder / 'good.safetensors')
    _write_ply(folder / 'good.ply')
    picture = Image.fromarray(np.arange(24 * 32 * 3, dtype=np.uint8).reshape(24, 32, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    for suffix in ('png', 'jpg', 'webp', 'tif', 'bmp'):
        picture.save(folder / f'good.{suffix}', exif=exif)
    for suffix in ('mp4', 'avi'):
        _write_video(folder / f'good.{suffix}')
    cameras = [(1, 'OPENCV', 32, 24, (20.0, 20, 16, 12, 0.1, 0, 0, 0))]
    images = [(n, (1.0, 0, 0, 0, 0, 0, n), 1, 'a.png', [(1.0, 2.0, 3)]) for n in (1, 2)]
    write_binary(folder / 'bin' / 'sparse', cameras, images)
    write_text(folder / 'txt' / 'sparse', cameras, images)
    for dataset in ('bin', 'txt'):
        (folder / dataset / 'images').mkdir()
        picture.save(folder / dataset / 'images' / 'a.png')
    found = {path.name: path for path in folder.glob('good.*')}
    for dataset, part in itertools.product(('bin', 'txt'), ('cameras', 'images')):
        found[f'{part}.{dataset}'] = folder / dataset / 'sparse' / f'{part}.{dataset}'
    for name, tree in TREES.items():
        found[name] = saved_tree(name, tree, folder)
    return found


def _write_ply(path: Path) -> None:
    head = 'ply\nformat binary_little_endian 1.0\ncomment one\nelement vertex 2\n'
    columns = ''.join(f'property float {axis}\n' for axis in 'xyz')
    path.write_bytes(f'{head}{columns}end_header\n'.encode() + bytes(24))


def _write_video(path: Path) -> None:
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=5)
        stream.width, stream.height, stream.pix_fmt = 32, 16, 'yuv420p'
        for index in range(4):
            picture = np.full((16, 32, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode(None))


def _look_bag(path: Path) -> None:
    describe(path)
    with BagReader(path) as bag:
        for _ in itertools.islice(bag.messages(), 100):
            pass


def _look_results(path: Path) -> None:
    describe(path)
    read_results(path)


def _look_image(path: Path) -> None:
    with suppress(Da3Error):
        describe(path)
    read_stored(path)


def _look_video(path: Path) -> None:
    describe(path)
    for _ in itertools.islice(VideoReader(path).frames(), 10):
        pass


def _look_dataset(path: Path) -> None:
    describe(path.parents[1])
    read_colmap(path.parents[1])


LOOKS: Mapping[str, Callable[[Path], object]] = {
    '.mcap': _look_bag,
    '.db3': _look_bag,
    '.npz': _look_results,
    **dict.fromkeys(('.png', '.jpg', '.webp', '.tif', '.bmp'), _look_image),
    **dict.fromkeys(('.mp4', '.avi'), _look_video),
    'config.json': read_network_config,
    'rig.json': read_rig,
    'params.json': lambda path: expected_options(path, {}),
    'recipe.json': read_recipe,
    'metadata.yaml': lambda path: _look_bag(path.parent),
    **{
        f'{part}.{kind}': _look_dataset
        for part in ('cameras', 'images')
        for kind in ('bin', 'txt')
    },
}
"""What reads a file, by its name or its suffix; others are described."""


def complaint(path: Path) -> str:
    """Read a file as its kind is read; return what is said against it, empty for nothing.

    Raises:
        AssertionError: it is not one printable line of bounded length.
        Exception: whatever is no error of ours.
    """
    look = LOOKS.get(path.name) or LOOKS.get(path.suffix) or describe
    try:
        look(path)
    except Da3Error as error:
        line = str(error)
        assert line.isprintable(), repr(line)
        assert 10 < len(line) < MAX_MESSAGE, (len(line), line)
        return line
    return ''
