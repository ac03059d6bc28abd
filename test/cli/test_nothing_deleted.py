"""No command deletes or changes what it did not write, whatever it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from da3_ros.export.staging import STAGING_PREFIX, remove_abandoned
from helpers.cli import SMALL, da3, failure, invoke, results_in
from helpers.foreign_files import OF_OTHERS, OF_OURS, ForeignFiles

ROOM = ('--seconds', '0.2', '--rate', '5', '--size', '32x24', '--cameras', 'front')


@pytest.fixture(scope='module')
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('video') / 'in.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('mpeg4', rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, 'yuv420p'
        for index in range(5):
            picture = np.full((48, 64, 3), 40 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='rgb24')))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def scenes(
    checkpoint: Path, photos: Path, video: Path, tmp_path: Path
) -> Callable[[Path], dict[str, tuple[str | Path, ...]]]:
    """Arguments of the commands that write scenes into a folder."""
    saved = tmp_path / 'saved'
    model = ('--model-dir', checkpoint, *SMALL)
    da3('images', photos, '--export-dir', saved, '--export-format', 'mini_npz-npz', *model)

    def of(out: Path) -> dict[str, tuple[str | Path, ...]]:
        to = ('--export-dir', out)
        rest = (*model, *to, '--export-format', 'glb-mini_npz')
        return {
            'image': ('image', photos / '0.png', *rest, '--save-conf'),
            'images': ('images', photos, *rest),
            'each': ('images', photos, '--each', *rest),
            'auto': ('auto', photos / '1.png', *rest),
            'video': ('video', video, '--fps', '5', *rest),
            'export': ('export', saved, *to, '--export-format', 'glb-ply'),
        }

    return of


KINDS = ('image', 'images', 'each', 'auto', 'video', 'export')


def staging_in(folder: Path) -> list[Path]:
    return [p for p in folder.rglob(f'{STAGING_PREFIX}*') if 'stranger' not in p.name]


@pytest.mark.parametrize('kind', KINDS)
def test_a_folder_of_others_is_refused_and_left_as_it_is(
    tmp_path: Path, scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]], kind: str
) -> None:
    out = tmp_path / 'out'
    names = tuple(f'0/{n}' for n in OF_OURS) if kind == 'each' else OF_OURS
    foreign = ForeignFiles(out, names)
    arguments = scenes(out)[kind]
    flags = [(), ('--auto-cleanup',), ('--no-such-option',), ('--export-format', 'obj')]
    for flag in flags + ([('--resume',)] if kind == 'each' else []):
        assert invoke(*arguments, *flag).exit_code != 0, flag
        assert foreign.changed() == set(), flag
        assert staging_in(out) == []
    message = failure(*arguments, '--auto-cleanup')
    assert 'not written by da3' in message
    assert '--export-dir' in message


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('flag', ['--overwrite', '--auto-cleanup'])
def test_files_of_others_stay_beside_results(
    tmp_path: Path,
    scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]],
    kind: str,
    flag: str,
) -> None:
    out = tmp_path / 'out'
    foreign = ForeignFiles(out)
    arguments = (*scenes(out)[kind], flag)
    da3(*arguments)
    assert foreign.changed() == set()
    first = results_in(out)
    # Again over its own results, and with arguments that cannot be served.
    da3(*arguments)
    assert invoke(*arguments, '--model-dir', tmp_path / 'nowhere').exit_code != 0
    assert invoke(*arguments, '--export-format', 'feat_vis').exit_code != 0
    assert foreign.changed() == set()
    assert results_in(out) == first
    assert staging_in(out) == []


def test_overwriting_replaces_links_and_never_what_they_lead_to(
    tmp_path: Path, scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]]
) -> None:
    out = tmp_path / 'out'
    names = tuple(name for name in OF_OURS if not name.startswith('input_images'))
    foreign = ForeignFiles(out, names)
    da3(*scenes(out)['images'], '--overwrite')
    assert foreign.changed(only_outside=True) == set()
    for name in ('scene.glb', 'depth_vis/0000.jpg', 'exports/mini_npz/results.npz'):
        assert not (out / name).is_symlink()
    # What no new file replaces is there still, also under a name of ours.
    kept = {'depth_vis/0007.jpg', 'points.ply', 'da3.json', 'sheet.png', 'log/build.log'}
    assert {name for name in kept if str(out / name) in foreign.changed()} == set()


@pytest.mark.parametrize('where', ['exports', 'depth_vis', 'input_images'])
def test_links_to_folders_are_not_followed(
    tmp_path: Path,
    scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]],
    where: str,
) -> None:
    out, elsewhere = tmp_path / 'out', tmp_path / 'elsewhere'
    foreign = ForeignFiles(elsewhere, ('0000.jpg', '000000.png', 'mini_npz/results.npz'))
    inside = ForeignFiles(out, ('real/0000.jpg', 'real/000000.png'), with_links=False)
    for target in (elsewhere, out / 'real'):
        (out / where).symlink_to(target, target_is_directory=True)
        message = failure(*scenes(out)['video'], '--overwrite')
        assert 'link' in message
        assert foreign.changed() | inside.changed() == set()
        assert (out / where).is_symlink()
        (out / where).unlink()


def test_images_of_a_user_are_never_taken_for_frames(
    tmp_path: Path, scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]]
) -> None:
    out = tmp_path / 'out'
    foreign = ForeignFiles(out, ('input_images/000000.png', 'input_images/my/own.png'))
    message = failure(*scenes(out)['video'], '--overwrite')
    assert 'input_images/000000.png' in message
    assert foreign.changed() == set()
    assert results_in(out) == {'input_images', 'linked', 'dangling'}


def test_frames_of_an_earlier_run_go_where_nobody_changed_them(
    tmp_path: Path, scenes: Callable[[Path], dict[str, tuple[str | Path, ...]]]
) -> None:
    out = tmp_path / 'out'
    arguments = scenes(out)['video']
    da3(*arguments)
    frames = sorted(path.name for path in (out / 'input_images').iterdir())
    da3(*arguments, '--fps', '2', '--overwrite')
    assert sorted(path.name for path in (out / 'input_images').iterdir()) == frames[:2]
    (out / 'input_images' / '000001.png').write_bytes(b'drawn into')
    assert 'changed since' in failure(*arguments, '--overwrite')
    assert (out / 'input_images' / '000001.png').read_bytes() == b'drawn into'


def test_results_never_replace_what_they_are_made_of(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    photos.rename(tmp_path / 'images')
    foreign = ForeignFiles(tmp_path / 'other')
    model = ('--model-dir', checkpoint, *SMALL, '--overwrite', '--export-dir', tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / 'images').iterdir()}
    message = failure('images', tmp_path / 'images', *model, '--export-format', 'colmap')
    assert 'is an input' in message
    da3('images', tmp_path / 'images', *model, '--export-format', 'mini_npz')
    assert {path: path.read_bytes() for path in (tmp_path / 'images').iterdir()} == before
    again = ('export', tmp_path, '--export-dir', tmp_path, '--overwrite', '--export-format')
    assert 'is an input' in failure(*again, 'mini_npz')
    da3(*again, 'ply')
    assert foreign.changed() == set()


@pytest.mark.parametrize('command', ['synthesize', 'bag-from-video'])
@pytest.mark.parametrize('name', ['bag.mcap', 'bag'])
def test_a_bag_replaces_nothing_but_a_bag(
    tmp_path: Path, video: Path, command: str, name: str
) -> None:
    out = tmp_path / 'out'
    foreign = ForeignFiles(out)
    start = (command, out / name, *ROOM) if command == 'synthesize' else (
        command, video, out / name,
    )  # fmt: skip
    da3(*start)
    assert 'exists already' in failure(*start)
    da3(*start, '--overwrite')
    assert invoke(*start, '--overwrite', '--storage', 'tape').exit_code != 0
    assert foreign.changed() == set()
    others = {Path(other).parts[0] for other in (*OF_OTHERS, 'linked', 'dangling')}
    assert {path.name for path in out.iterdir()} == {*others, name}
    # A folder that holds something else, a link and a file are no bag folder.
    for other in ('src', 'linked', 'thesis.tex', 'depth_vis_old', '.', '..'):
        target = out / other
        again = (command, target, *ROOM) if command == 'synthesize' else (command, video, target)
        assert invoke(*again, '--overwrite').exit_code == 1
        assert foreign.changed() == set()


def test_a_bag_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    foreign = ForeignFiles(tmp_path / 'out', ('x', 'bag.mcap', 'bag.db3'))
    for name in ('bag.mcap', 'bag.db3'):
        da3('synthesize', foreign.folder / name, *ROOM, '--overwrite')
        assert not (foreign.folder / name).is_symlink()
    assert foreign.changed(only_outside=True) == set()


@pytest.mark.ros
@pytest.mark.parametrize('name', ['log/build.log', 'exports/x.txt', 'input.mcap', 'sheet.png'])
def test_a_demo_refuses_a_folder_with_a_name_of_its_own(tmp_path: Path, name: str) -> None:
    for links in (False, True):
        foreign = ForeignFiles(tmp_path / f'out{links}', ('a', name), with_links=links)
        message = failure('demo', '--model', 'truth', '--out', foreign.folder)
        assert name in message
        assert '--out' in message
        assert foreign.changed() == set()
    (tmp_path / 'file').touch()
    assert 'expected a folder' in failure('demo', '--model', 'truth', '--out', tmp_path / 'file')


@pytest.mark.ros
@pytest.mark.parametrize(
    'wrong',
    [
        ('--model', '/no/such/folder'),
        ('--bag', 'nowhere.mcap'),
        ('--video', 'nowhere.mp4'),
        ('--video', 'out/thesis.tex'),
        ('--bag', 'out'),
        ('--bag', 'a.mcap', '--video', 'b.mp4'),
        ('--window', '-1'),
    ],
)
def test_a_wrong_word_costs_no_results_of_a_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign = ForeignFiles(tmp_path / 'out')
    before = {path.name for path in foreign.folder.iterdir()}
    assert invoke('demo', '--out', 'out', *wrong).exit_code != 0
    assert foreign.changed() == set()
    assert {path.name for path in foreign.folder.iterdir()} == before


@pytest.mark.ros
def test_a_recorder_refuses_what_is_there(tmp_path: Path) -> None:
    foreign = ForeignFiles(tmp_path / 'out', ('x', 'y', 'bag.mcap', 'folder/a.txt'))
    for arguments in (
        (foreign.folder / 'bag.mcap', '/t'),
        (foreign.folder / 'folder', '/t', '--overwrite'),
        (foreign.folder / 'linked', '/t', '--overwrite'),
        (foreign.folder / 'new.mcap',),
        (foreign.folder / 'bag.mcap', '/t', '--overwrite', '--seconds', '-1'),
    ):
        assert invoke('record', *arguments).exit_code != 0
        assert foreign.changed() == set()


def test_an_empty_folder_with_the_name_of_ours_may_be_somebody_elses(tmp_path: Path) -> None:
    theirs = tmp_path / f'{STAGING_PREFIX}abcdefgh'
    ours = tmp_path / f'{STAGING_PREFIX}hgfedcba'
    theirs.mkdir(mode=0o755)
    # As a process leaves it that is killed as soon as it is made.
    ours.mkdir(mode=0o700)
    assert remove_abandoned(tmp_path) == 1
    assert list(tmp_path.iterdir()) == [theirs]
