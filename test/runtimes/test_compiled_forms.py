"""What OpenVINO compiled is used again only where it is whole and made of the same."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
import os
from pathlib import Path
import resource
import shutil

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import ModelError
from da3_ros.inference.runtimes import compiled_forms, openvino_graphs
from da3_ros.inference.runtimes.compiled_forms import (
    MAX_FORMS,
    CompiledForm,
    let_go,
    remove_other_forms,
)
from da3_ros.inference.runtimes.engine_files import Engine, read_engine, without_size
from da3_ros.inference.runtimes.graph_runtime import GraphAnyView
from da3_ros.inference.runtimes.openvino_graphs import OpenVinoCompiler
from helpers.opened_engines import open_engine

pytest.importorskip('openvino', reason='openvino compiles graphs')

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def engine(any_view_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Return an engine in a cache, of which nothing has been compiled."""
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    folder = tmp_path / 'engines' / 'engine'
    shutil.copytree(any_view_engine.folder, folder)
    return replace(any_view_engine, folder=folder)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the stages of graphs that are compiled from now on."""
    stages: list[str] = []
    plain: Callable[..., openvino_graphs.OpenVinoGraph] = OpenVinoCompiler._compiled

    def counted(
        compiler: OpenVinoCompiler, path: Path, *rest: object
    ) -> openvino_graphs.OpenVinoGraph:
        stages.append(path.name.split('_')[0].removesuffix('.onnx'))
        return plain(compiler, path, *rest)

    monkeypatch.setattr(OpenVinoCompiler, '_compiled', counted)
    return stages


def answer(engine: Engine) -> tuple[NDArray[np.float32], ...]:
    network = open_engine(engine, 'openvino')
    assert isinstance(network, GraphAnyView)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, *engine.sizes[0], 3), dtype=np.uint8)
    fused = network.fuse(network.encode(images), None, strategy='middle', wanted=(0, 1))
    maps = network.decode(fused)
    assert maps.confidence is not None
    assert fused.extrinsics is not None
    return maps.depth, maps.confidence, fused.extrinsics


def forms(engine: Engine) -> list[Path]:
    return sorted(engine.folder.glob('*.openvino-*'))


def test_a_second_start_compiles_nothing_and_gives_the_same(
    engine: Engine, compiled: list[str]
) -> None:
    first = answer(engine)
    assert sorted(compiled) == ['decode', 'encode', 'fuse', 'poses']
    compiled.clear()
    for found, expected in zip(answer(engine), first, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert not compiled
    # Forms are no part of what an engine must have.
    assert read_engine(engine.folder).files == engine.files


@pytest.mark.parametrize(
    'damage',
    [
        'bit',
        'truncated',
        'folder',
        *(pytest.param(d, marks=pytest.mark.slow) for d in ('empty', 'swapped', 'nonsense')),
    ],
)
def test_a_damaged_form_is_made_again(engine: Engine, compiled: list[str], damage: str) -> None:
    first = answer(engine)
    (form,) = (path for path in forms(engine) if path.name.startswith('fuse'))
    whole = form.read_bytes()
    if damage == 'bit':
        form.write_bytes(whole[:1000] + bytes([whole[1000] ^ 1]) + whole[1001:])
    elif damage == 'truncated':
        form.write_bytes(whole[:-1])
    elif damage == 'empty':
        form.write_bytes(b'')
    elif damage == 'swapped':
        (other,) = (path for path in forms(engine) if path.name.startswith('poses'))
        form.write_bytes(other.read_bytes()[:64] + whole[64:])
    elif damage == 'nonsense':
        # Whole by its hash, and nothing that OpenVINO can read.
        CompiledForm.write(_at(form), CONTENT)
    else:
        form.unlink()
        form.mkdir()
    compiled.clear()
    for found, expected in zip(answer(engine), first, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert compiled == ['fuse']
    if damage != 'folder':
        assert form.read_bytes()[64:] != CONTENT


def _at(path: Path) -> CompiledForm:
    form = CompiledForm(path.with_name('fuse.onnx'), 'openvino', ())
    form._path = path
    return form


def test_another_version_cpu_or_other_weights_do_not_use_a_form(
    engine: Engine, compiled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(engine)
    weights = engine.files['weights.bin']
    other = {**engine.files, 'weights.bin': replace(weights, sha256='ab' * 32)}
    changes: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: monkeypatch.setattr(openvino_graphs, 'processor_name', lambda: 'another'),
        lambda: monkeypatch.setattr('openvino.get_version', lambda: '1.0'),
    )
    for change in changes:
        change()
        compiled.clear()
        answer(replace(engine, files=other))
        assert len(compiled) == 4


def test_a_folder_that_cannot_be_written_is_used_as_it_is(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *rest: object) -> None:
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'replace', refuse)
    answer(engine)
    assert not forms(engine)
    assert not list(engine.folder.glob('.scratch-*'))


def test_a_full_disk_costs_the_form_only(engine: Engine, compiled: list[str]) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        answer(engine)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # The smallest fits.
    assert [form.name.split('.')[0] for form in forms(engine)] == ['poses']
    assert not list(engine.folder.glob('.scratch-*'))
    compiled.clear()
    answer(engine)
    assert sorted(compiled) == ['decode', 'encode', 'fuse']


def test_a_graph_whose_form_cannot_be_made_computes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openvino

    def fail(model: object) -> None:
        raise RuntimeError('no form of this')

    monkeypatch.setattr(openvino.CompiledModel, 'export_model', fail)
    answer(engine)
    assert not forms(engine)


def test_forms_in_a_folder_that_the_user_names_are_never_believed(
    engine: Engine, compiled: list[str], tmp_path: Path
) -> None:
    expected = answer(engine)
    named = replace(engine, folder=tmp_path / 'named')
    # With forms that are whole, of these graphs and this machine: who made them nothing says.
    shutil.copytree(engine.folder, named.folder)
    there = {path: path.read_bytes() for path in named.folder.iterdir()}
    for stages in (['decode', 'encode', 'fuse', 'poses'], []):
        compiled.clear()
        for found, wanted in zip(answer(named), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
        assert sorted(compiled) == stages
    assert {path: path.read_bytes() for path in named.folder.iterdir()} == there
    assert len(list((tmp_path / 'compiled').iterdir())) == 4
    remove_other_forms()
    assert not (tmp_path / 'compiled').exists()


def test_forms_of_folders_outside_the_cache_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr(compiled_forms, 'MAX_OTHER_FORMS', 3)
    for number in range(5):
        form = CompiledForm(tmp_path / f'{number}/fuse_{number}.onnx', 'openvino', ())
        form.write(CONTENT)
    assert len(list((tmp_path / 'cache' / 'compiled').iterdir())) == 3


def test_without_a_cache_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DA3_CACHE', '~nobody-of-this-name/x')
    form = CompiledForm(tmp_path / 'fuse.onnx', 'openvino', ())
    form.write(CONTENT)
    assert form.read() is None
    assert not list(tmp_path.iterdir())


def test_writers_of_one_form_never_share_a_file(engine: Engine) -> None:
    form = CompiledForm(engine.graph('fuse', engine.sizes[0]), 'openvino', ())
    # Of a process that was killed.
    assert form._path is not None
    (engine.folder / f'.scratch-{form._path.name}.1-1').write_bytes(CONTENT)
    contents = [bytes([number]) * 100_000 for number in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda number: _written(form, contents[number % 4]), range(80)):
            assert found is None or bytes(found) in contents
    assert not list(engine.folder.glob('.scratch-*'))


def _written(form: CompiledForm, content: bytes) -> memoryview | None:
    form.write(content)
    return form.read()


def test_forms_of_a_graph_are_bounded_and_go_with_it(engine: Engine) -> None:
    size = engine.sizes[0]
    graph = engine.graph('fuse', size)
    for number in range(MAX_FORMS + 2):
        form = CompiledForm(graph, 'openvino', (str(number),))
        form.write(CONTENT)
        assert form._path is not None
        os.utime(form._path, ns=(number, number))
    kept = [form for form in forms(engine) if form.name.startswith(graph.stem)]
    assert len(kept) == MAX_FORMS
    content = form.read()
    assert content is not None
    let_go(content)
    assert bytes(content) == CONTENT
    without_size(engine, size)
    assert not [form for form in forms(engine) if form.name.startswith(graph.stem)]


def test_levels_of_a_window_outlive_the_next_one(engine: Engine) -> None:
    network = open_engine(engine, 'openvino')
    assert isinstance(network, GraphAnyView)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, *engine.sizes[0], 3), dtype=np.uint8)
    first, second = (network.encode(image[None]) for image in images)
    kept = network.fuse(first, None, strategy='middle', wanted=(0,))
    expected = network.decode(kept).depth
    network.fuse(second, None, strategy='middle', wanted=(0,))
    np.testing.assert_array_equal(network.decode(kept).depth, expected)


def test_what_cannot_be_loaded_ahead_is_said_when_it_is_needed(engine: Engine) -> None:
    engine.graph('decode', engine.sizes[0]).write_bytes(b'no graph')
    network = open_engine(engine, 'openvino')
    assert isinstance(network, GraphAnyView)
    images = np.zeros((1, *engine.sizes[0], 3), np.uint8)
    fused = network.fuse(network.encode(images), None, strategy='middle', wanted=(0,))
    for _ in range(2):
        with pytest.raises(ModelError, match='decode'):
            network.decode(fused)
