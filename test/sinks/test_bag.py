"""Writing bags: complete or not there, readable by others, with definitions for every type."""

from contextlib import suppress
from itertools import count
import json
import os
from pathlib import Path
import sqlite3

from mcap.reader import make_reader
import pytest
from rosbags.highlevel import AnyReader
from rosbags.typesys import get_types_from_msg

from da3_ros.errors import SinkError, SourceError
from da3_ros.sinks.bag import BagWriter
from da3_ros.sinks.definitions import MessageDefinitions
from da3_ros.sources.bag import BagReader
from helpers.raw_messages import STORE, mixed_messages, text, write_bag

OWN_TYPES = ('da3_ros/msg/ViewReport', 'da3_ros/msg/WindowReport', 'tf2_msgs/msg/TFMessage')


def test_the_mcap_library_reads_a_single_file(tmp_path: Path) -> None:
    messages = mixed_messages()
    path = write_bag(tmp_path / 'bag.mcap', messages)
    assert path.is_file()
    with path.open('rb') as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == 'ros2'
        found = [
            (channel.topic, schema.name, message.log_time, message.data)
            for schema, channel, message in reader.iter_messages()
            if schema is not None
        ]
        summary = reader.get_summary()
    assert found == [(m.topic, m.msgtype, m.stamp_ns, m.data) for m in messages]
    assert summary is not None
    assert {channel.message_encoding for channel in summary.channels.values()} == {'cdr'}
    assert summary.statistics is not None
    assert summary.statistics.message_count == len(messages)


def test_sqlite_itself_reads_a_single_file(tmp_path: Path) -> None:
    messages = mixed_messages()
    with sqlite3.connect(write_bag(tmp_path / 'bag.db3', messages)) as database:
        rows = database.execute(
            'SELECT name, type, timestamp, data FROM messages '
            'JOIN topics ON topics.id = topic_id ORDER BY timestamp'
        ).fetchall()
    database.close()
    assert rows == [(m.topic, m.msgtype, m.stamp_ns, m.data) for m in messages]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_rosbags_decodes_a_folder(tmp_path: Path, storage: str) -> None:
    path = tmp_path / 'bag'
    messages = mixed_messages()
    with BagWriter(path, storage='mcap' if storage == 'mcap' else 'sqlite3') as bag:
        for message in messages:
            bag.add_topic(message.topic, message.msgtype)
            bag.write(message.topic, message.stamp_ns, message.data)
    with AnyReader([path]) as reader:
        assert reader.message_count == len(messages)
        notes = [
            getattr(reader.deserialize(data, connection.msgtype), 'data', None)
            for connection, _, data in reader.messages()
            if connection.topic == '/note'
        ]
    assert notes == [f'number {i}' for i in range(12)]


def test_nothing_is_left_behind_by_an_error(tmp_path: Path) -> None:
    with suppress(RuntimeError), BagWriter(tmp_path / 'bag.mcap') as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3', 'bag'])
def test_what_cannot_be_had_again_is_kept_after_an_error(tmp_path: Path, name: str) -> None:
    messages = mixed_messages(3)
    with suppress(RuntimeError), BagWriter(tmp_path / name, keeps_unfinished=True) as bag:
        for message in messages:
            bag.add_topic(message.topic, message.msgtype)
            bag.write(message.topic, message.stamp_ns, message.data)
        raise RuntimeError
    assert not (tmp_path / name).exists()
    with BagReader(bag.unfinished) as reader:
        assert [m.data for m in reader.messages()] == [m.data for m in messages]


@pytest.mark.parametrize('name', ['bag.mcap', 'bag.db3'])
def test_all_but_the_last_second_is_there_while_it_is_written(tmp_path: Path, name: str) -> None:
    """Read beside the writer, as after its end by SIGKILL."""
    with BagWriter(tmp_path / name) as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        found: list[int] = []
        for number in count():
            bag.write('/note', number, text('/note', number, 'x').data)
            if number % 500 == 0:
                with suppress(SourceError), BagReader(bag.unfinished) as reader:
                    found = [m.stamp_ns for m in reader.messages()]
            if found:
                break
    # None is missing before the last one that is there.
    assert found == list(range(len(found)))


def test_nothing_but_the_bag_is_left_by_success(tmp_path: Path) -> None:
    write_bag(tmp_path / 'deep' / 'bag.mcap', mixed_messages(2))
    assert [p.name for p in (tmp_path / 'deep').iterdir()] == ['bag.mcap']
    write_bag(tmp_path / 'folder', mixed_messages(2))
    assert sorted(p.name for p in (tmp_path / 'folder').iterdir()) == [
        'folder.mcap',
        'metadata.yaml',
    ]


def test_the_name_does_not_exist_before_the_bag_is_complete(tmp_path: Path) -> None:
    path = tmp_path / 'bag.mcap'
    with BagWriter(path) as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        bag.write('/note', 1, text('/note', 1, 'x').data)
        assert not path.exists()
    assert path.exists()


