"""Graphs of stages: what is recorded, when it is believed, and what happens when it is not."""

from dataclasses import dataclass
from inspect import signature
import logging

import pytest
import torch
from torch import Tensor, nn

from da3_ros.inference.cuda.device import CudaDevice
from da3_ros.inference.cuda.graphs import (
    CALLS_AFTER_EVICTION,
    CALLS_BEFORE,
    MOST_FAILURES,
    TRIALS,
    StageGraphs,
    tolerance,
)
from helpers.pretended_device import PretendedDevice


@dataclass(frozen=True)
class Out:
    """As the results of stages are: tensors in records in mappings, and other things."""

    total: Tensor
    parts: dict[str, tuple[Tensor, ...]]
    size: tuple[int, int] = (3, 4)


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
        self.inner = nn.Linear(2, 2).requires_grad_(False)
        self.calls = 0

    def stage(self, x: Tensor, y: Tensor) -> Out:
        self.calls += 1
        return Out(x * self.weight + y, {'a': (x, (x > 0).long())})


@pytest.fixture
def device() -> PretendedDevice:
    return PretendedDevice()


@pytest.fixture
def layer() -> Layer:
    return Layer()


@pytest.fixture
def graphs(layer: Layer, device: PretendedDevice) -> StageGraphs:
    return StageGraphs(layer, device, most=3)


def given(seed: int, size: int = 5) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator), torch.randn(size, generator=generator)


def require_right(out: Out, layer: Layer, x: Tensor, y: Tensor) -> None:
    assert torch.equal(out.total, x * layer.weight + y)
    assert torch.equal(out.parts['a'][0], x)
    assert torch.equal(out.parts['a'][1], (x > 0).long())
    assert out.size == (3, 4)


def ask(graphs: StageGraphs, layer: Layer, seed: int, size: int = 5, key: str = 'fuse') -> Out:
    """Run the stage and look whether the answer is right."""
    x, y = given(seed, size)
    out = graphs.run(key, layer.stage, x, y)
    require_right(out, layer, x, y)
    return out


UNTIL_BELIEVED = CALLS_BEFORE + TRIALS


def believe(graphs: StageGraphs, layer: Layer, size: int = 5, key: str = 'fuse') -> None:
    for seed in range(UNTIL_BELIEVED):
        ask(graphs, layer, seed, size, key)


