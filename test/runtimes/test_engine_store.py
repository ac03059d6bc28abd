"""Engines on disk: used only when they are sound and of the same weights, bounded, made once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
import json
from pathlib import Path
import shutil
import threading
import time

import pytest

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.inference.hub import find_checkpoint
from da3_ros.inference.runtimes.engine_build import CheckpointEngine
from da3_ros.inference.runtimes.engine_files import (
    METADATA_NAME,
    WEIGHTS_NAME,
    Engine,
    read_engine,
    size_text,
    with_files,
    write_metadata,
)
from da3_ros.inference.runtimes.engine_store import EngineKey, EngineStore, engines_root
from da3_ros.model.presets import PRESETS

SIZE = (42, 56)
KEY = EngineKey('da3-small', 'ab' * 32)


def written(folder: Path, size: tuple[int, int] = SIZE, key: EngineKey = KEY) -> Engine:
    """Stand in for the exporter: the files of an engine without real graphs."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f'fuse_{size_text(size)}.onnx'
    (folder / name).write_bytes(b'graph' * 100)
    try:
        engine = read_engine(folder)
    except CheckpointError:
        (folder / 'config.json').write_text(json.dumps({'model_name': key.model_name}))
        (folder / WEIGHTS_NAME).write_bytes(bytes(2000))
        config = PRESETS['da3-small'].any_view
        assert config is not None
        engine = Engine(folder, config, 'fp32', key.weights_sha256, False, '0')
        engine = with_files(engine, 'config.json', WEIGHTS_NAME)
    engine = with_files(replace(engine, sizes=(*engine.sizes, size)), name)
    write_metadata(engine)
    return engine


def test_an_engine_is_made_once_and_found_afterwards(tmp_path: Path) -> None:
    store = EngineStore(tmp_path / 'new')
    assert store.find(KEY) is None
    made = store.build(KEY, SIZE, written)
    assert made.folder.parent == store.root
    found = store.build(KEY, SIZE, lambda folder: pytest.fail('made twice'))
    assert (found.sizes, found.nbytes) == ((SIZE,), made.nbytes)
    assert EngineStore(store.root).find(KEY, SIZE) == made
    assert store.find(KEY, (56, 42)) is None


@pytest.mark.parametrize(
    'other', [replace(KEY, weights_sha256='cd' * 32), replace(KEY, graph_precision='fp16')]
)
def test_other_weights_and_precisions_have_another_engine(
    tmp_path: Path, other: EngineKey
) -> None:
    store = EngineStore(tmp_path)
    made = store.build(KEY, SIZE, written)
    assert store.find(other) is None
    # Nor where the folder's name says otherwise.
    shutil.copytree(made.folder, tmp_path / other.folder_name)
    assert store.find(other) is None


@pytest.mark.parametrize('damage', ['truncated', 'changed', 'missing', 'format', 'no_json'])
def test_a_damaged_engine_is_refused_and_made_again(tmp_path: Path, damage: str) -> None:
    store = EngineStore(tmp_path)
    folder = store.build(KEY, SIZE, written).folder
    weights, metadata = folder / WEIGHTS_NAME, folder / METADATA_NAME
    if damage == 'truncated':
        weights.write_bytes(bytes(1999))
    elif damage == 'changed':
        weights.write_bytes(bytes(1999) + b'x')
    elif damage == 'missing':
        weights.unlink()
    elif damage == 'format':
        metadata.write_text(metadata.read_text().replace('"format": 2', '"format": 0'))
    else:
        metadata.write_text('{')
    with pytest.raises(CheckpointError, match='engine'):
        read_engine(folder)
    assert store.find(KEY) is None
    assert store.build(KEY, SIZE, written).sizes == (SIZE,)
    assert store.find(KEY, SIZE) is not None


def test_the_size_that_was_used_longest_ago_makes_place(tmp_path: Path) -> None:
    store = EngineStore(tmp_path, max_sizes=2)
    sizes = [(14, 14), (14, 28), (14, 42)]
    for size in sizes[:2]:
        store.build(KEY, size, partial(written, size=size))
        time.sleep(0.02)
    assert store.find(KEY, sizes[0]) is not None
    engine = store.build(KEY, sizes[2], partial(written, size=sizes[2]))
    assert set(engine.sizes) == {sizes[0], sizes[2]}
    graphs = {path.name for path in engine.folder.glob('*.onnx')}
    assert graphs == {'fuse_14x14.onnx', 'fuse_14x42.onnx'}


