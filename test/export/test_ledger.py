"""The record of a folder's files: it proves what is ours, and leads nowhere else."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from da3_ros.errors import ExportError
from da3_ros.export.files import staged
from da3_ros.export.ledger import LEDGER, Ledger, read_ledger, remove_own, write_ledger
from da3_ros.export.staging import (
    MARKER,
    STAGING_PREFIX,
    remove_abandoned,
    remove_staging,
    staging_folder,
)


def write(folder: Path, *names: str, text: str = 'ours') -> None:
    with staged(folder, names, overwrite=True) as staging:
        for name in names:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / 'results'
    folder.mkdir()
    write_ledger(Ledger(folder, {}))
    return folder


def test_a_file_is_ours_until_somebody_touches_it(folder: Path) -> None:
    names = ('plain', 'longer', 'later', 'linked', 'deep/moved', 'gone')
    write(folder, *names)
    assert read_ledger(folder).own() == tuple(sorted(names))
    (folder / 'longer').write_text('ours, and mine')
    os.utime(folder / 'later', ns=(1, 1))
    (folder / 'linked').rename(folder / 'target')
    (folder / 'linked').symlink_to('target')
    (folder / 'deep').rename(folder / 'elsewhere')
    (folder / 'deep').symlink_to('elsewhere')
    (folder / 'gone').unlink()
    assert read_ledger(folder).own() == ('plain',)
    remove_own(read_ledger(folder), names)
    assert sorted(path.name for path in folder.iterdir()) == [
        LEDGER, 'deep', 'elsewhere', 'later', 'linked', 'longer', 'target',
    ]  # fmt: skip


@pytest.mark.parametrize('name', ['../mine', '/etc/mine', 'a/../../mine', '', '.', 'a\x00b'])
def test_a_record_that_leads_outside_is_refused(folder: Path, name: str) -> None:
    state = (folder / LEDGER).stat()
    content = {'da3_ros': 1, 'files': {name: [[state.st_size, state.st_mtime_ns]]}}
    (folder / LEDGER).write_text(json.dumps(content))
    with pytest.raises(ExportError, match='expected the record of files'):
        read_ledger(folder)


@pytest.mark.parametrize('content', ['', '[]', '{"da3_ros": 2, "files": {}}', '[' * 100_000, '7'])
def test_a_file_of_somebody_else_is_no_record_and_stays(folder: Path, content: str) -> None:
    (folder / LEDGER).write_text(content)
    with pytest.raises(ExportError, match='move it away'):
        write(folder, 'a')
    assert (folder / LEDGER).read_text() == content
    assert [path.name for path in folder.iterdir()] == [LEDGER]


def test_a_link_and_a_pipe_are_no_records(folder: Path) -> None:
    (folder / LEDGER).rename(folder / 'real')
    (folder / LEDGER).symlink_to('real')
    with pytest.raises(ExportError):
        read_ledger(folder)
    (folder / LEDGER).unlink()
    os.mkfifo(folder / LEDGER)
    with pytest.raises(ExportError, match='no file of that kind'):
        read_ledger(folder)


def test_of_a_process_that_is_killed_between_two_moves_all_files_are_known(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last moment at which anything can be seen is that before the second move."""
    write(folder, 'a', 'b')
    replace = Path.replace
    seen: list[tuple[str, ...]] = []

    def look(self: Path, target: Path) -> Path:
        if target == folder / 'b':
            assert (folder / 'a').read_text() == 'new'
            assert (folder / 'b').read_text() == 'ours'
            seen.append(read_ledger(folder).own())
        return replace(self, target)

    monkeypatch.setattr(Path, 'replace', look)
    write(folder, 'a', 'b', text='new')
    assert seen == [('a', 'b')]
    assert all(len(pairs) == 1 for pairs in read_ledger(folder).entries.values())


def test_replacing_is_taken_back_where_there_are_no_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, 'a', 'b')

    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.EPERM, 'no hard links here')

    monkeypatch.setattr(os, 'link', refuse)
    with (
        pytest.raises(ExportError, match='cannot be written'),
        staged(folder, ['a', 'missing'], overwrite=True) as staging,
    ):
        (staging / 'a').write_text('new')
    assert (folder / 'a').read_text() == 'ours'
    assert read_ledger(folder).own() == ('a', 'b')
    assert {path.name for path in folder.iterdir()} == {LEDGER, 'a', 'b'}


def test_only_a_marked_folder_is_taken_for_abandoned(tmp_path: Path) -> None:
    with staging_folder(tmp_path) as living:
        text = (living / MARKER).read_text()
        assert remove_abandoned(tmp_path) == 0
    mine = tmp_path / f'{STAGING_PREFIX}stranger'
    (mine / 'sub').mkdir(parents=True)
    (mine / MARKER).write_text('something else')
    left = tmp_path / f'{STAGING_PREFIX}k1lled'
    (left / 'deep').mkdir(parents=True)
    (left / 'deep' / 'half.glb').touch()
    (left / MARKER).write_text(text)
    remove_staging(left, kept='deep')
    assert (left / 'deep' / 'half.glb').exists()
    assert remove_abandoned(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]
