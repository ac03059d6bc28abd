"""What holds for exports wherever the world begins and however long they take."""

from contextlib import ExitStack
from dataclasses import replace
import json
from pathlib import Path
import struct

import numpy as np
import pytest
import trimesh

from da3_ros.errors import ExportError
from da3_ros.export.colmap import write as write_colmap
from da3_ros.export.files import make_folder
from da3_ros.export.glb import write as write_glb
from da3_ros.export.options import ExportOptions, GlbOptions
from da3_ros.export.registry import FORMATS, exporter
from da3_ros.export.scene import (
    ExportScene,
    StillImages,
    confidence_threshold,
    distinct,
    known_pixels,
    require_world,
    safe_name,
    selected_points,
    view_names,
    world_points,
)
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from helpers.colmap_files import read_binary
from helpers.export_scenes import complete, make_view, two_walls


def moved(scene: ExportScene, offset: list[float]) -> ExportScene:
    shift = rigid(np.eye(3), offset)
    views = [replace(v, world_from_camera=shift @ v.world_from_camera) for v in scene.views]
    return replace(scene, views=tuple(views))


def frustums(folder: Path, scene: ExportScene, **glb: float) -> list[FloatArray]:
    options = ExportOptions(glb=GlbOptions(**glb))  # type: ignore[arg-type]
    write_glb(scene, folder, options, lambda share: None)
    loaded = trimesh.load_scene(folder / 'scene.glb')
    return [
        np.asarray(part.vertices)
        for part in loaded.geometry.values()
        if isinstance(part, trimesh.path.Path3D)
    ]


def sizes(parts: list[FloatArray]) -> FloatArray:
    return np.array([np.linalg.norm(np.ptp(part, axis=0)) for part in parts])


def test_cameras_are_drawn_as_large_as_the_scene_wherever_it_is(tmp_path: Path) -> None:
    here = sizes(frustums(tmp_path, two_walls()))
    there = sizes(frustums(tmp_path, moved(two_walls(), [40.0, -70.0, 90.0])))
    np.testing.assert_allclose(there, here, rtol=1e-4)
    twice = sizes(frustums(tmp_path, two_walls(), camera_size=2 * GlbOptions().camera_size))
    np.testing.assert_allclose(twice, 2 * here, rtol=1e-4)


def test_every_camera_of_a_scene_has_a_colour_of_its_own(tmp_path: Path) -> None:
    views = tuple(make_view(stamp_ns) for stamp_ns in range(10, 15))
    write_glb(ExportScene(views, True), tmp_path, ExportOptions(), lambda share: None)
    data = (tmp_path / 'scene.glb').read_bytes()
    (length,) = struct.unpack_from('<I', data, 12)
    document = json.loads(data[20 : 20 + length])
    # A camera's vertices have one colour, so that the bounds of the accessor say it.
    colours = {
        tuple(document['accessors'][mesh['primitives'][0]['attributes']['COLOR_0']]['max'])
        for mesh in document['meshes']
        if mesh['name'] != 'points'
    }
    assert len(colours) == 5
    for *rgb, alpha in colours:
        assert alpha == 255
        assert max(rgb) > 200  # bright, and not grey
        assert max(rgb) - min(rgb) > 150


@pytest.mark.parametrize('name', FORMATS)
@pytest.mark.parametrize('encoding', ['binary', 'text'])
def test_progress_of_every_format_rises_evenly_enough_and_ends_at_one(
    tmp_path: Path, name: str, encoding: str
) -> None:
    shares: list[float] = []
    format_ = exporter(name)
    options = ExportOptions(
        glb=GlbOptions(export_depth_vis=True),
        colmap_encoding='text' if encoding == 'text' else 'binary',
    ).of(name)
    scene = complete(two_walls())
    for file in format_.file_names(scene, options):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    format_.write(scene, tmp_path, options, shares.append)
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] == pytest.approx(1.0)


def test_points_of_all_images_have_numbers_of_their_own(tmp_path: Path) -> None:
    for part in ('images', 'sparse/0'):
        (tmp_path / part).mkdir(parents=True, exist_ok=True)
    options = ExportOptions()
    for file in exporter('colmap').file_names(two_walls(), options):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    count = write_colmap(two_walls(), tmp_path, options, lambda share: None)
    (folder,) = {path.parent for path in tmp_path.rglob('points3D.bin')}
    model = read_binary(folder)
    numbers = [point for _, _, _, keys in model.images.values() for *_, point in keys]
    assert len(numbers) == len(set(numbers)) == len(model.points) == count
    # Without gaps, from one on.
    assert sorted(numbers) == list(range(1, count + 1))


def test_a_folder_that_somebody_else_makes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / 'a' / 'b'
    folder.mkdir(parents=True)
    exists = Path.exists
    monkeypatch.setattr(
        Path, 'exists', lambda self: exists(self) and self not in (folder, folder.parent)
    )
    with ExitStack() as undo:
        make_folder(folder, undo)
    assert tmp_path.is_dir()


# Scenes


def test_known_pixels_are_positive_finite_and_not_sky() -> None:
    view = make_view()
    depth = view.depth.copy()
    depth[1, :4] = [np.inf, 0.0, -1.0, 1e-9]
    sky = np.zeros(depth.shape, bool)
    sky[2, 3] = True
    known = known_pixels(replace(view, depth=depth, sky=sky))
    wanted = np.ones(depth.shape, bool)
    wanted[0, 0] = wanted[1, 0] = wanted[1, 1] = wanted[1, 2] = wanted[2, 3] = False
    np.testing.assert_array_equal(known, wanted)


