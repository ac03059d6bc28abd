"""Programs that are told to end, at whatever moment: no trace, no complaint, the right status."""

from collections.abc import Sequence
from pathlib import Path
import re
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image
import pytest

from helpers.ros_process import RosProcess, abandoned, shared_memory_locks

ROOT = Path(__file__).resolve().parents[1]
BAD_WORDS = ('Traceback', 'terminate called', 'Exception ignored', 'Error', 'dumped')
SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Status by the signal itself, before our own code runs or while its modules load; else ours.
DA3_STATUSES = {0, 130, 143, -signal.SIGINT, -signal.SIGTERM}
NODE_STATUSES = {0, 130, -signal.SIGINT, -signal.SIGTERM}
FEW = [0.3, 1.0, 1.8]
MANY = [round(0.06 * step, 2) for step in range(1, 61)]


def check(output: str, status: int, statuses: set[int]) -> None:
    package = ROOT / 'da3_ros'
    files = [Path(name) for name in re.findall(r'File "([^"]+)"', output)]
    own = [file for file in files if package in file.parents and file != package / '__init__.py']
    if status == -signal.SIGINT and files and not own:
        # Python itself was starting; nothing of ours ran that could have listened.
        return
    assert not any(word in output for word in BAD_WORDS), output
    assert status in statuses, output


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'picture.png')
    return tmp_path / 'picture.png'


def end_da3(arguments: Sequence[str | Path], delay_s: float, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', 'da3_ros.cli.main', *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    time.sleep(delay_s)
    process.send_signal(number)
    output, _ = process.communicate(timeout=100)
    check(output, process.returncode, DA3_STATUSES)


def end_node(domain_id: int, delay_s: float, number: signal.Signals) -> None:
    arguments = ['--ros-args', '-p', 'model:=da3-nano', '-p', 'cameras:=[front]']
    with RosProcess('da3_ros.ros.node.main', *arguments, domain_id=domain_id) as node:
        time.sleep(delay_s)
        segments = {lock: lock.stat().st_ino for lock in shared_memory_locks(node.pid)}
        node.send(number)
        status = node.wait()
        check(node.output, status, NODE_STATUSES)
        left = [lock for lock, inode in segments.items() if abandoned(lock, inode)]
        assert not left, (delay_s, status, node.output)


@pytest.mark.parametrize('number', SIGNALS)
@pytest.mark.parametrize('delay_s', FEW)
def test_da3_ends(picture: Path, delay_s: float, number: signal.Signals) -> None:
    out = picture.parent / 'out'
    end_da3(['image', picture, '--model', 'da3-nano', '--export-dir', out], delay_s, number)


@pytest.mark.ros
@pytest.mark.parametrize('number', SIGNALS)
@pytest.mark.parametrize('delay_s', FEW)
def test_the_node_ends(ros_domain_id: int, delay_s: float, number: signal.Signals) -> None:
    end_node(ros_domain_id, delay_s, number)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_da3_ends_at_any_time(picture: Path) -> None:
    out = picture.parent / 'out'
    for index, delay_s in enumerate(MANY):
        arguments = ('image', picture, '--model', 'da3-nano', '--export-dir', out, '--overwrite')
        end_da3(arguments, delay_s, SIGNALS[index % 2])


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.timeout(1200)
def test_the_node_ends_at_any_time(ros_domain_id: int) -> None:
    for index, delay_s in enumerate(MANY):
        end_node(ros_domain_id, delay_s, SIGNALS[index % 2])
