"""`da3 play` and `da3 record` over real DDS, each in a process of its own."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
import signal
import time

import pytest

from da3_ros.errors import SourceError
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import MessageDefinitions
from da3_ros.sources.bag import BagReader, RawMessage
from helpers.raw_messages import START_NS, StampedMessage, mixed_messages, text, write_bag
from helpers.ros_process import RosProcess

pytestmark = pytest.mark.ros
DA3 = 'da3_ros.cli.main'
# Our own player, also where ros2 bag is installed.
PLAY = ('play', '--player', 'da3')
TOPICS = ('/cam/image_raw', '/note', '/latched')


def make_bag(path: Path, count: int = 12, period_ns: int = 50_000_000) -> list[StampedMessage]:
    """Write images, texts and one latched text."""
    latched = text('/latched', START_NS - 1_000_000, 'kept for those who come late')
    messages = [latched, *mixed_messages(count, period_ns)]
    with BagWriter(path) as bag:
        for message in messages:
            bag.add_topic(message.topic, message.msgtype, is_latched=message is latched)
            bag.write(message.topic, message.stamp_ns, message.data)
    return messages


def payloads(messages: list[StampedMessage] | list[RawMessage]) -> dict[str, list[bytes]]:
    """Group by topic, padded as on the wire: a serialized payload is a multiple of four bytes."""
    grouped = defaultdict(list)
    for message in messages:
        grouped[message.topic].append(message.data + bytes(-len(message.data) % 4))
    return dict(grouped)


def read(path: Path) -> list[RawMessage]:
    with BagReader(path) as bag:
        return list(bag.messages())


@contextmanager
def recording(path: Path, *arguments: str, domain_id: int) -> Iterator[RosProcess]:
    """Run a recorder that listens; end it with SIGINT, which must complete the bag."""
    with RosProcess(DA3, 'record', path, *arguments, domain_id=domain_id) as process:
        process.wait_for_line('^ready$')
        yield process
        process.send(signal.SIGINT)
        assert process.wait(20) == 0, process.output
    assert path.exists()


def transfer(bag: Path, out: Path, *arguments: str, messages: int, domain_id: int) -> None:
    """Play a bag to a recorder that ends by itself after a number of messages."""
    limit = ('--max-messages', str(messages))
    with RosProcess(DA3, 'record', out, *TOPICS, *limit, domain_id=domain_id) as recorder:
        recorder.wait_for_line('^ready$')
        patience = ('--wait-subscribers', '20')
        with RosProcess(DA3, *PLAY, bag, *patience, *arguments, domain_id=domain_id) as player:
            assert recorder.wait(60) == 0, player.output


def play(bag: Path, *arguments: str, domain_id: int) -> str:
    with RosProcess(
        DA3, *PLAY, bag, '--wait-subscribers', '20', *arguments, domain_id=domain_id
    ) as process:
        assert process.wait(60) == 0, process.output
        return process.output


def test_what_is_played_is_recorded_to_the_byte_at_its_pace_with_a_clock(
    tmp_path: Path, ros_domain_id: int
) -> None:
    from rclpy.serialization import deserialize_message
    from rosgraph_msgs.msg import Clock

    sent = make_bag(tmp_path / 'in.mcap', count=11, period_ns=200_000_000)
    words = ('/clock', *TOPICS, '--no-use-sim-time')
    with recording(tmp_path / 'out.mcap', *words, domain_id=ros_domain_id):
        output = play(tmp_path / 'in.mcap', '--clock', '--rate', '2', domain_id=ros_domain_id)
    assert 'played 23 messages on 3 topics' in output
    messages = read(tmp_path / 'out.mcap')
    received = payloads(messages)
    clock = [deserialize_message(data, Clock).clock for data in received.pop('/clock')]
    assert received == payloads(sent)
    # Two recorded seconds take one, and a busy machine may delay the last message.
    notes = [m.stamp_ns for m in messages if m.topic == '/note']
    assert (notes[-1] - notes[0]) / 1e9 == pytest.approx(1.0, abs=0.7)
    ticks = [tick.sec * 10**9 + tick.nanosec for tick in clock]
    assert ticks == sorted(ticks)
    assert ticks[-1] == sent[-1].stamp_ns
    assert len(ticks) > 40
    assert {m.stamp_ns for m in sent[1:]} <= set(ticks)


def test_best_effort_publishers_are_recorded_too(tmp_path: Path, ros_domain_id: int) -> None:
    sent = make_bag(tmp_path / 'in.mcap')
    with recording(tmp_path / 'out.mcap', *TOPICS, domain_id=ros_domain_id):
        play(tmp_path / 'in.mcap', '--qos', 'best_effort', domain_id=ros_domain_id)
    received = payloads(read(tmp_path / 'out.mcap'))
    for topic, data in payloads(sent).items():
        # Nothing is promised: a busy machine may lose much, and alters nothing.
        remaining = iter(data)
        assert all(payload in remaining for payload in received[topic])
        assert received[topic]


def test_fast_playing_loses_nothing_reliable(tmp_path: Path, ros_domain_id: int) -> None:
    sent = make_bag(tmp_path / 'in.db3', count=100)
    transfer(
        *(tmp_path / 'in.db3', tmp_path / 'out', '--rate', '10'),
        messages=len(sent),
        domain_id=ros_domain_id,
    )
    assert payloads(read(tmp_path / 'out')) == payloads(sent)


def test_parts_of_a_bag_and_latched_messages(tmp_path: Path, ros_domain_id: int) -> None:
    sent = make_bag(tmp_path / 'in.mcap', count=10, period_ns=100_000_000)
    transfer(
        *(tmp_path / 'in.mcap', tmp_path / 'out.mcap'),
        *('--start', '0.301', '--duration', '0.4', '--rate', '4'),
        messages=1 + 2 * 4,
        domain_id=ros_domain_id,
    )
    # The bag begins with the latched text, one millisecond before the first image.
    expected = {
        topic: data if topic == '/latched' else data[3:7] for topic, data in payloads(sent).items()
    }
    assert payloads(read(tmp_path / 'out.mcap')) == expected


def test_who_comes_late_gets_the_latched_message(tmp_path: Path, ros_domain_id: int) -> None:
    make_bag(tmp_path / 'in.mcap', count=10, period_ns=100_000_000)
    with RosProcess(DA3, *PLAY, tmp_path / 'in.mcap', '--loop', domain_id=ros_domain_id) as player:
        player.wait_for_line('^ready$')
        with recording(tmp_path / 'out.mcap', '--all', domain_id=ros_domain_id) as recorder:
            recorder.wait_for_line('recording /latched')
            recorder.wait_for_line('recording /note')
        player.send(signal.SIGINT)
        assert player.wait(20) == 130, player.output
        assert 'played' in player.output
    with BagReader(tmp_path / 'out.mcap') as bag:
        assert {t.name: t.is_latched for t in bag.topics}['/latched']


def test_limits_end_the_recording(tmp_path: Path, ros_domain_id: int) -> None:
    make_bag(tmp_path / 'in.mcap', count=30, period_ns=20_000_000)
    with (
        RosProcess(
            *(DA3, 'record', tmp_path / 'count.mcap', '/note', '--max-messages', '5'),
            domain_id=ros_domain_id,
        ) as by_count,
        RosProcess(
            *(DA3, 'record', tmp_path / 'time.mcap', '/never', '--seconds', '0.5'),
            domain_id=ros_domain_id,
        ) as by_time,
    ):
        assert by_time.wait(30) == 0
        assert 'never published: /never' in by_time.output
        play(tmp_path / 'in.mcap', '--topics', '/note', domain_id=ros_domain_id)
        assert by_count.wait(30) == 0
    assert len(read(tmp_path / 'count.mcap')) == 5
    assert read(tmp_path / 'time.mcap') == []


# ---- log times


@pytest.mark.parametrize('option', ['--use-sim-time', ''])
def test_log_times_are_those_of_the_replayed_clock(
    tmp_path: Path, ros_domain_id: int, option: str
) -> None:
    """Both bags play together: what was answered to a message follows it."""
    sent = make_bag(tmp_path / 'in.mcap', count=11, period_ns=200_000_000)
    # Without the option, /clock is found because it is published when the first message comes.
    options = (option,) if option else ()
    with recording(tmp_path / 'out.mcap', '/clock', *TOPICS, *options, domain_id=ros_domain_id):
        play(tmp_path / 'in.mcap', '--clock', '--rate', '2', domain_id=ros_domain_id)
    messages = read(tmp_path / 'out.mcap')
    assert payloads([m for m in messages if m.topic != '/clock']) == payloads(sent)
    stamps = [m.stamp_ns for m in messages]
    assert stamps == sorted(stamps)
    assert sent[0].stamp_ns <= stamps[0]
    assert stamps[-1] == sent[-1].stamp_ns
    # The newest tick, and the player ticks before each message: never before it, but for a tick
    # that the message overtook.
    notes = [m.stamp_ns for m in messages if m.topic == '/note']
    original = [m.stamp_ns for m in sent if m.topic == '/note']
    assert all(log >= own - 200_000_000 for log, own in zip(notes, original, strict=True))
    assert len(set(notes)) > 3


def test_what_comes_before_the_clock_gets_its_first_time(
    tmp_path: Path, ros_domain_id: int
) -> None:
    write_bag(tmp_path / 'early.mcap', [text('/early', START_NS, 'before the clock')])
    make_bag(tmp_path / 'in.mcap', count=3)
    out = tmp_path / 'out.mcap'
    with recording(out, '/early', '/note', '--use-sim-time', domain_id=ros_domain_id) as recorder:
        play(tmp_path / 'early.mcap', domain_id=ros_domain_id)
        play(tmp_path / 'in.mcap', '--clock', '--topics', '/note', domain_id=ros_domain_id)
    assert 'log times: /clock' in recorder.output
    messages = read(out)
    assert [m.topic for m in messages] == ['/early', *['/note'] * 3]
    # The bag begins with the latched text, one millisecond before the first image.
    assert messages[0].stamp_ns >= START_NS - 1_000_000
    assert messages[-1].stamp_ns <= START_NS + 100_001_000


@pytest.mark.parametrize('option', ['--use-sim-time', '--no-use-sim-time', ''])
def test_without_a_clock_log_times_are_system_time(
    tmp_path: Path, ros_domain_id: int, option: str
) -> None:
    sent = make_bag(tmp_path / 'in.mcap', count=3)
    before = time.time_ns()
    words = (*TOPICS, *((option,) if option else ()))
    with recording(tmp_path / 'out.mcap', *words, domain_id=ros_domain_id) as recorder:
        play(tmp_path / 'in.mcap', domain_id=ros_domain_id)
    messages = read(tmp_path / 'out.mcap')
    assert payloads(messages) == payloads(sent)
    assert all(before <= m.stamp_ns <= time.time_ns() for m in messages)
    assert 'log times: system time' in recorder.output
    assert ('no /clock was received' in recorder.output) == (option == '--use-sim-time')


def test_log_times_go_on_when_the_clock_goes_back(tmp_path: Path, ros_domain_id: int) -> None:
    make_bag(tmp_path / 'in.mcap', count=10, period_ns=100_000_000)
    # Nobody reads the other topics: all of the patience would pass.
    patience = ('--wait-subscribers', '20', '--wait-for', '/note')
    words = ('--loop', '--clock', '--rate', '4', *patience)
    with recording(
        tmp_path / 'out.mcap', '/note', '--use-sim-time', domain_id=ros_domain_id
    ) as recorder:
        program = (DA3, *PLAY, tmp_path / 'in.mcap', *words)
        with RosProcess(*program, domain_id=ros_domain_id):
            recorder.wait_for_line(r'/clock went back by 0\.9.*later than /clock by 1\.8')
    stamps = [m.stamp_ns for m in read(tmp_path / 'out.mcap')]
    assert stamps[0] >= START_NS - 1_000_000
    # Two passes of 0.9 s at least, one after the other.
    assert stamps[-1] - stamps[0] > 1.5e9


# ---- what is left of a recorder that is killed, and of a bag that is damaged


@pytest.mark.parametrize('name', ['out.mcap', 'out.db3', 'out'])
def test_what_a_killed_recorder_wrote_is_read(
    tmp_path: Path, ros_domain_id: int, name: str
) -> None:
    sent = make_bag(tmp_path / 'in.mcap', count=20, period_ns=50_000_000)
    program = (DA3, *PLAY, tmp_path / 'in.mcap', '--loop', '--wait-subscribers', '20')
    with RosProcess(DA3, 'record', tmp_path / name, *TOPICS, domain_id=ros_domain_id) as recorder:
        recorder.wait_for_line('^ready$')
        with RosProcess(*program, domain_id=ros_domain_id):
            so_far = wait_for_messages(tmp_path, name, 30)
            recorder.send(signal.SIGKILL)
            recorder.wait(20)
    assert not (tmp_path / name).exists()
    with pytest.raises(SourceError, match='is what a recorder left unfinished'):
        read(tmp_path / name)
    found = read(left_by(tmp_path, name))
    # Nothing that was there is lost; the rest came before the end.
    assert found[: len(so_far)] == so_far
    known = {topic: set(data) for topic, data in payloads(sent).items()}
    assert all(set(data) <= known[topic] for topic, data in payloads(found).items())
    # The next recorder of that name gives it a name of its own, and leaves nothing half done.
    with BagWriter(tmp_path / name, keeps_unfinished=True):
        pass
    assert read(tmp_path / 'out.recovered') == found
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {'in.mcap', name, 'out.recovered'}


def left_by(folder: Path, name: str) -> Path:
    (outer,) = folder.glob(f'{name}.unfinished.*')
    (inner,) = (entry for entry in outer.iterdir() if entry.is_dir())
    return inner


def wait_for_messages(folder: Path, name: str, count: int) -> list[RawMessage]:
    """Return what can be read of a bag that is being written, once it is enough."""
    deadline = time.monotonic() + 60
    found: list[RawMessage] = []
    while len(found) < count:
        assert time.monotonic() < deadline, len(found)
        time.sleep(0.2)
        with suppress(SourceError):
            found = read(left_by(folder, name))
    return found


def test_a_damaged_bag_is_played_as_far_as_it_goes_and_says_so(
    tmp_path: Path, ros_domain_id: int
) -> None:
    make_bag(tmp_path / 'in', count=12, period_ns=10_000_000)
    (tmp_path / 'in' / 'metadata.yaml').unlink()
    file = tmp_path / 'in' / 'in.mcap'
    file.write_bytes(file.read_bytes()[:8000])
    output = play(tmp_path / 'in', '--wait-subscribers', '0', domain_id=ros_domain_id)
    (warning,) = [line for line in output.splitlines() if line.startswith('WARNING: bag')]
    assert 'metadata.yaml is missing' in warning
    assert 'in.mcap: ends within a chunk' in warning
    expected = len(read(tmp_path / 'in'))
    assert 3 < expected < 25
    assert f'played {expected} messages on 3 topics' in output


def test_types_that_are_not_installed_are_left_out_by_name(
    tmp_path: Path, ros_domain_id: int
) -> None:
    folder = tmp_path / 'share' / 'absent_msgs' / 'msg'
    folder.mkdir(parents=True)
    (folder / 'Thing.msg').write_text('int32 number\n')
    with BagWriter(tmp_path / 'in.mcap', definitions=MessageDefinitions((tmp_path,))) as bag:
        bag.add_topic('/thing', 'absent_msgs/msg/Thing')
        bag.add_topic('/note', 'std_msgs/msg/String')
        bag.write('/thing', START_NS, b'\x00\x01\x00\x00\x01\x00\x00\x00')
        bag.write('/note', START_NS, text('/note', START_NS, 'x').data)
    with RosProcess(DA3, *PLAY, tmp_path / 'in.mcap', domain_id=ros_domain_id) as process:
        assert process.wait(30) == 0
        process.wait_for_line(r'WARNING: topic /thing is left out: .*absent_msgs')
        process.wait_for_line('played 1 messages on 1 topics')
        process.wait_for_line(r'left out \(type not installed\): /thing')


def test_errors_are_one_line_and_status_one(tmp_path: Path, ros_domain_id: int) -> None:
    write_bag(tmp_path / 'in.mcap', mixed_messages(2))
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        (('play', tmp_path / 'missing.mcap'), 'there is nothing'),
        (('play', tmp_path / 'in.mcap', '--topics', '/absent'), 'no topic /absent'),
        (('record', tmp_path / 'out.mcap'), 'either names of topics or all'),
        (('record', tmp_path / 'in.mcap', '/note'), 'exists already'),
    ]
    processes = [RosProcess(DA3, *arguments, domain_id=ros_domain_id) for arguments, _ in cases]
    for process, (_, expected) in zip(processes, cases, strict=True):
        with process:
            assert process.wait(30) == 1
            # Fast DDS complains where another process opens the same port at that moment.
            [line] = [line for line in process.lines if 'open_and_lock_file failed' not in line]
            assert line.startswith('da3: ')
            assert expected in line
