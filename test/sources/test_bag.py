"""Reading bags: the same bytes in order of time, whoever wrote them; damage is said, not read."""

from contextlib import suppress
from pathlib import Path

from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
import pytest
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as RosbagsWriter

from da3_ros.errors import SourceError
from da3_ros.sinks.bag import BagWriter
from da3_ros.sources.bag import BagReader
from helpers.raw_messages import START_NS, STORE, StampedMessage, mixed_messages, text, write_bag


def read(path: Path) -> list[StampedMessage]:
    with BagReader(path) as bag:
        return [StampedMessage(m.topic, m.msgtype, m.stamp_ns, m.data) for m in bag.messages()]


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_what_is_written_is_read(tmp_path: Path, name: str) -> None:
    messages = mixed_messages()
    assert read(write_bag(tmp_path / name, messages)) == messages


def test_a_sqlite_folder_is_read(tmp_path: Path) -> None:
    messages = mixed_messages()
    with BagWriter(tmp_path / 'folder', storage='sqlite3') as bag:
        for message in messages:
            bag.add_topic(message.topic, message.msgtype)
            bag.write(message.topic, message.stamp_ns, message.data)
    assert read(tmp_path / 'folder') == messages


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
def test_messages_come_in_order_of_time_however_they_were_written(
    tmp_path: Path, name: str
) -> None:
    messages = mixed_messages()
    shuffled = messages[::2] + messages[1::2][::-1]
    assert read(write_bag(tmp_path / name, shuffled)) == messages


@pytest.mark.parametrize('compression', list(CompressionType))
def test_a_file_of_the_mcap_library_is_read(tmp_path: Path, compression: CompressionType) -> None:
    messages = mixed_messages()
    path = tmp_path / 'foreign.mcap'
    with path.open('wb') as stream:
        writer = McapWriter(stream, compression=compression)
        writer.start(profile='ros2')
        channels = {}
        for message in messages:
            if message.topic not in channels:
                definition, _ = STORE.generate_msgdef(message.msgtype, ros_version=2)
                schema = writer.register_schema(message.msgtype, 'ros2msg', definition.encode())
                channels[message.topic] = writer.register_channel(message.topic, 'cdr', schema)
            writer.add_message(
                channels[message.topic], message.stamp_ns, message.data, message.stamp_ns
            )
        writer.finish()  # type: ignore[no-untyped-call]
    assert read(path) == messages


@pytest.mark.parametrize('plugin', list(StoragePlugin))
def test_a_folder_of_the_rosbags_library_is_read(tmp_path: Path, plugin: StoragePlugin) -> None:
    messages = mixed_messages()
    with RosbagsWriter(tmp_path / 'foreign', version=9, storage_plugin=plugin) as writer:
        connections = {
            topic: writer.add_connection(topic, msgtype, typestore=STORE)
            for topic, msgtype in {m.topic: m.msgtype for m in messages}.items()
        }
        for message in messages:
            writer.write(connections[message.topic], message.stamp_ns, message.data)
    assert read(tmp_path / 'foreign') == messages


def test_the_summary_of_a_bag(tmp_path: Path) -> None:
    with BagReader(write_bag(tmp_path / 'bag.mcap', mixed_messages(5, 50_000_000))) as bag:
        assert [(t.name, t.msgtype, t.count) for t in bag.topics] == [
            ('/cam/image_raw', 'sensor_msgs/msg/Image', 5),
            ('/note', 'std_msgs/msg/String', 5),
        ]
        assert bag.message_count == 10
        assert bag.start_ns == START_NS
        assert bag.end_ns == START_NS + 200_001_000
        assert bag.duration_s == pytest.approx(0.200001)


def test_topics_and_times_select(tmp_path: Path) -> None:
    with BagReader(write_bag(tmp_path / 'bag.mcap', mixed_messages(5, 100))) as bag:
        notes = list(bag.messages({'/note'}))
        assert {m.topic for m in notes} == {'/note'}
        assert len(notes) == 5
        some = list(bag.messages(None, START_NS + 100, START_NS + 300))
        assert [m.stamp_ns - START_NS for m in some] == [100, 200]
        assert list(bag.messages(())) == []


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_latched_topics_are_known(tmp_path: Path, name: str) -> None:
    with BagWriter(tmp_path / name) as bag:
        bag.add_topic('/kept', 'std_msgs/msg/String', is_latched=True)
        bag.add_topic('/fleeting', 'std_msgs/msg/String', is_reliable=False)
        bag.write('/kept', 1, text('/kept', 1, 'a').data)
    with BagReader(tmp_path / name) as reader:
        assert {t.name: t.is_latched for t in reader.topics} == {'/kept': True, '/fleeting': False}


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_an_empty_bag_is_a_bag(tmp_path: Path, name: str) -> None:
    with BagReader(write_bag(tmp_path / name, [])) as bag:
        assert bag.topics == ()
        assert (bag.message_count, bag.start_ns, bag.end_ns, bag.duration_s) == (0, 0, 0, 0.0)
        assert list(bag.messages()) == []


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
@pytest.mark.parametrize('share', [0.0, 0.002])
def test_a_truncated_file_without_a_message_is_an_error_that_names_it(
    tmp_path: Path, name: str, share: float
) -> None:
    path = write_bag(tmp_path / name, mixed_messages(200))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(SourceError, match=name):
        read(path)


@pytest.mark.parametrize('folder', [False, True])
@pytest.mark.parametrize('cut', [1, 100, 2000])
@pytest.mark.parametrize('length', [10, 3000])
def test_of_an_sqlite_file_that_ends_within_a_page_the_messages_are_whole(
    tmp_path: Path, length: int, cut: int, folder: bool
) -> None:
    messages = [text('/note', index, 'x' * length) for index in range(50)]
    path = tmp_path / ('bag' if folder else 'bag.db3')
    with BagWriter(path, storage='sqlite3') as bag:
        bag.add_topic('/note', messages[0].msgtype)
        for message in messages:
            bag.write(message.topic, message.stamp_ns, message.data)
    assert len(read(path)) == len(messages)
    file = path / 'bag.db3' if folder else path
    file.write_bytes(file.read_bytes()[:-cut])

    found = read(path)
    # SQLite itself would fill up the last page with zeros.
    assert [m for m in messages if m in found] == found
    assert len(found) > 40


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
def test_damaged_bytes_give_a_source_error_or_messages_but_never_a_crash(
    tmp_path: Path, name: str
) -> None:
    path = write_bag(tmp_path / name, mixed_messages(50))
    whole = path.read_bytes()
    for position in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(
            whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :]
        )
        with suppress(SourceError):
            read(path)


def test_what_is_no_bag_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match='nothing'):
        read(tmp_path / 'missing.mcap')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(SourceError, match='empty'):
        read(tmp_path / 'empty')
    for name in ('text.mcap', 'text.db3', 'text.txt'):
        (tmp_path / name).write_text('this is no bag at all, only some words in a row\n' * 20)
        with pytest.raises(SourceError, match=name):
            read(tmp_path / name)


def test_a_folder_that_lost_its_file_is_named(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', mixed_messages(2))
    next(path.glob('*.mcap')).unlink()
    with pytest.raises(SourceError, match='missing'):
        read(path)


def test_an_unknown_topic_is_named_with_those_there_are(tmp_path: Path) -> None:
    with (
        BagReader(write_bag(tmp_path / 'bag.mcap', mixed_messages(2))) as bag,
        pytest.raises(SourceError, match=r'/nothing.*/cam/image_raw, /note'),
    ):
        list(bag.messages({'/nothing'}))