@pytest.mark.parametrize('name', ['bag.mcap', 'bag'])
def test_what_exists_is_replaced_only_when_asked_and_only_by_a_whole_bag(
    tmp_path: Path, name: str
) -> None:
    path = write_bag(tmp_path / name, mixed_messages(1))
    with pytest.raises(SinkError, match='exists already'):
        BagWriter(path)
    with pytest.raises(RuntimeError), BagWriter(path, overwrite=True):
        raise RuntimeError
    with AnyReader([path]) as reader:
        assert reader.message_count == 2
    with BagWriter(path, overwrite=True):
        pass
    if path.is_file():
        with path.open('rb') as stream:
            assert list(make_reader(stream).iter_messages()) == []
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_suffix_that_contradicts_the_storage_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r'\.mcap file holds mcap, not sqlite3'):
        BagWriter(tmp_path / 'bag.mcap', storage='sqlite3')
    assert list(tmp_path.iterdir()) == []


def test_misuse_is_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag.mcap') as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        bag.add_topic('/note', 'std_msgs/msg/String')
        with pytest.raises(SinkError, match='/note has type std_msgs/msg/String'):
            bag.add_topic('/note', 'sensor_msgs/msg/Image')
        with pytest.raises(SinkError, match='/other was not added'):
            bag.write('/other', 1, b'')
        with pytest.raises(SinkError, match='stamp >= 0'):
            bag.write('/note', -1, b'')


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(SinkError, match='cannot be written'):
        BagWriter(tmp_path / 'file' / 'bag.mcap')


@pytest.mark.parametrize('msgtype', OWN_TYPES)
def test_own_types_are_written_with_their_definitions(tmp_path: Path, msgtype: str) -> None:
    path = tmp_path / 'bag.mcap'
    with BagWriter(path) as bag:
        bag.add_topic('/topic', msgtype)
        bag.write('/topic', 1, b'\x00\x01\x00\x00')
    with path.open('rb') as stream:
        (schema, _, _) = next(iter(make_reader(stream).iter_messages()))
    assert schema is not None
    parsed = get_types_from_msg(schema.data.decode(), msgtype)
    assert parsed[msgtype][1] == declared_fields(msgtype)


def declared_fields(msgtype: str) -> object:
    definitions = MessageDefinitions()
    definitions.require(msgtype)
    return definitions.typestore.fielddefs[msgtype][1]


def test_definitions_of_other_workspaces_are_found_with_all_they_refer_to(tmp_path: Path) -> None:
    outer = tmp_path / 'share' / 'outer_msgs' / 'msg'
    inner = tmp_path / 'share' / 'inner_msgs' / 'msg'
    outer.mkdir(parents=True)
    inner.mkdir(parents=True)
    (outer / 'Outer.msg').write_text(
        'std_msgs/Header header\ninner_msgs/Inner[<=3] parts\nLeaf l\n'
    )
    (outer / 'Leaf.msg').write_text('float32[4] values\n')
    (inner / 'Inner.msg').write_text('string<=8 name\n')
    definitions = MessageDefinitions((tmp_path,))
    definitions.require('outer_msgs/msg/Outer')
    text_of_all, _ = definitions.typestore.generate_msgdef('outer_msgs/msg/Outer', ros_version=2)
    assert 'inner_msgs/Inner' in text_of_all
    assert 'float32[4] values' in text_of_all


@pytest.mark.parametrize(
    'msgtype', ['no_such_msgs/msg/Thing', 'Thing', 'std_srvs/srv/Empty', '../a/b']
)
def test_unknown_types_are_named(tmp_path: Path, msgtype: str) -> None:
    with BagWriter(tmp_path / 'bag.mcap') as bag, pytest.raises(SinkError, match=msgtype):
        bag.add_topic('/topic', msgtype)


@pytest.mark.ros
@pytest.mark.parametrize('msgtype', [*OWN_TYPES, 'sensor_msgs/msg/Image', 'nav_msgs/msg/Odometry'])
def test_definitions_have_the_hash_that_the_installed_interfaces_have(msgtype: str) -> None:
    package, _, name = msgtype.split('/')
    hashes: set[str] = set()
    for prefix in os.environ.get('AMENT_PREFIX_PATH', '').split(':'):
        file = Path(prefix) / 'share' / package / 'msg' / f'{name}.json'
        if file.is_file():
            hashes |= {
                entry['hash_string']
                for entry in json.loads(file.read_text())['type_hashes']
                if entry['type_name'] == msgtype
            }
    definitions = MessageDefinitions()
    definitions.require(msgtype)
    assert hashes == {definitions.typestore.hash_rihs01(msgtype)}


def test_standard_types_need_no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    MessageDefinitions().require('nav_msgs/msg/Odometry')
    assert 'nav_msgs/msg/Odometry' in STORE.types
