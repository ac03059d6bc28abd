"""The `da3` command as a process: quick to help, clear when it fails."""

import json
from pathlib import Path
import subprocess
import sys

import pytest

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


def run(*arguments: str, hidden: tuple[str, ...] = ()) -> tuple[int, str, str, set[str]]:
    """Run the command; return status, what it printed, and the modules it loaded."""
    hide = ''.join(f'import sys; sys.modules[{name!r}] = None\n' for name in hidden)
    done = subprocess.run(
        [sys.executable, '-c', hide + _PROBE, json.dumps(arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
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
    ],
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    status, text, error, loaded = run(*arguments)
    assert status == 0, error
    assert text.strip()
    assert loaded
    assert not loaded & set(HEAVY)


def test_help_names_every_command() -> None:
    text = run('--help')[1]
    for command in ('play', 'record', 'bag-from-video', 'synthesize'):
        assert command in text


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
    assert 'pip install' in error


def test_known_errors_are_one_line(tmp_path: Path) -> None:
    missing = tmp_path / 'no.mp4'
    status, _, error, _ = run('bag-from-video', str(missing), str(tmp_path / 'out'))
    assert status == 1
    assert error == f'da3: video {missing}: expected a file, there is none\n'
