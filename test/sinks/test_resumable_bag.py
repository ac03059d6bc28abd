"""Bags that are made in steps: whenever the process ends, the next one makes the same bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
import os
from pathlib import Path
import random
import resource
import shutil
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.reader import make_reader
from mcap.records import Chunk, ChunkIndex, MessageIndex
from mcap.stream_reader import StreamReader
import pytest
from rosbags.highlevel import AnyReader

from da3_ros.errors import SinkError
from da3_ros.options.choices import BagCompression
from da3_ros.sinks import resumable_bag
from da3_ros.sinks.resumable_bag import ResumableBag
from da3_ros.sources.bag import BagReader
from helpers.allocations import most_memory
from helpers.raw_messages import StampedMessage, mixed_messages, text

SETTINGS = {'process_res': '504', 'input': 'a.mcap'}
MESSAGES = [*mixed_messages(6), text('/late', 1_700_000_002_000_000_000, 'x' * 3000)]
EVERY = 5
"""Messages from commit to commit."""
LINK = os.link


def opened(path: Path, **changes: Any) -> ResumableBag:
    chosen: dict[str, Any] = {'restart': False, 'overwrite': False, 'chunk_bytes': 1000}
    settings = changes.pop('settings', SETTINGS)
    return ResumableBag(path, settings, **{**chosen, **changes})


def write_from(bag: ResumableBag, done: int, until: int = len(MESSAGES)) -> None:
    for number in range(done, until):
        message = MESSAGES[number]
        bag.add_topic(message.topic, message.msgtype, is_latched=message.topic == '/late')
        bag.write(message.topic, message.stamp_ns, message.data)
        if (number + 1) % EVERY == 0:
            bag.commit(str(number + 1).encode())


def make(path: Path, **changes: Any) -> Path:
    """Begin or go on, to the end."""
    with opened(path, **changes) as bag:
        write_from(bag, int(bag.committed or b'0'))
    return path


def interrupt(path: Path, at: int, **changes: Any) -> Path:
    """Make a part of a bag; return its folder."""
    with suppress(KeyboardInterrupt), opened(path, **changes) as bag:
        write_from(bag, 0, at)
        raise KeyboardInterrupt
    return path.with_name(f'{path.name}.part')


@pytest.fixture(autouse=True)
def no_wait_for_the_disk_fixture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between processes it does not matter, and a disk that others use takes seconds."""
    monkeypatch.setattr(os, 'fsync', lambda descriptor: None)


