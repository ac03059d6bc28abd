"""Bags that are cut or damaged are read as far as their bytes go, and what is missing is said."""

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
import random
import sqlite3
import struct

from mcap.writer import CompressionType
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from da3_ros.errors import Da3Error, SourceError
from da3_ros.notes import Note, joined
from da3_ros.sources.bag import BagReader
from helpers.odd_bags import write_mcap, write_rosbag2
from helpers.raw_messages import START_NS, StampedMessage, image, mixed_messages, text, write_bag

Make = Callable[[Path, Sequence[StampedMessage]], Path]


def read(path: Path) -> tuple[list[StampedMessage], tuple[Note, ...]]:
    with BagReader(path) as bag:
        messages = [StampedMessage(m.topic, m.msgtype, m.stamp_ns, m.data) for m in bag.messages()]
        return messages, bag.notes


def ours(path: Path, messages: Sequence[StampedMessage]) -> Path:
    return write_bag(path / 'bag.mcap', messages)


def ours_sqlite(path: Path, messages: Sequence[StampedMessage]) -> Path:
    return write_bag(path / 'bag.db3', messages)


def of_rosbags(storage: StoragePlugin) -> Make:
    def make(path: Path, messages: Sequence[StampedMessage]) -> Path:
        folder = write_rosbag2(path / 'made', messages, storage)
        return next(file for file in folder.iterdir() if file.suffix != '.yaml')

    return make


def of_mcap(compression: CompressionType, **how: bool) -> Make:
    return lambda path, messages: write_mcap(path / 'a.mcap', messages, compression, **how)


MCAPS: dict[str, Make] = {
    'ours': ours,
    'rosbags': of_rosbags(StoragePlugin.MCAP),
    'plain': of_mcap(CompressionType.NONE),
    'zstd': of_mcap(CompressionType.ZSTD),
    'lz4': of_mcap(CompressionType.LZ4),
    'no index': of_mcap(CompressionType.ZSTD, has_index=False),
    'no chunks': of_mcap(CompressionType.NONE, is_chunked=False),
    'neither': of_mcap(CompressionType.NONE, is_chunked=False, has_index=False),
}
SQLITES: dict[str, Make] = {'ours': ours_sqlite, 'rosbags': of_rosbags(StoragePlugin.SQLITE3)}
EVERY = {f'mcap {k}': v for k, v in MCAPS.items()} | {f'db3 {k}': v for k, v in SQLITES.items()}


def sample() -> list[StampedMessage]:
    """Return images that compress, texts, and images of noise that spread over many pages."""
    rng = np.random.default_rng(3)
    large = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    messages = mixed_messages(40, 50_000_000)
    messages += [image('/large', START_NS + 2000 + i * 300_000_000, large) for i in range(6)]
    return sorted(messages, key=lambda message: message.stamp_ns)


def read_or_error(path: Path) -> tuple[list[StampedMessage], str]:
    """Return messages and what is said of the bag; no message where it is refused."""
    try:
        messages, notes = read(path)
    except SourceError as error:
        return [], str(error)
    return messages, joined(note for note in notes if note.code == 'bag_damaged')


def whole_before(data: bytes, messages: Sequence[StampedMessage], cut: int) -> int:
    """Return how many messages lie in whole chunks, or as whole records, before a cut.

    By the lengths of the records and the times of the chunks alone (MCAP specification).
    """
    at, count = 8, 0
    while at + 9 <= cut:
        opcode, length = struct.unpack_from('<BQ', data, at)
        if opcode == 2 or at + 9 + length > cut:
            break
        if opcode == 5:
            count += 1
        if opcode == 6:
            first, last = struct.unpack_from('<QQ', data, at + 9)
            count += sum(first <= m.stamp_ns <= last for m in messages)
        at += 9 + length
    return count


