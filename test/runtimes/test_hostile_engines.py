"""Engines that are damaged, changed or hostile: refused with a sentence, never computed with."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
import json
import os
from pathlib import Path
import shutil
from typing import Any

import numpy as np
import pytest

from da3_ros.cli.describe import describe
from da3_ros.errors import CheckpointError, ModelError
from da3_ros.inference.runtimes import engine_files
from da3_ros.inference.runtimes.engine_files import (
    METADATA_NAME,
    TOKENS_NAME,
    WEIGHTS_NAME,
    Engine,
    read_engine,
    with_files,
    write_metadata,
)
from da3_ros.inference.runtimes.engine_store import EngineStore
from da3_ros.inference.runtimes.graph_runtime import EngineGraphs, GraphAnyView
from da3_ros.inference.runtimes.stored_graphs import network_of_engine
from da3_ros.options.choices import Precision
from da3_ros.options.network import NETWORK
from helpers.opened_engines import RUNTIMES, open_engine
from helpers.stand_in_engines import KEY, SIZE, assert_sound, written

Damage = Callable[[Path], object]


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replace_by_link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Damage] = {
    'cut': lambda path: path.write_bytes(path.read_bytes()[:-1]),
    'flipped': _flip,
    'empty': lambda path: path.write_bytes(b''),
    'gone': Path.unlink,
    'folder': _replace_by_folder,
    'pipe': _replace_by_pipe,
    'dangling': lambda path: _replace_by_link(path, 'nowhere'),
    'loop': lambda path: _replace_by_link(path, path.name),
}


@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize('name', ['config.json', WEIGHTS_NAME, TOKENS_NAME, 'fuse_42x56.onnx'])
def test_damage_of_any_file_is_seen_and_the_engine_made_again(
    tmp_path: Path, name: str, damage: Damage
) -> None:
    store = EngineStore(tmp_path)
    folder = store.build(KEY, SIZE, written).folder
    damage(folder / name)
    with pytest.raises(CheckpointError, match=r'engine|configuration'):
        read_engine(folder)
    assert store.find(KEY) is None
    assert_sound(store.build(KEY, SIZE, written), KEY, SIZE)
    assert store.find(KEY, SIZE) is not None


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return written(tmp_path / 'engine')


def rewritten(engine: Engine, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the metadata as somebody would who knows how they are vouched for."""
    path = engine.folder / METADATA_NAME
    content = json.loads(path.read_text())
    change(content)
    content['checksum'] = engine_files._checksum(content)
    path.write_text(json.dumps(content))
    return engine.folder


@pytest.mark.parametrize(
    'content', ['', '{', 'null', '[]', '3', '"a"', '{}', '[' * 10_000, '{"format": [2]}']
)
def test_metadata_of_any_kind_are_refused(engine: Engine, content: str) -> None:
    (engine.folder / METADATA_NAME).write_text(content)
    with pytest.raises(CheckpointError, match='engine'):
        read_engine(engine.folder)


def test_metadata_that_nobody_wrote_are_refused(engine: Engine) -> None:
    """A place in the weights file that is another one would give wrong numbers in silence."""
    path = engine.folder / METADATA_NAME
    path.write_text(path.read_text().replace('"is_random": false', '"is_random": true'))
    with pytest.raises(CheckpointError, match='not what was written'):
        read_engine(engine.folder)


ENTRIES = ('precision', 'weights_sha256', 'sizes', 'files', 'tensors', 'package', 'is_random')


def _set(entry: str, value: Any, content: dict[str, Any]) -> None:
    content[entry] = value


@pytest.mark.parametrize('entry', ENTRIES)
def test_entries_of_another_type_never_end_in_a_trace(engine: Engine, entry: str) -> None:
    values: list[Any] = [None, True, -1, 1e300, 'text', [], {}, [[1]], [None], {'a': 1}]
    for value in values:
        folder = rewritten(engine, partial(_set, entry, value))
        try:
            found = read_engine(folder)
        except CheckpointError:
            continue
        assert set(found.sizes) <= {SIZE}
    folder = rewritten(engine, lambda content: content.pop(entry))
    with pytest.raises(CheckpointError, match=entry):
        read_engine(folder)


