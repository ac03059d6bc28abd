"""Commands that are killed: nothing of others is lost, nothing of before, and nothing stays.

Each is measured once and then killed at seeded moments of such a run, by SIGKILL and SIGTERM in
turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
import json
import os
from pathlib import Path
import signal
import time

import cv2
import numpy as np
import pytest

from da3_ros.export.ledger import LEDGER, read_ledger
from da3_ros.export.staging import STAGING_PREFIX
from da3_ros.sources.bag import BagReader
from helpers.cli import SMALL, da3
from helpers.foreign_files import ForeignFiles
from helpers.ros_process import RosProcess

DA3 = 'da3_ros.cli.main'
KILLS = 20
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
ROOM = ('--seconds', '3', '--rate', '10', '--size', '160x120', '--cameras', 'front')

Arguments = Sequence[str | Path]


def is_whole(path: Path) -> bool:
    """Return whether a file of ours can be read to its end."""
    if path.suffix == '.npz':
        with np.load(path) as archive:
            return all(archive[key] is not None for key in archive.files)
    if path.suffix == '.glb':
        data = path.read_bytes()
        return data[:4] == b'glTF' and int.from_bytes(data[8:12], 'little') == len(data)
    if path.suffix == '.json':
        return bool(json.loads(path.read_text(encoding='utf-8')))
    if path.suffix in ('.png', '.jpg'):
        return cv2.imread(str(path)) is not None
    if path.suffix == '.mcap':
        with BagReader(path) as bag:
            return not bag.notes and sum(1 for _ in bag.messages()) > 0
    return path.stat().st_size > 0


def own_files(folder: Path) -> list[Path]:
    """Return what the records of a folder and of the scenes in it prove to be ours."""
    places = [folder, *(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())]
    return [place / name for place in places for name in read_ledger(place).own()]


def unfinished(folder: Path) -> list[str]:
    names = (path.name for path in folder.rglob('*'))
    return [
        n for n in names
        if (n.startswith(STAGING_PREFIX) or '.unfinished.' in n) and 'stranger' not in n
    ]  # fmt: skip


def running_with(text: str) -> list[str]:
    """Return the command lines of living processes that hold a text."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            line = (process / 'cmdline').read_bytes().replace(b'\0', b' ').decode(errors='replace')
        except OSError:
            continue
        if text in line and int(process.name) != os.getpid():
            found.append(line)
    return found


def kill_and_look(
    out: Path,
    arguments: Arguments,
    domain_id: int,
    *,
    results: Callable[[], list[Path]],
    again: Callable[[], object],
    seed: int,
    every: int = 1,
) -> None:
    """Kill a command at many moments, and look at everything after each."""
    foreign = ForeignFiles(out)
    began = time.monotonic()
    with RosProcess(DA3, *arguments, domain_id=domain_id) as process:
        assert process.wait(300.0) == 0, process.output
    length_s = time.monotonic() - began
    before = results()
    assert before
    moments = np.random.default_rng(seed).uniform(0.0, length_s, KILLS)
    for index, moment in enumerate(moments):
        number = SIGNALS[index % 2]
        where = f'{number.name} after {moment:.2f} s of {length_s:.2f} s'
        process = RosProcess(DA3, *arguments, domain_id=domain_id)
        with ExitStack() as stack:
            stack.callback(process.kill)
            # The moment is what is tested; where it falls differs from run to run.
            time.sleep(moment)
            process.send(number)
            process.wait(60.0)
        deadline = time.monotonic() + 60.0
        while left := running_with(str(out)):
            assert time.monotonic() < deadline, (where, left)
            time.sleep(0.1)
        assert foreign.changed() == set(), where
        assert set(before) <= set(results()), where
        assert all(is_whole(path) for path in results()), where
        if index % every == every - 1:
            again()
            assert foreign.changed() == set(), where
            assert unfinished(out) == [], where
            assert set(results()) == set(before), where


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('kind', ['each', 'export', 'cleanup'])
def test_scenes(
    tmp_path: Path, checkpoint: Path, photos: Path, ros_domain_id: int, kind: str
) -> None:
    out = tmp_path / 'out'
    model = ('--model-dir', checkpoint, *SMALL, '--export-format', 'glb-npz-mini_npz')
    da3('images', photos, '--export-dir', tmp_path / 'saved', *model)
    arguments: Arguments = {
        'each': ('images', photos, '--each', '--overwrite', '--export-dir', out, *model),
        'export': (
            *('export', tmp_path / 'saved', '--overwrite', '--export-dir', out),
            *('--export-format', 'glb-ply-npz-depth_vis'),
        ),
        'cleanup': ('images', photos, '--auto-cleanup', '--export-dir', out, *model),
    }[kind]
    kill_and_look(
        out,
        arguments,
        ros_domain_id,
        results=lambda: own_files(out),
        again=lambda: da3(*arguments),
        seed=len(kind),
    )
    assert all((path.parent / LEDGER).exists() for path in out.glob('[0-9]/da3.json'))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize('command', ['synthesize', 'bag-from-video'])
