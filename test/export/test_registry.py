"""What every format owes: declared files, same bytes twice, nothing left when it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
import resource
from typing import Any
import zipfile

import numpy as np
import pytest

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export.files import staged
from da3_ros.export.gs_options import GsVideoOptions
from da3_ros.export.ledger import LEDGER, Ledger, write_ledger
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import FORMATS, export_scene, exporter
from da3_ros.export.scene import ExportScene, safe_name
from helpers.export_scenes import complete, make_view, two_walls

EVERY = '-'.join(FORMATS)
# A video of two pictures: the usual one has more than a hundred.
SHORT = ExportOptions(gs_video=GsVideoOptions(trj_mode='original', output_name='flight'))
BOTH = pytest.mark.parametrize('encoding', ['binary', 'text'])


def content(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob('*') if p.is_file()
    }


@BOTH
def test_all_formats_together_write_what_they_declare_and_the_same_twice(
    tmp_path: Path, encoding: Any
) -> None:
    scene = complete(two_walls())
    for view in scene.views:
        arrays = (view.depth, view.image, view.confidence, view.world_from_camera)
        for array in arrays:
            assert array is not None
            array.flags.writeable = False
    options = replace(SHORT, colmap_encoding=encoding)
    declared = [f for name in FORMATS for f in exporter(name).file_names(scene, options)]
    assert len({name.casefold() for name in declared}) == len(declared)
    reports = [export_scene(scene, EVERY, tmp_path / n, options=options) for n in 'ab']
    assert sorted(content(tmp_path / 'a')) == sorted(declared)
    assert content(tmp_path / 'a') == content(tmp_path / 'b')
    root = (tmp_path / 'a').resolve()
    assert [f.relative_to(root).as_posix() for f in reports[0].files] == declared


def test_archives_carry_no_time(tmp_path: Path) -> None:
    for path in export_scene(two_walls(), 'npz-mini_npz', tmp_path).files:
        with zipfile.ZipFile(path) as archive:
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_mini_npz_has_the_official_keys_and_rounding(tmp_path: Path) -> None:
    scene = two_walls()
    with np.load(export_scene(scene, 'mini_npz', tmp_path).files[0], allow_pickle=False) as data:
        official = {'depth', 'conf', 'extrinsics', 'intrinsics'}
        assert set(data.files) == official | {'is_metric', 'pixel_centre'}
        assert (data['depth'].dtype, data['depth'].shape) == (np.float32, (2, 12, 16))
        np.testing.assert_allclose(data['depth'][0], scene.views[0].depth, rtol=1e-6)
        confidence = scene.views[0].confidence
        assert confidence is not None
        np.testing.assert_array_equal(data['conf'][0], np.round(confidence, 2))
        np.testing.assert_array_equal(data['intrinsics'][1], scene.views[1].camera.K)
        in_camera = data['extrinsics'][1] @ scene.views[1].world_from_camera
        np.testing.assert_allclose(in_camera, np.eye(4)[:3], atol=1e-12)


@pytest.mark.parametrize('name', FORMATS)
def test_every_format_can_be_cancelled_at_each_of_its_steps(tmp_path: Path, name: str) -> None:
    scene = complete(two_walls())
    seen: list[float] = []

    def hear(share: float, stage: str) -> None:
        assert stage == name
        seen.append(share)

    export_scene(scene, name, tmp_path / 'full', options=SHORT, progress=hear)
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert seen[-1] == pytest.approx(1.0)
    for step in range(len(seen)):
        asked = iter([False] * step + [True] * len(seen))
        with pytest.raises(ExportCancelledError):
            export_scene(scene, name, tmp_path / 'x', options=SHORT, cancelled=asked.__next__)
        assert not (tmp_path / 'x').exists()


@pytest.mark.parametrize('name', FORMATS)
def test_a_disk_that_takes_no_more_is_an_error_and_leaves_the_files_of_before(
    tmp_path: Path, name: str
) -> None:
    """The kernel refuses every file beyond 16 bytes, as it refuses them on a full disk."""
    export_scene(complete(two_walls()), EVERY, tmp_path, options=SHORT)
    before = content(tmp_path)
    scene = complete(ExportScene((make_view(),), True))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(ExportError, match=r'cannot be written.*File too large'):
            export_scene(scene, name, tmp_path, options=SHORT, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(tmp_path) == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'conf_thresh_percentile': -1.0}, r'0\.\.100, got -1'),
        ({'conf_thresh_percentile': 101.0}, r'0\.\.100'),
        ({'conf_thresh_percentile': float('nan')}, 'nan'),
        ({'num_max_points': 0}, 'at least 1'),
        ({'colmap_encoding': 'xml'}, 'binary, text'),
        ({'depth_vis_suffix': 'gif'}, 'jpg, png'),
    ],
)
def test_options_out_of_bounds_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        ExportOptions(**options)


def write_two(folder: Path, text: str, *, fail: bool = False) -> None:
    """Replace a and sub/b, or fail on the move of the third file."""
    names = ['a', 'sub/b', *(['missing'] if fail else [])]
    with staged(folder, names, overwrite=True, owned=['old_*']) as staging:
        (staging / 'sub').mkdir()
        (staging / 'a').write_text(text)
        (staging / 'sub' / 'b').write_text(text)


def test_a_failed_replacement_brings_the_old_files_back(tmp_path: Path) -> None:
    write_ledger(Ledger(tmp_path, {}))
    with staged(tmp_path, ['old_1'], overwrite=False) as staging:
        (staging / 'old_1').write_text('old')
    write_two(tmp_path, 'first')
    with staged(tmp_path, ['old_1'], overwrite=False) as staging:
        (staging / 'old_1').write_text('old')
    before = content(tmp_path)
    with pytest.raises(ExportError, match='cannot be written'):
        write_two(tmp_path, 'second', fail=True)
    assert content(tmp_path) == before
    write_two(tmp_path, 'second')
    (tmp_path / LEDGER).unlink()
    assert content(tmp_path) == {'a': b'second', 'sub/b': b'second'}


def test_files_that_are_not_known_to_be_ours_stay_and_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_two(tmp_path, 'first')
    (tmp_path / 'old_1').write_text('old')
    write_two(tmp_path, 'second')
    assert content(tmp_path) == {'a': b'second', 'sub/b': b'second', 'old_1': b'old'}
    assert 'old_1 stayed beside the new files' in caplog.text


def test_a_failed_export_into_an_existing_folder_leaves_no_new_folders(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match='cannot be written'):
        write_two(tmp_path, 'x', fail=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_the_name_of_a_file_is_never_removed(tmp_path: Path) -> None:
    (tmp_path / 'points.ply').mkdir()
    (tmp_path / 'points.ply' / 'mine').write_text('keep')
    with pytest.raises(ExportError, match='it is a folder'):
        export_scene(two_walls(), 'ply', tmp_path, overwrite=True)
    assert (tmp_path / 'points.ply' / 'mine').read_text() == 'keep'


def test_links_out_of_the_export_folder_are_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / 'outside', tmp_path / 'folder'
    outside.mkdir()
    folder.mkdir()
    (folder / 'images').symlink_to(outside)
    with pytest.raises(ExportError, match='links inside'):
        export_scene(two_walls(), 'colmap', folder, overwrite=True)
    assert list(outside.iterdir()) == []
    assert [p.name for p in folder.iterdir()] == ['images']


@BOTH
def test_overwriting_leaves_what_a_fresh_export_writes_and_images_of_others(
    tmp_path: Path, encoding: Any
) -> None:
    """Images stay: they may be the user's own, and COLMAP opens only those that it lists."""
    small = complete(ExportScene((make_view(10),), is_metric=True))
    (tmp_path / 'used').mkdir()
    write_ledger(Ledger(tmp_path / 'used', {}))
    export_scene(complete(two_walls()), EVERY, tmp_path / 'used', options=SHORT)
    options = replace(SHORT, colmap_encoding=encoding)
    export_scene(small, EVERY, tmp_path / 'used', options=options, overwrite=True)
    export_scene(small, EVERY, tmp_path / 'fresh', options=options)
    (tmp_path / 'used' / LEDGER).unlink()
    used, fresh = content(tmp_path / 'used'), content(tmp_path / 'fresh')
    assert set(used) - set(fresh) == {'images/0001.png'}
    assert {name: used[name] for name in fresh} == fresh


@pytest.mark.parametrize(
    ('text', 'name'),
    [('front', 'front'), ('', '_'), ('..', '_'), ('/a/b', '_a_b'), ('.x', 'x'), ('a\n', 'a_')],
)
def test_names_of_files_are_plain(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_many_files_in_the_way_are_counted_not_listed(tmp_path: Path) -> None:
    scene = ExportScene(tuple(make_view(n) for n in range(20)), is_metric=True)
    export_scene(scene, 'depth_vis', tmp_path)
    with pytest.raises(ExportError, match='and 17 more already there'):
        export_scene(scene, 'depth_vis', tmp_path)
