"""Several exports into one folder at the same time, in one process and in many."""

from __future__ import annotations

from collections.abc import Callable
import errno
import os
from pathlib import Path
import subprocess
import sys
import textwrap

import pytest

from da3_ros.errors import ExportError
from da3_ros.export.files import export_folder, resolve_inside, staged

ROOT = Path(__file__).resolve().parents[2]
NAMES = [f'{number}.txt' for number in range(20)]
WRITERS = 6
# Stages, waits until all have staged, and moves; says whether it won.
WRITER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from da3_ros.errors import ExportError
    from da3_ros.export.files import export_folder, staged

    base, path, own, overwrite, *names = sys.argv[1:]
    try:
        with (
            export_folder(Path(base), path) as folder,
            staged(folder, names, overwrite=overwrite == 'True') as staging,
        ):
            for name in names:
                (staging / name).write_text(own)
            print('staged', flush=True)
            sys.stdin.readline()
        print(f'won {folder.name}')
    except ExportError as error:
        print(f'refused {error}')
""")


def write(
    folder: Path, names: str, text: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    with staged(folder, list(names), overwrite=False) as staging:
        for name in names:
            (staging / name).write_text(text)
        meanwhile()


def write_together(base: Path, path: str, *, overwrite: bool) -> list[str]:
    """Let several processes write the same names at once; return what each says of it."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    writers = [
        subprocess.Popen(
            [sys.executable, '-c', WRITER, base, path, str(own), str(overwrite), *NAMES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for own in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == 'staged\n'
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write('\n')
        writer.stdin.flush()
    return [writer.communicate(timeout=60)[0].strip() for writer in writers]


@pytest.mark.parametrize('overwrite', [False, True])
def test_of_many_processes_one_has_all_files_of_a_path(tmp_path: Path, overwrite: bool) -> None:
    said = write_together(tmp_path, 'scene', overwrite=overwrite)
    content = {(tmp_path / 'scene' / name).read_text() for name in NAMES}
    assert len(content) == 1, 'a mixture'
    assert sorted(p.name for p in (tmp_path / 'scene').iterdir()) == sorted(NAMES)
    winners = [number for number, line in enumerate(said) if line == 'won scene']
    if overwrite:
        assert winners == list(range(WRITERS))
    else:
        assert [str(number) for number in winners] == list(content)
        assert sum('already there' in line for line in said) == WRITERS - 1, said


def test_without_a_path_every_process_has_a_folder_of_its_own(tmp_path: Path) -> None:
    said = write_together(tmp_path / 'new', '', overwrite=False)
    folders = {line.removeprefix('won ') for line in said}
    assert folders == {f'scene_{number:04d}' for number in range(WRITERS)}
    content = {(tmp_path / 'new' / folder / '0.txt').read_text() for folder in folders}
    assert len(content) == WRITERS


def test_the_first_to_be_done_wins_and_keeps_what_it_wrote(tmp_path: Path) -> None:
    folder = tmp_path / 'scene'
    with pytest.raises(ExportError, match='already there'):
        write(folder, 'ab', 'slow', lambda: write(folder, 'bc', 'fast'))
    assert {p.name: p.read_text() for p in folder.iterdir()} == {'b': 'fast', 'c': 'fast'}


@pytest.mark.parametrize('has_links', [True, False])
def test_a_file_of_another_program_that_comes_at_the_last_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    link = os.link

    def late_link(source: Path, target: Path) -> None:
        if not has_links:
            raise OSError(errno.EPERM, 'no hard links here')
        if target.name == 'b':
            target.write_text('other')
        link(source, target)

    monkeypatch.setattr(os, 'link', late_link)
    folder = tmp_path / 'scene'
    if has_links:
        with pytest.raises(ExportError, match='in the meantime'):
            write(folder, 'ab', 'own')
        assert [p.name for p in folder.iterdir()] == ['b']
        assert (folder / 'b').read_text() == 'other'
    else:
        write(folder, 'ab', 'own')
        assert sorted(p.name for p in folder.iterdir()) == ['a', 'b']


def test_a_folder_without_a_name_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='broken'), export_folder(tmp_path / 'new', ' '):
        raise ValueError('broken')
    assert list(tmp_path.iterdir()) == []
    with export_folder(tmp_path, '') as first, export_folder(tmp_path, '') as second:
        assert {first.name, second.name} == {'scene_0000', 'scene_0001'}
    with export_folder(tmp_path, 'a/b') as named:
        assert named == resolve_inside(tmp_path, 'a/b')
        assert not named.exists()
    (tmp_path / 'file').touch()
    with (
        pytest.raises(ExportError, match='cannot be written'),
        export_folder(tmp_path / 'file', ''),
    ):
        pass
