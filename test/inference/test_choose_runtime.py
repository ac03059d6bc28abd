"""Which runtime computes a model, and what torch does behind graphs."""

from collections.abc import Callable
from dataclasses import replace
import os
from pathlib import Path
import time

import numpy as np
import pytest

from da3_ros.errors import CheckpointError, ConfigError, ModelError
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.engine import Da3Estimator
from da3_ros.inference.random_weights import random_network
from da3_ros.inference.runtimes import choose, packages
from da3_ros.inference.runtimes.build_beside import BuildBeside
from da3_ros.inference.runtimes.choose import may_have_gpu, only_torch, open_network
from da3_ros.inference.runtimes.packages import asked_runtime
from da3_ros.inference.runtimes.stored_graphs import StoredGraphs
from da3_ros.inference.runtimes.torch_behind import TorchBehind, precision_of
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork, torch_window_network
from da3_ros.inference.window_network import WindowMaps, WindowNetwork, WindowRequest
from da3_ros.model.config import AnyViewConfig, NetworkConfig
from da3_ros.options.choices import Runtime
from da3_ros.options.network import NETWORK
from helpers.tiny import ANY_VIEW, NESTED, SINGLE_VIEW

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 28, 42, 3), np.uint8)
REQUEST = WindowRequest(IMAGES)
ON_CPU = replace(NETWORK, device='cpu')


@pytest.fixture(autouse=True)
def nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(packages.VARIABLE, raising=False)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a checkpoint."""
    folder = tmp_path_factory.mktemp('weights')
    DepthAnything3(network=random_network(ANY_VIEW, seed=0)).save_pretrained(folder)
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that says what is installed."""

    def only(*names: str, can_build: bool = False) -> None:
        monkeypatch.setattr(choose, 'is_installed', lambda name: name in names)
        monkeypatch.setattr(choose, 'missing_builders', lambda: () if can_build else ('onnx',))

    return only


def test_the_environment_says_what_auto_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_runtime('auto') == 'auto'
    monkeypatch.setenv(packages.VARIABLE, 'onnxruntime')
    assert asked_runtime('auto') == 'onnxruntime'
    assert asked_runtime('torch') == 'torch'
    monkeypatch.setenv(packages.VARIABLE, 'tensorrt')
    with pytest.raises(ConfigError, match=r'DA3_RUNTIME: expected one of .*got .tensorrt'):
        asked_runtime('auto')


@pytest.mark.skipif(os.uname().sysname != 'Linux', reason='devices of Linux')
@pytest.mark.parametrize(
    ('device', 'expected'), [('nvidia0', True), ('nvhost-gpu', True), ('nvidiactl', False)]
)
def test_torch_is_asked_for_a_gpu_only_where_there_may_be_one(
    tmp_path: Path, device: str, expected: bool
) -> None:
    assert not may_have_gpu(tmp_path)
    (tmp_path / device).touch()
    assert may_have_gpu(tmp_path) == expected


def test_a_folder_without_code_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `onnx` or `openvino` beside a user's program, full of models."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'folder_of_models').mkdir()
    (tmp_path / 'package_of_code').mkdir()
    (tmp_path / 'package_of_code' / '__init__.py').write_text('raise OSError("libtbb.so")')
    assert not packages.is_installed('folder_of_models')
    assert packages.is_installed('package_of_code')
    with pytest.raises(ModelError, match=r'package_of_code cannot be loaded: .*libtbb\.so'):
        packages.load_runtime('package_of_code')


def test_what_only_torch_computes_is_named() -> None:
    assert only_torch(ANY_VIEW, NETWORK) == only_torch(SINGLE_VIEW, NETWORK) == ''
    assert 'tiny-nested' in only_torch(NESTED, NETWORK)
    assert 'use_ray_pose' in only_torch(ANY_VIEW, replace(NETWORK, use_ray_pose=True))
    without = replace(ANY_VIEW, camera=None, gaussian=None)
    assert 'camera decoder' in only_torch(without, NETWORK)


