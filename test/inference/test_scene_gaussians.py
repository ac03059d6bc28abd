"""Gaussians for the posed views of a stream."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from da3_ros.errors import ExportError
from da3_ros.export.registry import export_scene
from da3_ros.export.scene import ExportScene
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.sim3 import Sim3
from da3_ros.inference.api import DepthAnything3
from da3_ros.inference.scene_gaussians import with_gaussians
from da3_ros.synthetic import START_NS, make_world
from da3_ros.types import PosedView, ViewId
from helpers import tiny
from helpers.export_scenes import make_view
from helpers.rounding import assert_equal_to_rounding
from tools.parity.synthetic_weights import synthetic_network

SIZE = ImageSize(42, 56)


@pytest.fixture(scope='module')
def model() -> DepthAnything3:
    return DepthAnything3(network=synthetic_network(tiny.ANY_VIEW))


@pytest.fixture(scope='module')
def scene() -> ExportScene:
    world = make_world(size=SIZE)
    views = []
    for step in range(5):
        for camera in world.rig.cameras:
            stamp_ns = START_NS + step * 500_000_000
            seen = world.render(camera, stamp_ns)
            view_id = ViewId(camera, stamp_ns, world.rig.frame_id(camera))
            pose = seen.world_from_camera
            views.append(
                PosedView(view_id, seen.depth, seen.image, seen.camera, True, pose, None, None)
            )
    return ExportScene(tuple(views), is_metric=True)


def test_gaussians_move_with_the_world_of_the_cameras(
    model: DepthAnything3, scene: ExportScene
) -> None:
    """Turned, moved and twice as large: a change of the world's frame and unit."""
    moved_from_world = Sim3(2.0, about_z(0.7), np.array([5.0, -3.0, 1.0]))
    moved = []
    for view in scene.views:
        pose = view.world_from_camera.copy()
        pose[:3, :3] = moved_from_world.rotation @ pose[:3, :3]
        pose[:3, 3] = moved_from_world.apply(view.world_from_camera[None, :3, 3])[0]
        moved.append(replace(view, world_from_camera=pose))
    before = with_gaussians(model, scene, max_views=4)
    after = with_gaussians(model, replace(scene, views=tuple(moved)), max_views=4)
    assert before.gaussians is not None
    assert after.gaussians is not None
    assert before.gaussians.grid == after.gaussians.grid == (4, SIZE.height, SIZE.width)
    stamps = [view.id.stamp_ns for view in before.views]
    assert (stamps[0], stamps[-1]) == (
        scene.views[0].id.stamp_ns,
        scene.views[-1].id.stamp_ns,
    )
    wanted = moved_from_world.apply(before.gaussians.means.astype(np.float64))
    spread = np.abs(wanted - wanted.mean(axis=0)).mean()
    assert np.abs(after.gaussians.means - wanted).max() < 1e-2 * spread
    np.testing.assert_allclose(after.gaussians.scales, 2 * before.gaussians.scales, rtol=1e-2)
    for one, other in zip(before.views, after.views, strict=True):
        np.testing.assert_allclose(other.depth, 2 * one.depth, rtol=1e-2)


def about_z(angle: float) -> FloatArray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_only_formats_of_gaussians_see_them(
    model: DepthAnything3, scene: ExportScene, tmp_path: Path
) -> None:
    asked = []

    def add(plain: ExportScene) -> ExportScene:
        asked.append(plain)
        return with_gaussians(model, plain, max_views=2)

    export_scene(scene, 'ply', tmp_path / 'a', add_gaussians=add)
    assert not asked
    export_scene(scene, 'ply-gs_ply', tmp_path / 'b', add_gaussians=add)
    assert asked == [scene]
    clouds = [trimesh.load(tmp_path / name / 'points.ply') for name in 'ab']
    assert isinstance(clouds[0], trimesh.PointCloud)
    assert isinstance(clouds[1], trimesh.PointCloud)
    assert_equal_to_rounding(clouds[0].vertices, clouds[1].vertices, 1e-6)
    splats = trimesh.load(tmp_path / 'b' / 'gs_ply' / '0000.ply')
    assert isinstance(splats, trimesh.PointCloud)
    assert 0 < len(splats.vertices) < 2 * SIZE.height * SIZE.width


def test_views_of_another_size_do_not_take_part(model: DepthAnything3, scene: ExportScene) -> None:
    odd = make_view(3, ImageSize(28, 28))
    found = with_gaussians(model, replace(scene, views=(odd, *scene.views[:3])))
    assert len(found.views) == 3


def test_networks_and_scenes_without_are_refused(scene: ExportScene) -> None:
    plain = DepthAnything3(network=synthetic_network(replace(tiny.ANY_VIEW, gaussian=None)))
    with pytest.raises(ExportError, match='gives no Gaussians'):
        with_gaussians(plain, scene)
    model = DepthAnything3(network=synthetic_network(tiny.ANY_VIEW))
    with pytest.raises(ExportError, match='no views yet'):
        with_gaussians(model, ExportScene((), is_metric=True))
