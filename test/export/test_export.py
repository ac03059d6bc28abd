"""Exports: read back by other libraries, atomic, deterministic, inside their folder."""

from collections.abc import Callable
from dataclasses import replace
import json
from pathlib import Path
import struct

import numpy as np
import pytest
import trimesh

from da3_ros.errors import ExportCancelledError, ExportError
from da3_ros.export.files import resolve_inside, staged
from da3_ros.export.options import ExportOptions
from da3_ros.export.registry import export_scene, parse_formats
from da3_ros.export.scene import ExportScene, confidence_threshold, world_points
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert
from helpers.export_scenes import (
    WORLD_FROM_CAMERA,
    make_view,
    synthetic_scene,
    synthetic_world,
    true_points,
    two_walls,
)
from helpers.rounding import assert_equal_to_rounding


@pytest.fixture
def scene() -> ExportScene:
    return two_walls()


def _glb_json(path: Path) -> dict[str, object]:
    data = path.read_bytes()
    magic, version, length = struct.unpack_from('<4sII', data)
    assert (magic, version, length) == (b'glTF', 2, len(data))
    chunk_length, kind = struct.unpack_from('<I4s', data, 12)
    assert kind == b'JSON'
    parsed: dict[str, object] = json.loads(data[20 : 20 + chunk_length])
    return parsed


def test_glb_holds_the_points_in_gltf_axes_and_a_frustum_per_view(
    scene: ExportScene, tmp_path: Path
) -> None:
    report = export_scene(scene, 'glb', tmp_path)
    loaded = trimesh.load_scene(report.files[0])
    clouds = [g for g in loaded.geometry.values() if isinstance(g, trimesh.PointCloud)]
    paths = [g for g in loaded.geometry.values() if isinstance(g, trimesh.path.Path3D)]
    assert len(clouds) == 1
    assert len(paths) == 2
    assert report.views == 2
    assert len(clouds[0].vertices) == report.points > 100
    # Both walls are planes of the world: x = 3 of the first camera, y = 3 of the second, which
    # stands a quarter turn further. In glTF axes (right = -y, up = z, back = -x): z = -3, x = -3.
    vertices = np.asarray(clouds[0].vertices)
    first = np.isclose(vertices[:, 2], -3, atol=1e-5)
    second = np.isclose(vertices[:, 0], -3, atol=1e-5)
    assert (first | second).all()
    assert first.any()
    assert second.any()
    tip = np.asarray(paths[0].vertices)
    assert np.isclose(tip, [-2, 3, -1], atol=1e-5).all(axis=1).any()


def test_glb_points_are_those_of_the_synthetic_world_in_gltf_axes(tmp_path: Path) -> None:
    world = synthetic_world()
    scene = synthetic_scene(world)
    options = ExportOptions(conf_thresh_percentile=0.0)
    path = export_scene(scene, 'glb', tmp_path, options=options).files[0]
    clouds = [
        g for g in trimesh.load_scene(path).geometry.values() if isinstance(g, trimesh.PointCloud)
    ]
    x, y, z = true_points(world, scene).T
    np.testing.assert_allclose(clouds[0].vertices, np.stack([-y, z, -x], axis=1), atol=1e-5)


@pytest.mark.parametrize('name', ['npz', 'mini_npz'])
def test_arrays_give_back_the_points_of_the_synthetic_world(tmp_path: Path, name: str) -> None:
    world = synthetic_world()
    scene = synthetic_scene(world)
    with np.load(export_scene(scene, name, tmp_path).files[0], allow_pickle=False) as data:
        v, u = np.indices(data['depth'].shape[1:]) + float(data['pixel_centre'])
        pixels = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3)
        points = []
        for depth, K, extrinsics in zip(
            data['depth'], data['intrinsics'], data['extrinsics'], strict=True
        ):
            in_view = np.linalg.solve(K, pixels.T) * depth.ravel()
            points.append((extrinsics[:, :3].T @ (in_view - extrinsics[:, 3:])).T)
    np.testing.assert_allclose(np.concatenate(points), true_points(world, scene), atol=1e-5)


