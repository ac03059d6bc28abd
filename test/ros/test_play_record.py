"""`da3 play` and `da3 record` over real DDS, each in a process of its own."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import signal

import pytest

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
    with recording(tmp_path / 'out.mcap', '/clock', *TOPICS, domain_id=ros_domain_id):
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
            assert len(process.lines) == 1, process.output
            assert process.lines[0].startswith('da3: ')
            assert expected in process.lines[0]
