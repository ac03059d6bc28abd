"""What lies in the folder of an engine, and whether it is sound.

    config.json       the network, as the hub's layout has it
    engine.json       what was exported, from which weights, and every other file with its hash
    weights.bin       the weights, once for all graphs
    camera_tokens.npy (2, C) tokens of the reference view and of every other, any-view networks
    STAGE.onnx        graphs that serve every image size
    STAGE_HxW.onnx    graphs of one image size
    STAGE....RUNTIME-KEY  in the cache only: what a runtime made of a graph (`compiled_forms`)

An engine needs neither torch nor the checkpoint it was made of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast, get_args

from da3_ros.errors import CheckpointError
from da3_ros.foreign import foreign_file, open_regular, plain_path
from da3_ros.inference.network_file import config_content, read_network_config
from da3_ros.model.config import PATCH_SIZE, AnyViewConfig, NetworkConfig, SingleViewConfig
from da3_ros.plain_data import read_json

FORMAT = 3
"""Of the folder; raised whenever graphs or files change their meaning."""

CONFIG_NAME = 'config.json'
METADATA_NAME = 'engine.json'
WEIGHTS_NAME = 'weights.bin'
TOKENS_NAME = 'camera_tokens.npy'
SCRATCH_PREFIX = '.scratch-'
"""Of files that are being written; those of a killed process are removed by the next one."""

StageName = Literal['encode', 'cameras', 'fuse', 'poses', 'decode', 'maps']
GraphPrecision = Literal['fp32', 'fp16']
GRAPH_PRECISIONS: tuple[GraphPrecision, ...] = get_args(GraphPrecision)
PLAIN_PRECISION: GraphPrecision = 'fp32'
"""Graphs of which every runtime makes its own."""

SIZE_FREE: frozenset[str] = frozenset(('cameras', 'poses'))
"""Stages whose graphs serve every image size."""

ImageSize: TypeAlias = tuple[int, int]
"""(H, W), px."""

MAX_SIDE = 4096
"""Longest side of an image in a graph, px; attention over all patches costs its fourth power."""

_BLOCK_BYTES = 1 << 20
_CHECKSUM = 'checksum'


@dataclass(frozen=True, slots=True)
class FileMark:
    """What a file must be."""

    size: int
    """Bytes."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Engine:
    """Graphs of one network in a folder."""

    folder: Path
    config: AnyViewConfig | SingleViewConfig
    precision: GraphPrecision
    """Format of the matrices in the graphs."""

    weights_sha256: str
    """Of the checkpoint's weights file, or what stands for it."""

    is_random: bool
    """Whether the weights were drawn and not learned."""

    package: str
    """Version of this package that exported it."""

    sizes: tuple[ImageSize, ...] = ()
    """Image sizes that it has graphs for."""

    files: Mapping[str, FileMark] = field(default_factory=dict)
    """Every file but the metadata, by name."""

    tensors: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """First byte and number of bytes in the weights file, by hash of type and content."""

    def graph(self, stage: StageName, size: ImageSize) -> Path:
        """Return the path of a graph."""
        return self.folder / graph_name(stage, size)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(mark.size for mark in self.files.values())

    def require(self, size: ImageSize) -> None:
        """Raise CheckpointError when there are no graphs for a size."""
        if size not in self.sizes:
            known = ', '.join(map(size_text, self.sizes))
            raise CheckpointError(
                f'engine {plain_path(self.folder)}: it has graphs for images of {known or "none"} '
                f'(height x width, px), got {size_text(size)}; add them where torch is '
                'installed: da3 compile'
            )


def has_graphs(config: NetworkConfig) -> bool:
    """Return whether a network has graphs: one that consists of two runs in torch only."""
    return config.any_view is None or config.single_view is None


def graph_name(stage: str, size: ImageSize) -> str:
    """Return the name of a graph's file."""
    return f'{stage}.onnx' if stage in SIZE_FREE else f'{stage}_{size_text(size)}.onnx'


def size_text(size: ImageSize) -> str:
    """Return (H, W) as names and messages have it, height first."""
    return f'{size[0]}x{size[1]}'


def stages_of(config: NetworkConfig) -> tuple[StageName, ...]:
    """Return the stages that an engine of a network consists of."""
    if config.any_view is None:
        return ('maps',)
    if config.any_view.camera is None:
        return ('encode', 'fuse', 'decode')
    return ('encode', 'cameras', 'fuse', 'poses', 'decode')


def is_engine(folder: Path) -> bool:
    """Return whether a folder says that it is an engine; what cannot be looked at is none."""
    try:
        return (folder / METADATA_NAME).is_file()
    except (OSError, ValueError):
        # A name that is too long, a folder that nobody may enter.
        return False


def read_engine(folder: Path, hash_of: Callable[[Path], str] | None = None) -> Engine:
    """Read an engine; every file must have the size and the hash that was written.

    Args:
        folder: its folder.
        hash_of: returns the hash of a file; None for `sha256_of`.

    Raises:
        CheckpointError: it is damaged, or of a format that this version does not know.
    """
    path = folder / METADATA_NAME
    with foreign_file(path, 'engine', CheckpointError):
        engine = _parsed(folder, read_json(path))
    for name, mark in engine.files.items():
        _check_file(folder / name, mark, hash_of or sha256_of)
    return engine


