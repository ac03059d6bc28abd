"""`da3 bag`: what it writes, what it says of every image, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
import subprocess
import sys
import threading
from typing import Any

import pytest

from da3_ros.cli import bag_report
from da3_ros.errors import SinkError
from da3_ros.options import OptionSpec, OptionValue, from_flat, to_flat
from da3_ros.options.table import Entrance
from da3_ros.ros.offline import cameras
from da3_ros.ros.offline.cameras import Asked
from da3_ros.ros.offline.tape import Tape
from da3_ros.sinks.resumable_bag import ResumableBag
from da3_ros.sources.bag import BagReader, RawMessage
from helpers.bag_content import messages, rewritten
from helpers.cli import da3, da3_json, failure, invoke
from helpers.option_groups import entries
from helpers.raw_messages import STORE

S = 1_000_000_000
INSTANTS = 8
TRUTH = ('--model', 'truth')


@pytest.fixture(scope='module')
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a drive of two cameras with their rig, eight instants at 5 Hz, without odometry."""
    path = tmp_path_factory.mktemp('bag') / 'in.mcap'
    size = ('--size', '64x48', '--cameras', 'front,left', '--no-truth', '--no-odometry')
    da3('synthesize', path, '--seconds', str(INSTANTS / 5), '--rate', '5', *size)
    return path


def moved(message: RawMessage, by_ns: int) -> RawMessage:
    stamp_ns = message.stamp_ns + by_ns
    return RawMessage(message.topic, message.msgtype, stamp_ns, message.data)


def shifted(message: RawMessage, by_ns: int) -> RawMessage:
    """Return a message of another time: stamp and log time."""
    content: Any = STORE.deserialize_cdr(message.data, message.msgtype)
    parts = content.transforms if hasattr(content, 'transforms') else [content]
    for part in parts:
        seconds, rest = divmod(message.stamp_ns + by_ns, S)
        part.header.stamp = type(part.header.stamp)(sec=seconds, nanosec=rest)
    data = bytes(STORE.serialize_cdr(content, message.msgtype))
    return RawMessage(message.topic, message.msgtype, message.stamp_ns + by_ns, data)


def header_ns(message: RawMessage) -> int:
    content: Any = STORE.deserialize_cdr(message.data, message.msgtype)
    stamp = (content.transforms[0] if hasattr(content, 'transforms') else content).header.stamp
    return int(stamp.sec) * S + int(stamp.nanosec)


def test_log_times_are_those_of_the_input_and_stamps_those_of_the_images(
    recording: Path, tmp_path: Path
) -> None:
    """The left camera is recorded 30 ms after the front one: it completes every set."""
    late_ns = 30_000_000
    content = messages(recording)
    stamps = sorted({m.stamp_ns for m in content})
    late = [moved(m, late_ns) if m.topic == '/left/image_raw' else m for m in content]
    source = rewritten(tmp_path / 'late.mcap', late)
    wanted = ('--outputs', 'depth,odometry,tf,points', '--copy', 'none')
    da3('bag', source, tmp_path / 'out.mcap', *TRUTH, *wanted)
    found = messages(tmp_path / 'out.mcap')
    assert {m.topic for m in found} == {
        '/front/depth/image',
        '/left/depth/image',
        '/odometry',
        '/points',
        '/tf',
    }
    assert len(found) == 5 * INSTANTS
    for message in found:
        assert message.stamp_ns == header_ns(message) + late_ns, message.topic
        assert header_ns(message) in stamps


def test_equal_recordings_give_equal_bytes_however_they_are_stored(
    recording: Path, tmp_path: Path
) -> None:
    content = messages(recording)
    outs = []
    left = [m for m in content if m.topic.startswith('/left')]
    others = [m for m in content if not m.topic.startswith('/left')]
    for name, inputs in (
        ('again', [recording]),
        ('folder', [rewritten(tmp_path / 'folder', content)]),
        ('sqlite3', [rewritten(tmp_path / 'in.db3', content)]),
        ('two', [rewritten(tmp_path / 'a.mcap', others), rewritten(tmp_path / 'b.db3', left)]),
    ):
        outs.append(tmp_path / f'{name}_out.mcap')
        da3('bag', *inputs, outs[-1], *TRUTH)
    da3('bag', recording, tmp_path / 'whole.mcap', *TRUTH)
    whole = (tmp_path / 'whole.mcap').read_bytes()
    assert [out.read_bytes() == whole for out in outs] == [True] * 4


