"""The scene commands as processes: streams, exit codes, Ctrl-C, broken folders."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
import json
import os
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from da3_ros.cli.process import StopRequest
from helpers.cli import SMALL

ROOT = Path(__file__).resolve().parents[2]
# Stops for ever where the network would run, and says so.
_STUCK = """
import sys, threading
from da3_ros.inference.scene_inference import ScenePredictor
def stuck(*_, **__):
    print('computing', file=sys.stderr, flush=True)
    threading.Event().wait()
ScenePredictor.predict = stuck
from da3_ros.cli.main import run
sys.argv = ['da3', *sys.argv[1:]]
run()
"""


def process(*arguments: str | Path, code: str | None = None) -> subprocess.Popen[str]:
    program = ['-c', code] if code is not None else ['-m', 'da3_ros.cli.main']
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'OMP_NUM_THREADS': '1'},
    )


def run(*arguments: str | Path) -> tuple[int, str, str]:
    with process(*arguments) as child:
        out, error = child.communicate(timeout=100)
    return child.returncode, out, error


@pytest.fixture
def arguments(checkpoint: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    given = ('--model-dir', checkpoint, '--export-dir', tmp_path / 'out')
    return (*given, '--export-format', 'mini_npz', *SMALL)


def test_json_is_all_there_is_on_stdout(photos: Path, arguments: tuple[str | Path, ...]) -> None:
    status, out, error = run('images', photos, *arguments, '--json')
    assert status == 0, error
    assert json.loads(out)['status'] == 'ok'
    # No terminal, no bars.
    assert '\r' not in error
    assert '%' not in error


def test_an_error_is_one_line_and_status_one(
    tmp_path: Path, arguments: tuple[str | Path, ...]
) -> None:
    status, out, error = run('image', tmp_path / 'none.png', *arguments)
    assert (status, out) == (1, '')
    assert error == f'da3: image {tmp_path / "none.png"}: expected a file, there is none\n'


def test_wrong_usage_is_status_two(photos: Path) -> None:
    status, out, error = run('images', photos, '--no-such-option')
    assert (status, out) == (2, '')
    assert '--no-such-option' in error
    assert 'Traceback' not in error


@pytest.fixture
def stuck(photos: Path, arguments: tuple[str | Path, ...]) -> Iterator[subprocess.Popen[str]]:
    """A run that computes for ever."""
    with process('images', photos, *arguments, code=_STUCK) as child:
        assert child.stderr is not None
        for line in child.stderr:
            if line == 'computing\n':
                break
        yield child
        if child.poll() is None:
            child.kill()


@pytest.mark.parametrize(
    ('number', 'status'), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_it_cleanly(
    stuck: subprocess.Popen[str], tmp_path: Path, number: signal.Signals, status: int
) -> None:
    stuck.send_signal(number)
    out, error = stuck.communicate(timeout=30)
    assert stuck.returncode == status
    assert out == ''
    assert 'Traceback' not in error
    assert not (tmp_path / 'out').exists()
    if number == signal.SIGINT:
        assert error == 'da3: interrupted\n'


@pytest.mark.skipif(
    not Path('/proc/self').is_dir(), reason='no folder that even root cannot write'
)
def test_a_folder_that_cannot_be_written(photos: Path, arguments: tuple[str | Path, ...]) -> None:
    status, out, error = run('images', photos, *arguments, '--export-dir', '/proc/da3_results')
    assert (status, out) == (1, '')
    assert 'da3: /proc/da3_results: cannot be written' in error
    assert 'Traceback' not in error


def test_a_file_where_a_folder_should_be(
    tmp_path: Path, photos: Path, arguments: tuple[str | Path, ...]
) -> None:
    (tmp_path / 'out').touch()
    status, _, error = run('images', photos, *arguments)
    assert status == 1
    assert error.endswith('expected a folder for the results, it is a file\n')
    (tmp_path / 'out').unlink()
    (tmp_path / 'file').touch()
    status, _, error = run('images', photos, *arguments, '--export-dir', tmp_path / 'file' / 'x')
    assert status == 1
    assert error.count('\n') <= 2
    assert 'Traceback' not in error


# In a process of its own: one that answered a signal otherwise would end the tests.
_ASKED_AT_EVERY_STEP = """
from pathlib import Path
import signal, sys
from da3_ros.cli.process import stop_on_signals
asked = 0
def at_every_step(frame, event, _argument):
    global asked
    if Path(frame.f_code.co_filename).name in ('threading.py', 'process.py'):
        asked += event == 'line'
        signal.raise_signal(signal.SIGTERM)
    return at_every_step
with stop_on_signals() as stop:
    sys.settrace(at_every_step)
    assert stop.wait(0.01)
    stop.set()
    assert stop.wait(None)
    sys.settrace(None)
assert stop.is_set()
print(asked)
"""


def test_a_stop_may_be_asked_for_at_any_step_of_a_wait_for_it() -> None:
    """Handlers run between any two steps of the main thread, also within one another."""
    with process(code=_ASKED_AT_EVERY_STEP) as child:
        out, error = child.communicate(timeout=100)
    assert child.returncode == 0, error
    assert int(out) > 5


def test_a_request_to_stop_wakes_everybody_who_waits() -> None:
    stop = StopRequest()
    assert not stop.wait(0.0)
    assert not stop.wait(-1.0)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(stop.wait, 60.0) for _ in range(3)]
        stop.set()
        assert all(wait.result() for wait in waiting)
    assert stop.wait()
