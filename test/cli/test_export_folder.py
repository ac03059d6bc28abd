"""Folders of results: what is refused, and what is never removed."""

from pathlib import Path

import pytest

from da3_ros.cli.export_folder import (
    check_export_dir,
    earlier_results,
    recorded_results,
    remove_earlier,
)
from da3_ros.cli.input_images import staged_images
from da3_ros.errors import ExportError
from da3_ros.export.files import staged
from da3_ros.export.staging import MARKER, STAGING_PREFIX


def killed(folder: Path) -> Path:
    """Leave what a process leaves that is killed while it writes."""
    with staged(folder, [], overwrite=False) as staging:
        left = staging.with_name(f'{STAGING_PREFIX}k1lled')
        left.mkdir()
        (left / MARKER).write_bytes((staging / MARKER).read_bytes())
    (left / 'half.glb').write_bytes(b'half')
    return left


def write(folder: Path, *names: str) -> None:
    """Write results as a command does."""
    with recorded_results(folder), staged(folder, names, overwrite=True) as staging:
        for name in names:
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_text('ours')


def test_a_new_or_empty_folder_is_fine(tmp_path: Path) -> None:
    for folder in (tmp_path / 'new' / 'deep', tmp_path):
        check_export_dir(folder, [], overwrite=False, auto_cleanup=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_no_result_and_is_removed(tmp_path: Path) -> None:
    left = killed(tmp_path)
    with staged_images(tmp_path) as living:
        (living / 'a.png').touch()
        check_export_dir(tmp_path, [], overwrite=False, auto_cleanup=False)
        assert not left.exists()
        assert living.is_dir()
    assert [entry.name for entry in tmp_path.iterdir()] == ['input_images']


def test_a_folder_that_is_refused_is_left_as_it_was(tmp_path: Path) -> None:
    killed(tmp_path)
    (tmp_path / 'thesis.tex').touch()
    with pytest.raises(ExportError, match='not empty'):
        check_export_dir(tmp_path, [], overwrite=False, auto_cleanup=False)
    assert len(list(tmp_path.iterdir())) == 2


def test_images_of_a_body_that_fails_leave_nothing(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with staged_images(tmp_path / 'a' / 'b') as made:
            (made / '000000.png').touch()
            raise OSError('of the body')

    with pytest.raises(OSError, match='of the body'):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    with pytest.raises(ExportError, match='it is a file'):
        check_export_dir(tmp_path / 'file', [], overwrite=True, auto_cleanup=False)
    with pytest.raises(ExportError):
        check_export_dir(tmp_path / 'a\0b', [], overwrite=True, auto_cleanup=False)


def test_earlier_results_leave_only_what_is_not_ours(tmp_path: Path) -> None:
    precious, folder = tmp_path / 'precious', tmp_path / 'results'
    write(folder, 'scene.glb', 'depth_vis/0000.jpg', 'depth_vis/0001.jpg', 'tum/base.txt')
    write(folder / 'other', 'points.ply')
    # One is changed, one replaced by a link, one gets company, one another name.
    (folder / 'depth_vis' / '0001.jpg').write_text('mine')
    (folder / 'tum').rename(precious)
    (folder / 'tum').symlink_to(precious, target_is_directory=True)
    (folder / 'notes.txt').touch()
    earlier = earlier_results(folder)
    write(folder, 'scene.glb')
    remove_earlier(folder, earlier)
    left = {p.relative_to(folder).as_posix() for p in folder.rglob('*') if not p.is_dir()}
    assert left == {'.da3_files.json', 'scene.glb', 'depth_vis/0001.jpg', 'notes.txt'}
    assert (precious / 'base.txt').read_text() == 'ours'
    assert not (folder / 'other').exists()


def test_precious_folders_are_never_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / 'users' / 'me'
    here = tmp_path / 'work' / 'here'
    scene = tmp_path / 'data' / 'scene'
    repository = tmp_path / 'data' / 'code'
    for folder in (home, here, scene / 'images', repository / '.git'):
        folder.mkdir(parents=True)
    (scene / 'images' / 'a.png').touch()
    link = tmp_path / 'data' / 'link'
    link.symlink_to(home, target_is_directory=True)
    monkeypatch.setenv('HOME', str(home))
    monkeypatch.chdir(here)
    inputs = [scene / 'images' / 'a.png']
    refused = [
        Path('/'), Path('/usr'), home, home.parent, Path('~').expanduser(), here, here.parent,
        Path(), Path('..'), scene / 'images', scene, scene.parent, link, repository,
        scene / 'images' / '..' / 'images',
    ]  # fmt: skip
    for folder in refused:
        with pytest.raises(ExportError, match=r'--auto-cleanup'):
            check_export_dir(folder, inputs, overwrite=False, auto_cleanup=True)
    assert (scene / 'images' / 'a.png').exists()
    check_export_dir(scene / 'images' / 'out', inputs, overwrite=False, auto_cleanup=True)
    check_export_dir(home / 'out', inputs, overwrite=False, auto_cleanup=True)
