"""What a check keeps, and what a later one makes of it."""

from itertools import pairwise
import json
from pathlib import Path

import numpy as np
import pytest

from tools.gpu_check.goldens import sort_cases
from tools.gpu_check.part import Result
from tools.gpu_check.plan import BUDGET_S, PARTS
from tools.gpu_check.report import JSON_NAME, OLDER_NAME, TABLES_NAME, Report, code_key
from tools.gpu_check.tables import markdown
from tools.parity.goldens import GOLDEN_DIR

PASSED = Result('a.x', 'PASS', 'fine', 1.5, {'number': float('inf')})
FAILED = Result('b.x', 'FAIL', 'wrong')


def test_a_part_that_passed_is_known_to_the_next_run_and_one_that_failed_is_not(
    tmp_path: Path,
) -> None:
    report = Report(tmp_path, 'key', {'name': 'CPU'})
    report.add(PASSED)
    report.add(FAILED)
    later = Report(tmp_path, 'key', {'name': 'CPU'})
    known = later.passed_before('a.x')
    assert known is not None
    assert known.reason == 'fine'
    assert later.passed_before('b.x') is None
    assert later.notes == []
    later.add(Result('b.x', 'PASS', 'fine now'))
    content = json.loads((tmp_path / JSON_NAME).read_text())
    assert [entry['status'] for entry in content['results']] == ['PASS', 'PASS']
    assert content['results'][0]['figures'] == {'number': 'inf'}
    # Nothing of the way of writing is left.
    assert {path.name for path in tmp_path.iterdir()} == {JSON_NAME, TABLES_NAME}


def test_results_of_another_key_are_set_aside(tmp_path: Path) -> None:
    Report(tmp_path, 'key', {}).add(PASSED)
    later = Report(tmp_path, 'other key', {})
    assert later.passed_before('a.x') is None
    assert 'another device' in later.notes[0]
    assert json.loads((tmp_path / OLDER_NAME).read_text())['key'] == 'key'


@pytest.mark.parametrize('content', ['{"key": "key"', '{"key": "key", "results": [{}]}', '[]'])
def test_a_damaged_report_is_set_aside(tmp_path: Path, content: str) -> None:
    (tmp_path / JSON_NAME).write_text(content)
    later = Report(tmp_path, 'key', {})
    assert 'cannot be read' in later.notes[0]
    assert (tmp_path / OLDER_NAME).read_text() == content


def test_the_key_knows_names_and_contents(tmp_path: Path) -> None:
    keys = set()
    for name, text in (('a.py', 'x'), ('a.py', 'y'), ('b.py', 'y')):
        (tmp_path / 'code').mkdir(exist_ok=True)
        (tmp_path / 'code' / name).write_text(text)
        keys.add(code_key([tmp_path / 'code']))
    assert len(keys) == 3
    (tmp_path / 'code' / '__pycache__').mkdir()
    (tmp_path / 'code' / '__pycache__' / 'a.pyc').write_text('x')
    assert code_key([tmp_path / 'code']) in keys


def test_the_plan_has_every_network_and_fits_into_its_time() -> None:
    names = [part.name for part in PARTS]
    assert len(set(names)) == len(names)
    for topic in ('goldens', 'precision', 'syncs', 'graphs'):
        assert sum(part.topic == topic and '-' in part.subject for part in PARTS) == 7
    for topic in ('timing', 'windows'):
        assert [part.subject for part in PARTS if part.topic == topic] == [
            'da3-small', 'da3-base', 'da3-large', 'da3-giant',
        ]  # fmt: skip
    assert names[-1] == 'gsplat.cpu'
    assert BUDGET_S <= 540
    assert all(part.limit_s <= BUDGET_S for part in PARTS)
    # Parts of a group stand together: its network is made once.
    groups = [part.group for part in PARTS]
    changes = sum(a != b for a, b in pairwise(groups))
    assert changes == len(set(groups)) - 1


def test_every_stored_case_is_compared_or_named() -> None:
    found = sort_cases(GOLDEN_DIR)
    assert not found.damaged
    assert len(found.by_network) == 7
    sorted_names = {name for names in found.by_network.values() for name in names}
    assert sorted_names | set(found.api) | set(found.left_out) == {
        path.stem for path in GOLDEN_DIR.glob('*.npz')
    }
    assert all('__unit' in f'__{name}' or '_autocast_' in name or '_api_' in name
               for name in found.left_out)  # fmt: skip


def test_files_that_are_not_understood_are_named(tmp_path: Path) -> None:
    (tmp_path / 'da3-small__broken.npz').write_bytes(b'PK but no archive')
    np.savez(tmp_path / 'da3-small__later.npz', meta=json.dumps({'opts': {'new_option': 1}}))
    np.savez(tmp_path / 'da3-small__plain.npz', depth=np.zeros(3))
    np.savez(tmp_path / 'other__thing.npz', depth=np.zeros(3))
    found = sort_cases(tmp_path)
    assert list(found.damaged) == ['da3-small__broken']
    assert set(found.left_out) == {'da3-small__later', 'da3-small__plain', 'other__thing'}
    assert found.by_network == {}


def test_tables_hold_the_figures() -> None:
    found = {
        'median': 0.0021,
        'p99': 0.009,
        'autocast_median': 0.002,
        'autocast_p99': 0.01,
        'sky_changed': 0.0,
    }
    window = {'views': 4, 'height': 280, 'width': 504, 'dtype': 'bfloat16'}
    results = {
        'precision.da3-small': Result(
            'precision.da3-small', 'PASS', '', figures={'bf16': {'cases': found}}
        ),
        'timing.da3-base': Result(
            'timing.da3-base', 'PASS', '',
            figures={'windows': [{**window, 'ms': 10.0, 'peak_mib': 900.0}, window]},
        ),
        'memory.da3-base': Result(
            'memory.da3-base', 'FAIL', 'x',
            figures={'windows': [
                {**window, 'estimated_mib': 50.0, 'measured_mib': 100.0, 'ratio': 0.5}, window,
            ]},
        ),
        'syncs.da3-base': Result(
            'syncs.da3-base', 'PASS', '', figures={'count': 2, 'places': {'da3_ros/a.py:3': 2}}
        ),
    }  # fmt: skip
    text = markdown(results, {'name': 'NVIDIA X', 'torch': '2.11.0'})
    assert 'Measured on NVIDIA X with torch 2.11.0' in text
    assert '| da3-small | bf16 | cases | 0.210 % | 0.900 % | 0.200 % | 1.000 % | 0.000 % |' in text
    assert '| da3-base | 4 x 504x280 | bfloat16 | 10.00 | 2.50 | 900 |' in text
    assert '| da3-base (FAIL) | 4 | bfloat16 | 50 | 100 | 0.50 |' in text
    assert '| da3-base | 2 | da3_ros/a.py:3 (2) | not counted |  |' in text
