"""The parts about windows, graphs and copies, on a CPU that stands in for a CUDA device.

As in `test_parts`: they call what there is and judge what they find. What a real device answers,
only a real one tells.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
import sys
from typing import Any
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from da3_ros.inference.cuda import stages as device_stages
from da3_ros.inference.out_of_memory import MemoryExceededError
from da3_ros.inference.runner import NetworkRunner
from da3_ros.inference.runtimes.torch_runtime import TorchWindowNetwork
from da3_ros.inference.window_network import WindowMaps, WindowRequest
from da3_ros.model.presets import PRESETS
from da3_ros.options.choices import Precision
from helpers import tiny
from helpers.pretended_device import PretendedDevice
from tools.gpu_check import allocations, graphs, official, syncs, transfers, windows
from tools.gpu_check.bench import bench_of
from tools.gpu_check.part import PACKAGE, Result, Settings, Skipped, official_root
from tools.gpu_check.tables import markdown

MIB = 2**20
SIZE = (28, 42)


class Cuda:
    """Answers of `torch.cuda` and what is recorded of stages."""

    def __init__(self) -> None:
        self.devices: list[PretendedDevice] = []
        self.spoil: Callable[[Tensor], Tensor] | None = None
        self.stats: dict[str, int] = {}
        self.allocated = 0
        self.asked_each_time: dict[str, int] = {}
        self.sync_mode = 'default'

    def device(self, place: torch.device) -> PretendedDevice:
        self.devices.append(PretendedDevice())
        self.devices[-1].spoil = self.spoil
        return self.devices[-1]

    def memory_stats(self) -> dict[str, int]:
        for name, number in self.asked_each_time.items():
            self.stats[name] = self.stats.get(name, 0) + number
        return dict(self.stats)

    def memory_allocated(self) -> int:
        self.allocated += self.asked_each_time.get('bytes', 0)
        return self.allocated

    def set_mode(self, mode: str) -> None:
        self.sync_mode = mode


@pytest.fixture
def cuda(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Cuda:
    fake = Cuda()
    answers: dict[str, Callable[..., Any]] = {
        'memory_stats': fake.memory_stats,
        'memory_allocated': fake.memory_allocated,
        'max_memory_allocated': lambda: 100 * MIB,
        'reset_peak_memory_stats': lambda: None,
        'synchronize': lambda device=None: None,
        'mem_get_info': lambda device=None: (1000 * MIB, 1000 * MIB),
        'set_sync_debug_mode': fake.set_mode,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(device_stages, '_cuda_device', fake.device)
    bench = bench_of(settings)
    monkeypatch.setattr(bench, 'is_cuda', True)
    monkeypatch.setattr(bench, 'image_size', SIZE)
    return fake


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for config in (tiny.ANY_VIEW, tiny.SINGLE_VIEW, tiny.NESTED):
        monkeypatch.setitem(PRESETS, config.name, config)
    return Settings('cpu', str(tmp_path))


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def fp32_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, 'PRECISIONS', ('fp32',))


@pytest.mark.parametrize('name', ['tiny-gaussian', 'tiny-metric'])
def test_graphs_are_compared_window_by_window(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kinds: tuple[Precision, ...] = ('fp32',) if name == 'tiny-gaussian' else ('fp32', 'bf16')
    monkeypatch.setattr(graphs, 'PRECISIONS', kinds)
    outcome = graphs.run(settings, name)
    with_cameras = [f'{kind} with cameras' for kind in kinds] if name == 'tiny-gaussian' else []
    assert set(outcome.figures) == {*kinds, *with_cameras}
    assert outcome.failures == ()
    for found in outcome.figures.values():
        assert found['difference'] <= 1e-6
        assert found['replayed'] > 4
        assert found['refused'] == 0


@pytest.mark.usefixtures('fp32_only')
def test_graphs_that_answer_otherwise_fail_the_check(settings: Settings, cuda: Cuda) -> None:
    cuda.spoil = lambda x: x * 1.1 if x.is_floating_point() else x
    outcome = graphs.run(settings, 'tiny-metric')
    assert any('its answer differs by' in failure for failure in outcome.failures)


@pytest.mark.usefixtures('fp32_only')
def test_a_device_that_records_nothing_fails_the_check(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PretendedDevice, 'takes', lambda self, tensor: False)
    outcome = graphs.run(settings, 'tiny-metric')
    assert outcome.failures == ('fp32: no stage was replayed',)


def test_waits_of_a_window_are_counted(settings: Settings, cuda: Cuda) -> None:
    outcome = syncs.run(settings, 'tiny-metric')
    assert outcome.figures['window'] == {}
    assert outcome.failures == ()
    assert cuda.sync_mode == 'default'


@pytest.mark.parametrize(('name', 'fails'), [('tiny-metric', True), ('tiny-nested', False)])
def test_waits_are_wrong_where_nothing_depends_on_values(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch, name: str, fails: bool
) -> None:
    run = TorchWindowNetwork.run

    def waiting(self: TorchWindowNetwork, request: WindowRequest) -> WindowMaps:
        warnings.warn(f'{syncs.SAID} (Triggered internally at X.cpp:3.)', stacklevel=1)
        return run(self, request)

    monkeypatch.setattr(TorchWindowNetwork, 'run', waiting)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        outcome = syncs.run(settings, name)
    assert sum(outcome.figures['window'].values()) == 1
    assert bool(outcome.failures) == fails


@pytest.mark.slow
def test_a_steady_stream_asks_for_no_memory(settings: Settings, cuda: Cuda) -> None:
    cuda.asked_each_time = {'allocation.all.allocated': 30}
    outcome = allocations.run(settings, 'tiny-gaussian')
    assert outcome.failures == ()
    assert outcome.figures['driver'] == outcome.figures['grown_mib'] == 0
    assert outcome.figures['allocator'] == 30
    assert '3 of the allocator in each' in outcome.text


@pytest.mark.slow
def test_memory_that_a_stream_goes_on_asking_for_is_found(settings: Settings, cuda: Cuda) -> None:
    cuda.asked_each_time = {
        'segment.all.allocated': 2, 'num_alloc_retries': 1, 'bytes': 3 * MIB,
    }  # fmt: skip
    failures = allocations.run(settings, 'tiny-metric').failures
    assert [failure.split(' ')[0] for failure in failures] == ['2', '1', '3.00']
    assert failures[2] == '3.00 MiB more are held after 10 windows'


@pytest.mark.parametrize('held_ms', [1.0, 20.0])
def test_copies_that_hold_the_host_are_found(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch, held_ms: float
) -> None:
    monkeypatch.setattr(transfers, 'BUSY_S', 1e-5)
    monkeypatch.setattr(transfers, '_SIDE', 8)

    def median(copy: Callable[[], object], work: object, *, until_done: bool = False) -> float:
        copy()
        return 0.03 if until_done else held_ms / 1000

    monkeypatch.setattr(transfers, '_median', median)
    outcome = transfers.run(settings, 'tiny-metric')
    assert outcome.figures['busy_ms'] == 30
    assert len(outcome.failures) == (0 if held_ms < 15 else 2)


def test_the_time_of_a_copy_is_measured(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, 'BUSY_S', 1e-5)
    monkeypatch.setattr(transfers, '_SIDE', 8)
    figures = transfers.run(settings, 'tiny-metric').figures
    assert set(figures) == {
        'busy_ms', 'upload_ms', 'upload, plain_ms', 'download_ms', 'download, plain_ms',
    }  # fmt: skip
    assert all(value >= 0 for value in figures.values())


@pytest.fixture
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, 'FEWEST_RUNS', 2)
    monkeypatch.setattr(windows, 'MOST_RUNS', 2)
    monkeypatch.setattr(windows, 'KINDS', windows.TINY_KINDS)


@pytest.mark.slow
@pytest.mark.usefixtures('few_runs')
def test_windows_are_timed_beside_the_official_code(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def theirs(
        folder: str, preset: str, ours: nn.Module, device: torch.device
    ) -> Callable[[Tensor], dict[str, Tensor]]:
        assert (folder, preset) == ('somewhere', 'tiny-gaussian')
        return lambda pixels: {name: getattr(ours(pixels), name) for name in windows.MAPS}

    monkeypatch.setattr(windows, 'official_forward', theirs)
    with_official = Settings(settings.device, settings.goldens, 'somewhere')
    bench = bench_of(with_official)
    monkeypatch.setattr(bench, 'is_cuda', True)
    monkeypatch.setattr(bench, 'image_size', SIZE)
    outcome = windows.run(with_official, 'tiny-gaussian')
    entries = outcome.figures['streams']
    assert [entry['variant'] for entry in entries] == list(windows.VARIANTS)
    assert all(0 < entry['ms'] <= entry['p99_ms'] for entry in entries)
    assert all(entry['peak_mib'] == 100 for entry in entries)
    assert outcome.failures == ()
    recorded = [device.records for device in cuda.devices]
    # Stages by themselves, by graphs, by graphs with TF32.
    assert recorded == [0, 2, 2]
    table = markdown({'windows.x': Result('windows.x', 'PASS', '', figures=outcome.figures)}, {})
    assert '| x | window 3, stride 1 | official |' in table
    assert '| 1.00 | 100 |' in table


@pytest.mark.slow
@pytest.mark.usefixtures('few_runs')
def test_without_official_code_or_memory_the_rest_is_timed(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: NetworkRunner, *args: object, **options: object) -> None:
        raise MemoryExceededError('enough for 2 views')

    monkeypatch.setattr(NetworkRunner, 'forward', refuse)
    elsewhere = Settings(settings.device, settings.goldens, settings.goldens)
    bench = bench_of(elsewhere)
    monkeypatch.setattr(bench, 'is_cuda', True)
    monkeypatch.setattr(bench, 'image_size', SIZE)
    outcome = windows.run(elsewhere, 'tiny-gaussian')
    assert f'holds no {PACKAGE}' in outcome.text
    entries = {entry['variant']: entry for entry in outcome.figures['streams']}
    assert list(entries) == list(windows.VARIANTS[1:])
    assert entries['whole']['note'] == 'left out: enough for 2 views'
    assert 'ms' in entries['graphs']
    assert 'whole -' in outcome.text


@pytest.mark.usefixtures('few_runs')
def test_without_time_streams_are_left_out(
    settings: Settings, cuda: Cuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(windows, 'LAST_BEGIN_S', -1.0)
    entries = windows.run(settings, 'tiny-gaussian').figures['streams']
    assert {entry['note'] for entry in entries} == {'left out: no time'}


OFFICIAL = """
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image, extrinsics, intrinsics, **options):
        assert options == {
            'export_feat_layers': [],
            'infer_gs': False,
            'use_ray_pose': False,
            'ref_view_strategy': 'saddle_balanced',
        }
        assert not torch.is_grad_enabled()
        return {'depth': image[:, :, 0] * self.weight}