@pytest.mark.parametrize('kind', list(EVERY))
def test_whole_bags_have_nothing_to_say(tmp_path: Path, kind: str) -> None:
    messages = sample()
    assert read(EVERY[kind](tmp_path, messages)) == (messages, ())


@pytest.mark.parametrize('kind', list(MCAPS))
def test_an_mcap_file_that_is_cut_is_read_up_to_the_cut(tmp_path: Path, kind: str) -> None:
    messages = sample()
    path = MCAPS[kind](tmp_path, messages)
    whole = path.read_bytes()
    rng = random.Random(kind)
    for cut in [*sorted(rng.sample(range(len(whole)), 40)), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        found, said = read_or_error(path)
        assert found == messages[: len(found)], cut
        assert len(found) >= whole_before(whole, messages, cut), f'{cut}: {said}'
        assert path.name in said, cut


def test_of_a_chunk_that_is_cut_the_messages_before_the_cut_are_read(tmp_path: Path) -> None:
    """One chunk holds all; a compressed one unpacks block by block."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    messages = [image('/large', START_NS + i, pixels) for i in range(12)]
    for compression in CompressionType:
        path = tmp_path / f'{compression.name}.mcap'
        write_mcap(path, messages, compression)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        found, notes = read(path)
        assert found == messages[: len(found)]
        assert 4 <= len(found) <= 6
        assert 'bytes' in joined(notes)


@pytest.mark.parametrize('kind', list(SQLITES))
def test_an_sqlite_file_that_is_cut_is_read_up_to_the_cut(tmp_path: Path, kind: str) -> None:
    messages = sample()
    path = SQLITES[kind](tmp_path, messages)
    whole = path.read_bytes()
    # A message lies where its bytes lie: the last page that a part of it is found in.
    page = 4096
    ends = [max(whole.find(part) for part in parts(m, page)) + page for m in messages]
    for cut in [*sorted(random.Random(kind).sample(range(len(whole)), 40)), len(whole) - 1]:
        path.write_bytes(whole[:cut])
        before = [m for m, end in zip(messages, ends, strict=True) if end <= cut]
        found, said = read_or_error(path)
        remaining = iter(messages)
        assert all(message in remaining for message in found), cut
        missing = [m for m in before if m not in found]
        assert not missing, f'{cut}: {len(missing)} of {len(before)}: {said}'
        assert path.name in said, cut


def parts(message: StampedMessage, page: int) -> list[bytes]:
    """Return pieces of a message that lie on one page each, whatever its layout."""
    step = page // 4
    return [
        message.data[-64:],
        *(message.data[i : i + 64] for i in range(0, len(message.data), step)),
    ]


@pytest.mark.parametrize('kind', list(EVERY))
def test_flipped_bytes_give_messages_in_order_or_an_error_of_ours(
    tmp_path: Path, kind: str
) -> None:
    messages = sample()
    path = EVERY[kind](tmp_path, messages)
    whole = path.read_bytes()
    rng = random.Random(kind)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 1, 8))):
            damaged[rng.randrange(len(whole))] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        with suppress(Da3Error):
            found, _ = read(path)
            stamps = [m.stamp_ns for m in found]
            assert stamps == sorted(stamps)


@pytest.mark.parametrize('kind', ['plain', 'zstd', 'lz4'])
def test_a_damaged_chunk_in_the_middle_is_skipped_and_counted(tmp_path: Path, kind: str) -> None:
    """The mcap library writes checksums: no message of a chunk that has changed is passed on."""
    messages = sample()
    path = MCAPS[kind](tmp_path, messages)
    whole = bytearray(path.read_bytes())
    offsets = chunk_offsets(bytes(whole))
    middle = offsets[len(offsets) // 2]
    whole[middle + 300] ^= 0x55
    path.write_bytes(whole)
    found, notes = read(path)
    lost = [m for m in messages if m not in found]
    assert found == [m for m in messages if m not in lost]
    assert 0 < len(lost) < 20
    (counted,) = [n.numbers['skipped_messages'] for n in notes if 'skipped_messages' in n.numbers]
    assert counted == len(lost)


def chunk_offsets(data: bytes) -> list[int]:
    at, found = 8, []
    while at + 9 <= len(data):
        opcode, length = struct.unpack_from('<BQ', data, at)
        if opcode == 6:
            found.append(at)
        if opcode == 2:
            break
        at += 9 + length
    return found


def test_a_record_of_which_the_length_is_damaged_costs_itself_and_one_beside(
    tmp_path: Path,
) -> None:
    """The one before, where its end cannot be confirmed by what follows."""
    messages = sample()
    path = MCAPS['neither'](tmp_path, messages)
    whole = path.read_bytes()
    number = 20
    at = whole.index(messages[number].data) - 22 - 8
    for value in (0, 30, 10**6, 2**63):
        path.write_bytes(whole[:at] + struct.pack('<Q', value) + whole[at + 8 :])
        found, notes = read(path)
        lost = [m for m in messages if m not in found]
        assert found == [m for m in messages if m not in lost], value
        assert messages[number] in lost
        assert len(lost) <= 2, value
        assert 'bytes that cannot be read' in joined(notes)


@pytest.mark.parametrize('kind', list(EVERY))
def test_a_tail_of_zeros_is_said_and_costs_nothing_before_it(tmp_path: Path, kind: str) -> None:
    messages = sample()
    path = EVERY[kind](tmp_path, messages)
    whole = path.read_bytes()
    half = len(whole) // 2 // 4096 * 4096
    for start in range(half, half + 6 * 4096, 4096):
        path.write_bytes(whole[:start] + bytes(len(whole) - start))
        found, notes = read(path)
        remaining = iter(messages)
        assert all(message in remaining for message in found), start
        assert len(found) > len(messages) // 4
        assert 'zero' in joined(notes)


def test_a_chunk_that_declares_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = write_mcap(tmp_path / 'a.mcap', sample(), CompressionType.ZSTD)
    whole = bytearray(path.read_bytes())
    (first, *_) = chunk_offsets(bytes(whole))
    whole[first + 9 + 16 : first + 9 + 24] = struct.pack('<Q', 1 << 40)
    path.write_bytes(whole)
    found, notes = read(path)
    assert 0 < len(found) < len(sample())
    assert str(1 << 40) in joined(notes)


def test_messages_at_the_same_time_keep_their_order(tmp_path: Path) -> None:
    messages = [text('/note', START_NS + i // 5, f'number {i}') for i in range(200)]
    for name, make in EVERY.items():
        folder = tmp_path / name.replace(' ', '_')
        folder.mkdir()
        assert read(make(folder, messages))[0] == messages, name


def test_a_summary_that_counts_no_message_is_not_believed(tmp_path: Path) -> None:
    """MCAP, Statistics: the first 8 bytes of opcode 0x0B are the number of messages."""
    messages = sample()
    path = write_mcap(tmp_path / 'a.mcap', messages, CompressionType.NONE, is_chunked=False)
    data = bytearray(path.read_bytes())
    at = data.rindex(len(messages).to_bytes(8, 'little'))
    assert data[at - 9] == 0x0B
    data[at : at + 8] = bytes(8)
    data[-12:-8] = bytes(4)
    path.write_bytes(data)
    assert len(read(path)[0]) == len(messages)


def test_ids_that_are_no_numbers_are_no_lost_rows(tmp_path: Path) -> None:
    path = tmp_path / 'a.db3'
    with closing(sqlite3.connect(path)) as data:
        data.execute('create table topics(id, name, type, serialization_format)')
        data.execute('create table messages(id, topic_id, timestamp, data)')
        data.execute("insert into messages values (null, 1, 1, x'00'), (null, 1, 2, x'00')")
        data.execute("insert into messages values (1, 1, 2, x'00')")
        data.commit()
    _, said = read_or_error(path)
    assert 'rows are gone' not in said