def test_a_part_and_every_other_set(recording: Path, tmp_path: Path) -> None:
    stamps = sorted({m.stamp_ns for m in messages(recording)})
    for given, expected in (
        (('--every', '3'), stamps[::3]),
        (('--start', '0.4', '--duration', '0.6'), stamps[2:5]),
        (('--start', '0.4', '--every', '2'), stamps[2::2]),
        (('--start', '0.8', '--duration', 'inf'), stamps[4:]),
    ):
        out = tmp_path / 'out.mcap'
        content = da3_json('bag', recording, out, *TRUTH, *given, '--overwrite')
        found = [header_ns(m) for m in messages(out) if m.topic == '/odometry']
        assert found == expected, given
        assert content['sets'] == len(expected)
        assert content['sets'] + content['passed_over_sets'] == content['complete_sets']


def test_every_image_is_used_or_counted(recording: Path, tmp_path: Path) -> None:
    content = messages(recording)
    front = [m for m in content if m.topic == '/front/image_raw']
    cut = RawMessage(front[3].topic, front[3].msgtype, front[3].stamp_ns, front[3].data[:500])
    twice = moved(front[5], 1_000_000)
    odd = [cut if m is front[3] else m for m in content if m is not front[6]] + [twice]
    source = rewritten(tmp_path / 'odd.mcap', odd)
    found = da3_json('bag', source, tmp_path / 'out.mcap', *TRUTH, '--min-cameras', '2')
    assert found['sets'] == INSTANTS - 2
    cameras = found['cameras']
    assert cameras['front']['not_used'] == {'duplicate': 1, 'refused': 1}
    assert cameras['left']['not_used'] == {'unmatched': 2}
    for camera in cameras.values():
        assert camera['images'] == INSTANTS
        assert camera['used'] + sum(camera['not_used'].values()) == camera['images']
    assert any('/front/image_raw' in note and 'truncated' in note for note in found['notes'])
    # For people the same.
    said = da3('bag', source, tmp_path / 'again.mcap', *TRUTH, '--min-cameras', '2')
    assert 'camera front: 6 of 8 images used (1 duplicate, 1 refused)' in said
    assert 'metres, scale from rig' in said
    assert 'these look like cameras' in said


def test_a_damaged_bag_is_used_as_far_as_it_goes(recording: Path, tmp_path: Path) -> None:
    cut = tmp_path / 'cut.mcap'
    data = recording.read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    found = da3_json('bag', cut, tmp_path / 'out.mcap', *TRUTH)
    assert 2 <= found['sets'] < INSTANTS
    assert any('cut.mcap' in note and 'summary' in note for note in found['notes'])


def test_what_cannot_be_is_refused_and_nothing_is_made(recording: Path, tmp_path: Path) -> None:
    content = messages(recording)
    folder = rewritten(tmp_path / 'folder', content)
    taken = tmp_path / 'taken.mcap'
    taken.write_bytes(b'mine')
    empty = rewritten(
        tmp_path / 'infos.mcap',
        [m for m in content if not m.topic.endswith('image_raw')],
    )
    before = sorted(path for path in tmp_path.rglob('*'))
    for words, said in (
        ((recording, recording, '--overwrite'), 'outside of what is read'),
        ((folder, folder / 'out.mcap'), 'outside of what is read'),
        ((folder / 'folder.mcap', folder, '--overwrite'), 'outside of what is read'),
        ((recording, taken), 'exists already'),
        ((tmp_path / 'nothing.mcap', tmp_path / 'out.mcap'), 'there is nothing'),
        ((recording, recording, tmp_path / 'out.mcap'), 'named 2 times'),
        ((empty, tmp_path / 'out.mcap'), 'no topic looks like'),
        ((recording, tmp_path / 'out.db3'), 'mcap'),
        ((recording, tmp_path / 'out.mcap', '--start', '60'), 'not one set'),
        ((recording, tmp_path / 'out.mcap', '--start', '1e300'), 'not one set'),
        ((recording, tmp_path / 'out.mcap', '--outputs', 'sound'), 'outputs: expected some of'),
    ):
        assert said in failure('bag', *words, *TRUTH), words
    assert invoke('bag', recording).exit_code == 2
    assert sorted(path for path in tmp_path.rglob('*')) == before
    assert taken.read_bytes() == b'mine'


def test_other_values_of_options_are_other_runs(recording: Path, tmp_path: Path) -> None:
    """A parameter file says the same as the command line, which wins over it."""
    file = tmp_path / 'p.yaml'
    file.write_text('/**: {ros__parameters: {max_depth_m: 3.0, cameras: [front], window: 2}}')
    for name, given in (
        ('file', ('--params-file', file)),
        ('line', ('--topic', '/front/image_raw', '--max-depth-m', '3', '--window', '2')),
        ('both', ('--params-file', file, '--max-depth-m', '4')),
    ):
        da3('bag', recording, tmp_path / f'{name}.mcap', *TRUTH, *given)
    one, other, both = ((tmp_path / f'{n}.mcap').read_bytes() for n in ('file', 'line', 'both'))
    assert one == other
    assert one != both


