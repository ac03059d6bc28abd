"""Networks of windows with graphs, copies and all, on a CPU that stands in for the device.

What comes out is compared with the plain stages, window by window; that a real device answers
likewise, only the check on a GPU tells.
"""

from collections.abc import Callable
import copy
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
import pytest
import torch
from torch import Tensor

from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.cuda import stages as device_stages
from da3_ros.inference.cuda.graphs import CALLS_BEFORE, TRIALS, Counts
from da3_ros.inference.cuda.stages import VARIABLE
from da3_ros.inference.runtimes.stages import InputCameras
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.config import NetworkConfig
from da3_ros.model.heads import DualDpt
from helpers import tiny
from helpers.pretended_device import PretendedDevice
from helpers.rounding import assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

SIZE = (42, 56)
STEADY = 1 + CALLS_BEFORE + TRIALS
"""Windows until all of the next one is replayed: the first one encodes all views at once."""

CONFIGS = (tiny.ANY_VIEW, tiny.SINGLE_VIEW, tiny.NESTED)
STAGES = {'tiny-gaussian': 2, 'tiny-metric': 1, 'tiny-nested': 3}
"""Of a window: new views, all views; new views alone."""

Models = Callable[[NetworkConfig], DepthAnything3]


def model_of(config: NetworkConfig) -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(config), precision='fp32')


@pytest.fixture(scope='module')
def models() -> Models:
    """Return what makes a model once; a test leaves it as it was."""
    return cache(model_of)


@pytest.fixture
def devices(monkeypatch: pytest.MonkeyPatch) -> list[PretendedDevice]:
    """Let every place be a device; return those that were asked for."""
    made: list[PretendedDevice] = []

    def make(place: torch.device) -> PretendedDevice:
        made.append(PretendedDevice())
        return made[-1]

    monkeypatch.setattr(device_stages, '_cuda_device', make)
    return made


class Plain(TorchWindowNetwork):
    """The same network without device: each window by itself."""

    def __init__(self, model: DepthAnything3) -> None:
        super().__init__(model)
        self.device_stages._make = lambda place: None


def images(first: int, count: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    frames = [
        np.random.default_rng(frame).integers(0, 256, (*size, 3), np.uint8)
        for frame in range(first, first + count)
    ]
    return np.stack(frames)


def cameras(views: int, *, with_intrinsics: bool = True) -> InputCameras:
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (views, 1, 1))
    extrinsics[:, 0, 3] = np.linspace(0, 1, views)
    matrix = np.array([[50, 0, 28], [0, 50, 21], [0, 0, 1]], np.float32)
    return InputCameras(extrinsics, np.tile(matrix, (views, 1, 1)) if with_intrinsics else None)


def request(first: int, views: int = 3, new: int = 1) -> WindowRequest:
    return WindowRequest(
        images=images(first, views),
        keys=tuple(range(first, first + views)),
        wanted=tuple(range(views - new, views)),
    )


def require_equal(ours: WindowMaps, theirs: WindowMaps) -> None:
    assert ours.wanted == theirs.wanted
    for name in ('depth', 'confidence', 'sky', 'extrinsics', 'intrinsics'):
        got, expected = getattr(ours, name), getattr(theirs, name)
        assert (got is None) == (expected is None)
        if got is not None:
            assert got.dtype == np.float32
            assert_equal_to_rounding(got, expected)


def counts(network: TorchWindowNetwork) -> Counts:
    graphs = network.device_stages.graphs
    assert graphs is not None
    return copy.copy(graphs.counts)


@pytest.mark.parametrize('config', CONFIGS, ids=lambda config: config.name)
def test_windows_of_a_stream_by_graphs(
    devices: list[PretendedDevice], models: Models, config: NetworkConfig
) -> None:
    model = models(config)
    network, plain = TorchWindowNetwork(model), Plain(model)
    for first in range(STEADY + 2):
        before = None if first < STEADY else counts(network)
        ours = network.run(request(first))
        require_equal(ours, plain.run(request(first)))
        assert ours.notes == ()
        if before is not None:
            after = counts(network)
            assert after.plain == before.plain
            assert after.replayed == before.replayed + STAGES[config.name]
    assert len(devices) == 1


def believed(network: TorchWindowNetwork, devices: list[PretendedDevice]) -> PretendedDevice:
    """Let all stages of a stream be replayed, and return their device."""
    for first in range(STEADY):
        network.run(request(first))
    [device] = devices
    assert device.records == 2
    return device


