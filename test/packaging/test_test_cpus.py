"""The settings of `make test-cpus`: none that this processor has not, and what ran is told."""

import pytest

from tools import test_cpus
from tools.test_cpus import SEEDS, SETTINGS, THREADS, Run, environment, flags, plan

OLD = frozenset({'sse4_2', 'avx'})
NEW = frozenset(flag for setting in SETTINGS for flag in setting.needs)
NUMPY = frozenset({'X86_V3', 'X86_V4'})


def test_flags_are_those_of_the_first_processor() -> None:
    text = 'processor : 0\nflags\t\t: fpu sse4_2 avx2\nbugs : none\n'
    assert flags(text) == {'fpu', 'sse4_2', 'avx2'}
    assert flags('processor : 0\nFeatures : fp asimd\n') == frozenset()


def test_no_setting_is_forced_that_is_not_there() -> None:
    runs, left_out = plan(OLD, frozenset())
    assert [run.name for run in runs][: 2 * len(THREADS)] == [
        'as this processor is, 1 thread',
        'as this processor is, 2 threads',
        'SSE 4.2, 1 thread',
        'SSE 4.2, 2 threads',
    ]
    assert not any('AVX' in value for run in runs for value in run.variables.values())
    assert [line.split(':')[0] for line in left_out] == ['AVX2', 'AVX-512']
    runs, left_out = plan(frozenset(), frozenset())
    assert len(runs) == len(THREADS) + len(SEEDS)


def test_a_new_processor_runs_all_of_them() -> None:
    runs, left_out = plan(NEW, NUMPY)
    assert not left_out
    assert len(runs) == len(SETTINGS) * len(THREADS) + len(SEEDS)
    off = {run.name: run.variables.get('NPY_DISABLE_CPU_FEATURES') for run in runs}
    assert off['SSE 4.2, 1 thread'] == 'X86_V3 X86_V4'
    assert off['AVX2, 1 thread'] == 'X86_V4'
    assert off['AVX-512, 1 thread'] is None
    assert [run.variables['DA3_LAST_BIT'] for run in runs[-len(SEEDS) :]] == ['1', '2', '3']


def test_what_chose_kernels_before_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENBLAS_CORETYPE', 'Haswell')
    assert 'OPENBLAS_CORETYPE' not in environment(Run('x', {}))
    assert environment(Run('x', {'OPENBLAS_CORETYPE': 'Zen'}))['OPENBLAS_CORETYPE'] == 'Zen'


@pytest.mark.slow
def test_a_failing_run_is_told_and_is_the_exit_status(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [Run('good', {}), Run('bad', {'PYTEST_ADDOPTS': '--no-such-option'})]
    monkeypatch.setattr(test_cpus, 'plan', lambda there, numpy: (runs, ['AVX9: no avx9']))
    # The first runs tests, which need not compute here; the second cannot even begin.
    assert test_cpus.main(['test/test_notes.py', '--only', 'good']) == 0
    assert test_cpus.main(['test/test_notes.py']) == 1
    output = capfd.readouterr().out
    assert 'PASS good' in output
    assert 'FAIL bad' in output
    assert 'LEFT OUT AVX9: no avx9' in output
