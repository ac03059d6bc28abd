"""Bags that are made in steps are bags as others are, in a place of their own."""

from __future__ import annotations

from importlib import import_module
import os
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.reader import make_reader
from mcap.records import Chunk, ChunkIndex, MessageIndex
from mcap.stream_reader import StreamReader
import pytest
from rosbags.highlevel import AnyReader

from da3_ros.errors import SinkError
from da3_ros.options.choices import BagCompression
from da3_ros.sources.bag import BagReader
from helpers.raw_messages import StampedMessage
from helpers.stepwise_bag import EVERY, MESSAGES, interrupt, make, opened, write_from

pytestmark = pytest.mark.usefixtures('idle_disk')


@pytest.mark.parametrize('compression', ['zstd', 'lz4', 'none'])
def test_the_mcap_library_finds_every_message_by_the_index(
    tmp_path: Path, compression: BagCompression
) -> None:
    path = make(tmp_path / 'bag.mcap', compression=compression)
    assert [entry.name for entry in tmp_path.iterdir()] == ['bag.mcap']
    with path.open('rb') as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert type(reader).__name__ == 'SeekingReader'
        assert reader.get_header().profile == 'ros2'
        found = [
            StampedMessage(channel.topic, schema.name if schema else '', m.log_time, m.data)
            for schema, channel, m in reader.iter_messages()
        ]
        assert found == sorted(MESSAGES, key=lambda message: message.stamp_ns)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == len(MESSAGES)
        span_ns = summary.statistics.message_start_time, summary.statistics.message_end_time
        assert span_ns == (MESSAGES[0].stamp_ns, MESSAGES[-1].stamp_ns)
        assert summary.statistics.chunk_count == len(summary.chunk_indexes) > 4
        names = {channel.id: channel.topic for channel in summary.channels.values()}
        counts = {names[k]: n for k, n in summary.statistics.channel_message_counts.items()}
        assert counts == {'/cam/image_raw': 6, '/note': 6, '/late': 1}
        assert {c.compression for c in summary.chunk_indexes} == {compression.replace('none', '')}
        late = reader.iter_messages(topics='/note', starting_at=MESSAGES[8].stamp_ns)
        assert [m.data for _, _, m in late] == [MESSAGES[i].data for i in (9, 11)]
        durability = {
            channel.topic: channel.metadata['offered_qos_profiles'].split('durability: ')[1][0]
            for channel in summary.channels.values()
        }
    assert durability == {'/cam/image_raw': '2', '/note': '2', '/late': '1'}


def test_every_record_lies_where_the_summary_says(tmp_path: Path) -> None:
    """By the offsets themselves: a reader may find its way without some of them."""
    path = make(tmp_path / 'bag.mcap')
    with path.open('rb') as stream:
        summary = make_reader(stream).get_summary()
        assert summary is not None
        for entry in summary.chunk_indexes:
            _check_chunk(stream, entry)
        stream.seek(0)
        kinds = [
            type(record).__name__ for record in StreamReader(stream, emit_chunks=True).records
        ]
    assert kinds[0] == 'Header'
    assert kinds[-1] == 'Footer'
    assert kinds.index('DataEnd') < kinds.index('ChunkIndex') < kinds.index('SummaryOffset')


def _check_chunk(stream: Any, entry: ChunkIndex) -> None:
    stream.seek(entry.chunk_start_offset)
    data = ReadDataStream(stream)
    assert (data.read1(), data.read8() + 9) == (6, entry.chunk_length)
    chunk = Chunk.read(data)
    assert len(chunk.data) == entry.compressed_size
    assert stream.tell() == min(entry.message_index_offsets.values())
    stamps: list[int] = []
    for key, offset in entry.message_index_offsets.items():
        stream.seek(offset)
        data = ReadDataStream(stream)
        assert data.read1() == 7
        data.read8()
        index = MessageIndex.read(data)
        assert index.channel_id == key
        stamps += [stamp_ns for stamp_ns, _ in index.records]
    assert (min(stamps), max(stamps)) == (entry.message_start_time, entry.message_end_time)
    assert stream.tell() - entry.chunk_start_offset - entry.chunk_length == (
        entry.message_index_length
    )


