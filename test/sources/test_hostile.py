"""Files of anybody: whatever is in them, one line says what is wrong, within bounds."""

from __future__ import annotations

from collections.abc import Iterator
import json
import os
from pathlib import Path
import random
import resource
import subprocess
import sys
import time

import pytest

from da3_ros.sources.bag import BagReader
from helpers.hostile_bombs import write_bombs
from helpers.hostile_files import TREES, complaint, damaged, good_files, odd_tree, saved_tree
from helpers.odd_bags import write_mcap
from helpers.raw_messages import text as text_message

ROOT = Path(__file__).resolve().parents[2]
EVERYDAY_FILES = 500
SLOW_S = 120.0
MOST_GROWTH_KB = 1 << 20
MANY = 1 << 50

pytestmark = pytest.mark.filterwarnings('ignore:.*:UserWarning:PIL')


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('hostile')


@pytest.fixture(scope='module')
def good(folder: Path) -> dict[str, Path]:
    return good_files(folder)


def wrong_files(
    folder: Path, good: dict[str, Path], first: int
) -> Iterator[tuple[int, str, Path]]:
    """Yield seed, name and path of files that are wrong, each until the next, without an end."""
    data = {name: path.read_bytes() for name, path in good.items()}
    names = sorted(good)
    for seed in range(first, sys.maxsize):
        rng = random.Random(seed)
        name = rng.choice(names)
        if name in TREES and rng.random() < 0.6:
            saved_tree(name, odd_tree(TREES[name], rng), folder)
        else:
            good[name].write_bytes(damaged(data[name], rng))
        try:
            yield seed, name, good[name]
        finally:
            good[name].write_bytes(data[name])


def test_good_files_are_read(good: dict[str, Path]) -> None:
    assert {name: complaint(path) for name, path in good.items()} == dict.fromkeys(good, '')


def test_damage_is_one_line(folder: Path, good: dict[str, Path]) -> None:
    said = 0
    for seed, name, path in wrong_files(folder, good, 0):
        if seed == EVERYDAY_FILES:
            break
        try:
            said += bool(complaint(path))
        except Exception as error:
            raise AssertionError(f'seed {seed}: {name}') from error
    # Much damage of pixels, of videos and of bags is read around.
    assert said > EVERYDAY_FILES // 5


@pytest.mark.slow
def test_two_minutes_of_damage_are_one_line_each(folder: Path, good: dict[str, Path]) -> None:
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = time.monotonic() + SLOW_S
    for seed, name, path in wrong_files(folder, good, 1_000_000):
        try:
            complaint(path)
        except Exception as error:
            raise AssertionError(f'seed {seed}: {name}') from error
        grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
        assert grown_kb < MOST_GROWTH_KB, f'seed {seed}: {name}'
        if time.monotonic() > end:
            return


def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    expected = write_bombs(tmp_path)
    command = [sys.executable, '-m', 'helpers.hostile_bombs', str(tmp_path), *expected]
    paths = os.pathsep.join((str(ROOT), str(ROOT / 'test'), os.environ.get('PYTHONPATH', '')))
    ended = subprocess.run(
        command,
        env={**os.environ, 'PYTHONPATH': paths},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = json.loads(ended.stdout)
    assert said.keys() == expected.keys()
    for name, words in expected.items():
        assert words in said[name], (name, said[name])
        # The limit of the process is not what refused it.
        assert 'memory' not in said[name], (name, said[name])


@pytest.mark.parametrize('more', [(), ('--json',)])
def test_a_name_that_is_no_text_is_printed(tmp_path: Path, more: tuple[str, ...]) -> None:
    path = os.fsencode(tmp_path) + b'/caf\xe9\x1b[31m\n.ply'
    with open(path, 'wb') as file:  # noqa: PTH123
        file.write(b'ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nend_header\n')
    command = [sys.executable, '-m', 'da3_ros.cli.main', 'info', os.fsdecode(path), *more]
    paths = os.pathsep.join((str(ROOT), os.environ.get('PYTHONPATH', '')))
    ended = subprocess.run(
        command,
        env={**os.environ, 'PYTHONPATH': paths, 'PYTHONIOENCODING': ''},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    text = ended.stdout.decode('utf-8')
    assert '\x1b' not in text
    if more:
        assert os.fsencode(json.loads(text)['path']) == path
    else:
        assert 'caf\\xe9\\x1b[31m .ply' in text.splitlines()[0]


def test_an_index_that_counts_what_cannot_be_is_not_believed(tmp_path: Path) -> None:
    messages = [text_message('/a', 10 + n, 'hello') for n in range(20)]
    path = write_mcap(tmp_path / 'a.mcap', messages)
    data = bytearray(path.read_bytes())
    with BagReader(path) as bag:
        assert bag.message_count == len(messages)
    # Length of the message indexes behind the last chunk: 48 bytes of its index, one channel.
    summary = int.from_bytes(data[-28:-20], 'little')
    index = data.index(b'\x08', summary)
    while data[index : index + 1] != b'\x08' or data[index + 2 : index + 9] != bytes(7):
        index = data.index(b'\x08', index + 1)
    at = index + 9 + 32 + 4 + 10
    assert data[at : at + 8] == (15 + 16 * len(messages)).to_bytes(8, 'little')
    data[at : at + 8] = (15 + 16 * MANY).to_bytes(8, 'little')
    # Its statistics agree: a record of 46 bytes and a channel's count.
    counted = data.index(b'\x0b' + (56).to_bytes(8, 'little'), summary) + 9
    data[counted : counted + 8] = MANY.to_bytes(8, 'little')
    data[-12:-8] = bytes(4)
    path.write_bytes(data)
    with BagReader(path) as bag:
        assert bag.message_count == len(messages)
