"""Whenever the process ends, the next one makes the same bag."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
import os
from pathlib import Path
import random
import resource
import shutil
from typing import Any

import pytest

from da3_ros.errors import SinkError
from da3_ros.sinks import resumable_bag
from da3_ros.sinks.resumable_bag import ResumableBag
from helpers.allocations import most_memory
from helpers.stepwise_bag import EVERY, MESSAGES, interrupt, make, opened, write_from

pytestmark = pytest.mark.usefixtures('idle_disk')
LINK = os.link


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
        (file, b'x' + good[file][1:], 'damaged'),
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


def test_a_bit_that_changed_anywhere_is_noticed(tmp_path: Path, whole: bytes) -> None:
    """In the messages, in the checkpoint, or behind the last commit, where it does not count."""
    path = tmp_path / 'bag.mcap'
    part, chance, outcomes = interrupt(path, 8), random.Random(5), set()
    kept = tmp_path / 'kept'
    shutil.copytree(part, kept)
    for name in ('bag.mcap', 'checkpoint'):
        good = (kept / name).read_bytes()
        for at in chance.sample(range(len(good)), 40):
            bad = bytearray(good)
            bad[at] ^= 1 << chance.randrange(8)
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(kept, part)
            (part / name).write_bytes(bad)
            try:
                make(path)
            except SinkError as error:
                outcomes.add('refused' if 'damaged' in str(error) else str(error))
            else:
                assert path.read_bytes() == whole, (name, at)
                path.unlink()
    assert outcomes == {'refused'}


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
