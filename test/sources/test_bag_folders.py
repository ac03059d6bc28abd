"""Bags of recorders that were killed: without metadata, with splits missing, packed or cut."""

from dataclasses import replace
import os
from pathlib import Path
import shutil
import sqlite3
import subprocess
import sys

import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin
import yaml
import zstandard

from da3_ros.errors import SourceError
from da3_ros.notes import joined
from da3_ros.sources.bag import BagReader
from helpers.odd_bags import write_mcap, write_rosbag2
from helpers.raw_messages import START_NS, StampedMessage, mixed_messages, text, write_bag

STORAGES = {'mcap': StoragePlugin.MCAP, 'db3': StoragePlugin.SQLITE3}
MODES = [None, CompressionMode.MESSAGE, CompressionMode.FILE]


def read(path: Path) -> tuple[list[StampedMessage], str]:
    with BagReader(path) as bag:
        messages = [StampedMessage(m.topic, m.msgtype, m.stamp_ns, m.data) for m in bag.messages()]
        return messages, joined(bag.notes)


def split_bag(folder: Path, storage: str, count: int = 12) -> list[StampedMessage]:
    """Make a bag of splits `drive_0` to `drive_N` with its metadata; return its messages."""
    messages = mixed_messages(count * 2)
    folder.mkdir()
    length = len(messages) // count
    names = []
    for number in range(count):
        part = messages[number * length : (number + 1) * length]
        made = write_rosbag2(folder.parent / f'drive_{number}', part, STORAGES[storage])
        names.append(f'drive_{number}.{storage}')
        shutil.move(made / names[-1], folder / names[-1])
        metadata = yaml.safe_load((made / 'metadata.yaml').read_text())
        shutil.rmtree(made)
    information = metadata['rosbag2_bagfile_information']
    information['relative_file_paths'] = names
    information['message_count'] = len(messages)
    (folder / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    return messages


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {f.name: (f.read_bytes(), f.stat().st_mtime_ns) for f in folder.iterdir()}


def test_packed_messages_need_not_say_their_size(tmp_path: Path) -> None:
    """A compressor that is fed in pieces does not know it (RFC 8878, 3.1.1.1)."""
    messages = mixed_messages(4)
    packer = zstandard.ZstdCompressor(write_content_size=False)
    packed = [replace(m, data=packer.compress(m.data)) for m in messages]
    assert read(write_mcap(tmp_path / 'a.mcap', packed)) == (messages, '')


@pytest.mark.parametrize('storage', list(STORAGES))
@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('has_metadata', [True, False])
@pytest.mark.parametrize('bare', [True, False])
def test_packed_bags_are_unpacked_with_and_without_metadata(
    tmp_path: Path, storage: str, mode: CompressionMode | None, has_metadata: bool, bare: bool
) -> None:
    messages = mixed_messages()
    folder = write_rosbag2(tmp_path / 'bag', messages, STORAGES[storage], mode)
    if not has_metadata:
        (folder / 'metadata.yaml').unlink()
    file = next(f for f in folder.iterdir() if f.suffix != '.yaml')
    before = state(folder)
    found, said = read(file if bare else folder)
    assert found == messages
    assert ('metadata.yaml is missing' in said) == (not has_metadata and not bare)
    assert state(folder) == before


@pytest.mark.parametrize('storage', list(STORAGES))
def test_splits_without_metadata_are_read_in_order_of_their_numbers(
    tmp_path: Path, storage: str
) -> None:
    messages = split_bag(tmp_path / 'bag', storage)
    assert read(tmp_path / 'bag') == (messages, '')
    (tmp_path / 'bag' / 'metadata.yaml').unlink()
    found, said = read(tmp_path / 'bag')
    assert found == messages
    assert said.index('drive_2.') < said.index('drive_10.')


@pytest.mark.parametrize(
    'content', ['', 'rosbag2_bagfile_information:\n  version: 9\n', 'a: [', '- 1']
)
def test_metadata_that_is_cut_counts_as_missing(tmp_path: Path, content: str) -> None:
    messages = split_bag(tmp_path / 'bag', 'mcap', 3)
    (tmp_path / 'bag' / 'metadata.yaml').write_text(content)
    found, said = read(tmp_path / 'bag')
    assert found == messages
    assert 'metadata.yaml is damaged' in said


@pytest.mark.parametrize('storage', list(STORAGES))
@pytest.mark.parametrize('share', [0.0, 0.6])
@pytest.mark.parametrize('has_metadata', [True, False])
def test_a_last_split_that_is_cut_costs_nothing_of_the_others(
    tmp_path: Path, storage: str, share: float, has_metadata: bool
) -> None:
    folder = tmp_path / 'bag'
    messages = split_bag(folder, storage)
    if not has_metadata:
        (folder / 'metadata.yaml').unlink()
    last = folder / f'drive_11.{storage}'
    os.truncate(last, int(share * last.stat().st_size))
    before = state(folder)
    found, said = read(folder)
    others = [*messages[: 4 * 11]]
    assert found[: len(others)] == others
    assert last.name in said
    is_short = len(found) < len(messages)
    assert ('promises 48 messages' in said) == (has_metadata and is_short)
    assert state(folder) == before


def test_a_split_that_is_missing_and_one_that_is_not_listed_are_said(tmp_path: Path) -> None:
    folder = tmp_path / 'bag'
    messages = split_bag(folder, 'mcap', 4)
    (folder / 'drive_1.mcap').unlink()
    (folder / 'drive_3.mcap').rename(folder / 'drive_4.mcap')
    found, said = read(folder)
    assert found == messages[:4] + messages[8:]
    assert 'files are missing: drive_1.mcap, drive_3.mcap' in said
    assert 'does not list drive_4.mcap' in said


def test_splits_that_overlap_in_time_are_merged(tmp_path: Path) -> None:
    messages = mixed_messages(20)
    (tmp_path / 'bag').mkdir()
    write_mcap(tmp_path / 'bag' / 'a_0.mcap', messages[::2])
    write_mcap(tmp_path / 'bag' / 'a_1.mcap', messages[1::2])
    assert read(tmp_path / 'bag')[0] == messages
    same = [text('/note', START_NS, f'number {i}') for i in range(6)]
    write_mcap(tmp_path / 'bag' / 'a_0.mcap', same[:3])
    write_mcap(tmp_path / 'bag' / 'a_1.mcap', same[3:])
    assert read(tmp_path / 'bag')[0] == same


def test_several_bags_in_one_folder_are_not_mixed(tmp_path: Path) -> None:
    for name in ('one.mcap', 'two.mcap'):
        write_bag(tmp_path / name, mixed_messages(1))
    with pytest.raises(SourceError, match=r'one\.mcap, two\.mcap: name one of them'):
        read(tmp_path)


def test_a_packed_file_that_is_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    messages = mixed_messages(3000)
    plain = write_mcap(tmp_path / 'a.mcap', messages)
    packed = zstandard.ZstdCompressor().compress(plain.read_bytes())
    path = tmp_path / 'b.mcap.zstd'
    path.write_bytes(packed[: len(packed) // 2])
    found, said = read(path)
    assert found == messages[: len(found)]
    assert len(found) > 1000
    assert 'b.mcap' in said


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    folder = write_rosbag2(
        tmp_path / 'bag', mixed_messages(2), STORAGES['db3'], CompressionMode.MESSAGE
    )
    metadata = folder / 'metadata.yaml'
    metadata.write_text(
        metadata.read_text().replace('compression_format: zstd', 'compression_format: fake')
    )
    with pytest.raises(SourceError, match=r"zstd, its metadata\.yaml says 'fake'"):
        read(folder)


@pytest.mark.parametrize('packed', [b'\x04\x22\x4d\x18 of lz4', b'\x28\xb5\x2f\xfd cut', b''])
def test_what_is_no_message_is_never_passed_on(tmp_path: Path, packed: bytes) -> None:
    messages = mixed_messages(3)
    odd = StampedMessage('/note', 'std_msgs/msg/String', START_NS + 1, packed)
    path = write_mcap(tmp_path / 'a.mcap', sorted([*messages, odd], key=lambda m: m.stamp_ns))
    found, said = read(path)
    assert found == messages
    assert '1 message is skipped' in said


def test_names_that_are_none_leave_their_topic_out(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag.db3', mixed_messages(2))
    with sqlite3.connect(path) as data:
        data.execute('pragma writable_schema = on')
        schema = "replace(sql, 'TEXT NOT NULL', 'TEXT')"
        data.execute(f"update sqlite_master set sql = {schema} where name = 'topics'")
    data.close()
    odd = [
        (7, None, None, None, None, None),
        (8, b'/caf\xe9', 'std_msgs/msg/String', 'cdr', '', ''),
        (9, '/other', 'a type', 'cdr', '', ''),
        (10, '/json', 'std_msgs/msg/String', 'json', '', ''),
        (11, 'with space', 'std_msgs/msg/String', 'cdr', '', ''),
        (12, 7, 8, 9, 10, 11),
    ]
    with sqlite3.connect(path) as data:
        for row in odd:
            data.execute('insert into topics values (?, ?, ?, ?, ?, ?)', row)
            data.execute('insert into messages values (null, ?, ?, ?)', (row[0], 5, b'\0\1\0\0'))
        data.execute('insert into messages values (null, 99, 5, ?)', (b'\0\1\0\0',))
    data.close()
    found, said = read(path)
    assert found == mixed_messages(2)
    assert said.count('a topic is left out') == len(odd)
    assert 'their topic is not declared' in said


def test_rows_without_time_or_data_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / 'bag.db3'
    write_bag(path, mixed_messages(2))
    with sqlite3.connect(path) as data:
        for row in (
            (1, -5, b'\0\1\0\0'),
            (1, 'noon', b'\0\1\0\0'),
            (1, 5, 'text'),
            (1, 1 << 62, b''),
        ):
            data.execute('insert into messages values (null, ?, ?, ?)', row)
    data.close()
    found, said = read(path)
    assert found == mixed_messages(2)
    assert '4 messages are skipped' in said


# What a killed recorder leaves beside an SQLite file.

WRITER = """
import os, sqlite3, sys
data = sqlite3.connect(sys.argv[1], isolation_level=None)
data.execute(f'pragma journal_mode = {sys.argv[2]}')
data.execute('pragma cache_size = 5')
copy = 'select topic_id, timestamp, data from messages order by id'
rows = list(data.execute(copy))
data.execute('delete from messages')
half = len(rows) // 2
write = 'insert into messages (topic_id, timestamp, data) values (?, ?, ?)'
data.execute('begin')
data.executemany(write, rows[:half])
data.execute('commit')
data.execute('begin')
data.executemany(write, rows[half:])
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize(('mode', 'beside'), [('wal', '-wal'), ('delete', '-journal')])
def test_what_lies_beside_a_killed_sqlite_file_is_worked_in_in_a_copy(
    tmp_path: Path, mode: str, beside: str
) -> None:
    """Committed messages are there, those of the open transaction are not."""
    messages = mixed_messages(200)
    folder = tmp_path / 'bag'
    folder.mkdir()
    path = write_bag(folder / 'bag.db3', messages)
    subprocess.run([sys.executable, '-c', WRITER, path, mode], check=False)
    assert Path(f'{path}{beside}').stat().st_size > 0
    before = state(folder)
    found, said = read(path)
    assert found == messages[:200]
    assert f'bag.db3{beside}' in said
    assert state(folder) == before


def test_a_folder_with_what_a_recorder_left_names_it(tmp_path: Path) -> None:
    left = tmp_path / 'out.mcap.unfinished.abc' / 'out'
    left.mkdir(parents=True)
    write_mcap(left / 'out.mcap', mixed_messages(2))
    with pytest.raises(SourceError, match=r'unfinished\.abc/out is what a recorder left'):
        read(tmp_path / 'out.mcap')
    assert read(left)[0] == mixed_messages(2)