def test_glb_declares_points_and_lines_as_the_specification_numbers_them(
    scene: ExportScene, tmp_path: Path
) -> None:
    """glTF 2.0 section 3.7.2.1: primitive mode 0 is POINTS, 1 to 3 are lines."""
    document = _glb_json(export_scene(scene, 'glb', tmp_path).files[0])
    meshes = document['meshes']
    assert isinstance(meshes, list)
    modes = sorted(mesh['primitives'][0]['mode'] for mesh in meshes)
    assert modes[0] == 0
    assert set(modes[1:]) <= {1, 2, 3}


def test_npz_arrays_reproject_to_the_same_points(scene: ExportScene, tmp_path: Path) -> None:
    report = export_scene(scene, 'npz', tmp_path)
    with np.load(report.files[0], allow_pickle=False) as data:
        assert data['depth'].shape == (2, 12, 16)
        assert data['extrinsics'].shape == (2, 3, 4)
        assert data['stamp_ns'].tolist() == [10, 20]
        assert data['frame_id'].tolist() == ['front_optical_frame'] * 2
        assert bool(data['is_metric'])
        # An independent reading of the arrays: x = R^T (K^-1 [u v 1] z - t).
        u, v, k = 5, 7, 1
        ray = np.linalg.solve(data['intrinsics'][k], [u, v, 1.0]) * data['depth'][k, v, u]
        extrinsics = data['extrinsics'][k]
        point = extrinsics[:, :3].T @ (ray - extrinsics[:, 3])
        np.testing.assert_array_equal(data['image'][k], scene.views[k].image)
    kept = world_points(scene.views[1], 0.0)
    index = v * 16 + u - 1  # one unknown pixel stands before it
    np.testing.assert_allclose(point, kept.xyz[index], atol=1e-5)


def test_views_of_two_sizes_get_their_own_arrays(tmp_path: Path) -> None:
    scene = ExportScene((make_view(1), make_view(2, ImageSize(6, 8))), is_metric=False)
    with np.load(export_scene(scene, 'npz', tmp_path).files[0]) as data:
        assert data['depth_12x16'].shape == (1, 12, 16)
        assert data['depth_6x8'].shape == (1, 6, 8)


def test_two_exports_are_the_same_and_leave_the_scene_unchanged(
    scene: ExportScene, tmp_path: Path
) -> None:
    for view in scene.views:
        view.depth.flags.writeable = view.image.flags.writeable = False
    first = export_scene(scene, 'npz-glb', tmp_path / 'a')
    second = export_scene(scene, 'npz-glb', tmp_path / 'b')
    assert [f.name for f in first.files] == ['results.npz', 'scene.glb']
    with np.load(first.files[0]) as a, np.load(second.files[0]) as b:
        assert sorted(a.files) == sorted(b.files)
        for key in a.files:
            if a[key].dtype.kind == 'f':
                assert_equal_to_rounding(a[key], b[key])
            else:
                np.testing.assert_array_equal(a[key], b[key])


def test_low_confidence_and_sky_become_no_points() -> None:
    view = make_view()
    threshold = confidence_threshold(ExportScene((view,), is_metric=True), 40.0)
    kept = world_points(view, threshold)
    assert view.confidence is not None
    known = np.isfinite(view.depth)
    assert len(kept.xyz) == int((view.confidence[known] >= threshold).sum())
    sky = np.zeros(view.depth.shape, np.bool_)
    sky[:6] = True
    assert len(world_points(replace(view, sky=sky), 0.0).xyz) == 6 * 16
    without = replace(view, confidence=None)
    assert confidence_threshold(ExportScene((without,), is_metric=True), 40.0) == 0.0


def test_a_scene_with_too_many_points_is_thinned_the_same_way_twice(
    scene: ExportScene, tmp_path: Path
) -> None:
    options = ExportOptions(num_max_points=50)
    reports = [export_scene(scene, 'glb', tmp_path / name, options=options) for name in 'ab']
    assert [r.points for r in reports] == [50, 50]
    assert reports[0].files[0].read_bytes() == reports[1].files[0].read_bytes()


def test_existing_files_are_replaced_only_on_request(scene: ExportScene, tmp_path: Path) -> None:
    first = export_scene(scene, 'npz-glb', tmp_path).files[1].read_bytes()
    with pytest.raises(ExportError, match=r'scene\.glb already there'):
        export_scene(scene, 'glb', tmp_path)
    smaller = ExportScene(scene.views[:1], is_metric=True)
    export_scene(smaller, 'glb', tmp_path, overwrite=True)
    assert (tmp_path / 'scene.glb').read_bytes() != first