@pytest.mark.parametrize(
    ('names', 'can_build', 'change', 'expected'),
    [
        (('torch',), True, {}, 'torch'),
        (('torch', 'onnxruntime'), True, {}, 'torch'),
        (('torch', 'openvino'), True, {}, 'openvino'),
        (('torch', 'openvino'), False, {}, 'torch'),
        (('torch', 'openvino'), True, {'use_ray_pose': True}, 'torch'),
        (('torch', 'openvino'), True, {'runtime': 'torch'}, 'torch'),
    ],
)
def test_auto_is_openvino_on_a_cpu_where_it_can_be(
    folder: Path,
    tmp_path: Path,
    installed: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
    can_build: bool,
    change: dict[str, object],
    expected: str,
) -> None:
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    installed(*names, can_build=can_build)
    options = replace(ON_CPU, **change)  # type: ignore[arg-type]
    network = open_network(str(folder), options)
    assert network.runtime == expected
    assert precision_of(network) == 'fp32'
    assert Da3Estimator(network, use_ray_pose=options.use_ray_pose).computed_by.startswith(
        expected
    )


def test_auto_builds_no_graphs_of_what_comes_with_the_package(
    tmp_path: Path, installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    installed('torch', 'openvino')
    assert open_network('da3-nano', ON_CPU).runtime == 'torch'
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('names', [(), ('openvino',)])
def test_without_torch_it_is_said_how_to_go_on(
    folder: Path,
    tmp_path: Path,
    installed: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    names: tuple[str, ...],
) -> None:
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    installed(*names)
    for model in (str(folder), 'random:da3-small'):
        with pytest.raises(ModelError, match=r'da3 compile .* --out FOLDER'):
            open_network(model, ON_CPU)


def test_a_runtime_that_is_named_is_not_replaced_in_silence(folder: Path) -> None:
    pytest.importorskip('openvino')
    named: Runtime = 'openvino'
    with pytest.raises(ConfigError, match='computes on the CPU'):
        open_network(str(folder), replace(NETWORK, runtime=named, device='cuda'))
    options = replace(ON_CPU, runtime=named, use_ray_pose=True)
    maps = open_network(str(folder), options).run(replace(REQUEST, use_ray_pose=True))
    (note,) = [note for note in maps.notes if note.code == 'runtime_torch']
    assert note.text.startswith('torch computed this, not openvino: use_ray_pose')


@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime'])
def test_nobody_waits_in_the_node_for_a_runtime_that_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: Runtime
) -> None:
    for name in (runtime, 'onnx', 'onnxscript'):
        pytest.importorskip(name)
    monkeypatch.setenv('DA3_CACHE', str(tmp_path))
    network = open_network(str(folder), replace(ON_CPU, runtime=runtime), beside=True)
    assert isinstance(network, TorchBehind)
    assert network.runtime == 'torch'


class Graphs:
    """Graphs that are ready, or not, or broken, as they are told."""

    beside = True
    device = 'cpu'
    runtime = 'openvino'
    precision = 'fp32'
    caution = None

    def __init__(self, torch: WindowNetwork) -> None:
        self._torch = torch
        self.config: NetworkConfig = torch.config
        self.sizes: tuple[tuple[int, int], ...] = ()
        self.error: Exception | None = None
        self.asked: list[tuple[int, ...]] = []
        self.runs = 0
        self.forgotten = 0
        self.is_closed = False

    def is_ready(self, size: tuple[int, ...]) -> bool:
        self.asked.append(size)
        return size in self.sizes

    def run(self, request: WindowRequest) -> WindowMaps:
        self.runs += 1
        if self.error is not None:
            raise self.error
        return self._torch.run(request)

    def forget(self) -> None:
        self.forgotten += 1

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def over_torch() -> WindowNetwork:
    return torch_window_network(DepthAnything3(network=random_network(ANY_VIEW, seed=0)))


def behind(torch: WindowNetwork, graphs: Graphs) -> TorchBehind:
    made: StoredGraphs = graphs  # type: ignore[assignment]
    assert isinstance(torch.config, AnyViewConfig)
    return TorchBehind(lambda: torch, torch.config, made)


