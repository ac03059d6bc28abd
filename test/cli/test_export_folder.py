"""Folders of results: what is refused, and what is never removed."""

from pathlib import Path

import pytest

from da3_ros.cli.export_folder import check_export_dir, empty
from da3_ros.cli.input_images import staged_images
from da3_ros.errors import ExportError


def test_a_new_or_empty_folder_is_fine(tmp_path: Path) -> None:
    for folder in (tmp_path / 'new' / 'deep', tmp_path):
        check_export_dir(folder, [], overwrite=False, auto_cleanup=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_no_result_and_is_removed(tmp_path: Path) -> None:
    left = tmp_path / '.partial-k1lled'
    left.mkdir()
    (left / 'half.glb').write_bytes(b'half')
    with staged_images(tmp_path) as living:
        check_export_dir(tmp_path, [], overwrite=False, auto_cleanup=False)
        assert not left.exists()
        assert living.is_dir()
    assert [entry.name for entry in tmp_path.iterdir()] == ['input_images']


def test_a_folder_that_is_refused_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / '.partial-k1lled').mkdir()
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


def test_emptying_follows_no_links(tmp_path: Path) -> None:
    precious = tmp_path / 'precious'
    precious.mkdir()
    (precious / 'a').touch()
    folder = tmp_path / 'results' / 'scene'
    (folder / 'old').mkdir(parents=True)
    (folder / 'old' / 'b').touch()
    (folder / 'link').symlink_to(precious, target_is_directory=True)
    empty(folder, [precious])
    assert list(folder.iterdir()) == []
    assert (precious / 'a').exists()


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
        with pytest.raises(ExportError, match=r'--auto-cleanup'):
            empty(folder, inputs)
    assert (scene / 'images' / 'a.png').exists()
    check_export_dir(scene / 'images' / 'out', inputs, overwrite=False, auto_cleanup=True)
    check_export_dir(home / 'out', inputs, overwrite=False, auto_cleanup=True)
