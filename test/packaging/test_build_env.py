"""The set-up behind the make targets: keys of steps, quoting, and its one-sentence refusals."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

from helpers.ros_process import ROOT
from tools.build_env import Step, digest
from tools.environment import DISTRIBUTIONS, PROFILE_VARIABLE, Layout


def _layout(root: Path) -> Layout:
    layout = Layout(root, 'jazzy')
    layout.base.mkdir(parents=True)
    return layout


def test_step_is_due_again_after_an_interruption(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    step = Step(layout, 'part', ['input'])
    assert not step.done
    step.begin()
    step.finish()
    assert Step(layout, 'part', ['input']).done

    step.begin()

    assert not step.done
    assert step.interrupted


def test_step_is_due_again_when_an_input_changes(tmp_path: Path) -> None:
    layout = _layout(tmp_path)
    source = tmp_path / 'msg'
    source.mkdir()
    (source / 'A.msg').write_text('bool a')
    step = Step(layout, 'part', [source])
    step.begin()
    step.finish()

    (source / 'A.msg').write_text('bool b')
    assert not Step(layout, 'part', [source]).done
    (source / 'A.msg').write_text('bool a')
    assert Step(layout, 'part', [source]).done
    (source / 'A.msg').rename(source / 'B.msg')
    assert not Step(layout, 'part', [source]).done


def test_digest_tells_neighbouring_strings_apart() -> None:
    assert digest(['ab', 'c']) != digest(['a', 'bc'])


def test_digest_ignores_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert digest([tmp_path / 'rviz']) == digest([])


@pytest.mark.parametrize('ros', DISTRIBUTIONS)
def test_env_sh_survives_spaces_and_quotes(tmp_path: Path, ros: str) -> None:
    root = tmp_path / "it's a robot"
    layout = Layout(root, ros)
    layout.base.mkdir(parents=True)
    layout.env_sh.write_text(layout.env_sh_text())

    answer = subprocess.run(
        ['sh', '-eu', '-c', '. "$1"; env', 'sh', str(layout.env_sh)],
        env={'PATH': '/usr/bin:/bin', 'AMENT_PREFIX_PATH': '/opt/ros/x', 'LD_LIBRARY_PATH': '/x'},
        capture_output=True,
        text=True,
        check=True,
    )
    variables = dict(line.split('=', 1) for line in answer.stdout.splitlines())

    assert variables['PATH'].split(':')[0] == str(layout.venv / 'bin')
    assert variables['AMENT_PREFIX_PATH'].split(':')[-1] == str(layout.venv)
    assert variables['PYTHONPATH'].split(':')[0] == str(root)
    assert '/x' not in variables['LD_LIBRARY_PATH'].split(':')
    assert variables[PROFILE_VARIABLE[ros]] == str(root / 'config' / 'fastdds.xml')


def _set_up(root: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    shutil.copytree(ROOT / 'tools', root / 'tools', ignore=shutil.ignore_patterns('__pycache__'))
    kept = {name: value for name, value in os.environ.items() if name not in ('CC', 'CXX')}
    return subprocess.run(
        [sys.executable, '-m', 'tools.build_env', *arguments],
        cwd=root,
        env={**kept, 'PATH': path, 'PYTHONPATH': ''},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_missing_compiler_is_one_sentence(tmp_path: Path) -> None:
    answer = _set_up(tmp_path, path=str(tmp_path / 'empty'))

    assert answer.returncode == 2
    assert answer.stderr.startswith('A C and a C++ compiler are needed')
    assert len(answer.stderr.splitlines()) == 1


def test_unknown_distribution_is_one_sentence(tmp_path: Path) -> None:
    answer = _set_up(tmp_path, '--ros', 'noetic', path=os.environ['PATH'])

    assert answer.returncode == 2
    assert 'ROS=noetic' in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
