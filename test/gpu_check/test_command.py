"""`python -m tools.gpu_check` from a bare copy, where hardly anything is installed."""

from collections.abc import Iterator
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from helpers.ros_process import ROOT
from tools.gpu_check import __main__ as command
from tools.gpu_check.part import Part, Result, Settings
from tools.parity.goldens import GOLDEN_DIR

NOT_NEEDED = ('av', 'mcap', 'rosbags', 'trimesh', 'rclpy', 'rich', 'typer', 'viser')
ONLY_FOR_SOME = ('PIL', 'cv2', 'huggingface_hub', 'safetensors', 'scipy', 'tqdm', 'yaml')

BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {names!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Blocker())
"""

RUNS_ON_CPU = {
    'goldens.da3-small', 'precision.da3-small', 'api.da3-nano', 'engine.da3-nano',
    'timing.da3-small',
}  # fmt: skip


@pytest.fixture(scope='module')
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a machine with a GPU is given."""
    folder = tmp_path_factory.mktemp('bare')
    ignored = shutil.ignore_patterns('__pycache__')
    for name in ('da3_ros', 'tools', 'test/data/golden'):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    return folder


def run(
    bare: Path, *arguments: object, without: tuple[str, ...] = NOT_NEEDED
) -> subprocess.CompletedProcess[str]:
    """Run the command where some packages cannot be imported."""
    site = bare / 'site'
    site.mkdir(exist_ok=True)
    (site / 'sitecustomize.py').write_text(BLOCKER.format(names=set(without)))
    environment = {**os.environ, 'PYTHONPATH': str(site), 'OMP_NUM_THREADS': '1'}
    return subprocess.run(
        [sys.executable, '-m', 'tools.gpu_check', '--device', 'cpu', *map(str, arguments)],
        cwd=bare,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def lines_of(done: subprocess.CompletedProcess[str], status: str) -> dict[str, str]:
    """Return the lines of a status, by the part's name."""
    found = [line for line in done.stdout.splitlines() if line.startswith(status)]
    if status == 'SKIP':
        return {line.rpartition(') ')[2]: line for line in found}
    return {line.split()[1].rstrip(':'): line for line in found}


def content(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / 'gpu_check.json').read_text(encoding='utf-8'))
    return read


def cases(bare: Path, name: str, *stems: str) -> Path:
    """Return a folder with few cases."""
    folder = bare / name
    folder.mkdir(exist_ok=True)
    for stem in stems:
        shutil.copy(GOLDEN_DIR / f'{stem}.npz', folder)
    return folder


def test_all_parts_on_a_cpu_and_nothing_twice(bare: Path, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    first = run(bare, '--out', out)
    assert first.returncode == 0, first.stdout + first.stderr
    assert first.stdout.startswith('device: no CUDA device is used')
    assert set(lines_of(first, 'PASS')) == RUNS_ON_CPU
    skipped = lines_of(first, 'SKIP')
    assert skipped.pop('goldens.others').startswith('SKIP(')
    assert set(skipped.values()) == {f'SKIP(no CUDA device) {name}' for name in skipped}
    assert first.stdout.splitlines()[-1] == f'5 passed, 0 failed, {len(skipped) + 1} skipped'
    results = {entry['name']: entry for entry in content(out)['results']}
    assert set(results) == RUNS_ON_CPU | set(skipped) | {'goldens.others'}
    assert len(results['goldens.da3-small']['figures']['cases']) == 17
    assert 'da3-small | bf16 | pictures' in (out / 'gpu_check.md').read_text(encoding='utf-8')
    assert {path.name for path in out.iterdir()} == {'gpu_check.json', 'gpu_check.md'}

    again = run(bare, '--out', out)
    assert again.returncode == 0
    repeated = lines_of(again, 'PASS')
    assert set(repeated) == RUNS_ON_CPU
    assert all(line.endswith('(of an earlier run)') for line in repeated.values())
    assert again.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]