@pytest.mark.parametrize('size', [(0, 14), (-14, 14), (15, 14), (14, 10**9), (56, 42)])
def test_sizes_without_graphs_are_refused(engine: Engine, size: tuple[int, int]) -> None:
    folder = rewritten(engine, lambda content: content['sizes'].append(size))
    with pytest.raises(CheckpointError, match=r'no image size|lists no'):
        read_engine(folder)


@pytest.mark.parametrize('name', ['../x', '/etc/passwd', 'a/b', '', '.', '..', 'a\0b'])
def test_files_elsewhere_are_refused(engine: Engine, name: str) -> None:
    mark = {'size': 4096, 'sha256': ''}
    folder = rewritten(engine, lambda content: content['files'].update({name: mark}))
    with pytest.raises(CheckpointError, match='engine'):
        read_engine(folder)


def test_another_version_is_not_ours_whatever_its_folder_is_called(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)
    engine = store.build(KEY, SIZE, written)
    write_metadata(replace(engine, package='0.0.1'))
    assert read_engine(engine.folder).package == '0.0.1'
    assert store.find(KEY) is None


@pytest.fixture
def copied(any_view_engine: Engine, tmp_path: Path) -> Engine:
    """A real engine that may be damaged."""
    folder = tmp_path / 'copied'
    shutil.copytree(any_view_engine.folder, folder)
    return replace(any_view_engine, folder=folder)


def _pickled(path: Path) -> None:
    np.save(path, np.array([{'a': 1}], dtype=object), allow_pickle=True)


@pytest.mark.parametrize(
    'write',
    [_pickled, lambda path: np.save(path, np.zeros((1, 4))), lambda path: path.write_text('')],
)
def test_tokens_that_are_none_are_refused(copied: Engine, write: Damage) -> None:
    write(copied.folder / TOKENS_NAME)
    changed = with_files(copied, TOKENS_NAME)
    write_metadata(changed)
    with pytest.raises(CheckpointError, match=TOKENS_NAME):
        open_engine(read_engine(copied.folder), 'openvino')


def test_graphs_of_fp16_are_not_taken_for_fp32(copied: Engine) -> None:
    write_metadata(replace(copied, precision='fp16'))
    named: tuple[Precision, ...] = ('auto', 'fp32')
    for precision in named:
        options = replace(NETWORK, runtime='openvino', precision=precision, device='cpu')
        with pytest.raises(ModelError, match='fp16, for other programs'):
            network_of_engine(copied.folder, options)


@pytest.mark.parametrize('runtime', RUNTIMES)
@pytest.mark.parametrize('change', ['fewer', 'other'])
def test_graphs_that_are_none_of_a_stage_are_refused(
    copied: Engine, runtime: str, change: str
) -> None:
    import onnx

    size = copied.sizes[0]
    path = copied.graph('decode' if change == 'fewer' else 'fuse', size)
    graph = onnx.load(path, load_external_data=False)
    outputs = list(graph.graph.output)
    del graph.graph.output[:]
    graph.graph.output.extend(outputs[:1] if change == 'fewer' else outputs[::-1])
    onnx.save(graph, path)
    write_metadata(with_files(copied, path.name))
    network = open_engine(read_engine(copied.folder), runtime)
    assert isinstance(network, GraphAnyView)
    views = network.encode(np.zeros((1, *size, 3), np.uint8))
    with pytest.raises(ModelError, match='graph'):
        network.decode(network.fuse(views, None, strategy='middle', wanted=(0,)))


def test_an_engine_that_was_removed_is_asked_for_again(
    copied: Engine, any_view_engine: Engine
) -> None:
    """Graphs are loaded when they are first needed: another process may be faster."""
    opened = open_engine(copied, 'openvino')
    assert isinstance(opened, GraphAnyView)
    asked = []

    def missing(size: tuple[int, int]) -> Engine:
        asked.append(size)
        shutil.copytree(any_view_engine.folder, copied.folder)
        return copied

    graphs = EngineGraphs(copied, opened._graphs.compiler, missing)
    size = copied.sizes[0]
    graphs.get('cameras', size, None)
    shutil.rmtree(copied.folder)
    graphs.get('poses', size, None)
    graphs.get('poses', size, None)
    assert asked == [size]


def test_an_engine_says_what_it_is(any_view_engine: Engine) -> None:
    found = describe(any_view_engine.folder)
    assert (found['kind'], found['model']) == ('engine', 'graph-any')
    assert found['image_sizes'] == ['70x42', '42x56']
    assert found['weights_sha256'] == any_view_engine.weights_sha256
