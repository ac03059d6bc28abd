"""The comparison with the official code: its figures, its tables, and the page that shows them."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
import json
from pathlib import Path
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from benchmarks import compare_official
from benchmarks.compare import agreement, machine, measure, page, plots, tables
from benchmarks.compare.cases import Case, budget_s, plan
from benchmarks.compare.contenders import ROOT, TITLES, environment
from benchmarks.compare.cpp_worker import Program, ProgramServer
from benchmarks.compare.worker import ContenderError, Worker

PAGE = ROOT / 'docs' / 'performance.md'


def turns(*wall_s: float, **more: Any) -> dict[str, Any]:
    """Return what a contender took."""
    return asdict(measure.Turns(list(wall_s), list(wall_s), [0.0], **more))


def start(first_s: float, peak_mb: float) -> dict[str, Any]:
    """Return what fresh processes took."""
    peaks = {'1': peak_mb, '4': 2 * peak_mb}
    return {'first_depth_s': [first_s], 'load_s': [first_s / 2], 'peak_mb': peaks, 'error': None}


@pytest.fixture
def results() -> dict[str, Any]:
    """Return results of two networks: torch takes half the time, OpenVINO cannot run."""
    cases = plan(['da3-small', 'da3-base'], [(140, 252), (280, 504)], [1, 2, 4], [(4, 1), (8, 1)])
    same = {'depth_median': 1e-6, 'depth_p99': 1e-5, 'rotation_deg': 0.0, 'translation': 0.0}
    entries = {
        'official': turns(0.4, 0.4, 0.8, gflop=100.0, agreement=same),
        'torch': turns(0.2, 0.1, 0.4, gflop=75.0, agreement=same),
        'openvino': turns(error='ImportError: not installed'),
    }
    return {
        'when': '2026-01-01',
        'machine': machine.describe(2),
        'load_after': [0.1],
        'ours': 'abc',
        'revision': 'def',
        'versions': {'official': {'torch': '2.0'}},
        'weights': 'by the rule',
        'reference': 'official',
        'titles': {key: TITLES[key] for key in entries},
        'cases': [{**case.record, 'turns': entries} for case in cases],
        'starts': [
            {
                'preset': 'da3-small',
                'size': [280, 504],
                'starts': {'official': start(2.0, 600.0), 'torch': start(0.8, 300.0)},
            }
        ],
    }


def heads(text: str) -> set[str]:
    """Return the head rows of the tables."""
    lines = text.splitlines()
    return {head for head, rule in pairwise(lines) if set(rule) == set('| -')}


def test_a_factor_is_the_median_of_the_ratios_of_rounds(results: dict[str, Any]) -> None:
    # 0.4 / 0.2, 0.4 / 0.1 and 0.8 / 0.4: the medians alone would say the same of other orders.
    assert measure.factor([0.4, 0.4, 0.8], [0.2, 0.1, 0.4]) == 2
    assert (
        '| ours, torch float32 | 200 (150 to 300), **2.00x** |' in tables.blocks(results)['calls']
    )


def test_tables_say_why_a_contender_is_missing(results: dict[str, Any]) -> None:
    text = tables.blocks(results)['machine']
    assert 'Not measured: ours, OpenVINO float32: ImportError: not installed.' in text
    assert results['machine']['cpu'] in text
    assert 'Reference: official, float32, revision def, torch 2.0; ours: revision abc.' in text


def test_times_of_a_busy_machine_stand_beside_those_of_its_cores(results: dict[str, Any]) -> None:
    assert 'CPU' not in tables.markdown(results).replace(results['machine']['cpu'], '')
    for case in results['cases']:
        case['turns']['torch'] |= {'others': [0.5] * 9, 'cpu_s': [0.1, 0.1, 0.2]}
    made = tables.blocks(results)
    assert 'too busy' in made['machine']
    assert '**2.00x**, CPU 4.00x' in made['calls']


def test_starts_stand_beside_their_share(results: dict[str, Any]) -> None:
    row = '| ours, torch float32 | 0.80, 0.40 | 0.40, 0.40 | 300, 0.50 | 600, 0.50 |'
    assert row in tables.blocks(results)['starts']


def test_the_page_has_the_tables_that_the_command_makes(results: dict[str, Any]) -> None:
    made = tables.blocks(results)
    shown = page.read(PAGE.read_text(encoding='utf-8'))
    for name, text in made.items():
        if '|' in shown[name]:
            assert heads(shown[name]) == heads(text), f'{name}: run the command with --docs'
    for name in re.findall(r'\]\((\S+\.png)\)', shown['pictures']):
        assert (PAGE.parent / name).exists()


def test_new_blocks_replace_the_old_ones_and_nothing_else(
    results: dict[str, Any], tmp_path: Path
) -> None:
    copy = tmp_path / 'performance.md'
    copy.write_text(PAGE.read_text(encoding='utf-8'), encoding='utf-8')
    made = tables.blocks(results)
    page.refresh(copy, made, plots.draw(results, tmp_path))
    text = copy.read_text(encoding='utf-8')
    assert {name: page.read(text)[name] for name in made} == {
        name: block.strip() for name, block in made.items()
    }
    assert 'compare_da3-small.png' in page.read(text)['pictures']
    assert (tmp_path / 'compare_da3-base.png').exists()
    assert text.count('## On a GPU') == 1
    with pytest.raises(ValueError, match='expected the marks'):
        page.read(text.replace(page.end('calls'), ''))


def test_earlier_results_are_written_again(
    results: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / 'earlier.json'
    file.write_text(json.dumps(results), encoding='utf-8')
    out = tmp_path / 'out'
    words = ['compare_official.py', '--out', str(out), '--results', str(file)]
    monkeypatch.setattr(sys, 'argv', words)
    compare_official.main()
    assert (out / 'performance.md').read_text(encoding='utf-8') == tables.markdown(results)
    assert (out / 'da3-small.png').exists()


def test_agreement_measures_depth_and_cameras() -> None:
    depth = np.full((1, 2, 50), 2.0)
    cameras = np.eye(4)[None, :3]
    other = depth.copy()
    other[0, 0, :3] *= 1.5
    angle = np.radians(0.01)
    rotated = cameras.copy()
    rotated[0, :2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    rotated[0, 1, 3] = 0.4
    found = agreement.agreement(
        {'depth': other, 'extrinsics': rotated}, {'depth': depth, 'extrinsics': cameras}
    )
    assert found['depth_median'] == 0
    assert found['depth_p99'] == pytest.approx(0.5)
    assert found['rotation_deg'] == pytest.approx(0.01)
    assert found['translation'] == pytest.approx(0.2)


def test_time_goes_to_cases_by_their_weight() -> None:
    small, large = (Case('da3-small', (280, 504), views) for views in (1, 4))
    assert budget_s(large, [small, large], 100.0) == pytest.approx(80.0)


def test_others_hold_what_nobody_of_ours_held() -> None:
    before, after = machine.CpuTime(10.0, 100.0), machine.CpuTime(13.0, 110.0)
    assert after.others_since(before, 1.0) == pytest.approx(0.2)
    assert after.others_since(before, 5.0) == 0
    assert machine.warning(0.05, 2) is None
    assert 'busy' in (machine.warning(1.5, 2) or '')


ECHO = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request['do'] == 'die':
        sys.exit('out of luck')
    print(json.dumps({'error': 'no'} if request['do'] == 'fail' else request), flush=True)
"""