def load_config(path):
    return path


def create_object(config):
    assert config == 'somewhere.yaml'
    return Net()
"""


@pytest.mark.parametrize('source', ['', 'src'])
def test_the_official_network_computes_with_our_weights(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / source / PACKAGE
    package.mkdir(parents=True)
    (package / '__init__.py').touch()
    (package / 'cfg.py').write_text(OFFICIAL)
    (package / 'registry.py').write_text("MODEL_REGISTRY = {'da3-x': 'somewhere.yaml'}\n")
    for module in ('', '.cfg', '.registry'):
        monkeypatch.delitem(sys.modules, PACKAGE + module, raising=False)
    ours: Any = nn.Module()
    ours.weight = nn.Parameter(torch.tensor([2.0]))
    assert official_root(tmp_path) == tmp_path / source
    forward = official.official_forward(str(tmp_path), 'da3-x', ours, torch.device('cpu'))
    pixels = torch.from_numpy(np.ones((1, 2, 3, 4, 4), np.float32))
    assert (forward(pixels)['depth'] == 2).all()


def test_where_there_is_no_official_code_that_is_said(tmp_path: Path) -> None:
    assert official_root(tmp_path) is None
    with pytest.raises(ImportError, match='holds no depth_anything_3'):
        official.official_forward(str(tmp_path), 'da3-x', nn.Module(), torch.device('cpu'))  # type: ignore[arg-type]


@pytest.mark.parametrize('run', [graphs.run, allocations.run, transfers.run])
def test_what_needs_cuda_says_so(settings: Settings, run: Callable[..., object]) -> None:
    with pytest.raises(Skipped, match='no CUDA device'):
        run(settings, 'tiny-gaussian')


def test_tables_of_windows_hold_the_figures() -> None:
    found = {'difference': 2e-6, 'recorded': 2, 'replayed': 8, 'refused': 0}
    held = {
        'upload_ms': 0.1, 'upload, plain_ms': 30.0, 'download_ms': 0.2,
        'download, plain_ms': 31.0, 'busy_ms': 29.5,
    }  # fmt: skip
    all_figures: dict[str, dict[str, Any]] = {
        'graphs.da3-base': {'bf16 with cameras': found},
        'allocations.da3-base': {'driver': 0, 'allocator': 120, 'windows': 10, 'peak_mib': 512.4},
        'transfers.da3-small': held,
        'syncs.da3-base': {'places': {'da3_ros/a.py:3': 2}, 'window': {}},
    }
    results = {name: Result(name, 'PASS', '', figures=f) for name, f in all_figures.items()}
    text = markdown(results, {'name': 'NVIDIA X'})
    assert '| da3-base | bf16 with cameras | 2e-06 | 8 | 0 |' in text
    assert '| da3-base | 0 | 12 | 512 |' in text
    assert '| upload | 0.10 | 30.00 | 29.50 |' in text
    assert '| download | 0.20 | 31.00 | 29.50 |' in text
    assert '| da3-base | 2 | da3_ros/a.py:3 (2) | 0 | none |' in text
