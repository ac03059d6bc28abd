"""The runtime of `DepthAnything3`: it has effect, follows the weights, and says when torch did it.

One network that sees each image alone stands for all: it is one graph, which is built in seconds.
"""

from __future__ import annotations

from collections.abc import Callable
import copy
from dataclasses import replace
from pathlib import Path
import shutil
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from da3_ros.errors import CheckpointError, ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.checkpoint import save_checkpoint
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes import packages, stored_graphs
from da3_ros.inference.runtimes.engine_store import EngineStore
from da3_ros.inference.runtimes.graph_runtime import GraphSingleView
from da3_ros.inference.runtimes.stages import Maps
from da3_ros.inference.runtimes.stored_graphs import StoredGraphs
from da3_ros.inference.window_network import WindowRequest
from da3_ros.options.choices import RUNTIMES, Runtime
from da3_ros.options.network import NETWORK
from helpers.tiny import SINGLE_VIEW

pytest.importorskip('openvino')
pytest.importorskip('onnxruntime')
pytest.importorskip('onnxscript')

IMAGES = np.random.default_rng(0).integers(0, 255, (2, 28, 28, 3)).astype(np.uint8)
PARITY = 1e-4


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('checkpoint')
    save_checkpoint(random_network(SINGLE_VIEW, 0), folder)
    return folder


@pytest.fixture(scope='module')
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('cache')


