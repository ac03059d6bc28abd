"""What files and folders are, as plain values that become JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
import re
from typing import TYPE_CHECKING, Any

from da3_ros.cli.describe_cloud import describe_clouds
from da3_ros.cli.describe_scene import (
    describe_batch,
    describe_glb,
    describe_ply,
    describe_results,
    describe_scene_folder,
)
from da3_ros.errors import CheckpointError, SourceError
from da3_ros.notes import joined

if TYPE_CHECKING:
    from da3_ros.geometry.camera import ImageSize

Description = dict[str, Any]

_WEIGHTS_SUFFIX = '.safetensors'
_PROCESS_RES = 504
_REPOSITORY = re.compile(r'[\w-][\w.-]*/[\w.-]+', re.ASCII)


def describe(path: Path) -> Description:
    """Return the kind of a thing and what is in it.

    Args:
        path: file or folder, or the name of a network.

    Raises:
        SourceError: there is nothing, or it is of no known kind, or damaged.
    """
    if path.is_dir():
        return {'path': str(path), **_folder(path)}
    if path.is_file():
        return {'path': str(path), 'bytes': path.stat().st_size, **_file(path)}
    _refuse_neither(path)
    return _network(str(path))


def _refuse_neither(path: Path) -> None:
    """Refuse what is there, though it is neither a file nor a folder.

    Raises:
        SourceError: says what it is.
    """
    if path.exists():
        raise SourceError(f'{path}: expected a file or a folder, it is a device, pipe or socket')
    if path.is_symlink():
        raise SourceError(f'{path}: it links to {path.readlink()}, where there is nothing')


def _file(path: Path) -> Description:
    from da3_ros.sources.bag_files import looks_like_bag
    from da3_ros.sources.images import IMAGE_SUFFIXES, PICTURE_SUFFIXES

    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES + PICTURE_SUFFIXES:
        return _image(path)
    if looks_like_bag(path):
        return _bag(path)
    known = {
        '.npz': describe_results,
        '.glb': describe_glb,
        '.ply': describe_ply,
        _WEIGHTS_SUFFIX: _weights,
    }
    return known.get(suffix, _video)(path)


def _folder(path: Path) -> Description:
    from da3_ros.inference.runtimes.engine_files import is_engine
    from da3_ros.sources.bag_files import looks_like_bag
    from da3_ros.sources.colmap import looks_like_colmap
    from da3_ros.sources.images import has_images

    if is_engine(path):
        return _engine(path)
    if looks_like_bag(path):
        return _bag(path)
    if any(path.glob(f'*{_WEIGHTS_SUFFIX}')) and (path / 'config.json').is_file():
        return _checkpoint(path)
    if looks_like_colmap(path):
        return _colmap(path)
    scene = describe_scene_folder(path)
    if scene is not None:
        return scene
    if has_images(path):
        return _images(path)
    batch = describe_batch(path)
    if batch is not None:
        return batch
    raise SourceError(
        f'{path}: expected a bag, a checkpoint, an engine, a COLMAP dataset, exported results or '
        'images, this folder holds none of them'
    )


def _image(path: Path) -> Description:
    from da3_ros.inference.preprocess import input_size
    from da3_ros.model.config import PATCH_SIZE
    from da3_ros.options.network import NETWORK
    from da3_ros.sources.images import read_header

    header = read_header(path)
    height, width = input_size(header.size, _PROCESS_RES, NETWORK.process_res_method)
    seen = f'{width}x{height}' if min(height, width) >= PATCH_SIZE else 'too narrow for it'
    return {
        'kind': 'image',
        'format': header.format,
        'mode': header.mode,
        'size': _size(header.size),
        'exif_orientation': header.orientation,
        f'network_input_at_{_PROCESS_RES}': seen,
    }


def _images(path: Path) -> Description:
    from da3_ros.sources.images import list_images

    files = list_images(path)
    sizes: Counter[str] = Counter()
    unreadable = []
    for file in files:
        size = _size_of(file)
        if size is None:
            unreadable.append(file.name)
        else:
            sizes[size] += 1
    return {
        'kind': 'folder of images',
        'images': len(files),
        'sizes': dict(sizes.most_common()),
        'first': files[0].name,
        'last': files[-1].name,
        'unreadable': unreadable,
    }


def _size_of(path: Path) -> str | None:
    from da3_ros.sources.images import read_header

    try:
        return _size(read_header(path).size)
    except SourceError:
        return None


def _video(path: Path) -> Description:
    from da3_ros.sources.video import VideoReader

    try:
        info = VideoReader(path).info
    except SourceError as error:
        raise SourceError(
            f'{path}: expected an image, a video, a bag, a checkpoint or results; {error}'
        ) from error
    return {
        'kind': 'video',
        'size': _size(info.size),
        'rate_hz': info.rate_hz,
        'duration_s': info.duration_s,
        'frames_at_1_fps': None if info.duration_s is None else max(1, int(info.duration_s)),
    }


def _bag(path: Path) -> Description:
    from da3_ros.sources.bag import BagReader

    with BagReader(path) as bag:
        topics = [
            {'topic': topic.name, 'type': topic.msgtype, 'messages': topic.count}
            for topic in bag.topics
        ]
        clouds = describe_clouds(bag)
        # Reading the clouds may have found more.
        notes = joined(bag.notes)
        return {
            'kind': 'bag',
            'messages': bag.message_count,
            'duration_s': bag.duration_s,
            'start_ns': bag.start_ns,
            **({'notes': notes} if notes else {}),
            'topics': topics,
            **({'clouds': clouds} if clouds else {}),
        }


def _colmap(path: Path) -> Description:
    from da3_ros.sources.colmap import read_colmap

    dataset = read_colmap(path)
    cameras = {view.camera.camera_id: view.camera for view in dataset.views}
    return {
        'kind': 'COLMAP dataset',
        'model_folder': str(dataset.model_folder),
        'images': len(dataset.views),
        'missing_images': len(dataset.missing),
        'cameras': [
            {
                'camera': number,
                'model': camera.model,
                'size': _size(camera.size),
                'lens': 'distorted' if camera.is_distorted else 'pinhole',
            }
            for number, camera in sorted(cameras.items())
        ],
    }


def _checkpoint(path: Path) -> Description:
    from da3_ros.inference.network_file import read_network_config
    from da3_ros.model.capabilities import capabilities

    config = read_network_config(path / 'config.json')
    weights = sorted(path.glob(f'*{_WEIGHTS_SUFFIX}'))
    return {
        'kind': 'checkpoint',
        'model': config.name,
        'capabilities': list(capabilities(config).names()),
        **{key: value for key, value in _weights(weights[0]).items() if key != 'kind'},
    }


def _engine(path: Path) -> Description:
    from da3_ros.cli.engine_sizes import in_pixels
    from da3_ros.inference.runtimes.stored_graphs import read_kept
    from da3_ros.model.capabilities import capabilities

    engine = read_kept(path)
    return {
        'kind': 'engine',
        'model': engine.config.name,
        'capabilities': list(capabilities(engine.config).names()),
        'image_sizes': [in_pixels(size) for size in engine.sizes],
        'graphs': engine.precision,
        'bytes': engine.nbytes,
        'weights_sha256': engine.weights_sha256,
        'random_weights': engine.is_random,
        'made_by': f'da3_ros {engine.package}',
    }


def _weights(path: Path) -> Description:
    import math

    from da3_ros.inference.weights_header import read_entries

    entries = read_entries(path)
    parameters: Counter[str] = Counter()
    for entry in entries:
        parameters[entry.kind] += math.prod(entry.shape)
    return {
        'kind': 'weights',
        'tensors': len(entries),
        'parameters': sum(parameters.values()),
        'parameters_by_type': dict(parameters),
    }


def _network(name: str) -> Description:
    from da3_ros.cli.models import describe_network
    from da3_ros.inference.hub import repository_of
    from da3_ros.model.presets import preset_name

    plain = preset_name(name)
    if plain is not None:
        return {'kind': 'network', **describe_network(plain)}
    try:
        repository = repository_of(name)
        if not _REPOSITORY.fullmatch(repository):
            raise CheckpointError(f'{repository!r} is no owner/name')
    except CheckpointError as error:
        raise SourceError(
            f'{name}: expected a file, a folder or a network (`da3 models`), found none'
        ) from error
    raise SourceError(
        f'{name}: there is no such file or folder; `hf download {repository}` fetches what the '
        'hub has by that name'
    )


def _size(size: ImageSize) -> str:
    return f'{size.width}x{size.height}'