def test_answers_are_those_of_the_stage_and_later_ones_cost_no_call(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    believe(graphs, layer)
    assert device.records == 1
    assert graphs.counts.plain == UNTIL_BELIEVED
    for seed in range(10, 20):
        ask(graphs, layer, seed)
    assert graphs.counts.plain == UNTIL_BELIEVED
    assert graphs.counts.replayed == TRIALS - 1 + 10
    assert graphs.take_notes() == ()


def test_results_keep_their_values_while_the_graph_goes_on(
    graphs: StageGraphs, layer: Layer
) -> None:
    believe(graphs, layer)
    kept = [ask(graphs, layer, seed) for seed in range(4)]
    for seed, out in enumerate(kept):
        require_right(out, layer, *given(seed))


def test_what_is_seen_once_is_not_recorded(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    for size in range(1, 100):
        ask(graphs, layer, 0, size)
    assert device.records == 0


@pytest.mark.parametrize('what', ['size', 'key', 'format'])
def test_each_shape_format_and_key_has_a_graph_of_its_own(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice, what: str
) -> None:
    believe(graphs, layer)
    if what == 'size':
        believe(graphs, layer, size=7)
    elif what == 'key':
        believe(graphs, layer, key='decode')
    else:
        x, y = (t.double() for t in given(1))
        for _ in range(UNTIL_BELIEVED):
            require_right(graphs.run('fuse', layer.stage, x, y), layer, x, y)
    assert device.records == 2
    ask(graphs, layer, 30)
    assert device.records == 2


def test_the_least_recently_used_graph_goes_and_does_not_come_back_at_once(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    for size in (1, 2, 3, 4):
        believe(graphs, layer, size)
    assert device.records == 4
    for size in (2, 3, 4):
        ask(graphs, layer, 9, size)
    assert graphs.counts.plain == 4 * UNTIL_BELIEVED
    for seed in range(CALLS_AFTER_EVICTION):
        ask(graphs, layer, seed, 1)
    assert device.records == 4
    ask(graphs, layer, 0, 1)
    assert device.records == 5


def test_ten_thousand_changing_shapes_leave_little_behind(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    x, y = given(0, 600)
    for index in range(10_000):
        size = 1 + index % 600
        graphs.run('fuse', layer.stage, x[:size], y[:size])
    assert len(graphs._graphs) <= 3
    assert len(graphs._calls_left) <= 256
    assert device.records == 0


def test_in_another_state_graphs_are_void(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    graphs.use('weights')
    believe(graphs, layer)
    graphs.use('weights')
    ask(graphs, layer, 8)
    assert (device.records, graphs.counts.plain) == (1, UNTIL_BELIEVED)
    renewed = device.renewals
    layer.weight = nn.Parameter(torch.tensor([3.0]), requires_grad=False)
    graphs.use('other weights')
    believe(graphs, layer)
    assert (device.records, graphs.counts.plain) == (2, 2 * UNTIL_BELIEVED)
    assert device.renewals > renewed


def test_a_graph_that_answers_wrongly_is_never_believed(
    graphs: StageGraphs,
    layer: Layer,
    device: PretendedDevice,
    caplog: pytest.LogCaptureFixture,
) -> None:
    device.spoil = lambda tensor: tensor * 1.001 if tensor.is_floating_point() else tensor
    with caplog.at_level(logging.WARNING):
        for seed in range(10):
            ask(graphs, layer, seed)
    assert graphs.counts.refused == 1
    assert device.records == 1
    [note] = graphs.take_notes()
    assert note.code == 'graphs_off'
    assert 'its answer differs by 0.001' in note.text
    assert note.numbers['difference'] == pytest.approx(1e-3, rel=0.01)
    assert 'its answer differs' in caplog.text
    assert graphs.take_notes() == ()
    # Another shape is tried all the same.
    device.spoil = None
    believe(graphs, layer, size=9)
    assert device.records == 2


def test_a_graph_that_repeats_its_first_answer_is_found_out(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    """As one would that had looked at a value while it was recorded."""
    first: list[Tensor] = []

    def repeated(tensor: Tensor) -> Tensor:
        first.append(tensor.clone())
        return first[(len(first) - 1) % 3]

    device.spoil = repeated
    for seed in range(10):
        ask(graphs, layer, seed)
    assert graphs.counts.refused == 1


@pytest.mark.parametrize('number', [float('nan'), float('inf')])
def test_a_graph_without_numbers_is_not_believed(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice, number: float
) -> None:
    device.spoil = lambda t: torch.full_like(t, number) if t.is_floating_point() else t
    believe(graphs, layer)
    assert graphs.counts.refused == 1


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('operation not permitted when stream is capturing'),
        torch.cuda.OutOfMemoryError('CUDA out of memory'),
        TypeError('an unexpected keyword argument'),
    ],
)
def test_what_cannot_be_recorded_runs_without(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice, error: BaseException
) -> None:
    device.error = error
    for seed in range(10):
        ask(graphs, layer, seed)
    assert graphs.counts.refused == 1
    [note] = graphs.take_notes()
    assert f'could not be recorded ({type(error).__name__}' in note.text
    assert 'with the same result' in note.text


def test_after_some_failures_nothing_is_tried_in_this_state(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    device.error = RuntimeError('no graphs here')
    for size in range(1, MOST_FAILURES + 1):
        believe(graphs, layer, size)
    assert [note.code for note in graphs.take_notes()] == ['graphs_off'] * (MOST_FAILURES + 1)
    device.error = None
    believe(graphs, layer, 20)
    assert device.records == 0
    graphs.use('other weights')
    believe(graphs, layer, 20)
    assert device.records == 1


def test_a_replay_that_fails_is_answered_by_the_stage(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    believe(graphs, layer)
    device.replay_error = RuntimeError('CUDA error')
    ask(graphs, layer, 40)
    assert graphs.counts.refused == 1
    assert 'could not be replayed' in graphs.take_notes()[0].text


def test_memory_of_graphs_is_given_back_when_a_stage_runs_out_of_it(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    believe(graphs, layer)

    def large(x: Tensor) -> Tensor:
        if not device.given_back:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return x + 1

    assert torch.equal(graphs.run('large', large, torch.ones(2)), torch.full((2,), 2.0))
    assert 'memory ran out' in graphs.take_notes()[0].text
    for seed in range(10):
        ask(graphs, layer, seed)
    assert device.records == 1


def test_without_graphs_memory_that_runs_out_is_an_error(graphs: StageGraphs) -> None:
    def large(x: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(torch.cuda.OutOfMemoryError):
        graphs.run('large', large, torch.ones(2))


def test_other_errors_of_a_stage_come_through(graphs: StageGraphs, layer: Layer) -> None:
    believe(graphs, layer)

    def wrong(x: Tensor) -> Tensor:
        raise RuntimeError('shapes do not fit')

    with pytest.raises(RuntimeError, match='shapes do not fit'):
        graphs.run('wrong', wrong, torch.ones(2))


def test_where_something_unusual_goes_on_the_stage_is_called(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    device.is_usual = False
    believe(graphs, layer)
    believe(graphs, layer)
    assert device.records == 0


def test_tables_that_a_graph_reads_stay_when_the_network_drops_them(
    graphs: StageGraphs, layer: Layer
) -> None:
    tables = {5: torch.arange(5.0)}
    address = tables[5].untyped_storage().data_ptr()

    def stage(x: Tensor) -> Tensor:
        view = tables[5][1:]
        return x[1:] * view + layer.weight

    for seed in range(UNTIL_BELIEVED):
        graphs.run('table', stage, given(seed)[0])
    [graph] = graphs._graphs.values()
    del tables[5]
    assert set(graph._kept) == {address}
    [kept] = graph._kept.values()
    assert torch.equal(kept.flatten()[-4:], torch.arange(1.0, 5.0))


def test_forgotten_graphs_are_recorded_again(
    graphs: StageGraphs, layer: Layer, device: PretendedDevice
) -> None:
    believe(graphs, layer)
    graphs.forget()
    assert not graphs._graphs
    believe(graphs, layer)
    assert device.records == 2


def test_a_narrow_format_is_given_its_rounding() -> None:
    single, half, brain = (
        tolerance(dtype, tf32=False) for dtype in (torch.float32, torch.float16, torch.bfloat16)
    )
    assert single < half < brain
    assert tolerance(torch.float32, tf32=True) > single


def test_tensors_of_a_cpu_are_none_of_the_device() -> None:
    """And nothing of CUDA is touched to find that out."""
    assert not CudaDevice(torch.device('cuda:7')).takes(torch.zeros(1))


def test_torch_records_as_it_is_asked_to() -> None:
    """No CUDA device is needed to see that the arguments exist."""
    recording = signature(torch.cuda.graph.__init__).parameters
    assert {'pool', 'stream', 'capture_error_mode'} <= set(recording)
    assert 'blocking' in signature(torch.cuda.Event.__new__).parameters
