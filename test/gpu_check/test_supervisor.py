"""Parts run apart: what hangs, crashes or fails costs one part and nothing else."""

from collections.abc import Sequence
from dataclasses import asdict
import json
import os
import subprocess
import sys
import time

import pytest

from helpers import gpu_parts
from helpers.ros_process import ROOT
from tools.gpu_check.part import Part, Result, Settings
from tools.gpu_check.supervisor import Worker, run_parts

PLAN = 'helpers.gpu_parts'
CPU = Settings('cpu', 'nowhere')
PLENTY_S = 100.0


@pytest.fixture(autouse=True)
def helpers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.pathsep.join([str(ROOT / 'test'), *filter(None, [os.environ.get('PYTHONPATH')])])
    monkeypatch.setenv('PYTHONPATH', path)


def parts(*names: str) -> list[Part]:
    by_name = {part.name: part for part in gpu_parts.PARTS}
    return [by_name[name] for name in names]


def results(
    chosen: Sequence[Part], budget_s: float = PLENTY_S, settings: Settings = CPU
) -> dict[str, Result]:
    return {one.name: one for one in run_parts(PLAN, chosen, settings, budget_s)}


def test_what_parts_say_is_what_is_reported() -> None:
    found = results(
        parts('good.x', 'fail.x', 'refuse.x', 'skip.x', 'miss.x', 'miss_own.x', 'good.y')
    )
    assert [one.status for one in found.values()] == [
        'PASS', 'FAIL', 'FAIL', 'SKIP', 'SKIP', 'FAIL', 'PASS',
    ]  # fmt: skip
    assert found['good.x'].reason == 'x on cpu'
    assert found['fail.x'].reason == 'first thing wrong and 1 more'
    assert found['fail.x'].figures['failures'] == ['first thing wrong', 'second thing wrong']
    assert found['fail.x'].figures['number'] == 'nan'
    assert found['refuse.x'].reason == 'ValueError: not like this'
    assert 'helpers/gpu_parts.py' in found['refuse.x'].traceback
    assert found['skip.x'].line() == 'SKIP(not today) skip.x'
    assert found['miss.x'].line() == 'SKIP(nothing_of_the_kind is not installed) miss.x'
    assert 'ModuleNotFoundError' in found['miss_own.x'].reason
    assert found['good.x'].figures['pid'] == found['good.y'].figures['pid'] != os.getpid()


def test_a_part_that_hangs_is_ended_and_the_next_one_runs() -> None:
    start = time.monotonic()
    found = results(parts('good.x', 'hang.x', 'good.y'))
    assert time.monotonic() - start < 60
    assert found['hang.x'].status == 'FAIL'
    assert found['hang.x'].reason == 'not done within its limit of 4 s'
    assert 'hanging now' in found['hang.x'].traceback
    assert found['good.y'].status == 'PASS'
    assert found['good.y'].figures['pid'] != found['good.x'].figures['pid']


@pytest.mark.parametrize('before', [(), ('good.x',)])
def test_a_part_that_crashes_costs_itself_alone(before: tuple[str, ...]) -> None:
    found = results(parts(*before, 'crash.x', 'good.y'))
    assert (
        found['crash.x']
        .line()
        .startswith('FAIL crash.x: the process ended with status 3 while it ran')
    )
    assert found['crash.x'].traceback == 'last words' or 'last words' in found['crash.x'].traceback
    assert found['good.y'].status == 'PASS'


def test_after_an_exception_on_cuda_the_process_is_another() -> None:
    on_cuda = Settings('cuda', 'nowhere')
    found = results(parts('good.x', 'refuse.x', 'good.y'), settings=on_cuda)
    assert found['refuse.x'].reason == 'ValueError: not like this'
    assert found['good.y'].status == 'PASS'
    assert found['good.y'].figures['pid'] != found['good.x'].figures['pid']


def test_without_time_nothing_is_begun() -> None:
    found = results(parts('good.x', 'good.y'), budget_s=1.0)
    assert {one.line() for one in found.values()} == {
        'SKIP(no time left) good.x',
        'SKIP(no time left) good.y',
    }


def test_what_the_budget_cuts_off_has_not_failed() -> None:
    found = results(parts('hang.long', 'good.y'), budget_s=5.0)
    assert found['hang.long'].status == 'SKIP'
    assert found['hang.long'].reason.startswith('no time left: cut off after ')
    assert found['good.y'].line() == 'SKIP(no time left) good.y'


def test_an_interrupt_ends_the_process() -> None:
    with pytest.raises(KeyboardInterrupt), Worker(PLAN, parts('hang.long'), CPU) as worker:
        raise KeyboardInterrupt
    assert worker.end() < 0


def test_a_worker_whose_supervisor_is_gone_ends() -> None:
    request = {'plan': PLAN, 'parts': ['good.x', 'hang.long'], 'settings': asdict(CPU)}
    with subprocess.Popen(
        [sys.executable, '-m', 'tools.gpu_check.worker', json.dumps(request)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as worker:
        assert worker.stdout is not None
        assert worker.stdin is not None
        assert json.loads(worker.stdout.readline())['name'] == 'good.x'
        worker.stdin.close()
        assert worker.wait(timeout=30) == 1