def write_metadata(engine: Engine) -> None:
    """Write what describes an engine, last of all its files: before, it is none."""
    content = {
        'format': FORMAT,
        'package': engine.package,
        'precision': engine.precision,
        'weights_sha256': engine.weights_sha256,
        'is_random': engine.is_random,
        'sizes': [list(size) for size in engine.sizes],
        'files': {name: asdict(mark) for name, mark in engine.files.items()},
        'tensors': {name: list(place) for name, place in engine.tensors.items()},
    }
    content[_CHECKSUM] = _checksum(content)
    scratch = engine.folder / f'{SCRATCH_PREFIX}{METADATA_NAME}.{os.getpid()}'
    scratch.write_text(json.dumps(content), encoding='utf-8')
    scratch.replace(engine.folder / METADATA_NAME)


def write_config(engine: Engine) -> None:
    """Write the configuration of an engine's network."""
    text = json.dumps(config_content(engine.config))
    (engine.folder / CONFIG_NAME).write_text(text, encoding='utf-8')


def with_files(engine: Engine, *names: str) -> Engine:
    """Return an engine that also has files, which lie in its folder."""
    marks = {name: mark_of(engine.folder / name) for name in names}
    return replace(engine, files={**engine.files, **marks})


def remove_scratch(folder: Path) -> None:
    """Remove what killed processes left in an engine's folder; call it where nobody writes."""
    for path in folder.glob(f'{SCRATCH_PREFIX}*'):
        path.unlink(missing_ok=True)


def without_size(engine: Engine, size: ImageSize) -> Engine:
    """Remove the graphs of a size from an engine's folder, with what runtimes keep of them."""
    ending = f'_{size_text(size)}.onnx'
    removed = [name for name in engine.files if name.endswith(ending)]
    engine = replace(
        engine,
        sizes=tuple(other for other in engine.sizes if other != size),
        files={name: mark for name, mark in engine.files.items() if name not in removed},
    )
    write_metadata(engine)
    for name in removed:
        for path in engine.folder.glob(f'{Path(name).stem}.*'):
            path.unlink(missing_ok=True)
    return engine


def mark_of(path: Path) -> FileMark:
    """Return what a file is."""
    return FileMark(path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """Return the hash of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file.
    """
    found = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def _parsed(folder: Path, content: Any) -> Engine:
    if content['format'] != FORMAT:
        raise CheckpointError(
            f'engine {plain_path(folder)}: its format is {content["format"]}, this version of '
            f'da3_ros reads {FORMAT}; make it again: da3 compile'
        )
    if content[_CHECKSUM] != _checksum(content):
        raise ValueError('its content is not what was written; make the engine again')
    config = read_network_config(folder / CONFIG_NAME)
    if not has_graphs(config) or content['precision'] not in GRAPH_PRECISIONS:
        raise ValueError('its network or its precision is none that has graphs')
    files = {str(name): FileMark(**mark) for name, mark in content['files'].items()}
    if any(Path(name).name != name for name in files):
        raise ValueError('it names files of other folders')
    engine = Engine(
        folder=folder,
        config=cast('AnyViewConfig | SingleViewConfig', config),
        precision=content['precision'],
        weights_sha256=str(content['weights_sha256']),
        is_random=bool(content['is_random']),
        package=str(content['package']),
        sizes=tuple((int(h), int(w)) for h, w in content['sizes']),
        files=files,
        tensors={name: (int(a), int(b)) for name, (a, b) in content['tensors'].items()},
    )
    _check_complete(engine)
    return engine


def _check_complete(engine: Engine) -> None:
    """Raise ValueError when a size is none, or a file that is needed is not vouched for."""
    names = [CONFIG_NAME, WEIGHTS_NAME]
    if engine.config.any_view is not None:
        names.append(TOKENS_NAME)
    for size in engine.sizes:
        if any(side < PATCH_SIZE or side % PATCH_SIZE or side > MAX_SIDE for side in size):
            raise ValueError(f'{size_text(size)} is no image size')
        names.extend(graph_name(stage, size) for stage in stages_of(engine.config))
    missing = [name for name in names if name not in engine.files]
    if missing:
        raise ValueError(f'it lists no {missing[0]}')


def _checksum(content: Mapping[str, Any]) -> str:
    """Return a hash of metadata: a wrong place in the weights file would give wrong numbers."""
    rest = {key: value for key, value in content.items() if key != _CHECKSUM}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _check_file(path: Path, mark: FileMark, hash_of: Callable[[Path], str]) -> None:
    with foreign_file(path, 'engine', CheckpointError):
        size = path.stat().st_size
        if size != mark.size:
            raise ValueError(f'expected {mark.size} bytes, it has {size}')
        if hash_of(path) != mark.sha256:
            raise ValueError('its content is not what was written; make the engine again')