def test_bag_writers(tmp_path: Path, ros_domain_id: int, command: str) -> None:
    out = tmp_path / 'out'
    arguments: Arguments = ('synthesize', out / 'bag.mcap', '--overwrite', *ROOM)
    if command == 'bag-from-video':
        video = tmp_path / 'in.avi'
        writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*'MJPG'), 10.0, (640, 480))
        for index in range(60):
            writer.write(np.full((480, 640, 3), index, np.uint8))
        writer.release()
        arguments = (command, video, out / 'bag.mcap', '--overwrite')
    kill_and_look(
        out,
        arguments,
        ros_domain_id,
        results=lambda: [out / 'bag.mcap'],
        again=lambda: da3(*arguments),
        seed=len(command),
    )


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.timeout(1800)
def test_a_recorder(tmp_path: Path, ros_domain_id: int) -> None:
    out = tmp_path / 'out'
    da3('synthesize', tmp_path / 'in.mcap', *ROOM)
    play = ('play', tmp_path / 'in.mcap', '--player', 'da3', '--loop', '--wait-subscribers', '0')
    record = ('record', out / 'bag.mcap', '/front/image_raw', '--overwrite')
    with RosProcess(DA3, *play, domain_id=ros_domain_id):

        def again() -> None:
            with RosProcess(
                DA3, *record, '--max-messages', '5', domain_id=ros_domain_id
            ) as process:
                assert process.wait(60.0) == 0, process.output

        kill_and_look(
            out,
            (*record, '--seconds', '3'),
            ros_domain_id,
            results=lambda: [out / 'bag.mcap'],
            again=again,
            seed=4,
            every=4,
        )
    # What was recorded and cannot be had again has names of its own.
    recovered = list(out.glob('bag.recovered*'))
    assert recovered
    for bag in recovered:
        with BagReader(bag) as reader:
            assert sum(1 for _ in reader.messages()) > 0


@pytest.mark.slow
@pytest.mark.ros
@pytest.mark.timeout(3000)
def test_a_demo(tmp_path: Path, single_view_checkpoint: Path, ros_domain_id: int) -> None:
    out = tmp_path / 'out'
    arguments = ('demo', '--model', 'truth', '--seconds', '2', '--out', out)

    def again() -> None:
        with RosProcess(DA3, *arguments, domain_id=ros_domain_id) as process:
            assert process.wait(300.0) == 0, process.output

    kill_and_look(
        out,
        arguments,
        ros_domain_id,
        results=lambda: [path for path in own_files(out) if path.name != 'first_look.png'],
        again=again,
        seed=5,
        every=5,
    )
    _check_own_input_and_failure(out, single_view_checkpoint, ros_domain_id)


def _check_own_input_and_failure(out: Path, poseless: Path, domain_id: int) -> None:
    """Its own recording may be played, and a run that fails says where its logs are."""
    recording = out / 'input.mcap'
    before = recording.read_bytes(), recording.stat().st_mtime_ns
    play = ('demo', '--model', 'truth', '--seconds', '2', '--out', out, '--bag')
    with RosProcess(DA3, *play, recording, domain_id=domain_id) as process:
        assert process.wait(300.0) == 0, process.output
    assert (recording.read_bytes(), recording.stat().st_mtime_ns) == before
    with RosProcess(DA3, *play, out / 'output.mcap', domain_id=domain_id) as process:
        assert process.wait(60.0) == 1
        assert 'the results of the demo would replace it' in process.output
    results = {path: path.read_bytes() for path in own_files(out)}
    # The node has no use for a network without poses, and says so only when it starts.
    with RosProcess(DA3, *play, recording, '--model', poseless, domain_id=domain_id) as process:
        assert process.wait(300.0) == 1, process.output
        found = process.wait_for_line(r'see (/\S+\.log)')
    assert Path(found[1]).read_text(encoding='utf-8')
    assert {path: path.read_bytes() for path in results} == results
