"""Depth as 16-bit PNG and as pictures, read back by Pillow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
import pytest

from da3_ros.errors import ExportError
from da3_ros.export.ledger import Ledger, write_ledger
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from helpers.export_scenes import make_view, scene_of, synthetic_scene, synthetic_world, view_of


def read(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_depth_png_holds_millimetres_of_the_synthetic_world(tmp_path: Path) -> None:
    scene = synthetic_scene(synthetic_world())
    report = export_scene(scene, 'depth_png', tmp_path)
    assert report.points == sum(v.depth.size for v in scene.views)
    for view, path in zip(scene.views, report.files, strict=True):
        assert path.name == f'{view.id.camera}_{view.id.stamp_ns}.png'
        with Image.open(path) as picture:
            assert picture.mode == 'I;16'
        assert np.abs(read(path) / 1000 - view.depth).max() <= 0.5e-3 + 1e-6


def test_depth_png_says_zero_where_it_cannot_say_the_depth(tmp_path: Path) -> None:
    view = view_of([
        [np.nan, np.inf, 0.0, -1.0],
        [0.0004, 0.0006, 1.0, 1.2344],
        [65.535, 65.5361, 70.0, 1e9],
        [2.0, 2.0, 2.0, 2.0],
    ])  # fmt: skip
    sky = np.zeros((4, 4), np.bool_)
    sky[3, :2] = True
    report = export_scene(scene_of(replace(view, sky=sky)), 'depth_png', tmp_path)
    assert read(report.files[0]).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 1000, 1234],
        [65535, 0, 0, 0],
        [0, 0, 2000, 2000],
    ]
    assert report.points == 6


def test_depth_png_without_any_depth_in_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r'0\.001 and 65\.535; npz'):
        export_scene(scene_of(view_of([[100.0, np.nan]])), 'depth_png', tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


def test_sheets_show_the_image_left_and_near_red_to_far_violet_right(tmp_path: Path) -> None:
    depth = np.broadcast_to(1 / np.linspace(1.0, 0.1, 101), (5, 101)).copy()
    depth[0] = np.nan
    view = view_of(depth.tolist())
    options = ExportOptions(depth_vis_suffix='png', depth_vis_plain=True)
    report = export_scene(scene_of(view, view), 'depth_vis', tmp_path, options=options)
    assert [f.name for f in report.files] == ['0000.png', '0001.png']
    assert report.points == 0
    sheet = read(report.files[1])
    assert sheet.shape == (5, 202, 3)
    np.testing.assert_array_equal(sheet[:, :101], view.image)
    colours = sheet[1:, 101:].astype(int)
    assert (sheet[0, 101:] == 0).all()
    # The ends and the middle of ColorBrewer's Spectral, as it is published.
    assert colours[0, 0].tolist() == [158, 1, 66]
    assert colours[0, -1].tolist() == [94, 79, 162]
    assert np.abs(colours[0, 50] - (255, 255, 191)).max() <= 3
    # Linear in 1 / depth: halfway from the near end to the middle is the class between.
    assert np.abs(colours[0, 26] - (249, 141, 82)).max() <= 8
    assert (colours == colours[0]).all()


def test_sheets_are_jpeg_unless_asked_otherwise(tmp_path: Path) -> None:
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 3, axis=2)
    image = np.repeat(smooth, 48, axis=0)
    size = ImageSize(48, 64)
    view = replace(make_view(1, size), image=image)
    options = ExportOptions(depth_vis_plain=True)
    path = export_scene(scene_of(view), 'depth_vis', tmp_path, options=options).files[0]
    assert path.name == '0000.jpg'
    with Image.open(path) as picture:
        assert picture.format == 'JPEG'
    assert np.abs(read(path)[:, :60].astype(int) - image[:, :60]).max() <= 4


def test_small_sheets_are_enlarged_and_say_their_range_below(tmp_path: Path) -> None:
    """Depth is where the image is, colours are those of the small picture, text is below both."""
    depth = np.tile(np.repeat([1.0, 4.0], 12), (18, 1))
    view = view_of(depth.tolist())
    options = ExportOptions(depth_vis_suffix='png')
    export_scene(scene_of(view), 'depth_vis', tmp_path, options=options)
    sheet = read(tmp_path / 'depth_vis' / '0000.png')
    height, width = 378, 504
    assert sheet.shape[1] == 2 * width
    assert height + 20 < len(sheet) < height + 120
    right = sheet[:height, width:]
    # No colour between those of both surfaces, and the edge stays where it was.
    assert np.unique(right.reshape(-1, 3), axis=0).tolist() == [[94, 79, 162], [158, 1, 66]]
    assert (right[:, : width // 2] == (158, 1, 66)).all()
    # The image is interpolated: its own pixels are in the middles of the larger ones.
    middles = sheet[10:height:21, 10:width:21].astype(int)
    assert np.abs(middles - view.image).max() <= 1
    strip = sheet[height:, width:]
    assert (strip == (158, 1, 66)).all(axis=2).any()
    assert (strip == (94, 79, 162)).all(axis=2).any()


def test_large_sheets_keep_their_pixels_above_the_strip(tmp_path: Path) -> None:
    view = make_view(2, ImageSize(20, 504))
    for name, is_plain in (('plain', True), ('with_strip', False)):
        options = ExportOptions(depth_vis_suffix='png', depth_vis_plain=is_plain)
        export_scene(scene_of(view), 'depth_vis', tmp_path / name, options=options)
    plain, sheet = (read(tmp_path / n / 'depth_vis' / '0000.png') for n in ('plain', 'with_strip'))
    assert plain.shape == (20, 1008, 3)
    np.testing.assert_array_equal(sheet[:20], plain)


@pytest.mark.parametrize(('is_metric', 'value'), [(True, np.nan), (False, 2.0), (True, 2.0)])
def test_the_strip_follows_the_unit_and_what_is_known(
    tmp_path: Path, is_metric: bool, value: float
) -> None:
    """The same picture with another unit has another strip, and one without depth has no bar."""
    view = view_of([[value, value, value, value + 1]] * 3)
    options = ExportOptions(depth_vis_suffix='png')
    for name, metric in (('a', is_metric), ('b', not is_metric)):
        scene = ExportScene((view,), is_metric=metric)
        export_scene(scene, 'depth_vis', tmp_path / name, options=options)
    a, b = (read(tmp_path / n / 'depth_vis' / '0000.png')[378:] for n in ('a', 'b'))
    assert (a.shape == b.shape and (a == b).all()) == np.isnan(value)
    assert (a == (158, 1, 66)).all(axis=2).any() != np.isnan(value)


@pytest.mark.parametrize('value', [np.nan, 2.0])
def test_a_sheet_of_nothing_or_of_one_depth_is_a_sheet(tmp_path: Path, value: float) -> None:
    options = ExportOptions(depth_vis_suffix='png', depth_vis_plain=True)
    export_scene(scene_of(view_of([[value] * 4] * 4)), 'depth_vis', tmp_path, options=options)
    right = read(tmp_path / 'depth_vis' / '0000.png')[:, 4:]
    assert (right == 0).all() == np.isnan(value)


def test_a_smaller_scene_leaves_no_sheets_of_the_larger_one(tmp_path: Path) -> None:
    write_ledger(Ledger(tmp_path, {}))
    view = make_view()
    export_scene(scene_of(view, view, view), 'depth_vis', tmp_path)
    with pytest.raises(ExportError, match='already there'):
        export_scene(scene_of(view), 'depth_vis', tmp_path)
    (tmp_path / 'depth_vis' / 'notes.txt').write_text('keep')
    export_scene(scene_of(view), 'depth_vis', tmp_path, overwrite=True)
    assert sorted(p.name for p in (tmp_path / 'depth_vis').iterdir()) == ['0000.jpg', 'notes.txt']


def test_cameras_with_unusual_names_get_distinct_files_inside_the_folder(tmp_path: Path) -> None:
    names = ['../../up', 'a/b', 'a b', 'a_b', 'A B', '', '.hidden', 'n\u00e4he', 'x' * 300]
    base = make_view()
    views = [replace(base, id=replace(base.id, camera=name, stamp_ns=5)) for name in names]
    files = export_scene(scene_of(*views), 'depth_png-colmap-tum', tmp_path / 'x').files
    assert len({str(f).casefold() for f in files}) == len(files) == 9 + 5 + 9 + 9
    assert all(f.is_file() and (tmp_path / 'x').resolve() in f.parents for f in files)
    assert [p.name for p in tmp_path.iterdir()] == ['x']


def test_views_whose_intrinsics_are_of_another_size_are_refused(tmp_path: Path) -> None:
    view = make_view()
    other = PinholeCamera(view.camera.K, ImageSize(6, 8))
    with pytest.raises(ExportError, match=r'camera front at 10.*one size'):
        export_scene(scene_of(replace(view, camera=other)), 'ply', tmp_path)