@pytest.fixture(autouse=True)
def environment(engines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('DA3_CACHE', str(engines))
    monkeypatch.delenv('DA3_RUNTIME', raising=False)


def depth(model: DepthAnything3) -> np.ndarray:
    return model.inference(IMAGES, process_res=28).depth


def by(model: DepthAnything3) -> str:
    return model.computes_by()['runtime']


def assert_parity(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() < PARITY * np.abs(expected).max()


def expected_of(model: DepthAnything3) -> np.ndarray:
    return depth(DepthAnything3(network=model.model, runtime='torch'))


@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime', 'torch'])
def test_the_runtime_that_is_named_computes(runtime: Runtime, checkpoint: Path) -> None:
    model = DepthAnything3.from_pretrained(checkpoint, runtime=runtime)
    assert model.runtime == runtime
    found = depth(model)
    assert by(model) == runtime
    assert_parity(found, expected_of(model))
    # Its copy opens its own, or computes by torch.
    assert copy.deepcopy(model).runtime == runtime


@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime', 'auto'])
def test_a_sequence_computes_an_image_once(
    runtime: Runtime, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = DepthAnything3.from_pretrained(checkpoint, runtime=runtime)
    whole, seen = GraphSingleView.maps, []

    def maps(graphs: GraphSingleView, images: NDArray[np.uint8]) -> Maps:
        seen.append(len(images))
        return whole(graphs, images)

    monkeypatch.setattr(GraphSingleView, 'maps', maps)
    with model.sequence(window=2, process_res=28) as frames:
        first, second = (frames.push(image) for image in IMAGES)
        assert first is not None
        assert second is not None
        assert seen == [1, 1]
        monkeypatch.undo()
        assert_parity(second.new.depth, expected_of(model)[1:])
        if runtime == 'auto':
            # Torch goes on where the weights are others; a runtime that is named builds an engine.
            with torch.no_grad():
                next(model.parameters()).mul_(3)
            third = frames.push(IMAGES[0])
            assert third is not None
            plain = DepthAnything3(network=model.model, runtime='torch')
            expected = plain.inference(IMAGES[::-1], process_res=28).depth
            assert_parity(third.new.depth, expected[1:])


@pytest.mark.parametrize(
    'change',
    [
        lambda network: next(network.parameters()).data.mul_(3),
        lambda network: network.backbone.pretrained.blocks[0].register_forward_hook(
            lambda _, __, out: 1.5 * out
        ),
    ],
    ids=['data', 'hook'],
)
def test_auto_is_torch_for_what_is_no_longer_the_checkpoint(
    change: Callable[[Any], object], checkpoint: Path
) -> None:
    model = DepthAnything3.from_pretrained(checkpoint)
    before = depth(model)
    assert by(model) == 'openvino'
    change(model.model)
    after = depth(model)
    assert np.abs(after - before).max() > 10 * PARITY * np.abs(before).max()
    assert_parity(after, expected_of(model))


def test_weights_that_change_are_followed(checkpoint: Path, engines: Path) -> None:
    """By a runtime that was named with another engine; by auto with torch."""
    named = DepthAnything3.from_pretrained(checkpoint, runtime='openvino')
    automatic = DepthAnything3.from_pretrained(checkpoint)
    before = depth(named)
    assert_parity(depth(automatic), before)
    assert (by(named), by(automatic)) == ('openvino', 'openvino')
    for model in (named, automatic):
        with torch.no_grad():
            for name, parameter in model.model.named_parameters():
                if name.endswith('cls_token'):
                    parameter.mul_(3)
    count = len(list((engines / 'engines').glob('*/engine.json')))
    after = depth(automatic)
    assert len(list((engines / 'engines').glob('*/engine.json'))) == count
    assert np.abs(after - before).max() > 10 * PARITY * np.abs(before).max()
    assert_parity(depth(named), after)
    assert_parity(after, expected_of(automatic))


def test_a_checkpoint_that_was_replaced_is_not_taken_for_the_model(
    checkpoint: Path, tmp_path: Path
) -> None:
    """As by a training that saves again: auto computes what was loaded, not what lies there."""
    folder = tmp_path / 'checkpoint'
    shutil.copytree(checkpoint, folder)
    model = DepthAnything3.from_pretrained(folder)
    save_checkpoint(random_network(SINGLE_VIEW, 5), folder)
    assert_parity(depth(model), expected_of(model))
    assert by(model) == 'torch'


def test_of_more_sizes_than_are_kept_torch_computes(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Engines that drive each other out would be built again for every scene."""
    model = DepthAnything3.from_pretrained(checkpoint)
    depth(model)
    monkeypatch.setattr(stored_graphs, 'MAX_SIZES', 1)
    prediction = model.inference(IMAGES[:, :14], process_res=28)
    assert 'torch computed this, not openvino: graphs of' in prediction.notes[0]
    assert model.inference(IMAGES, process_res=28).notes == ()
    assert by(model) == 'openvino'


def test_where_torch_computes_meanwhile_nobody_waits_for_a_removed_engine(
    checkpoint: Path, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first window after that would take as long as the building, in the node."""
    depth(DepthAnything3.from_pretrained(checkpoint))
    shutil.copytree(engines, tmp_path / 'cache')
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / 'cache'))
    options = replace(NETWORK, runtime='openvino', device='cpu')
    graphs = StoredGraphs(str(checkpoint), SINGLE_VIEW, options, beside=True)
    assert graphs.is_ready((28, 28))
    store = EngineStore()
    for folder in store.folders():
        store.remove(folder)
    with pytest.raises(CheckpointError, match='has been removed'):
        graphs.run(WindowRequest(IMAGES))


def test_weights_of_no_file_are_torch_unless_a_runtime_is_named() -> None:
    model = DepthAnything3(network=random_network(SINGLE_VIEW, 1))
    depth(model)
    assert by(model) == 'torch'


def test_auto_goes_on_with_torch_where_no_engine_can_be_kept(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'cache').write_text('in the way')
    monkeypatch.setenv('DA3_CACHE', str(tmp_path / 'cache'))
    model = DepthAnything3.from_pretrained(checkpoint)
    prediction = model.inference(IMAGES, process_res=28)
    assert_parity(prediction.depth, expected_of(model))
    assert prediction.notes[0].startswith('torch computed this, not openvino')
    assert 'DA3_CACHE' in prediction.notes[0]
    assert by(model) == 'torch'
    with pytest.raises(Exception, match='DA3_CACHE'):
        depth(DepthAnything3.from_pretrained(checkpoint, runtime='openvino'))


def test_what_only_torch_computes_is_said(checkpoint: Path) -> None:
    asked = {'process_res': 28, 'export_feat_layers': [2]}
    for runtime, is_said in (('openvino', True), ('auto', False)):
        model = DepthAnything3.from_pretrained(checkpoint, runtime=runtime)  # type: ignore[arg-type]
        prediction = model.inference(IMAGES, **asked)  # type: ignore[arg-type]
        assert 'feat_layer_2' in prediction.aux
        said = [note for note in prediction.notes if 'torch computed this' in note]
        assert bool(said) == is_said
        assert all('features' in note for note in said)


def test_the_environment_says_what_auto_is(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asked, expected in (('torch', 'torch'), ('onnxruntime', 'onnxruntime')):
        monkeypatch.setenv('DA3_RUNTIME', asked)
        model = DepthAnything3.from_pretrained(checkpoint)
        depth(model)
        assert by(model) == expected


def test_a_runtime_that_cannot_be_had_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ModelError, match=', '.join(RUNTIMES)):
        DepthAnything3(network=random_network(SINGLE_VIEW, 0), runtime='tpu')  # type: ignore[arg-type]
    monkeypatch.setattr(packages, 'is_installed', lambda name: name == 'torch')
    for runtime in ('openvino', 'onnxruntime'):
        with pytest.raises(ModelError, match=rf"pip install '\.\[{runtime}\]'"):
            DepthAnything3(network=random_network(SINGLE_VIEW, 0), runtime=runtime)
