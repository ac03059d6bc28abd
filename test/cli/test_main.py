"""The `da3` command as a process: quick to help, clear when it fails."""

from collections.abc import Mapping
from importlib import import_module
import json
import os
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest
import typer

from da3_ros.cli.app import COMMANDS
from da3_ros.cli.eval import COMMANDS as EVAL_COMMANDS
from da3_ros.cli.lazy_group import LazyCommand

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ('torch', 'numpy', 'scipy', 'cv2', 'av', 'rosbags', 'mcap', 'rclpy', 'tqdm', 'trimesh')
_PROBE = """
import json, sys
from da3_ros.cli.main import run
sys.argv = ['da3', *json.loads(sys.argv[1])]
status = 0
try:
    run()
except SystemExit as error:
    status = error.code
print('LOADED', json.dumps(sorted(sys.modules)))
sys.exit(status)
"""


def run(
    *arguments: str, hidden: tuple[str, ...] = (), variables: Mapping[str, str] | None = None
) -> tuple[int, str, str, set[str]]:
    """Run the command; return status, what it printed, and the modules it loaded."""
    hide = ''.join(f'import sys; sys.modules[{name!r}] = None\n' for name in hidden)
    done = subprocess.run(
        [sys.executable, '-c', hide + _PROBE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(variables or {})},
        timeout=60,
        check=False,
    )
    text, _, loaded = done.stdout.rpartition('LOADED ')
    return done.returncode, text, done.stderr, set(json.loads(loaded or '[]'))


@pytest.mark.parametrize(
    'arguments',
    [
        ('--help',),
        ('--version',),
        ('play', '--help'),
        ('record', '--help'),
        ('synthesize', '--help'),
        ('bag-from-video', '--help'),
        ('models', '--help'),
        ('auto', '--help'),
        ('image', '--help'),
        ('images', '--help'),
        ('video', '--help'),
        ('colmap', '--help'),
        ('export', '--help'),
        ('info', '--help'),
        ('doctor', '--help'),
    ],
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    status, text, error, loaded = run(*arguments)
    assert status == 0, error
    assert text.strip()
    assert loaded
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    'arguments',
    [
        ('models',),
        ('info', 'docs/demo.jpg'),
        ('info', 'da3_ros/weights/da3_nano'),
        ('info', 'da3_ros/weights/da3_nano/model.safetensors'),
        ('info', 'da3-base'),
        ('info', 'docs'),
    ],
)
def test_what_is_looked_at_needs_no_torch(arguments: tuple[str, ...]) -> None:
    status, text, error, loaded = run(*arguments)
    assert status == 0, error
    assert text.strip()
    assert loaded
    assert not loaded & {'torch', 'rclpy', 'trimesh'}
    assert max(map(len, text.splitlines())) <= 80


def test_help_names_every_command() -> None:
    status, text, _, loaded = run('--help')
    assert status == 0
    for command in COMMANDS:
        assert command in text
    assert '130 interrupted' in ' '.join(text.split())
    # The list of commands loads none of them.
    targets = {f'da3_ros.cli.{c.target.split(":")[0]}' for c in COMMANDS.values()}
    assert not loaded & targets


@pytest.mark.parametrize(
    'command', [*COMMANDS.values(), *EVAL_COMMANDS.values()], ids=lambda command: command.target
)
def test_the_list_says_what_a_command_says_of_itself(command: LazyCommand) -> None:
    module, function = command.target.split(':')
    found = getattr(import_module(f'da3_ros.cli.{module}'), function)
    said: Any = found.info.help if isinstance(found, typer.Typer) else found.__doc__
    assert command.help == ' '.join(said.split('\n\n')[0].split())


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_shells_get_a_script_for_completion(shell: str) -> None:
    status, text, error, loaded = run(variables={'_DA3_COMPLETE': f'source_{shell}'})
    assert status == 0, error
    assert f'_DA3_COMPLETE=complete_{shell}' in text
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('da3 im', ['image', 'images']),
        ('da3 image --export-fo', ['--export-format']),
        ('da3 image --model da3metric', ['da3metric-large']),
        ('da3 image --precision b', ['bf16']),
        ('da3 image --export-format glb-gs_v', ['glb-gs_video']),
    ],
)
def test_completion_knows_commands_options_and_values(words: str, expected: list[str]) -> None:
    variables = {
        '_DA3_COMPLETE': 'complete_bash',
        'COMP_WORDS': words,
        'COMP_CWORD': str(len(words.split()) - 1),
    }
    status, text, error, loaded = run(variables=variables)
    assert status == 0, error
    assert text.split() == expected
    assert not loaded & {'torch', 'cv2', 'rclpy', 'trimesh'}


def test_wrong_usage_has_status_two() -> None:
    for arguments in (('no-such-command',), ('play',), ('synthesize', 'x', '--rate', 'fast')):
        status, _, error, _ = run(*arguments)
        assert status == 2
        assert 'Traceback' not in error


@pytest.mark.parametrize('command', ['play', 'record'])
def test_without_ros_one_sentence_says_how_to_get_it(command: str, tmp_path: Path) -> None:
    status, _, error, _ = run(command, str(tmp_path / 'x.mcap'), hidden=('rclpy',))
    assert status == 1
    assert error.count('\n') == 1
    assert f'da3 {command} needs ROS 2' in error
    assert 'make env' in error


def test_known_errors_are_one_line(tmp_path: Path) -> None:
    missing = tmp_path / 'no.mp4'
    status, _, error, _ = run('bag-from-video', str(missing), str(tmp_path / 'out'))
    assert status == 1
    assert error == f'da3: video {missing}: expected a file, there is none\n'
