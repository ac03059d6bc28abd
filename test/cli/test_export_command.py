"""`da3 export`: saved results, ours and the official tool's, in other formats."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from da3_ros.errors import ExportError, SourceError
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.camera import ImageSize
from da3_ros.sources.results import read_results
from da3_ros.synthetic.trajectory import START_NS
from da3_ros.synthetic.world import make_world
from da3_ros.types import PosedView, ViewId
from helpers.cli import SMALL, da3, da3_json, failure, invoke, results_in


def official_file(path: Path, *, with_image: bool = True) -> dict[str, np.ndarray]:
    """Write what the official exporter writes of a rendered scene, by its documentation."""
    world = make_world(size=ImageSize(24, 32))
    views = [world.render(camera, START_NS) for camera in world.rig.cameras]
    arrays = {
        'depth': np.stack([view.depth for view in views]).astype(np.float32),
        'conf': np.full((len(views), 24, 32), 2.0, np.float32),
        'extrinsics': np.stack([np.linalg.inv(v.world_from_camera)[:3] for v in views]),
        # Its first pixel has its centre at (0.5, 0.5).
        'intrinsics': np.stack(
            [v.camera.K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]) for v in views]
        ),
    }
    if with_image:
        arrays['image'] = np.stack([view.image for view in views])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return arrays


def points_of(folder: Path) -> trimesh.PointCloud:
    points = trimesh.load(folder / 'points.ply')
    assert isinstance(points, trimesh.PointCloud)
    return points


def true_points(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Return every pixel in the world, by the pinhole equation alone, (V, H, W, 3)."""
    v, u = np.indices((24, 32)) + 0.5
    pixels = np.stack([u, v, np.ones_like(u)], -1)
    points = []
    for depth, E, K in zip(
        *(arrays[k] for k in ('depth', 'extrinsics', 'intrinsics')), strict=True
    ):
        in_camera = pixels @ np.linalg.inv(K).T * depth[..., None]
        points.append((in_camera - E[:, 3]) @ E[:, :3])
    return np.stack(points)


def test_points_of_official_results_land_where_they_belong(tmp_path: Path) -> None:
    arrays = official_file(tmp_path / 'in' / 'results.npz')
    content = da3_json(
        'export', tmp_path / 'in', '--export-dir', tmp_path / 'out', '--export-format', 'ply-glb',
        '--conf-thresh-percentile', '0',
    )  # fmt: skip
    assert content['views'] == 3
    assert {'points.ply', 'scene.glb'} <= set(content['files'])
    points = points_of(tmp_path / 'out')
    expected = true_points(arrays)[np.isfinite(arrays['depth'])]
    np.testing.assert_allclose(points.vertices, expected, atol=1e-3)


