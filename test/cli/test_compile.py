"""`da3 compile` and `da3 export-onnx`: engines ahead of time, graphs for others.

One network that sees each image alone stands for all: it is one graph, which is built in seconds.
"""

from __future__ import annotations

import io
from pathlib import Path
import shutil
import sys
from typing import Any

import numpy as np
import pytest

from da3_ros.cli import doctor_runtimes
from da3_ros.cli.engine_progress import EngineBar
from da3_ros.cli.engine_sizes import wanted_sizes
from da3_ros.cli.onnx_readme import README_NAME, trtexec
from da3_ros.inference.runtimes import packages
from da3_ros.inference.runtimes.engine_build import CheckpointEngine
from da3_ros.inference.runtimes.engine_files import read_engine
from helpers.cli import da3, da3_json, failure, invoke

pytest.importorskip('openvino')
pytest.importorskip('onnxscript')
onnx = pytest.importorskip('onnx')

SIZE = ('--size', '28x28')
"""That of the photos at 28 pixels."""


@pytest.fixture(scope='module')
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(autouse=True)
def environment(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DA3_CACHE', str(cache))
    monkeypatch.delenv('DA3_RUNTIME', raising=False)


@pytest.fixture(scope='module')
def compiled(cache: Path, single_view_checkpoint: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DA3_CACHE', str(cache))
        return da3_json(
            'compile', single_view_checkpoint, '--aspect', '64x48', *('--process-res', '28')
        )


@pytest.fixture(scope='module')
def graphs(
    tmp_path_factory: pytest.TempPathFactory, single_view_checkpoint: Path, cache: Path
) -> Path:
    """The folder of an export for one size."""
    out = tmp_path_factory.mktemp('export') / 'inner' / 'graphs'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('DA3_CACHE', str(cache))
        content = da3_json('export-onnx', single_view_checkpoint, '--out', out, *SIZE)
    assert content['notes'] == []
    assert set(content['files']) == {path.name for path in out.iterdir()}
    return out


def test_what_is_built_is_there_afterwards_and_is_not_built_again(
    compiled: dict[str, Any], cache: Path, single_view_checkpoint: Path
) -> None:
    (row,) = compiled['engines']
    assert compiled['runtime'] == 'openvino'
    assert row['built']
    assert Path(row['folder']).parent == cache / 'engines'
    again = da3_json('compile', single_view_checkpoint, '--size', row['size'])
    assert not again['engines'][0]['built']
    said = da3('compile', single_view_checkpoint, '--size', row['size'])
    assert row['folder'] in said
    assert 'is there' in said
    (listed,) = da3_json('compile', '--list')['engines']
    assert listed['sizes'] == [row['size']]
    assert listed['model'] == 'tiny-metric'
    assert listed['problem'] == ''


@pytest.mark.parametrize(
    ('runtime', 'expected'), [('auto', 'openvino'), ('openvino', 'openvino'), ('torch', 'torch')]
)
def test_scenes_are_computed_by_the_runtime(
    compiled: dict[str, Any],
    runtime: str,
    expected: str,
    single_view_checkpoint: Path,
    photos: Path,
    tmp_path: Path,
) -> None:
    words = ('--model', single_view_checkpoint, '--process-res', '28', '--runtime')
    out = ('--export-format', 'mini_npz', '-o')
    content = da3_json('images', photos, '--each', *words, runtime, *out, tmp_path / 'out')
    assert content['runtime'] == expected
    torch = da3_json('images', photos, '--each', *words, 'torch', *out, tmp_path / 'torch')
    assert torch['runtime'] == 'torch'
    for scene in ('0', '1', '2'):
        depth, exact = (
            np.load(tmp_path / name / scene / 'exports' / 'mini_npz' / 'results.npz')['depth']
            for name in ('out', 'torch')
        )
        assert np.abs(depth - exact).max() < 1e-4 * np.abs(exact).max()


def test_the_summary_names_what_has_computed(
    single_view_checkpoint: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what should have: here no engine can be kept."""
    (tmp_path / 'cache').write_text('in the way')
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / 'cache'))
    words = ('--model', single_view_checkpoint, '--process-res', '28', '-o', tmp_path / 'out')
    content = da3_json('image', photos / '0.png', *words, '--export-format', 'mini_npz')
    assert content['runtime'] == 'torch'
    assert 'not openvino' in content['notes'][0]


def test_what_only_torch_computes_goes_to_torch_and_is_said(
    compiled: dict[str, Any], single_view_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    words = ('--process-res', '28', '--runtime', 'openvino', '-o', tmp_path / 'out')
    more = ('--export-format', 'feat_vis', '--export-feat', '2')
    content = da3_json('image', photos / '0.png', '--model', single_view_checkpoint, *words, *more)
    assert any('torch computed this, not openvino' in note for note in content['notes'])


def test_doctor_tells_runtimes_and_engines(
    compiled: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtimes, engines = doctor_runtimes.check_runtimes()
    assert 'openvino' in runtimes.detail
    assert 'torch' in runtimes.detail
    assert 'auto is' in runtimes.detail
    assert 'tiny-metric fp32' in engines.detail
    assert str(cache) in engines.detail
    for place, reason in (('x' * 300, 'too long'), ('~nobody-of-this-name/x', 'home directory')):
        monkeypatch.setenv('DA3_CACHE', place)
        _, engines = doctor_runtimes.check_runtimes()
        assert engines.status == 'warning'
        assert reason in engines.detail
    monkeypatch.setenv('DA3_RUNTIME', 'torch')
    assert 'auto is torch, by DA3_RUNTIME' in next(doctor_runtimes.check_runtimes()).detail
    monkeypatch.setenv('DA3_RUNTIME', 'tpu')
    assert next(doctor_runtimes.check_runtimes()).status == 'problem'
    monkeypatch.delenv('DA3_RUNTIME')
    monkeypatch.setattr(packages, 'is_installed', lambda name: name == 'openvino')
    monkeypatch.setattr(packages, 'missing_builders', lambda: ('torch',))
    alone = next(doctor_runtimes.check_runtimes())
    assert alone.status == 'note'
    assert 'auto is openvino' in alone.detail
    assert 'da3 compile MODEL --out' in alone.advice
    monkeypatch.setattr(packages, 'is_installed', lambda name: False)
    assert next(doctor_runtimes.check_runtimes()).status == 'problem'


@pytest.mark.slow
def test_an_engine_in_a_folder_is_a_model(
    graphs: Path, single_view_checkpoint: Path, photos: Path, tmp_path: Path
) -> None:
    """Of the sizes that it has; what `da3 export-onnx` wrote is one too."""
    content = da3_json('compile', single_view_checkpoint, '--out', graphs, *SIZE)
    assert not content['engines'][0]['built']
    words = ('image', photos / '0.png', '--model', graphs, '--export-format', 'mini_npz', '-o')
    content = da3_json(*words, tmp_path / 'small', '--process-res', '28')
    assert content['runtime'] == 'openvino'
    assert da3_json('info', graphs)['kind'] == 'engine'
    said = failure(*words, tmp_path / 'large', '--process-res', '56')
    assert 'da3 compile' in said
    assert not (tmp_path / 'large').exists()
    assert 'compiled engine' in failure(*words, tmp_path / 'torch', '--runtime', 'torch')


def test_graphs_for_others_are_described_and_valid(graphs: Path) -> None:
    text = (graphs / README_NAME).read_text(encoding='utf-8')
    model = onnx.load(str(graphs / 'maps_28x28.onnx'))
    onnx.checker.check_model(model)
    assert 'images uint8 (views, 28, 28, 3)' in text
    for value in (*model.graph.input, *model.graph.output):
        assert value.name in text
    assert 'not run by those who made this' in text
    assert '--minShapes=images:1x28x28x3' in text


def test_a_size_is_added_and_what_others_changed_stays(
    graphs: Path, single_view_checkpoint: Path
) -> None:
    before = {path: path.read_bytes() for path in graphs.iterdir()}
    (graphs / README_NAME).write_text('my own notes')
    (graphs / 'mine.txt').write_text('mine')
    words = ('export-onnx', single_view_checkpoint, '--out', graphs)
    content = da3_json(*words, *SIZE, '--size', '14x14')
    assert content['sizes'] == ['28x28', '14x14']
    assert any('changed by somebody' in note for note in content['notes'])
    assert (graphs / README_NAME).read_text() == 'my own notes'
    assert (graphs / 'mine.txt').read_text() == 'mine'
    for path, content_before in before.items():
        if path.suffix in ('.onnx', '.bin'):
            assert path.read_bytes() == content_before, path
    (graphs / 'maps_42x28.onnx').write_text('mine too')
    assert 'in the way' in failure(*words, '--size', '28x42')
    assert (graphs / 'maps_42x28.onnx').read_text() == 'mine too'


def test_a_graph_of_a_killed_process_is_written_again(
    graphs: Path, single_view_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is known by the weights that it names; another file of that name stays."""
    left = graphs / 'maps_14x42.onnx'
    engine = read_engine(graphs)
    monkeypatch.setattr(CheckpointEngine, 'write', lambda source, folder, size: engine)
    words = ('export-onnx', single_view_checkpoint, '--out', graphs, '--size', '42x14')
    left.write_text(f'half a graph of {engine.weights_sha256}')
    (graphs / '.scratch-engine.json.1').write_text('half')
    da3_json(*words)
    assert not list(graphs.glob('.scratch*'))
    left.write_text('mine')
    assert 'in the way' in failure(*words)
    left.unlink()


def test_an_engine_of_other_weights_is_not_taken_for_the_one_that_was_asked_for(
    graphs: Path, checkpoint: Path
) -> None:
    for command in ('compile', 'export-onnx'):
        said = failure(command, checkpoint, '--out', graphs, *SIZE)
        assert 'holds graphs of other weights (tiny-metric' in said


def test_folders_of_others_are_refused(single_view_checkpoint: Path, photos: Path) -> None:
    names = sorted(photos.iterdir())
    for command in ('export-onnx', 'compile'):
        for place in (photos, photos / '0.png'):
            assert 'use another one' in failure(command, single_view_checkpoint, '--out', place)
    assert sorted(photos.iterdir()) == names


def test_engines_are_removed_and_nothing_else(
    cache: Path, checkpoint: Path, compiled: dict[str, Any], single_view_checkpoint: Path
) -> None:
    foreign = cache / 'engines' / 'mine'
    foreign.mkdir()
    folder = Path(compiled['engines'][0]['folder'])
    shutil.copytree(folder, folder.with_name(f'{folder.name}0'))
    (folder.with_name(f'{folder.name}0') / 'engine.json').write_text('of another version')
    (folder / 'dangling').symlink_to('nowhere')
    (foreign / 'notes.txt').write_text('mine')
    assert da3_json('compile', checkpoint, '--remove')['removed'] == []
    rows = da3_json('compile', '--list')['engines']
    assert [(row['model'], bool(row['problem'])) for row in rows] == [
        ('tiny-metric', False),
        ('tiny-metric', True),
    ]
    assert 'removed tiny-metric' in da3('compile', single_view_checkpoint, '--remove')
    assert da3_json('compile', '--list')['engines'] == []
    # What was compiled of engines elsewhere belongs to none of them.
    (cache / 'compiled').mkdir(exist_ok=True)
    assert da3_json('compile', '--remove')['removed'] == []
    assert not (cache / 'compiled').exists()
    assert (foreign / 'notes.txt').read_text() == 'mine'


def test_a_bar_shows_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr('sys.stderr', terminal)
    monkeypatch.setenv('TERM', 'xterm')
    bar = EngineBar('building')
    for done, step in enumerate(('first step', 'second step', 'third step')):
        bar(step, done, 2)
    assert sys.stderr is terminal
    assert 'third step' in terminal.getvalue()


def test_sizes_are_those_that_images_get() -> None:
    assert wanted_sizes((), (), 504) == ((378, 504), (280, 504))
    assert wanted_sizes(('504x280',), ('640x480', '4:3'), 504) == ((280, 504), (378, 504))
    assert wanted_sizes((), ('4:3',), 98) == ((70, 98),)


@pytest.mark.parametrize(
    ('words', 'said'),
    [
        (('--size', '500x280'), '504x280'),
        (('--size', 'large'), 'like 504x280'),
        (('--size', '9996x14'), 'at most 4096 px'),
        (('--aspect', '16-9'), 'like 16:9'),
        (('--aspect', '100:1', '--process-res', '98'), 'less than a patch'),
        (('--precision', 'fp16'), 'needs a GPU'),
        (('--runtime', 'torch'), 'nothing has to be built'),
        (tuple(word for n in range(1, 6) for word in ('--size', f'{14 * n}x14')), 'at most 4'),
    ],
)
def test_what_cannot_be_built_is_said(
    words: tuple[str, ...], said: str, single_view_checkpoint: Path
) -> None:
    result = invoke('compile', single_view_checkpoint, *words, '--json')
    assert result.exit_code == 2, result.output
    assert said in result.stdout


def test_what_is_missing_is_said(
    single_view_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert 'expected MODEL' in invoke('compile', '--json').stdout
    monkeypatch.setattr(packages, 'missing_builders', lambda: ('onnx',))
    words = ('export-onnx', single_view_checkpoint, '--out', tmp_path / 'out')
    assert "pip install '.[onnxruntime]'" in failure(*words)
    monkeypatch.setattr(packages, 'is_installed', lambda name: False)
    assert "pip install '.[openvino]'" in failure('compile', single_view_checkpoint, *SIZE)
    assert not (tmp_path / 'out').exists()


def test_the_call_of_trtexec_has_a_shape_for_every_input() -> None:
    inputs = ['tokens float (views, 721, 384)', 'wanted int64 (wanted)']
    call = trtexec('fuse_280x504.onnx', inputs, is_fp16=True)
    assert '--stronglyTyped' in call
    assert '--minShapes=tokens:1x721x384,wanted:1 ' in call
    assert '--maxShapes=tokens:8x721x384,wanted:8\n' in call
    assert '--stronglyTyped' not in trtexec('a.onnx', inputs, is_fp16=False)
