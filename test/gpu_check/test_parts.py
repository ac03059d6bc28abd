"""The parts themselves, on a CPU that pretends to be a CUDA device where they ask for one.

The pretended device counts what the test tells it to: these tests prove that the parts call what
there is and judge what they find; that a real device answers as expected, only a real one tells.
"""

from collections.abc import Callable, Iterator
import copy
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from da3_ros.export.splat_render import cpu_backend
from da3_ros.inference.runner import NetworkRunner
from da3_ros.model.arithmetic import Arithmetic
from da3_ros.model.heads import DualDpt
from da3_ros.model.presets import PRESETS
from helpers import tiny
from tools.gpu_check import goldens, kernels, memory, moves, precision, syncs, timing
from tools.gpu_check.bench import Bench, bench_of, computed_in
from tools.gpu_check.part import Settings, Skipped
from tools.parity.cases import tied_checks
from tools.parity.checks import Check, require
from tools.parity.goldens import Golden
from tools.parity.synthetic_weights import synthetic_network

NAMES = {config.name: config for config in (tiny.ANY_VIEW, tiny.SINGLE_VIEW, tiny.NESTED)}
MIB = 2**20


class FakeCuda:
    """Answers of `torch.cuda` that a test decides."""

    def __init__(self) -> None:
        self.allocated = 100 * MIB
        self.peak_above = 0
        self.reserved_peaks: list[int] = []
        self.fraction = 1.0
        self.sync_mode = 'default'

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        answers: dict[str, Callable[..., Any]] = {
            'memory_allocated': lambda device=None: self.allocated,
            'max_memory_allocated': lambda device=None: self.allocated + self.peak_above,
            'max_memory_reserved': lambda device=None: self.reserved_peaks.pop(0),
            'memory_reserved': lambda device=None: self.allocated,
            'reset_peak_memory_stats': lambda device=None: None,
            'synchronize': lambda device=None: None,
            'empty_cache': lambda: None,
            'mem_get_info': lambda device=None: (1000 * MIB, 1000 * MIB),
            'set_per_process_memory_fraction': self._limit,
            'set_sync_debug_mode': self._warn,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(torch.cuda, name, answer)

    def _limit(self, fraction: float, device: object = None) -> None:
        assert isinstance(fraction, float)
        assert 0 < fraction <= 1
        self.fraction = fraction

    def _warn(self, mode: str) -> None:
        assert mode in ('default', 'warn', 'error')
        self.sync_mode = mode


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings of their own for every test; tiny networks are among the presets."""
    for name, config in NAMES.items():
        monkeypatch.setitem(PRESETS, name, config)
    return Settings('cpu', str(tmp_path))


@pytest.fixture
def cuda(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    monkeypatch.setattr(bench_of(settings), 'is_cuda', True)
    return fake


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_threads_change_no_bit_of_the_weights() -> None:
    one, many = (synthetic_network(tiny.NESTED, threads).state_dict() for threads in (1, 5))
    assert list(one) == list(many)
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_a_network_is_made_once_and_shared_by_those_that_are_alike(settings: Settings) -> None:
    bench = bench_of(settings)
    network = bench.network('tiny-metric')
    assert bench.network('tiny-metric') is network
    assert bench.network('tiny-nested') is not network
    assert bench.network('tiny-metric') is not network


def test_metric_and_mono_share_their_weights(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, focal in (('da3mono-large', None), ('da3metric-large', 300.0)):
        config = replace(tiny.SINGLE_VIEW, name=name, canonical_focal_px=focal)
        monkeypatch.setitem(PRESETS, name, config)
    bench = bench_of(settings)
    first = bench.network('da3mono-large').state_dict()
    second = bench.network('da3metric-large')
    assert second.config.name == 'da3metric-large'
    for name, tensor in second.state_dict().items():
        assert tensor.data_ptr() == first[name].data_ptr()


def test_sixteen_bits_for_a_while_cost_no_digit() -> None:
    network = synthetic_network(tiny.ANY_VIEW)
    before = copy.deepcopy(network.state_dict())
    runner = NetworkRunner(network, Arithmetic('fp32'), 8)
    with computed_in(runner, Arithmetic('bf16')):
        assert runner.dtype == torch.bfloat16
    assert runner.dtype == torch.float32
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize('name', NAMES)
def test_precision_of_every_kind_of_network(settings: Settings, name: str) -> None:
    outcome = precision.run(settings, name)
    for kind, median in (('bf16', 1e-4), ('fp16', 1e-5)):
        found = outcome.figures[kind]['pictures']
        assert found['pixels'] > 0
        assert 0.1 * median < found['median'] < 0.1
        # Nothing else is rounded than what autocast rounds; in tiny networks chance has a say.
        assert found['median'] <= 2 * found['autocast_median']
    assert 'emulated' in outcome.text
    network = bench_of(settings).network(name)
    assert not any({'encode', 'fuse'} & set(vars(module)) for module in network.modules())


def test_what_moves_too_much_is_told() -> None:
    found = {'median': 2e-3, 'p99': 2e-2, 'autocast_median': 2e-4, 'autocast_p99': 1e-2}
    [line] = precision.exceeded('bf16', {'cases': found})
    assert line.startswith('bf16 cases: p99 0.02, at most 0.01 expected')
    assert len(list(precision.exceeded('fp16', {'cases': found}))) == 2
    assert not list(precision.exceeded('bf16', {'cases': {**found, 'autocast_p99': 1.9e-2}}))
    nothing = dict.fromkeys(found, float('nan'))
    assert len(list(precision.exceeded('bf16', {'cases': nothing}))) == 2


@pytest.mark.slow
def test_memory_is_compared_with_the_estimate(settings: Settings, cuda: FakeCuda) -> None:
    bench = bench_of(settings)
    runner = bench.runner('tiny-gaussian')
    cuda.peak_above = runner.estimate_memory(2, bench.image_size).total_bytes
    outcome = memory.run(settings, 'tiny-gaussian')
    ratios = [entry['ratio'] for entry in outcome.figures['windows']]
    assert ratios[1] == ratios[3] == 1
    assert len(outcome.failures) == sum(abs(ratio - 1) > 0.3 for ratio in ratios) > 0
    assert 'ratio 0.' in outcome.failures[0]


@pytest.mark.slow
def test_windows_that_do_not_fit_are_left_out(
    settings: Settings, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device=None: (MIB, MIB))
    monkeypatch.setattr(Bench, '_check_room', lambda self, preset: None)
    monkeypatch.setattr(NetworkRunner, 'views_that_fit', lambda self, size: 0)
    with pytest.raises(Skipped, match='no window fits'):
        memory.run(settings, 'tiny-gaussian')


def test_a_network_without_room_is_not_made(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, cuda: FakeCuda
) -> None:
    monkeypatch.setattr(torch.cuda, 'mem_get_info', lambda device=None: (1000, MIB))
    with pytest.raises(Skipped, match='MiB of the device are free'):
        memory.run(settings, 'tiny-gaussian')


@pytest.mark.slow
@pytest.mark.parametrize('runs_out', [True, False])
def test_memory_that_runs_out(
    settings: Settings, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, runs_out: bool
) -> None:
    head = DualDpt.forward

    def forward(self: DualDpt, levels: list[Tensor], *args: Any, **options: Any) -> Any:
        if runs_out and cuda.fraction < 1 and len(levels[0]) > 2:
            raise torch.cuda.OutOfMemoryError('CUDA out of memory')
        return head(self, levels, *args, **options)

    monkeypatch.setattr(DualDpt, 'forward', forward)
    # Views of many patches, or else a CPU computes them one by one anyway.
    monkeypatch.setattr(bench_of(settings), 'image_size', (168, 168))
    cuda.reserved_peaks = [800 * MIB, 200 * MIB]
    outcome = memory.run_retry(settings, 'tiny-gaussian')
    assert cuda.fraction == 1.0
    if runs_out:
        assert outcome.failures == ()
        assert 'chunks of 2' in outcome.text
        assert 'estimated' in outcome.figures['message']
    else:
        assert 'expected MemoryExceededError, got a result' in outcome.failures[0]
        assert 'no note about smaller chunks' in outcome.failures[1]


def test_chunks_that_change_nothing_force_nothing(settings: Settings, cuda: FakeCuda) -> None:
    cuda.reserved_peaks = [800 * MIB, 790 * MIB]
    with pytest.raises(Skipped, match='hardly change the peak'):
        memory.run_retry(settings, 'tiny-gaussian')


@pytest.mark.parametrize(('kept', 'failures'), [(0, 0), (MIB, 1)])
def test_what_stays_of_a_network_is_told(
    settings: Settings, cuda: FakeCuda, kept: int, failures: int
) -> None:
    assert memory.run_release(settings, 'tiny-gaussian').failures == ()

    def use() -> None:
        cuda.allocated += kept

    assert len(memory.left_after(use, lambda: None).failures) == failures


def test_a_network_moves_there_and_back(settings: Settings, cuda: FakeCuda) -> None:
    outcome = moves.run(settings, 'tiny-gaussian')
    assert set(outcome.figures['errors']) == {'CPU', 'device again'}
    assert max(outcome.figures['errors'].values()) <= 1e-5
    # The pretended device has no 16 bits, and that is told.
    assert outcome.failures == (
        'auto became torch.float32, torch.float32, torch.float32; 16 bits, float32, 16 bits '
        'expected',
    )


def test_synchronisations_are_counted_where_they_are_caused(tmp_path: Path) -> None:
    package = tmp_path / 'package'
    package.mkdir()
    (package / 'inner.py').write_text(
        'import warnings\n\ndef forward(call):\n    call()\n    warnings.warn("another")\n'
    )
    module = ModuleType('inner')
    code = compile((package / 'inner.py').read_text(), str(package / 'inner.py'), 'exec')
    exec(code, module.__dict__)
    modes: list[str] = []

    def operation() -> None:
        warnings.warn(f'{syncs.SAID} (Triggered internally at X.cpp:3.)', stacklevel=1)

    with syncs.counted(modes.append, package) as places:
        module.forward(operation)
        module.forward(operation)
        operation()
    assert dict(places) == {'package/inner.py:4': 2, f'{Path(__file__).name}:{line_of()}': 1}
    assert modes == ['warn', 'default']


def line_of() -> int:
    """Return the line of this file that warns."""
    lines = Path(__file__).read_text(encoding='utf-8').splitlines()
    return next(n for n, line in enumerate(lines, 1) if 'warnings.warn(f' in line)


def test_synchronisations_of_a_forward_pass(settings: Settings, cuda: FakeCuda) -> None:
    outcome = syncs.run(settings, 'tiny-gaussian')
    assert outcome.figures == {'count': 0, 'places': {}, 'with_gaussians': {}, 'window': {}}
    assert cuda.sync_mode == 'default'


@pytest.mark.slow
def test_times_and_peaks(settings: Settings, cuda: FakeCuda) -> None:
    entries = timing.run(settings, 'tiny-gaussian').figures['windows']
    assert [entry['views'] for entry in entries] == [1, 1, 2, 2]
    assert all(entry['ms'] > 0 and entry['peak_mib'] == 100 for entry in entries)


def test_without_time_windows_are_left_out(
    settings: Settings, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, 'LAST_BEGIN_S', -1.0)
    outcome = timing.run(settings, 'tiny-gaussian')
    assert {entry['note'] for entry in outcome.figures['windows']} == {'left out: no time'}
    assert outcome.text == 'float32 ms (views): - (1), - (1), - (2), - (2)'


def test_gsplat_is_compared_with_the_cpu(
    settings: Settings, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, 'import_module', lambda name: None)
    monkeypatch.setattr(kernels, 'gsplat_backend', lambda device: cpu_backend)
    assert kernels.run_gsplat(settings, 'cpu').failures == ()
    monkeypatch.setattr(kernels, 'PICTURE_BOUND', 0.0)
    assert len(kernels.run_gsplat(settings, 'cpu').failures) == 2


def test_xformers_is_compared_with_torch(
    settings: Settings, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, 'import_module', lambda name: None)
    kernel = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr('da3_ros.model.arithmetic.attention_kernel', lambda kind: kernel)
    outcome = kernels.run_xformers(settings, 'tiny-gaussian')
    assert set(outcome.figures) == {'fp32', 'bf16'}
    assert outcome.failures == ()


@pytest.mark.parametrize(
    'run',
    [
        memory.run, memory.run_retry, memory.run_release, moves.run, syncs.run,
        kernels.run_xformers, kernels.run_gsplat,
    ],
)  # fmt: skip
def test_what_needs_cuda_says_so(settings: Settings, run: Callable[..., object]) -> None:
    with pytest.raises(Skipped, match='no CUDA device'):
        run(settings, 'tiny-gaussian')


def test_without_cases_of_a_network_there_is_nothing_to_compare(settings: Settings) -> None:
    with pytest.raises(Skipped, match='no case of da3-small in'):
        goldens.run(settings, 'da3-small')
    assert goldens.run_others(settings, 'others').text == 'every file is compared'


def test_a_check_holds_only_for_numbers() -> None:
    require([Check('a', 1.0, 1.0)])
    with pytest.raises(AssertionError, match=r'b 2 \(bound 1\); c nan'):
        require([Check('b', 2.0, 1.0), Check('c', float('nan'), 1.0)])


@pytest.mark.parametrize(('chosen', 'broken'), [([2], False), ([3], True)])
def test_of_two_tied_reference_views_either_is_right(chosen: list[int], broken: bool) -> None:
    """A result for the other choice is compared with what is stored for it."""
    poses = np.tile(np.eye(4, dtype=np.float32)[:3], (1, 4, 1, 1))
    depth = np.ones((1, 4, 8, 8), np.float32)
    golden = Golden(
        'da3-tiny__v4_saddle_sim_range',
        {'altref_depth': depth[..., ::2, ::2], 'altref_extrinsics': poses},
        {'ref_view': {'b_idx': [1], 'tie_alternative_b_idx': 2}},
    )

    class Anything:
        def __init__(self, **values: object) -> None:
            self.__dict__.update(values)

    run: Any = Anything(
        golden=golden,
        fused=Anything(reference=torch.tensor(chosen)),
        output=Anything(depth=torch.from_numpy(depth), extrinsics=torch.from_numpy(poses)),
    )
    checks = tied_checks(run, strict=True)
    assert [check.holds for check in checks] == [not broken, True, True]