@pytest.mark.slow
def test_networks_need_torch_and_numpy_only(bare: Path, tmp_path: Path) -> None:
    few = cases(bare, 'few', 'da3-small__v1', 'da3-small__posecond_v2', 'da3-small__raypose_v2')
    only = ('goldens.da3-small', 'precision.da3-small', 'timing.da3-small', 'api', 'engine')
    arguments = [word for name in only for word in ('--only', name)]
    done = run(
        bare, '--out', tmp_path, '--goldens', few, *arguments, without=NOT_NEEDED + ONLY_FOR_SOME
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(lines_of(done, 'PASS')) == set(only[:3])
    skipped = lines_of(done, 'SKIP')
    assert set(skipped) == {'api.da3-nano', 'engine.da3-nano'}
    assert all('is not installed)' in line for line in skipped.values())
    assert done.stdout.splitlines()[-1] == '3 passed, 0 failed, 2 skipped'


@pytest.mark.slow
def test_a_wrong_value_fails_and_is_tried_again(bare: Path, tmp_path: Path) -> None:
    folder = cases(bare, 'changed', 'da3-small__v1', 'da3-small__v2')
    with np.load(folder / 'da3-small__v1.npz') as stored:
        arrays = dict(stored)
    np.savez(folder / 'da3-small__v1.npz', **{**arrays, 'depth': arrays['depth'] * 1.001})
    arguments = ('--out', tmp_path, '--goldens', folder, '--only', 'goldens.da3-small')
    for _ in range(2):
        done = run(bare, *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        [line] = lines_of(done, 'FAIL').values()
        assert line.startswith('FAIL goldens.da3-small: da3-small__v1: depth 0.001 (bound')
        assert 'earlier' not in line
        assert done.stdout.splitlines()[-1] == '0 passed, 1 failed, 0 skipped'
    [result] = content(tmp_path)['results']
    assert result['status'] == 'FAIL'
    assert result['figures']['failures'] == [line.partition(': ')[2].rpartition(' [')[0]]


def test_wrong_calls_say_what_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ['--out', str(tmp_path / 'out')]
    assert command.main([*out, '--only', 'goldens.da3-tiny']) == 2
    error = capsys.readouterr().err
    assert 'goldens.da3-tiny: there is no such part' in error
    assert 'goldens.da3-small' in error
    assert 'timing' in error
    assert command.main([*out, '--goldens', str(tmp_path / 'nowhere')]) == 2
    assert 'copy test/data/golden beside tools' in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        command.main([])
    assert ended.value.code == 2
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def known_machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Spare the tests that look at the command alone the time of asking torch."""
    machine = {
        'device': 'cuda', 'name': 'NVIDIA X', 'capability': '9.0', 'memory_mib': 80000,
        'driver': '580.1', 'cores': 16, 'torch': '2.11.0', 'cuda': '13.0', 'python': '3.12.3',
    }  # fmt: skip
    monkeypatch.setattr(command, '_environment', lambda device: machine)
    return machine


@pytest.mark.usefixtures('known_machine')
def test_an_interrupt_keeps_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(
        plan: str, parts: list[Part], settings: Settings, budget_s: float
    ) -> Iterator[object]:
        assert settings.device == 'cuda'
        assert len(parts) == 2
        assert 0 < budget_s <= 540
        yield Result(parts[0].name, 'PASS', 'fine')
        raise KeyboardInterrupt

    monkeypatch.setattr(command, 'run_parts', interrupted)
    arguments = ['--out', str(tmp_path), '--only', 'retry', '--only', 'gsplat']
    assert command.main(arguments) == 130
    assert 'device: NVIDIA X, compute capability 9.0, 80000 MiB' in capsys.readouterr().out
    assert [entry['name'] for entry in content(tmp_path)['results']] == ['retry.da3-small']


def test_a_machine_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, 'DESCRIBE_S', 0.0)
    assert command.main(['--out', str(tmp_path)]) == 1
    assert 'did not answer within 0 s' in capsys.readouterr().err
