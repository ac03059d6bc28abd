"""Engines on disk: used only when they are sound and of the same weights, bounded, made once."""

from collections.abc import Callable
from dataclasses import replace
import errno
from functools import partial
import os
from pathlib import Path
import shutil
import subprocess
import sys
import threading
import time

import pytest

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.inference.hub import CheckpointFiles, find_checkpoint
from da3_ros.inference.runtimes import engine_build, engine_hashes
from da3_ros.inference.runtimes.engine_build import CheckpointEngine
from da3_ros.inference.runtimes.engine_files import (
    FORMAT,
    METADATA_NAME,
    WEIGHTS_NAME,
    Engine,
    ImageSize,
    read_engine,
    size_text,
)
from da3_ros.inference.runtimes.engine_store import EngineKey, EngineStore, bytes_in, engines_root
from helpers import stand_in_engines
from helpers.stand_in_engines import KEY, SIZE, assert_sound, written


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
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == 'changed':
        weights.write_bytes(weights.read_bytes()[:-1] + b'x')
    elif damage == 'missing':
        weights.unlink()
    elif damage == 'format':
        metadata.write_text(metadata.read_text().replace(f'"format": {FORMAT}', '"format": 0'))
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
    found = store.find(KEY, sizes[0])
    assert found is not None
    # What a runtime keeps of a graph beside it.
    for size in sizes[:2]:
        (found.folder / f'fuse_{size_text(size)}.openvino-1').write_text('compiled')
    engine = store.build(KEY, sizes[2], partial(written, size=sizes[2]))
    assert set(engine.sizes) == {sizes[0], sizes[2]}
    graphs = {path.name for path in engine.folder.glob('fuse*.onnx')}
    assert graphs == {'fuse_14x14.onnx', 'fuse_14x42.onnx'}
    assert [path.name for path in engine.folder.glob('*.openvino*')] == ['fuse_14x14.openvino-1']