@pytest.mark.parametrize('name', ['bag.mcap', 'bag'])
def test_rosbags_and_our_reader_read_it(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    expected = sorted(MESSAGES, key=lambda message: message.stamp_ns)
    with AnyReader([path]) as reader:
        found = [(c.topic, c.msgtype, t, bytes(d)) for c, t, d in reader.messages()]
        latched = {c.topic: c.ext.offered_qos_profiles[0].depth for c in reader.connections}  # type: ignore[union-attr]
    assert found == [(m.topic, m.msgtype, m.stamp_ns, m.data) for m in expected]
    assert latched == {'/cam/image_raw': 10, '/note': 10, '/late': 1}
    with BagReader(path) as own:
        assert [(m.topic, m.stamp_ns, bytes(m.data)) for m in own.messages()] == [
            (m.topic, m.stamp_ns, m.data) for m in expected
        ]
        assert not own.notes


@pytest.mark.ros_install('rosbag2_py')
@pytest.mark.parametrize('name', ['bag.mcap', 'bag'])
def test_rosbag2_reads_it(tmp_path: Path, name: str) -> None:
    rosbag2: Any = import_module('rosbag2_py')
    reader = rosbag2.SequentialReader()
    reader.open(
        rosbag2.StorageOptions(uri=str(make(tmp_path / name)), storage_id='mcap'),
        rosbag2.ConverterOptions('', ''),
    )
    found = []
    while reader.has_next():
        topic, data, stamp_ns = reader.read_next()
        found.append((topic, stamp_ns, bytes(data)))
    assert found == sorted(((m.topic, m.stamp_ns, m.data) for m in MESSAGES), key=lambda m: m[1])
    assert {t.name: t.type for t in reader.get_all_topics_and_types()} == {
        m.topic: m.msgtype for m in MESSAGES
    }


def test_a_bag_without_messages_is_one(tmp_path: Path) -> None:
    for name in ('bag.mcap', 'bag'):
        with opened(tmp_path / name):
            pass
    with (tmp_path / 'bag.mcap').open('rb') as stream:
        summary = make_reader(stream).get_summary()
    assert summary is not None
    assert summary.statistics is not None
    assert summary.statistics.message_count == 0
    assert (tmp_path / 'bag' / 'metadata.yaml').is_file()


def test_the_bytes_depend_on_neither_name_nor_time(tmp_path: Path, whole: bytes) -> None:
    assert make(tmp_path / 'other.mcap').read_bytes() == whole
    assert (make(tmp_path / 'folder') / 'folder.mcap').read_bytes() == whole


# ---- who may go on


def test_other_settings_are_refused_by_name_with_both_values(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / 'bag.mcap'
    interrupt(path, 8)
    other = {'process_res': '252', 'window': '4'}
    with pytest.raises(SinkError) as caught:
        make(path, settings=other, compression='lz4')
    for piece in (
        'compression was zstd, is lz4',
        'input was a.mcap, is nothing',
        'process_res was 504, is 252',
        'window was nothing, is 4',
        'restart',
    ):
        assert piece in str(caught.value)
    assert 'chunk_bytes' not in str(caught.value)
    assert make(path).read_bytes() == whole


def test_restart_begins_anew_with_other_settings(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / 'bag.mcap'
    interrupt(path, 8)
    with opened(path, settings={}, restart=True) as bag:
        assert bag.committed is None
        assert bag.message_count == 0
        write_from(bag, 0)
    assert path.read_bytes() == whole


def test_one_process_at_a_time(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / 'bag.mcap'
    with opened(path) as bag:
        with pytest.raises(SinkError, match='another process is making it'):
            opened(path, restart=True)
        write_from(bag, 0)
    assert path.read_bytes() == whole


def test_without_a_commit_nothing_is_left(tmp_path: Path) -> None:
    interrupt(tmp_path / 'bag.mcap', EVERY - 1)
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_stay(tmp_path: Path, whole: bytes, caplog: Any) -> None:
    path = tmp_path / 'bag.mcap'
    part = interrupt(path, 8)
    (part / 'notes.txt').write_text('mine')
    (part / 'bag').mkdir()
    (part / 'bag' / 'more.txt').write_text('mine')
    assert make(path, restart=True).read_bytes() == whole
    assert sorted(str(f.relative_to(part)) for f in part.rglob('*.txt')) == [
        'bag/more.txt', 'notes.txt',
    ]  # fmt: skip
    assert 'notes.txt' in caplog.text
    # Without what is ours it is theirs.
    with pytest.raises(SinkError, match=r'is not of an interrupted run, it holds bag, notes\.txt'):
        make(path, overwrite=True)


@pytest.mark.parametrize('kind', ['file', 'link', 'dangling'])
def test_a_name_that_is_no_folder_is_refused(tmp_path: Path, kind: str) -> None:
    part = tmp_path / 'bag.mcap.part'
    (tmp_path / 'theirs').mkdir()
    if kind == 'file':
        part.write_text('mine')
    else:
        part.symlink_to(tmp_path / ('theirs' if kind == 'link' else 'nowhere'))
    with pytest.raises(SinkError, match='a file or a link'):
        make(tmp_path / 'bag.mcap')
    assert list((tmp_path / 'theirs').iterdir()) == []
    assert os.path.lexists(part)


def test_links_in_the_folder_are_not_written_through(tmp_path: Path) -> None:
    path = tmp_path / 'bag.mcap'
    part = interrupt(path, 8)
    theirs = tmp_path / 'theirs.mcap'
    theirs.write_text('mine')
    (part / 'bag.mcap').unlink()
    (part / 'bag.mcap').symlink_to(theirs)
    with pytest.raises(SinkError):
        make(path)
    assert theirs.read_text() == 'mine'


# ---- its place


def test_what_is_there_is_replaced_only_when_asked(tmp_path: Path, whole: bytes) -> None:
    for path in (tmp_path / 'bag.mcap', tmp_path / 'bag'):
        make(path)
        with pytest.raises(SinkError, match='exists already'):
            make(path)
        make(path, overwrite=True)
        assert (path if path.is_file() else path / 'bag.mcap').read_bytes() == whole
    (tmp_path / 'bag' / 'photo.jpg').touch()
    with pytest.raises(SinkError, match=r'photo\.jpg, which no new bag would replace'):
        make(tmp_path / 'bag', overwrite=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['bag', 'bag.mcap']


@pytest.mark.parametrize('name', ['bag.mcap', 'bag'])
def test_what_came_in_the_meantime_stays(tmp_path: Path, whole: bytes, name: str) -> None:
    path = tmp_path / name
    bag = opened(path)
    write_from(bag, 0)
    path.write_text('mine')
    with pytest.raises(SinkError, match='exists already'):
        bag.close()
    assert path.read_text() == 'mine'
    path.unlink()
    make(path)
    assert (path if path.is_file() else path / 'bag.mcap').read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_bag_that_is_done_lets_the_next_one_be(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / 'bag.mcap'
    done = opened(path)
    write_from(done, 0)
    done.close()
    with opened(path, overwrite=True) as bag:
        done.abandon()
        write_from(bag, 0)
    assert path.read_bytes() == whole


@pytest.mark.parametrize('name', ['in', 'in/in.mcap', 'in/out.mcap', 'link.mcap', 'in/..'])
def test_a_bag_that_is_read_is_never_written(tmp_path: Path, name: str) -> None:
    given = make(tmp_path / 'in')
    os.link(given / 'in.mcap', tmp_path / 'link.mcap')
    before = sorted((f, f.read_bytes()) for f in tmp_path.rglob('*') if f.is_file())
    # Beside a file that is read there may be others, and of a folder another file is no part.
    cases = {'link.mcap': [[given / 'in.mcap']], 'in/out.mcap': [[given]]}
    for inputs in cases.get(name, [[given], [given / 'in.mcap']]):
        with pytest.raises(SinkError, match=r'outside of what is read|expected the name'):
            opened(tmp_path / name, overwrite=True, inputs=inputs)
    assert sorted((f, f.read_bytes()) for f in tmp_path.rglob('*') if f.is_file()) == before


def test_sqlite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match='holds sqlite3, not mcap'):
        opened(tmp_path / 'bag.db3')
