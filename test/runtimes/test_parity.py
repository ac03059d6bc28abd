"""Every runtime over graphs agrees with torch in float32, whatever views come and are wanted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
import pytest
import torch

from da3_ros.errors import ModelError
from da3_ros.inference.preprocess import IMAGE_MEAN, IMAGE_STD
from da3_ros.inference.runtimes.engine_files import Engine
from da3_ros.inference.runtimes.graph_runtime import GraphAnyView, GraphSingleView
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.model.network import AnyViewNetwork
from da3_ros.model.single_view import SingleViewNetwork
from helpers.opened_engines import RUNTIMES, open_engine
from tools.parity.goldens import max_error_to_peak, max_relative_error

BOUND = 1e-4


@pytest.fixture(scope='module', params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope='module')
def network(runtime: str, any_view_engine: Engine) -> GraphAnyView:
    opened = open_engine(any_view_engine, runtime)
    assert isinstance(opened, GraphAnyView)
    return opened


def pixels(images: NDArray[np.uint8]) -> torch.Tensor:
    normal = (images / 255.0 - IMAGE_MEAN) / IMAGE_STD
    return torch.from_numpy(normal.astype(np.float32)).permute(0, 3, 1, 2)[None]


def drawn(views: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (views, *size, 3), dtype=np.uint8)


def cameras(views: int, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (views, 1, 1))
    extrinsics[:, 0, 3] = np.arange(views)
    intrinsics = np.array([[60, 0, size[1] / 2], [0, 55, size[0] / 2], [0, 0, 1]], np.float32)
    return extrinsics, np.tile(intrinsics, (views, 1, 1))


CASES = [
    (1, 0, 'saddle_balanced', None, (0,)),
    (1, 1, 'saddle_balanced', 'all', (0,)),
    (2, 0, 'saddle_balanced', None, (1,)),
    (2, 1, 'saddle_balanced', 'poses', (0, 1)),
    (3, 0, 'saddle_balanced', None, (0, 2)),
    (3, 1, 'middle', None, (0, 1, 2)),
    (4, 0, 'saddle_balanced', 'all', (3,)),
    (4, 1, 'middle', None, (1, 2)),
]


@pytest.mark.parametrize(('views', 'size_index', 'strategy', 'known', 'wanted'), CASES)
def test_maps_and_cameras_are_those_of_torch(
    network: GraphAnyView,
    any_view: AnyViewNetwork,
    any_view_engine: Engine,
    views: int,
    size_index: int,
    strategy: str,
    known: str | None,
    wanted: tuple[int, ...],
) -> None:
    size = any_view_engine.sizes[size_index]
    images = drawn(views, size, views)
    extrinsics, intrinsics = cameras(views, size)
    given = None
    if known is not None:
        given = InputCameras(extrinsics, intrinsics if known == 'all' else None)
    with torch.inference_mode():
        encoded = any_view.encode(pixels(images))
        poses = matrices = None
        if known is not None:
            poses = torch.from_numpy(extrinsics)[None]
            matrices = torch.from_numpy(intrinsics)[None]
            if known == 'poses':
                matrices = any_view.decode(any_view.fuse(encoded, strategy=strategy)).intrinsics
        expected_fused = any_view.fuse(encoded, poses, matrices, strategy=strategy)
        expected = any_view.decode(expected_fused)

    fused = network.fuse(network.encode(images), given, strategy=strategy, wanted=wanted)
    maps = network.decode(fused)

    rows = list(wanted)
    assert expected.depth_conf is not None
    assert expected.extrinsics is not None
    assert expected.intrinsics is not None
    assert maps.confidence is not None
    assert fused.extrinsics is not None
    assert fused.intrinsics is not None
    assert fused.reference == int(expected_fused.reference)
    assert max_relative_error(maps.depth, expected.depth[0, rows].numpy()) < BOUND
    assert max_relative_error(maps.confidence, expected.depth_conf[0, rows].numpy()) < BOUND
    assert max_error_to_peak(fused.extrinsics, expected.extrinsics[0].numpy()) < BOUND
    assert max_error_to_peak(fused.intrinsics, expected.intrinsics[0].numpy()) < BOUND


def test_a_view_is_encoded_to_the_same_numbers_in_any_company(
    network: GraphAnyView, any_view_engine: Engine
) -> None:
    images = drawn(3, any_view_engine.sizes[0])
    together = network.encode(images)
    alone = network.encode(images[1:2])[0]
    np.testing.assert_allclose(together[1].held.tokens, alone.held.tokens, rtol=0, atol=1e-6)
    assert alone.nbytes == alone.held.tokens.nbytes + alone.held.reference_token.nbytes


def test_results_keep_their_values_when_the_next_window_comes(
    network: GraphAnyView, any_view_engine: Engine
) -> None:
    size = any_view_engine.sizes[0]

    def run(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        fused = network.fuse(
            network.encode(drawn(2, size, seed)), None, strategy='first', wanted=(0, 1)
        )
        assert fused.extrinsics is not None
        return network.decode(fused).depth, fused.extrinsics

    first = run(1)
    kept = [array.copy() for array in first]
    run(2)
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_single_views_are_those_of_torch(
    runtime: str, single_view: SingleViewNetwork, single_view_engine: Engine
) -> None:
    opened = open_engine(single_view_engine, runtime)
    assert isinstance(opened, GraphSingleView)
    images = drawn(3, single_view_engine.sizes[0])
    with torch.inference_mode():
        expected = single_view.decode(single_view.encode(pixels(images)))
    maps = opened.maps(images)
    assert maps.sky is not None
    assert max_relative_error(maps.depth, expected.depth.numpy()) < BOUND
    assert max_error_to_peak(maps.sky, expected.sky.numpy()) < BOUND


def test_16_bit_graphs_say_where_they_round(
    any_view: AnyViewNetwork, any_view_engine: Engine, tmp_path: Path
) -> None:
    onnx = pytest.importorskip('onnx', reason='onnx reads graphs')
    from da3_ros.inference.runtimes.graph_export import export_stages

    size = any_view_engine.sizes[0]
    engine = export_stages(any_view, size, tmp_path / 'half', graph_precision='fp16')
    graph = onnx.load(str(engine.graph('fuse', size)), load_external_data=False).graph
    half = onnx.TensorProto.FLOAT16
    assert any(tensor.data_type == half for tensor in graph.initializer)
    assert any(node.op_type == 'Cast' for node in graph.node)
    # Norms are of float32.
    produced = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    norms = [node.output[0] for node in graph.node if node.op_type == 'LayerNormalization']
    assert {produced[name] for name in norms} == {onnx.TensorProto.FLOAT}
    images = drawn(2, size)
    depths = []
    for opened in (open_engine(one, 'onnxruntime') for one in (any_view_engine, engine)):
        assert isinstance(opened, GraphAnyView)
        fused = opened.fuse(opened.encode(images), None, strategy='first', wanted=(0, 1))
        depths.append(opened.decode(fused).depth)
    assert 0 < max_relative_error(depths[1], depths[0]) < 2e-2


def test_bf16_keeps_its_bounds_and_the_choice_of_the_reference(
    any_view_engine: Engine,
) -> None:
    images = drawn(4, any_view_engine.sizes[0])
    found = []
    for precision in ('fp32', 'bf16'):
        opened = open_engine(any_view_engine, 'openvino', precision)
        assert isinstance(opened, GraphAnyView)
        fused = opened.fuse(
            opened.encode(images), None, strategy='saddle_balanced', wanted=range(4)
        )
        found.append((fused.reference, opened.decode(fused).depth))
    assert found[0][0] == found[1][0]
    error = np.abs(found[1][1] - found[0][1]) / found[0][1]
    assert np.median(error) <= 3e-3
    assert np.quantile(error, 0.99) <= 1e-2


def test_processors_without_bf16_compute_in_float32(
    any_view_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Emulated it would take longer than float32."""
    monkeypatch.setattr(
        'da3_ros.inference.runtimes.openvino_graphs._has_bf16', lambda core: core is None
    )
    images = drawn(2, any_view_engine.sizes[0])
    depths = []
    for precision in ('fp32', 'bf16'):
        opened = open_engine(any_view_engine, 'openvino', precision)
        assert isinstance(opened, GraphAnyView)
        fused = opened.fuse(opened.encode(images), None, strategy='first', wanted=(0, 1))
        depths.append(opened.decode(fused).depth)
    np.testing.assert_array_equal(depths[1], depths[0])


def test_onnx_runtime_has_no_16_bit(any_view_engine: Engine) -> None:
    with pytest.raises(ModelError, match='fp32'):
        open_engine(any_view_engine, 'onnxruntime', 'bf16')


def test_a_graph_that_cannot_compute_says_so_as_the_package_does(network: GraphAnyView) -> None:
    """So that `auto` goes on with torch."""
    (view,) = network.encode(drawn(1, (42, 70)))
    broken = replace(view, held=replace(view.held, tokens=view.held.tokens[:, :-1]))
    name = {'openvino': 'OpenVINO', 'onnxruntime': 'ONNX Runtime'}[network.name]
    with pytest.raises(ModelError, match=f'{name} cannot compute a graph'):
        network.fuse([broken], None, strategy='first', wanted=(0,))