def test_known_cameras_have_a_graph_of_their_own(
    devices: list[PretendedDevice], models: Models
) -> None:
    model = models(tiny.ANY_VIEW)
    network, plain = TorchWindowNetwork(model), Plain(model)
    device = believed(network, devices)
    kinds = (None, cameras(3), cameras(3, with_intrinsics=False))
    for first in range(STEADY, STEADY + 3 * STEADY):
        asked = replace(request(first), cameras=kinds[first % 3])
        require_equal(network.run(asked), plain.run(asked))
    assert device.records == 4


def test_other_sizes_views_and_wishes_are_recorded_anew(
    devices: list[PretendedDevice], models: Models
) -> None:
    model = models(tiny.ANY_VIEW)
    network, plain = TorchWindowNetwork(model), Plain(model)
    device = believed(network, devices)
    others: list[Callable[[int], WindowRequest]] = [
        lambda first: replace(request(first), images=images(first, 3, (56, 42))),
        lambda first: request(first, views=4),
        lambda first: replace(request(first), wanted=(0, 2)),
        lambda first: replace(request(first), ref_view_strategy='first'),
        request,
    ]
    for number, other in enumerate(others):
        for first in range(100 * number, 100 * number + STEADY):
            require_equal(network.run(other(first)), plain.run(other(first)))
    assert device.records > 2 + len(others) - 1


def test_another_precision_and_other_weights_are_recorded_anew(
    devices: list[PretendedDevice],
) -> None:
    model = model_of(tiny.ANY_VIEW)
    network, plain = TorchWindowNetwork(model), Plain(model)
    device = believed(network, devices)
    records = device.records
    state = {name: 1.01 * tensor for name, tensor in model.model.state_dict().items()}
    changes: list[Callable[[], object]] = [
        lambda: setattr(model, 'arithmetic', Arithmetic('bf16')),
        lambda: setattr(model, 'arithmetic', Arithmetic('fp32')),
        lambda: model.model.load_state_dict(state),
        lambda: model.model.load_state_dict(state, assign=True),
    ]
    for number, change in enumerate(changes):
        change()
        for first in range(100 * number, 100 * number + STEADY):
            require_equal(network.run(request(first)), plain.run(request(first)))
        assert device.records == records + 2 * (number + 1)


def test_memory_that_runs_out_leaves_the_result(
    devices: list[PretendedDevice], models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models(tiny.ANY_VIEW)
    network, plain = TorchWindowNetwork(model), Plain(model)
    asked = replace(request(50), wanted=None, keys=None)
    expected = plain.run(asked)
    device = believed(network, devices)
    head = DualDpt.forward

    def forward(self: DualDpt, levels: list[Tensor], *args: Any, **options: Any) -> Any:
        if not device.given_back:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return head(self, levels, *args, **options)

    monkeypatch.setattr(DualDpt, 'forward', forward)
    maps = network.run(asked)
    require_equal(maps, expected)
    assert [note.code for note in maps.notes] == ['graphs_off']
    assert 'memory ran out' in maps.notes[0].text


def test_what_cannot_be_recorded_is_in_the_notes_of_that_window(
    devices: list[PretendedDevice], models: Models
) -> None:
    model = models(tiny.SINGLE_VIEW)
    network, plain = TorchWindowNetwork(model), Plain(model)
    network.run(request(0))
    devices[0].error = RuntimeError('operation not permitted when stream is capturing')
    said = []
    for first in range(1, STEADY + 2):
        maps = network.run(request(first))
        require_equal(maps, plain.run(request(first)))
        said.append([note.code for note in maps.notes])
    assert sum(map(len, said)) == 1


def test_a_variable_switches_graphs_off(
    devices: list[PretendedDevice], models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, '0')
    network = TorchWindowNetwork(models(tiny.ANY_VIEW))
    for first in range(STEADY + 1):
        network.run(request(first))
    assert devices[0].records == 0


def test_forgetting_drops_graphs_and_buffers(
    devices: list[PretendedDevice], models: Models
) -> None:
    network = TorchWindowNetwork(models(tiny.ANY_VIEW))
    believed(network, devices)
    network.forget()
    assert network.device_stages.graphs is None
    network.run(request(STEADY))
    assert len(devices) == 2


def test_on_a_cpu_nothing_is_recorded(models: Models) -> None:
    network = TorchWindowNetwork(models(tiny.ANY_VIEW))
    network.run(request(0))
    assert network.device_stages.graphs is None
