"""What holds for exports wherever the world begins and however long they take."""

from collections import Counter
import colorsys
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
from da3_ros.export.glb import write as write_glb
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import FORMATS, export_scene, exporter
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
from da3_ros.export.staging import make_folder
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.se3 import rigid
from da3_ros.options.export import GlbOptions
from da3_ros.types import PosedView
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


def test_the_extent_of_a_scene_is_that_of_nine_tenths_of_its_points(tmp_path: Path) -> None:
    """As with the official exporter: a twentieth at either end does not make cameras large."""
    depth = np.random.default_rng(0).uniform(1, 9, (12, 16)).astype(np.float32)
    scene = ExportScene((replace(make_view(), depth=depth, confidence=None),), is_metric=True)
    ((size,),) = (sizes(frustums(tmp_path, scene)),)
    points = np.asarray(trimesh.load_scene(tmp_path / 'scene.glb').geometry['points'].vertices)
    assert len(points) == depth.size
    extent = np.diff(np.quantile(points, [0.05, 0.95], axis=0), axis=0)
    # The image plane at depth 1 is 1.6 wide and 1.2 high.
    wanted = GlbOptions().camera_size * np.linalg.norm(extent) * np.linalg.norm([1.6, 1.2, 1.0])
    assert size == pytest.approx(wanted, rel=1e-5)


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
    # As far apart as five can be: evenly around the circle of hues.
    hues = np.sort([colorsys.rgb_to_hsv(*rgb)[0] for *rgb, _ in colours])
    np.testing.assert_allclose(np.diff([*hues, hues[0] + 1]), 1 / 5, atol=0.01)


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


@pytest.mark.parametrize('name', FORMATS)
def test_only_clouds_and_grids_have_points(tmp_path: Path, name: str) -> None:
    """In pictures, videos and paths there are none."""
    scene = complete(two_walls())
    report = export_scene(scene, name, tmp_path, options=ExportOptions())
    has_points = name in ('glb', 'ply', 'colmap', 'gs_ply', 'npz', 'mini_npz', 'depth_png')
    assert (report.points > 0) == has_points


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
        ExportScene((view,), True), ExportOptions(conf_thresh_percentile=0), lambda share: None
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
    options = ExportOptions(conf_thresh_percentile=0, num_max_points=most)
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
    options = ExportOptions(conf_thresh_percentile=0, num_max_points=100)
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
        options = ExportOptions(conf_thresh_percentile=0, glb=glb)
        count = write_glb(scene, tmp_path, options, lambda share: None)
        assert count == 12 * 16 - 2 + is_kept


def test_cameras_grow_with_the_scene_and_have_a_size_where_there_is_but_a_point(
    tmp_path: Path,
) -> None:
    def scaled(view: PosedView, factor: float) -> PosedView:
        pose = view.world_from_camera.copy()
        pose[:3, 3] *= factor
        depth = (view.depth * factor).astype(np.float32)
        return replace(view, depth=depth, world_from_camera=pose)

    scene = two_walls()
    large = replace(scene, views=tuple(scaled(view, 3.0) for view in scene.views))
    np.testing.assert_allclose(
        sizes(frustums(tmp_path, large)), 3 * sizes(frustums(tmp_path, scene)), rtol=1e-4
    )
    view = make_view()
    depth = np.full_like(view.depth, np.nan)
    depth[5, 5] = 2.0
    point = ExportScene((replace(view, depth=depth),), True)
    (frustum,) = frustums(tmp_path, point, camera_size=0.25)
    # The tip is at (1, 2, 3), the camera looks along x: x is -z in glTF.
    assert np.ptp(frustum[:, 2]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ('percentile', 'floor', 'ensured', 'wanted'),
    [
        (0.0, 4.0, 100.0, 4.0),  # the floor alone
        (75.0, 1.0, 100.0, 4.0),  # the percentile is higher
        (75.0, 4.6, 100.0, 4.6),  # the floor is higher
        (0.0, 99.0, 75.0, 4.0),  # the floor would leave too little
        (90.0, 1.0, 50.0, 3.0),  # so would the percentile
    ],
)
def test_the_higher_of_floor_and_percentile_decides_up_to_what_is_ensured(
    tmp_path: Path, percentile: float, floor: float, ensured: float, wanted: float
) -> None:
    view = make_view()
    confidence = np.linspace(1, 5, 12 * 16, dtype=np.float32).reshape(12, 16)
    full = np.full_like(view.depth, 2.0)
    scene = ExportScene((replace(view, depth=full, confidence=confidence),), True)
    glb = GlbOptions(conf_thresh=floor, ensure_thresh_percentile=ensured)
    options = ExportOptions(conf_thresh_percentile=percentile, glb=glb)
    count = write_glb(scene, tmp_path, options, lambda share: None)
    assert count == pytest.approx((confidence >= wanted).sum(), abs=1)


def test_a_camera_is_drawn_as_the_pyramid_of_its_image(tmp_path: Path) -> None:
    """Four edges from the tip to the corners of the image, four around them."""
    view = make_view()
    write_glb(ExportScene((view,), True), tmp_path, ExportOptions(), lambda share: None)
    data = (tmp_path / 'scene.glb').read_bytes()
    (length,) = struct.unpack_from('<I', data, 12)
    document = json.loads(data[20 : 20 + length])
    (drawn,) = (m['primitives'][0] for m in document['meshes'] if m['name'] != 'points')
    assert drawn['mode'] == 1  # LINES: every two vertices are one
    place = document['accessors'][drawn['attributes']['POSITION']]
    start = document['bufferViews'][place['bufferView']]['byteOffset'] + 28 + length
    numbers = np.frombuffer(data, '<f4', 3 * place['count'], start).reshape(-1, 2, 3)
    edges = {frozenset(tuple(np.round(end, 4).tolist()) for end in line) for line in numbers}
    assert all(len(edge) == 2 for edge in edges)
    met = Counter(end for edge in edges for end in edge)
    (tip,) = (end for end, count in met.items() if count == 4)
    corners = [end for end, count in met.items() if count == 3]
    assert len(corners) == 4
    assert len(edges) == 8
    # A camera at (1, 2, 3) that looks along x, in glTF's axes: right -y, up z, back -x.
    np.testing.assert_allclose(tip, [-2, 3, -1], atol=1e-3)
    depth = -1 - np.array(corners)[:, 2]
    np.testing.assert_allclose(depth, depth[0], atol=2e-3)
    across = (np.array(corners)[:, 0] + 2) / depth * 10 + 8
    down = -(np.array(corners)[:, 1] - 3) / depth * 10 + 6
    np.testing.assert_allclose(sorted(across), [-0.5, -0.5, 15.5, 15.5], atol=0.1)
    np.testing.assert_allclose(sorted(down), [-0.5, -0.5, 11.5, 11.5], atol=0.1)