def test_our_own_results_give_the_same_files_again(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    first, second = tmp_path / 'first', tmp_path / 'second'
    formats = ('--export-format', 'npz-ply-tum')
    da3('images', photos, '--model-dir', checkpoint, '--export-dir', first, *formats, *SMALL)
    da3('export', first, '--export-dir', second, *formats)
    old, new = (np.load(folder / 'exports' / 'npz' / 'results.npz') for folder in (first, second))
    with old, new:
        assert set(old.files) == set(new.files)
        for name in old.files:
            # Poses are inverted and back.
            exact = name != 'extrinsics'
            np.testing.assert_allclose(
                new[name], old[name], rtol=0, atol=0 if exact else 1e-6, err_msg=name
            )
    before, after = points_of(first), points_of(second)
    np.testing.assert_allclose(after.vertices, before.vertices, atol=1e-5)
    np.testing.assert_array_equal(after.colors, before.colors)


def test_scenes_of_a_stream_keep_cameras_stamps_and_sizes(tmp_path: Path) -> None:
    views = []
    for size in (ImageSize(24, 32), ImageSize(20, 30)):
        world = make_world(size=size)
        for camera in world.rig.cameras:
            seen = world.render(camera, START_NS)
            stamp_ns = START_NS + size.height
            view_id = ViewId(camera, stamp_ns, f'{camera}_optical')
            views.append(
                PosedView(
                    view_id, seen.depth, seen.image, seen.camera, True, seen.world_from_camera,
                    None, np.isnan(seen.depth),
                )
            )  # fmt: skip
    views.sort(key=lambda view: view.id.stamp_ns)
    scene = ExportScene(tuple(views), is_metric=True)
    export_scene(scene, 'npz', tmp_path)
    found = read_results(tmp_path / 'exports' / 'npz' / 'results.npz').scene
    assert found.is_metric
    assert found.stills is None
    assert len(found.views) == len(views)
    for old, new in zip(scene.views, found.views, strict=True):
        assert new.id == old.id
        np.testing.assert_array_equal(new.depth, old.depth)
        np.testing.assert_array_equal(new.image, old.image)
        np.testing.assert_allclose(new.camera.K, old.camera.K)
        np.testing.assert_allclose(new.world_from_camera, old.world_from_camera, atol=1e-12)


def test_without_images_points_are_grey_and_pictures_refused(
    tmp_path: Path, checkpoint: Path, photos: Path
) -> None:
    results = tmp_path / 'in' / 'exports' / 'mini_npz' / 'results.npz'
    arguments = ('--model-dir', checkpoint, '--export-format', 'mini_npz', *SMALL)
    da3('images', photos, '--export-dir', tmp_path / 'in', *arguments)
    text = da3('export', results, '--export-dir', tmp_path / 'grey')
    assert 'grey' in text
    assert results_in(tmp_path / 'grey') == {'scene.glb'}
    message = failure(
        'export', results, '--export-dir', tmp_path / 'no', '--export-format', 'colmap'
    )
    assert '--images' in message
    assert not (tmp_path / 'no').exists()
    content = da3_json(
        'export', results, '--export-dir', tmp_path / 'colour', '--images', photos,
        '--export-format', 'depth_vis-ply',
    )  # fmt: skip
    assert content['has_images']
    points = points_of(tmp_path / 'colour')
    assert len(np.unique(points.colors, axis=0)) > 100


def test_images_that_do_not_belong_are_refused(tmp_path: Path, photos: Path) -> None:
    official_file(tmp_path / 'results.npz', with_image=False)
    for folder, message in ((photos, 'depth is'), (tmp_path, 'expected images')):
        arguments = ('--export-dir', tmp_path / 'out', '--images', folder)
        assert message in failure('export', tmp_path / 'results.npz', *arguments)
    (photos / '0.png').unlink()
    arguments = ('--export-dir', tmp_path / 'out', '--images', photos)
    assert 'expected 3 images' in failure('export', tmp_path / 'results.npz', *arguments)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'depth': None}, 'expected depth'),
        ({'depth': np.zeros((2, 24, 32), np.float32)}, '2 views'),
        ({'depth': np.zeros((0, 24, 32), np.float32)}, 'view'),
        ({'conf': np.ones((3, 2, 2), np.float32)}, 'conf'),
        ({'intrinsics': np.zeros((3, 3, 3))}, 'focal'),
        ({'intrinsics': np.ones((3, 2, 3))}, 'intrinsics'),
        ({'extrinsics': np.ones((3, 2, 4))}, 'extrinsics'),
        ({'image': np.array(['a', 'b', 'c'])}, 'image'),
    ],
)
def test_arrays_that_do_not_fit_are_named(
    tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    arrays = official_file(tmp_path / 'results.npz')
    changed = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    np.savez(tmp_path / 'results.npz', **changed)  # type: ignore[arg-type]
    with pytest.raises(SourceError, match=message):
        read_results(tmp_path / 'results.npz')


def test_damaged_files_and_pickles_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'results.npz'
    official_file(path)
    whole = path.read_bytes()
    for content in (b'', b'no archive', whole[: len(whole) // 2], whole[:100] + whole[200:]):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r'results\.npz'):
            read_results(path)
    # An encrypted entry, and another method of compression: fields of the central directory.
    for field in (8, 10):
        at = whole.index(b'PK\x01\x02') + field
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with pytest.raises(SourceError, match=r'results\.npz'):
            read_results(path)
    np.savez(path, depth=np.array([{'a': 1}], dtype=object))
    with pytest.raises(SourceError, match=r'results\.npz'):
        read_results(path)
    with pytest.raises(SourceError, match='no such file'):
        read_results(tmp_path / 'nowhere.npz')


def test_wrong_calls_leave_nothing(tmp_path: Path) -> None:
    official_file(tmp_path / 'in' / 'results.npz')
    out = tmp_path / 'out'
    result = invoke('export', tmp_path / 'in', '--export-dir', out, '--export-format', 'x')
    assert isinstance(result.exception, ExportError)
    result = invoke('export', tmp_path / 'in', '--export-dir', out, '--export-format', 'gs_ply')
    assert isinstance(result.exception, ExportError)
    result = invoke('export', tmp_path, '--export-dir', out)
    assert isinstance(result.exception, SourceError)
    assert not out.exists()
    assert invoke('export', tmp_path / 'in').exit_code == 2