NODE = [s for s in entries(Entrance.BAG) if s.name in to_flat(from_flat({}))]


def other_value(spec: OptionSpec) -> OptionValue:
    """Return a value that is not the default."""
    if spec.name == 'model':
        return 'random:da3-nano'
    if spec.is_mixed:
        return not spec.default
    if spec.choices:
        return next(value for value in spec.choices if value != spec.default)
    if spec.kind is bool:
        return not spec.default
    if spec.kind is str:
        return 'other'
    assert isinstance(spec.default, (int, float))
    is_within = spec.maximum is None or spec.default + 1 <= spec.maximum
    value: OptionValue = spec.kind(spec.default + (1 if is_within else -1))
    return value


@pytest.mark.parametrize('spec', NODE, ids=lambda spec: spec.name)
def test_every_parameter_that_is_given_reaches_the_run(
    recording: Path, tmp_path: Path, spec: OptionSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing that is not given, which a parameter file may say otherwise."""
    asked: list[Asked] = []

    def choose(tape: Tape, what: Asked) -> None:
        del tape
        asked.append(what)
        raise SystemExit(0)

    monkeypatch.setattr(cameras, 'choose_cameras', choose)
    value = other_value(spec)
    flag = f'--{spec.name.replace("_", "-")}'
    words = [flag, str(value).lower() if spec.is_mixed else str(value)]
    if spec.kind is bool and not spec.is_mixed:
        words = [flag if value else f'--no-{flag[2:]}']
    assert invoke('bag', recording, tmp_path / 'out.mcap', *words).exit_code == 0
    assert asked[0].options == {spec.name: value}


def test_progress_goes_to_people_and_never_into_json(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bag_report, '_LINE_PERIOD_S', 0.0)
    said = da3('bag', recording, tmp_path / 'a.mcap', *TRUTH)
    lines = [line for line in said.splitlines() if ' x real time, ' in line]
    assert len(lines) > 2
    assert all('sets/s' in line and line.endswith('left') for line in lines)
    content = da3_json('bag', recording, tmp_path / 'b.mcap', *TRUTH)
    assert content['sets'] == INSTANTS
    assert content['bytes'] == (tmp_path / 'b.mcap').stat().st_size
    assert 0 < content['estimator_seconds'] < content['seconds']
    assert da3('bag', recording, tmp_path / 'c.mcap', *TRUTH, '-q') == ''


def test_cautions_of_a_network_are_said(recording: Path, tmp_path: Path) -> None:
    tiny = ('--model', 'random:da3-nano', '--process-res', '28', '--duration', '0.4')
    found = da3_json('bag', recording, tmp_path / 'out.mcap', *tiny, '--device', 'cpu')
    assert found['sets'] == 2
    assert any('random' in note for note in found['notes'])
    with BagReader(tmp_path / 'out.mcap') as bag:
        report = next(iter(bag.messages(['/window'])))
    assert b'random' in report.data


def test_neither_ros_nor_torch_is_needed(recording: Path, tmp_path: Path) -> None:
    code = (
        'import sys\n'
        'class Refuse:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        "        first = name.split('.')[0]\n"
        "        is_other = first in ('rclpy', 'torch', 'tf2_ros', 'cv_bridge')\n"
        "        if is_other or first.endswith('_msgs'):\n"
        '            raise ImportError(name)\n'
        'sys.meta_path.insert(0, Refuse())\n'
        'from da3_ros.cli.main import run\n'
        f"sys.argv = ['da3', 'bag', {str(recording)!r}, {str(tmp_path / 'out.mcap')!r}, "
        "'--model', 'truth', '--json', '--prior-frame', 'odom']\n"
        'run()\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index('{') :])['sets'] == INSTANTS


def test_cameras_that_never_meet_are_named(recording: Path, tmp_path: Path) -> None:
    """The stamps of the left camera lie between those of the front one."""
    content = messages(recording)
    apart = [shifted(m, 70_000_000) if m.topic.startswith('/left') else m for m in content]
    longer = [shifted(m, turn * 2 * S) for turn in range(3) for m in apart]
    source = rewritten(tmp_path / 'apart.mcap', longer)
    said = failure('bag', source, tmp_path / 'out.mcap', *TRUTH)
    assert 'always 70.0 ms from those of camera' in said
    assert not list(tmp_path.glob('out*'))


def test_a_disk_that_refuses_ends_the_run_with_its_own_words(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no thread stays."""
    before = threading.active_count()

    def full(*given: object, **more: object) -> None:
        raise SinkError('no space left')

    with monkeypatch.context() as patch:
        patch.setattr(ResumableBag, 'write', full)
        assert failure('bag', recording, tmp_path / 'out.mcap', *TRUTH) == 'no space left'
    assert threading.active_count() == before
    assert not list(tmp_path.iterdir())
