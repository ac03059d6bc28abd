"""`da3 bag` that is interrupted goes on to the same bytes, wherever it was."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
import random
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from da3_ros.ros.offline import run
from helpers.cli import da3, da3_json, failure, invoke
from helpers.power_cut import PowerCut

DA3 = 'da3_ros.cli.main'
KILLS = 20
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
NANO = ('--model', 'da3-nano', '--process-res', '56', '--runtime', 'torch', '--device', 'cpu')
PUBLISHED = ('--publish-tf', 'true')
RIG = """
cameras:
  front: {base_from_camera: {xyz: [0, 0, 1]}}
  left: {base_from_camera: {xyz: [1, 0, 1]}}
"""
ODOMETRY = ('--prior-frame', 'odom', '--odom-frame', 'map', *PUBLISHED)


def record(path: Path, seconds: float, *more: str) -> Path:
    size = ('--size', '64x48', '--rate', '5', '--cameras', 'front,left', '--no-truth')
    da3('synthesize', path, '--seconds', str(seconds), *size, *more)
    return path


@pytest.mark.parametrize(
    ('recorded', 'options'),
    [
        ((), NANO),
        (('--compressed',), ('--model', 'truth', *ODOMETRY, '--window', '4', '--stride', '2')),
        ((), ('--model', 'truth', '--rig', 'rig.yaml', '--base-frame', 'robot', *PUBLISHED)),
    ],
    ids=['network', 'odometry', 'rig'],
)
def test_interrupted_twice_it_goes_on_to_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recorded: Sequence[str],
    options: Sequence[str],
) -> None:
    monkeypatch.setattr(run, 'CHECKPOINT_WINDOWS', 3)
    monkeypatch.chdir(tmp_path)
    Path('rig.yaml').write_text(RIG)
    bag = record(tmp_path / 'in.mcap', 4.0, *recorded)
    whole, out = tmp_path / 'whole.mcap', tmp_path / 'out.mcap'
    first = da3_json('bag', bag, whole, *options)
    assert first['sets'] == 20
    cut = PowerCut()
    with monkeypatch.context() as patch:
        cut.install(patch)
        for after in (5, 4):
            cut.after = after
            result = invoke('bag', bag, out, *options)
            assert result.exit_code != 0
            assert 'the same command goes on' in result.stderr
            assert not out.exists()
    resumed = da3_json('bag', bag, out, *options)
    assert resumed['resumed_windows'] == 6
    assert out.read_bytes() == whole.read_bytes()
    assert not out.with_name('out.mcap.part').exists()
    same = ('sets', 'windows', 'complete_sets', 'unit', 'scale_source', 'cameras')
    assert {name: resumed[name] for name in same} == {name: first[name] for name in same}
    # Also what there was to say of windows that are not computed again, as often as it was found.
    assert [n for n in resumed['notes'] if not n.startswith('went on')] == first['notes']


def test_what_was_interrupted_may_begin_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, 'CHECKPOINT_WINDOWS', 2)
    bag, out = record(tmp_path / 'in.mcap', 2.0), tmp_path / 'out'
    cut = PowerCut()
    with monkeypatch.context() as patch:
        cut.install(patch)
        cut.after = 5
        assert invoke('bag', bag, out, '--model', 'truth').exit_code != 0
    # Other settings and another recording are named.
    said = failure('bag', bag, out, '--model', 'truth', '--every', '2', '--window', '2')
    assert 'every was 1, is 2' in said
    assert 'window was 3, is 2' in said
    other = record(tmp_path / 'other.mcap', 1.0)
    assert 'input 1 was in.mcap: ' in failure('bag', other, out, '--model', 'truth')
    content = da3_json('bag', bag, out, '--model', 'truth', '--every', '2', '--restart')
    assert (content['resumed_windows'], content['sets']) == (0, 5)
    assert {path.name for path in out.iterdir()} == {'metadata.yaml', 'out.mcap'}


def test_a_recording_whose_images_changed_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same size, with the same times and numbers of messages."""
    monkeypatch.setattr(run, 'CHECKPOINT_WINDOWS', 2)
    bag, out = tmp_path / 'in.db3', tmp_path / 'out.mcap'
    size = ('--size', '64x48', '--rate', '5', '--cameras', 'front', '--no-truth')
    da3('synthesize', bag, '--seconds', '2', *size)
    cut = PowerCut()
    with monkeypatch.context() as patch:
        cut.install(patch)
        cut.after = 5
        assert invoke('bag', bag, out, '--model', 'truth').exit_code != 0
    with closing(sqlite3.connect(bag)) as base:
        base.execute(
            'UPDATE messages SET data = CAST(substr(data, 1, length(data) - 9) || zeroblob(9) AS '
            'BLOB) WHERE id = (SELECT min(id) FROM messages WHERE length(data) > 9000)'
        )
        base.commit()
    said = failure('bag', bag, out, '--model', 'truth')
    assert 'expected the recording of the interrupted run' in said
    assert 'begin anew' in said
    assert da3_json('bag', bag, out, '--model', 'truth', '--restart')['sets'] == 10


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Processes of their own, killed at seeded moments of a run, until one comes to its end."""
    bag = record(tmp_path / 'in.mcap', 50.0)
    whole, out = tmp_path / 'whole.mcap', tmp_path / 'out.mcap'
    command = [sys.executable, '-m', DA3, 'bag', str(bag)]
    began = time.monotonic()
    subprocess.run([*command, str(whole), *NANO], check=True, capture_output=True)
    length_s = time.monotonic() - began
    choice = random.Random(18)
    kills = 0
    while kills < KILLS:
        with subprocess.Popen(
            [*command, str(out), *NANO], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                process.wait(choice.uniform(0.3 * length_s, length_s))
            except subprocess.TimeoutExpired:
                process.send_signal(choice.choice(SIGNALS))
                kills += 1
            process.wait(200)
        if out.exists():
            assert out.read_bytes() == whole.read_bytes()
            out.unlink()
    subprocess.run([*command, str(out), *NANO], check=True, capture_output=True)
    assert out.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {'in.mcap', 'whole.mcap', 'out.mcap'}
