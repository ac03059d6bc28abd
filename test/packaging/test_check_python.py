"""The Pythons that make accepts, and the sentence for the others."""

import re
import subprocess
import sys

import pytest

from da3_ros.cli.doctor_checks import PYTHON_VERSIONS
from helpers.ros_process import ROOT
from tools.check_python import NEWEST, OLDEST

_PRETEND = """\
import runpy, sys
sys.version_info = ({major}, {minor}, 0, 'final', 0)
runpy.run_path('tools/check_python.py', run_name='__main__')
"""


def _check(major: int, minor: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', _PRETEND.format(major=major, minor=minor)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize('minor', [10, 11, 12, 13, 14])
def test_python_with_wheels_is_accepted(minor: int) -> None:
    answer = _check(3, minor)

    assert answer.returncode == 0
    assert answer.stderr == ''


@pytest.mark.parametrize(('major', 'minor'), [(2, 7), (3, 9), (3, 15), (4, 0)])
def test_python_without_wheels_is_refused_in_one_sentence(major: int, minor: int) -> None:
    answer = _check(major, minor)

    assert answer.returncode == 2
    assert 'Python 3.10 to 3.14' in answer.stderr
    assert f'this is Python {major}.{minor}:' in answer.stderr
    assert 'PYTHON=' in answer.stderr
    assert len(answer.stderr.splitlines()) == 1


@pytest.mark.parametrize('name', ['README.md', 'CONTRIBUTING.md', 'Makefile', 'setup.cfg'])
def test_range_is_the_same_where_people_read_it(name: str) -> None:
    text = (ROOT / name).read_text()
    named = re.findall(r'(3)\.(\d+) to (3)\.(\d+)', text)

    assert named
    assert {tuple(map(int, numbers)) for numbers in named} == {(*OLDEST, *NEWEST)}


def test_da3_doctor_accepts_the_same_range() -> None:
    assert PYTHON_VERSIONS == (OLDEST, NEWEST)