def test_a_worker_that_ends_says_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, '-S', '-c', ECHO]
    with Worker(command, environment(1, tmp_path), tmp_path / 'log', 60.0, 1) as worker:
        assert worker.ask('forward', views=2) == {'do': 'forward', 'views': 2}
        with pytest.raises(ContenderError, match=r'^no$'):
            worker.ask('fail')
        with pytest.raises(ContenderError, match='out of luck'):
            worker.ask('die')


# The second and third line are a string of Python's and a command of the shell's: the path of an
# interpreter after #! must not hold a space.
PROGRAM = """#!/bin/sh
'''exec' "{python}" -S "$0" "$@"
' '''
import sys, time
words = sys.argv[1:]
if words[0] == 'depth':
    if '--pfm' in words:
        with open(words[words.index('--pfm') + 1], 'wb') as file:
            file.write(b'Pf\\n2 2\\n-1.0\\n' + bytes(12) + b'\\0\\0\\x80?')
    if words.count('--input') == 1:
        print('bench: out=2x2 threads=1 load=5.0ms infer=250.0ms/iter (median over 1)')
"""


def test_depth_anything_cpp_says_its_times(tmp_path: Path) -> None:
    binary = tmp_path / 'da3-cli'
    binary.write_text(PROGRAM.format(python=sys.executable), encoding='utf-8')
    binary.chmod(0o755)
    program = Program({'binary': str(binary), 'model': 'small.gguf', 'threads': 1}, tmp_path)
    np.save(tmp_path / 'images.npy', np.zeros((2, 14, 14, 3), np.uint8))
    server = ProgramServer(program)
    request = {'do': 'forward', 'images': str(tmp_path / 'images.npy'), 'views': 1}
    assert server.answer({'do': 'load'})['load_s'] > 0
    answer = server.answer({**request, 'save': str(tmp_path / 'answer.npz')})
    assert answer['wall_s'] == 0.25
    with np.load(tmp_path / 'answer.npz') as arrays:
        # The rows of the file go upwards.
        np.testing.assert_array_equal(arrays['depth'], [[[0, 1], [0, 0]]])
    assert 0 <= server.answer({**request, 'views': 2})['wall_s'] < 60


@pytest.mark.slow
def test_ours_alone_from_beginning_to_end(tmp_path: Path) -> None:
    script = str(ROOT / 'benchmarks' / 'compare_official.py')
    words = '--presets da3-nano --contenders torch torch_bf16 --sizes 84x56 --views 1 2'
    more = '--windows 4,1 --rounds 3 --starts 1 --threads 1 --minutes 0.1'
    command = [sys.executable, script, '--out', str(tmp_path), *words.split(), *more.split()]
    subprocess.run(command, env=environment(1, tmp_path), check=True, capture_output=True)
    found = json.loads((tmp_path / 'results.json').read_text(encoding='utf-8'))
    assert [case['kind'] for case in found['cases']] == ['call', 'call', 'window']
    for case in found['cases']:
        assert case['turns']['torch']['gflop'] > 0
        assert case['turns']['torch_bf16']['agreement']['depth_median'] < 0.05
        assert len(case['turns']['torch_bf16']['wall_s']) == 3
    assert found['starts'][0]['starts']['torch']['peak_mb']['2'] > 50