def test_progress_rises_to_one_and_names_the_format(scene: ExportScene, tmp_path: Path) -> None:
    seen: list[tuple[float, str]] = []
    export_scene(scene, 'npz-glb', tmp_path, progress=lambda f, s: seen.append((f, s)))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {name for _, name in seen} == {'npz', 'glb'}


@pytest.mark.parametrize('after', [0, 2, 5])
def test_a_cancelled_export_leaves_nothing(scene: ExportScene, tmp_path: Path, after: int) -> None:
    asked = iter(range(1000))
    with pytest.raises(ExportCancelledError, match='cancelled'):
        export_scene(scene, 'npz-glb', tmp_path / 'x', cancelled=lambda: next(asked) >= after)
    assert list(tmp_path.iterdir()) == []


def test_a_failing_format_leaves_nothing_of_the_others(tmp_path: Path) -> None:
    view = make_view()
    blind = replace(view, depth=np.full_like(view.depth, np.nan))
    with pytest.raises(ExportError, match='none of the 1 views'):
        export_scene(ExportScene((blind,), is_metric=True), 'npz-glb', tmp_path / 'x')
    assert list(tmp_path.iterdir()) == []


def test_a_file_where_the_folder_should_be_is_a_clear_error(
    scene: ExportScene, tmp_path: Path
) -> None:
    (tmp_path / 'x').write_text('in the way')
    with pytest.raises(ExportError, match='cannot be written'):
        export_scene(scene, 'glb', tmp_path / 'x')
    assert (tmp_path / 'x').read_text() == 'in the way'


def test_a_move_that_fails_takes_back_the_files_before_it(tmp_path: Path) -> None:
    with (
        pytest.raises(ExportError, match='cannot be written'),
        staged(tmp_path / 'x', ['a', 'missing'], overwrite=False) as staging,
    ):
        (staging / 'a').write_text('content')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('text', ['', '-', 'obj', 'glb-pickle'])
def test_unknown_formats_are_named(text: str) -> None:
    with pytest.raises(ExportError, match='npz, glb'):
        parse_formats(text)


def test_a_scene_without_views_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match='no views'):
        export_scene(ExportScene((), is_metric=True), 'glb', tmp_path)


@pytest.mark.parametrize('path', ['..', '../x', 'a/../../x', '/etc', '.', 'a\x00b'])
def test_paths_that_leave_the_export_folder_are_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match='path'):
        resolve_inside(tmp_path / 'exports', path)


def test_a_link_that_leads_outside_is_refused(tmp_path: Path) -> None:
    root = tmp_path / 'exports'
    root.mkdir()
    (root / 'link').symlink_to(tmp_path)
    with pytest.raises(ExportError, match='expected one inside'):
        resolve_inside(root, 'link/x')


def test_paths_inside_and_automatic_names(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, 'a/b') == (tmp_path / 'a' / 'b').resolve()
    assert resolve_inside(tmp_path / 'new', '').name == 'scene_0000'
    (tmp_path / 'scene_0000').mkdir()
    (tmp_path / 'scene_0002').mkdir()
    assert resolve_inside(tmp_path, '').name == 'scene_0001'


def test_poses_in_the_test_scene_are_what_they_claim() -> None:
    """The camera of this file looks along the world's x axis with its image upright."""
    in_camera = invert(WORLD_FROM_CAMERA) @ [3.0, 2.0, 3.5, 1.0]
    np.testing.assert_allclose(in_camera, [0, -0.5, 2, 1], atol=1e-12)


def test_errors_of_progress_callbacks_reach_the_caller(scene: ExportScene, tmp_path: Path) -> None:
    def fail(share: float, stage: str) -> None:
        raise RuntimeError(f'{stage} {share}')

    callback: Callable[[float, str], None] = fail
    with pytest.raises(RuntimeError, match='npz 0'):
        export_scene(scene, 'npz', tmp_path / 'x', progress=callback)
    assert list(tmp_path.iterdir()) == []