def test_engines_together_are_bounded(tmp_path: Path) -> None:
    store = EngineStore(tmp_path, max_bytes=7000)
    keys = [replace(KEY, weights_sha256=f'{index}' * 64) for index in range(4)]
    for key in keys:
        store.build(key, SIZE, partial(written, key=key))
        time.sleep(0.02)
    assert [store.find(key) is not None for key in keys] == [False, False, True, True]


def test_two_that_want_the_same_engine_make_it_once(tmp_path: Path) -> None:
    calls = []
    began, go_on = threading.Event(), threading.Event()

    def slow(folder: Path) -> Engine:
        calls.append(folder)
        began.set()
        assert go_on.wait(60)
        return written(folder)

    results = []

    def build() -> None:
        results.append(EngineStore(tmp_path).build(KEY, SIZE, slow))

    first, second = threading.Thread(target=build), threading.Thread(target=build)
    first.start()
    assert began.wait(60)
    second.start()
    go_on.set()
    first.join(60)
    second.join(60)
    assert len(calls) == 1
    assert results[0] == results[1]


def test_a_failed_export_leaves_nothing(tmp_path: Path) -> None:
    store = EngineStore(tmp_path)

    def broken(folder: Path) -> Engine:
        folder.mkdir()
        (folder / WEIGHTS_NAME).write_bytes(b'half')
        raise ModelError('no')

    with pytest.raises(ModelError, match='no'):
        store.build(KEY, SIZE, broken)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith('.lock')] == []


def test_where_nothing_can_be_written_the_error_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(CheckpointError, match=r'cannot be kept in .*DA3_CACHE'):
        EngineStore(tmp_path / 'file' / 'engines').build(KEY, SIZE, written)


def test_where_engines_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('DA3_CACHE', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    assert engines_root() == tmp_path / 'xdg' / 'da3_ros' / 'engines'
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / 'own'))
    assert engines_root() == tmp_path / 'own' / 'engines'


def test_changed_weights_are_other_weights(tmp_path: Path) -> None:
    checkpoint = find_checkpoint('da3-nano')
    for path in (checkpoint.config, checkpoint.weights):
        shutil.copy(path, tmp_path / path.name)
    store = EngineStore(tmp_path / 'engines')
    store.root.mkdir()
    copied = find_checkpoint(tmp_path)
    first = CheckpointEngine(copied, store=store).key
    assert CheckpointEngine(copied, store=store).key == first
    assert (store.root / 'hashes.json').is_file()
    with copied.weights.open('r+b') as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    assert CheckpointEngine(copied, store=store).key != first


def test_a_real_engine_shares_its_weights_and_says_what_it_is(any_view_engine: Engine) -> None:
    onnx = pytest.importorskip('onnx', reason='onnx reads graphs')
    engine = read_engine(any_view_engine.folder)
    assert engine == any_view_engine
    graphs = [name for name in engine.files if name.endswith('.onnx')]
    assert len(graphs) == 2 + 3 * len(engine.sizes)
    assert sum(engine.files[name].size for name in graphs) < engine.files[WEIGHTS_NAME].size
    for name in graphs:
        model = onnx.load(str(engine.folder / name), load_external_data=False)
        said = {entry.key: entry.value for entry in model.metadata_props}
        assert said['da3_ros.weights_sha256'] == engine.weights_sha256
        assert said['da3_ros.model_name'] == engine.config.name
        assert [entry.version for entry in model.opset_import if entry.domain == ''] == [18]


def test_a_size_that_is_not_there_names_those_that_are(any_view_engine: Engine) -> None:
    with pytest.raises(CheckpointError, match='42x70, 56x42'):
        any_view_engine.require((14, 14))


def test_an_engine_of_other_weights_takes_no_size(
    any_view_engine: Engine, tmp_path: Path, engines: Callable[..., Engine]
) -> None:
    del engines
    from da3_ros.inference.random_weights import random_network
    from da3_ros.inference.runtimes.graph_export import export_stages

    folder = tmp_path / 'copy'
    shutil.copytree(any_view_engine.folder, folder)
    other = random_network(any_view_engine.config, 8)
    with pytest.raises(ModelError, match='other weights'):
        export_stages(other, (14, 14), folder)