def test_engines_together_are_bounded(tmp_path: Path) -> None:
    one = written(tmp_path / 'one').folder
    store = EngineStore(tmp_path / 'engines', max_bytes=bytes_in(one) * 5 // 2)
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


def test_an_engine_is_not_removed_while_it_is_built(tmp_path: Path) -> None:
    """Nor is its lock: who waits for it and who comes later would build at once."""
    store = EngineStore(tmp_path)

    def removing(folder: Path) -> Engine:
        with pytest.raises(CheckpointError, match='another process builds it now'):
            store.remove(tmp_path / KEY.folder_name)
        return written(folder)

    engine = store.build(KEY, SIZE, removing)
    store.remove(engine.folder)
    store.remove(engine.folder)
    assert store.folders() == ()
    assert list(tmp_path.iterdir()) == []


def test_who_waits_for_a_removed_lock_takes_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EngineStore(tmp_path)
    lock = tmp_path / f'.lock-{KEY.folder_name}'
    locked = []

    def flock(number: int, how: int) -> None:
        # Between the opening and the locking another process removes the engine with its lock.
        locked.append(os.fstat(number).st_ino)
        if len(locked) == 1:
            lock.unlink()

    monkeypatch.setattr('fcntl.flock', flock)
    held = []

    def export(folder: Path) -> Engine:
        held.append(lock.stat().st_ino)
        return written(folder)

    store.build(KEY, SIZE, export)
    assert held[0] in locked[1:]


def test_where_there_are_no_locks_the_worst_is_that_two_make_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some network file systems."""

    def flock(number: int, how: int) -> None:
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr('fcntl.flock', flock)
    store = EngineStore(tmp_path)

    def slow(folder: Path) -> Engine:
        other = EngineStore(tmp_path).build(KEY, SIZE, written)
        assert_sound(other, KEY, SIZE)
        return written(folder)

    assert_sound(store.build(KEY, SIZE, slow), KEY, SIZE)
    found = store.find(KEY, SIZE)
    assert found is not None
    assert_sound(found, KEY, SIZE)
    assert not list(tmp_path.glob('.partial*'))


def test_processes_that_make_use_and_remove_engines_at_once(tmp_path: Path) -> None:
    """One of them is killed every now and then; nobody finds anything but what was made."""
    program = stand_in_engines.__file__
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)}

    def run(seed: int, rounds: int) -> subprocess.Popen[bytes]:
        words = [sys.executable, program, str(tmp_path / 'engines'), str(seed), str(rounds)]
        return subprocess.Popen(words, stderr=subprocess.PIPE, env=environment)

    killed, *others = run(0, 10_000), run(1, 25), run(2, 25)
    for process in others:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said.decode()
        assert b'cannot be read' not in said
    killed.kill()
    killed.communicate()
    store = EngineStore(tmp_path / 'engines')
    store.remove_leftovers()
    assert not list(store.root.glob('.partial*'))


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
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('DA3_CACHE', 'own')
    assert engines_root() == tmp_path / 'own' / 'engines'
    monkeypatch.setenv('DA3_CACHE', '~nobody-of-this-name/x')
    with pytest.raises(CheckpointError, match=r'home directory.*name a folder by DA3_CACHE'):
        engines_root()
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / ('x' * 300)))
    assert EngineStore().find(KEY) is None
    assert EngineStore().folders() == ()
    with pytest.raises(CheckpointError, match=r'cannot be kept in .*too long'):
        EngineStore().build(KEY, SIZE, written)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointFiles:
    """A checkpoint that may be changed, and is taken for an old one."""
    monkeypatch.setattr(engine_hashes, 'SETTLED_NS', 0)
    checkpoint = find_checkpoint('da3-nano')
    for path in (checkpoint.config, checkpoint.weights):
        shutil.copy(path, tmp_path / path.name)
    (tmp_path / 'engines').mkdir()
    return find_checkpoint(tmp_path)


def change_last_byte(path: Path) -> None:
    """Change a file so that size and time of change of its content stay."""
    before = path.stat()
    with path.open('r+b') as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_changed_weights_are_other_weights(tmp_path: Path, copied: CheckpointFiles) -> None:
    store = EngineStore(tmp_path / 'engines')
    first = CheckpointEngine(copied, store=store).key
    assert CheckpointEngine(copied, store=store).key == first
    assert (store.root / 'hashes.json').is_file()
    time.sleep(0.02)
    change_last_byte(copied.weights)
    assert CheckpointEngine(copied, store=store).key != first


def test_weights_that_change_under_an_open_model_make_no_engine(
    tmp_path: Path, copied: CheckpointFiles
) -> None:
    """It would be kept under the name of the weights that were opened."""
    source = CheckpointEngine(copied, store=EngineStore(tmp_path / 'engines'))
    time.sleep(0.02)
    change_last_byte(copied.weights)
    with pytest.raises(CheckpointError, match='changed since they were opened'):
        source.get(SIZE)
    assert source.store.folders() == ()


@pytest.mark.parametrize('entry', ['"../../x"', '3', '{}', '[]', '["a"]', 'null'])
def test_hashes_of_others_are_not_believed(
    tmp_path: Path, copied: CheckpointFiles, entry: str
) -> None:
    store = EngineStore(tmp_path / 'engines')
    key = CheckpointEngine(copied, store=store).key
    path = store.root / 'hashes.json'
    path.write_text(path.read_text().replace(f'"{key.weights_sha256}"', entry))
    assert CheckpointEngine(copied, store=store).key == key


def test_a_fresh_file_is_hashed_each_time(tmp_path: Path, copied: CheckpointFiles) -> None:
    """It may change within one step of the clock of files."""
    hashes = EngineStore(tmp_path / 'engines').hashes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_hashes, 'SETTLED_NS', 10**18)
        hashes.of(copied.weights)
    assert not (tmp_path / 'engines' / 'hashes.json').exists()


def test_whatever_the_exporter_raises_is_said(
    tmp_path: Path, copied: CheckpointFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of torch than was seen; `auto` then goes on with torch."""
    source = CheckpointEngine(copied, store=EngineStore(tmp_path / 'engines'))
    monkeypatch.setattr(engine_build, 'missing_builders', lambda: ())

    def broken(folder: Path, size: ImageSize) -> Engine:
        raise TypeError("export() got an unexpected keyword argument 'dynamo'")

    monkeypatch.setattr(source, '_exported', broken)
    with pytest.raises(ModelError, match=r'cannot be built: TypeError: .*dynamo'):
        source.get(SIZE)
    with pytest.raises(ModelError, match='at most 4096 px'):
        source.get((14, 14_000))


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