@pytest.fixture(scope='module', name='whole')
def whole_fixture(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make(tmp_path_factory.mktemp('whole') / 'bag.mcap').read_bytes()


# ---- what is in it


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


# ---- killed


class Moments:
    """Copies of a folder as a kill would leave it, at every change of the disk."""

    def __init__(self, folder: Path, copies: Path, patch: pytest.MonkeyPatch) -> None:
        self.copies: list[Path] = []
        self._folder, self._target = folder, copies
        self._state: list[tuple[Path, int, int]] | None = None
        copies.mkdir()
        take = self.take

        class SplitFile(FileIO):
            """Writes in two steps."""

            def write(self, content: Any) -> int:
                take()
                first = super().write(bytes(content[: len(content) // 2 + 1]))
                take()
                return first

            def truncate(self, size: int | None = None) -> int:
                take()
                return super().truncate(size)

        patch.setattr(resumable_bag, 'FileIO', SplitFile)
        for owner, name in (
            (os, 'fsync'),
            (os, 'link'),
            *((Path, name) for name in ('rename', 'replace', 'unlink', 'rmdir', 'mkdir')),
        ):
            patch.setattr(owner, name, self._before(getattr(owner, name)))

    def take(self) -> None:
        state = [(f, f.lstat().st_size, f.lstat().st_mtime_ns) for f in self._folder.rglob('*')]
        if state == self._state:
            return
        self._state = state
        copy = self._target / str(len(self.copies))
        seen: dict[int, str] = {}

        def copied(source: str, target: str) -> None:
            # Names of one file stay names of one file.
            known = seen.setdefault(Path(source).stat().st_ino, target)
            if known == target:
                shutil.copyfile(source, target)
            else:
                LINK(known, target)

        shutil.copytree(self._folder, copy, copy_function=copied)
        self.copies.append(copy)

    def _before(self, change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **named: Any) -> Any:
            self.take()
            return change(*arguments, **named)

        return changed


def check_goes_on(path: Path, whole: bytes, *, is_over: bool = False) -> None:
    """Go on after a kill and compare; the bag may be there already."""
    file = path if path.suffix else path / f'{path.name}.mcap'
    if file.is_file() and file.read_bytes() == whole:
        with pytest.raises(SinkError, match='exists already'):
            make(path)
    else:
        is_committed = path.with_name(f'{path.name}.part').joinpath('checkpoint').is_file()
        with opened(path, overwrite=is_over) as bag:
            assert (bag.committed is not None) == is_committed
            write_from(bag, int(bag.committed or b'0'))
    assert file.read_bytes() == whole
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    if not path.suffix:
        assert sorted(entry.name for entry in path.iterdir()) == ['bag.mcap', 'metadata.yaml']
        assert f'message_count: {len(MESSAGES)}\n' in (path / 'metadata.yaml').read_text()


@pytest.mark.parametrize(
    ('name', 'is_over'), [('bag.mcap', False), ('bag', False), ('bag', True), ('bag.mcap', True)]
)
def test_killed_at_any_change_of_the_disk_it_goes_on_to_the_same_bytes(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch, name: str, is_over: bool
) -> None:
    folder = tmp_path / 'now'
    folder.mkdir()
    if is_over:
        with opened(folder / name) as bag:
            write_from(bag, 0, 2)
    with monkeypatch.context() as patch:
        moments = Moments(folder, tmp_path / 'killed', patch)
        make(folder / name, overwrite=is_over)
    assert len(moments.copies) > 40
    # What comes before the end is the same for all.
    is_first = name == 'bag.mcap' and not is_over
    for copy in moments.copies[0 if is_first else -16 :]:
        check_goes_on(copy / name, whole, is_over=is_over)


def test_messages_are_on_the_disk_before_the_checkpoint_counts_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut there is what was synchronised, of the rest anything or nothing."""
    events: list[str] = []
    replace = Path.replace

    def synced(descriptor: int) -> None:
        events.append(f'sync {Path(f"/proc/self/fd/{descriptor}").readlink().name}')

    def replaced(source: Path, target: Path) -> Path:
        events.append(f'{source.name} to {target.name}')
        return replace(source, target)

    bag = opened(tmp_path / 'bag.mcap')
    write_from(bag, 0, EVERY - 1)
    monkeypatch.setattr(os, 'fsync', synced)
    monkeypatch.setattr(Path, 'replace', replaced)
    bag.commit(b'')
    bag.abandon()
    assert events == [
        'sync bag.mcap', 'sync checkpoint.next', 'checkpoint.next to checkpoint',
        'sync bag.mcap.part',
    ]  # fmt: skip


def test_killed_while_it_goes_on_it_goes_on_again(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'now'
    folder.mkdir()
    interrupt(folder / 'bag.mcap', 8)
    with monkeypatch.context() as patch:
        moments = Moments(folder, tmp_path / 'killed', patch)
        make(folder / 'bag.mcap')
    for copy in moments.copies[::3]:
        check_goes_on(copy / 'bag.mcap', whole)


def test_whatever_stands_behind_the_last_commit_counts_for_nothing(
    tmp_path: Path, whole: bytes
) -> None:
    """Files may end anywhere after a power cut, with anything in them."""
    part = interrupt(tmp_path / 'bag.mcap', 9)
    written = (part / 'bag.mcap').read_bytes()
    opened(tmp_path / 'bag.mcap').abandon()
    committed, chance = (part / 'bag.mcap').stat().st_size, random.Random(3)
    assert 0 < committed < len(written)
    for number in range(6):
        copy = tmp_path / str(number)
        shutil.copytree(part, copy / 'bag.mcap.part')
        rest = chance.randbytes(number) + written[committed : chance.randint(committed, 10**6)]
        (copy / 'bag.mcap.part' / 'bag.mcap').write_bytes(written[:committed] + rest)
        assert make(copy / 'bag.mcap').read_bytes() == whole


def test_what_is_damaged_before_the_last_commit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / 'bag.mcap'
    part = interrupt(path, 8)
    file, checkpoint = part / 'bag.mcap', part / 'checkpoint'
    good = {item: item.read_bytes() for item in (file, checkpoint)}
    for item, content, reason in (
        (file, good[file][:1000], 'has 1000 bytes, [0-9]+ are committed'),
        (file, b'x' + good[file][1:], 'damaged .the file does not begin as MCAP does'),
        (file, good[file][:8] + bytes(len(good[file]) - 8), 'damaged'),
        (file, good[file][:9] + b'\xff' * 8 + good[file][17:], 'damaged'),
        (checkpoint, good[checkpoint][:-1], 'checkpoint .* is damaged'),
        (checkpoint, b'', 'checkpoint .* is damaged'),
    ):
        item.write_bytes(content)
        with pytest.raises(SinkError, match=f'(?s)cannot go on from .*{reason}.*begin anew'):
            make(path)
        item.write_bytes(good[item])
    assert make(path, restart=True)


def write_many(bag: ResumableBag, count: int) -> None:
    for number in range(count):
        bag.write('/note', number, bytes(50))


def test_memory_for_the_index_is_a_hundred_bytes_a_chunk(tmp_path: Path) -> None:
    with opened(tmp_path / 'bag.mcap', chunk_bytes=1) as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        before = most_memory(lambda: None)
        grown = most_memory(lambda: write_many(bag, 2000))
    # Twice the bytes where the array that holds them has just grown.
    assert grown - before < 2 * 2000 * 100


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


# ---- a full disk


@contextmanager
def no_file_beyond(limit: int) -> Iterator[None]:
    """Let the system refuse to write more than some bytes to any file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_of_a_full_disk_the_same_run_goes_on_when_there_is_room(
    tmp_path: Path, whole: bytes
) -> None:
    path = tmp_path / 'bag.mcap'
    for limit in range(700, len(whole), 1500):
        with no_file_beyond(limit), pytest.raises(SinkError, match='cannot be written') as caught:
            make(path)
        is_kept = (tmp_path / 'bag.mcap.part').exists()
        assert is_kept == ('the same run goes on' in str(caught.value))
    assert is_kept
    assert make(path).read_bytes() == whole
    assert [entry.name for entry in tmp_path.iterdir()] == ['bag.mcap']


def test_an_error_of_the_disk_ends_the_bag(tmp_path: Path) -> None:
    bag = opened(tmp_path / 'bag.mcap')
    with no_file_beyond(700), pytest.raises(SinkError, match='File too large'):
        write_from(bag, 0)
    for call in (bag.close, lambda: bag.commit(b''), lambda: write_from(bag, 0, 1)):
        with pytest.raises(SinkError, match='an error ended it'):
            call()


def test_messages_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path / 'bag.mcap') as bag:
        bag.add_topic('/note', 'std_msgs/msg/String')
        bag.add_topic('/note', 'std_msgs/msg/String')
        with pytest.raises(SinkError, match='has type std_msgs/msg/String, got std_msgs/msg/Byte'):
            bag.add_topic('/note', 'std_msgs/msg/Byte')
        with pytest.raises(SinkError, match='was not added'):
            bag.write('/else', 0, b'')
        with pytest.raises(SinkError, match='expected a stamp >= 0, got -1'):
            bag.write('/note', -1, b'')
        with pytest.raises(SinkError, match='no definition found'):
            bag.add_topic('/odd', 'nobody_msgs/msg/Odd')