def test_torch_computes_until_the_graphs_are_there(over_torch: WindowNetwork) -> None:
    graphs = Graphs(over_torch)
    network = behind(over_torch, graphs)
    assert network.runtime == 'torch'
    assert network.run(REQUEST).notes == ()
    assert (graphs.asked, graphs.runs) == ([(28, 42)], 0)
    graphs.sizes = ((28, 42),)
    assert network.runtime == 'openvino'
    network.run(REQUEST)
    assert graphs.runs == 1
    network.run(replace(REQUEST, images=IMAGES[:, :, :28]))
    assert graphs.runs == 1


def test_views_are_kept_by_what_computes_only(over_torch: WindowNetwork) -> None:
    graphs = Graphs(torch_window_network(DepthAnything3(network=random_network(ANY_VIEW, 0))))
    network = behind(over_torch, graphs)
    keyed = replace(REQUEST, keys=tuple(range(len(IMAGES))))
    network.run(keyed)
    kept = over_torch._stages._encoded  # type: ignore[attr-defined]
    assert (len(kept), graphs.forgotten) == (len(IMAGES), 1)
    graphs.sizes = ((28, 42),)
    network.run(keyed)
    assert (len(kept), graphs.forgotten) == (0, 1)


@pytest.mark.parametrize('error', [ModelError('broken'), CheckpointError('full'), OSError('ro')])
def test_torch_goes_on_where_graphs_fail(over_torch: WindowNetwork, error: Exception) -> None:
    graphs = Graphs(over_torch)
    graphs.sizes, graphs.error = ((28, 42),), error
    network = behind(over_torch, graphs)
    expected = over_torch.run(REQUEST)
    for _ in range(2):
        maps = network.run(REQUEST)
        np.testing.assert_array_equal(maps.depth, expected.depth)
        (note,) = maps.notes
        assert note.code == 'runtime_torch'
        assert str(error) in note.text
    assert (graphs.runs, graphs.is_closed, network.runtime) == (1, True, 'torch')


def test_a_wrong_window_says_nothing_against_graphs(over_torch: WindowNetwork) -> None:
    graphs = Graphs(over_torch)
    graphs.sizes = ((28, 42),)
    network = behind(over_torch, graphs)
    with pytest.raises((ModelError, ValueError), match='best'):
        network.run(WindowRequest(np.repeat(IMAGES, 2, axis=0), ref_view_strategy='best'))
    assert network.runtime == 'openvino'


def test_what_torch_alone_gives_comes_from_torch(over_torch: WindowNetwork) -> None:
    graphs = Graphs(over_torch)
    graphs.sizes = ((28, 42),)
    network = behind(over_torch, graphs)
    maps = network.run(replace(REQUEST, use_ray_pose=True))
    assert (graphs.runs, maps.notes[0].code) == (0, 'runtime_torch')
    assert isinstance(over_torch, TorchWindowNetwork)
    assert Da3Estimator(network).model is over_torch.model


def wait(build: BuildBeside) -> bool:
    until = time.monotonic() + 60
    while not build.is_done():
        assert time.monotonic() < until
        time.sleep(0.05)
    return True


def test_what_is_built_beside_ends_well_or_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Modules of the working directory are not the child's, whatever their names are.
    for name in ('json', 'da3_ros', 'typing'):
        (tmp_path / f'{name}.py').write_text('raise SystemExit("of the working directory")')
    monkeypatch.chdir(tmp_path)
    assert wait(BuildBeside(('--version',), 'engine'))
    with pytest.raises(ModelError, match=r'engine could not be built: .*/no/such/file'):
        wait(BuildBeside(('info', '/no/such/file'), 'engine'))


def test_what_is_built_beside_ends_with_its_owner() -> None:
    build = BuildBeside(('play', '/dev/null'), 'engine')
    build.close()
    with pytest.raises(ModelError, match='engine could not be built'):
        build.is_done()