@pytest.mark.parametrize('percentile', [0.0, 10.0, 50.0, 99.0, 100.0])
def test_the_threshold_is_the_percentile_of_known_confidence(percentile: float) -> None:
    scene = two_walls()
    confidence = np.random.default_rng(0).uniform(1, 9, (12, 16)).astype(np.float32)
    confidence[3, 3] = np.nan
    noisy = replace(scene.views[0], confidence=confidence)
    silent = replace(scene.views[1], confidence=None)
    pooled = confidence.ravel()[1:]  # the first pixel has no depth
    wanted = np.nanpercentile(pooled, percentile)
    scene = replace(scene, views=(noisy, silent))
    assert confidence_threshold(scene, percentile) == pytest.approx(float(wanted))
    assert confidence_threshold(replace(scene, views=(silent,)), percentile) == 0


def test_points_at_the_threshold_stay() -> None:
    view = make_view()
    assert view.confidence is not None
    level = float(view.confidence[0, 7])
    kept = world_points(view, level)
    wanted = (view.confidence >= level) & known_pixels(view)
    assert len(kept.xyz) == len(kept.rgb) == wanted.sum()
    assert len(world_points(replace(view, confidence=None), 99.0).xyz) == 12 * 16 - 1


def test_points_lie_on_the_rays_of_their_pixels() -> None:
    """The wall is two units before a camera at (1, 2, 3) that looks along x: x is 3."""
    view = make_view()
    (points,) = selected_points(
        ExportScene((view,), True), ExportOptions(confidence_percentile=0), lambda share: None
    )
    u, v = points.pixel_uv.T
    np.testing.assert_array_equal(v * 16 + u, np.arange(1, 12 * 16))
    wanted = np.stack([0 * u + 3.0, 2 - 2 * (u - 8) / 10, 3 - 2 * (v - 6) / 10], axis=1)
    np.testing.assert_allclose(points.xyz, wanted, atol=1e-9)
    np.testing.assert_array_equal(points.rgb, view.image[v, u])
    assert points.confidence is not None
    assert view.confidence is not None
    np.testing.assert_array_equal(points.confidence, view.confidence[v, u])


@pytest.mark.parametrize('most', [1, 2, 7, 100, 381, 382, 383])
def test_thinning_leaves_so_many_points_and_every_view_its_share(most: int) -> None:
    scene = two_walls()
    options = ExportOptions(confidence_percentile=0, max_points=most)
    shares: list[float] = []
    parts = list(selected_points(scene, options, shares.append))
    counts = [len(part.xyz) for part in parts]
    assert sum(counts) == min(most, 382)
    assert abs(counts[0] - counts[1]) <= 1
    for part in parts:
        flat = part.pixel_uv[:, 1] * 16 + part.pixel_uv[:, 0]
        assert (np.diff(flat) > 0).all()
    assert shares == pytest.approx([0.15, 0.3, 0.5, 0.7])


def test_thinning_takes_pixels_from_everywhere() -> None:
    options = ExportOptions(confidence_percentile=0, max_points=100)
    first, second = selected_points(two_walls(), options, lambda share: None)
    for part in (first, second):
        assert part.pixel_uv[:, 0].max() > 12
        assert part.pixel_uv[:, 0].min() < 4
        assert part.pixel_uv[:, 1].max() > 8
        assert part.pixel_uv[:, 1].min() < 4
    # Each view by chance of its own.
    assert not np.array_equal(first.pixel_uv, second.pixel_uv)


def test_views_without_poses_are_one_world_only_alone() -> None:
    unposed = replace(two_walls(), stills=StillImages(has_poses=False))
    with pytest.raises(ExportError, match='one world'):
        require_world(unposed)
    require_world(replace(unposed, views=unposed.views[:1]))
    require_world(replace(unposed, stills=StillImages()))
    require_world(replace(unposed, stills=None))


def test_names_are_distinct_whatever_their_case() -> None:
    assert distinct(['a', 'A', 'a', 'b', 'a_1']) == ('a', 'A_1', 'a_2', 'b', 'a_1_1')
    assert len(safe_name('x' * 300)) == 100
    assert safe_name('..a/b c') == 'a_b_c'
    assert safe_name('') == safe_name('...') == '_'
    scene = two_walls()
    assert view_names(scene) == ('front_10', 'front_20')
    assert view_names(replace(scene, stills=StillImages())) == ('0000', '0001')


# Black and white backgrounds


@pytest.mark.parametrize(
    ('option', 'levels', 'kept'),
    [
        ('filter_black_bg', [(15, 15, 15), (16, 0, 0), (0, 0, 16)], [0, 1, 1]),
        ('filter_white_bg', [(240, 240, 240), (239, 255, 255), (255, 255, 239)], [0, 1, 1]),
    ],
)
def test_backgrounds_are_what_is_black_or_white_in_all_channels(
    tmp_path: Path, option: str, levels: list[tuple[int, int, int]], kept: list[int]
) -> None:
    view = make_view()
    for level, is_kept in zip(levels, kept, strict=True):
        image = np.full((12, 16, 3), 100, np.uint8)
        image[4, 4] = level
        scene = ExportScene((replace(view, image=image),), True)
        glb = GlbOptions(**{option: True}, conf_thresh=0.0)
        options = ExportOptions(confidence_percentile=0, glb=glb)
        count = write_glb(scene, tmp_path, options, lambda share: None)
        assert count == 12 * 16 - 2 + is_kept
