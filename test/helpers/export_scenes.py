"""Scenes to export: two walls with all that may be missing, and the synthetic world."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from da3_ros.export.gaussians import GaussianCloud
from da3_ros.export.scene import ExportScene, StillImages
from da3_ros.geometry.arrays import FloatArray
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import rigid_from_xyz_xyzw
from da3_ros.synthetic import START_NS, SyntheticWorld, make_world
from da3_ros.types import PosedSet, PosedView, ViewId

HALF = np.sqrt(0.5)
# Optical axes of a camera that looks along +x of a z-up world, at (1, 2, 3).
WORLD_FROM_CAMERA = rigid_from_xyz_xyzw([1, 2, 3, -0.5, 0.5, -0.5, 0.5])


def make_view(
    stamp_ns: int = 10,
    size: ImageSize | None = None,
    world_from_camera: FloatArray = WORLD_FROM_CAMERA,
) -> PosedView:
    """A wall two units before the camera, one unknown pixel, confidence rising with u."""
    size = size or ImageSize(12, 16)
    shape = (size.height, size.width)
    image = np.random.default_rng(stamp_ns).integers(0, 255, (*shape, 3), np.uint8)
    depth = np.full(shape, 2.0, np.float32)
    depth[0, 0] = np.nan
    confidence = np.broadcast_to(np.linspace(1, 5, shape[1], dtype=np.float32), shape)
    camera = PinholeCamera.from_focal(10, 10, shape[1] / 2, shape[0] / 2, size)
    view_id = ViewId('front', stamp_ns, 'front_optical_frame')
    return PosedView(view_id, depth, image, camera, True, world_from_camera, confidence, sky=None)


def two_walls() -> ExportScene:
    """Return a wall ahead, and the same seen after a quarter turn about the world's z axis."""
    other = rigid_from_xyz_xyzw([0, 0, 0, 0, 0, HALF, HALF]) @ WORLD_FROM_CAMERA
    return ExportScene((make_view(10), make_view(20, world_from_camera=other)), is_metric=True)


def complete(scene: ExportScene) -> ExportScene:
    """Return the scene with everything that any format needs: features and Gaussians."""
    rng = np.random.default_rng(0)
    grid = (len(scene.views), *scene.views[0].depth.shape)
    count = int(np.prod(grid))
    turns = rng.normal(size=(count, 4))
    cloud = GaussianCloud(
        means=rng.uniform(-2, 2, (count, 3)).astype(np.float32),
        scales=rng.uniform(0.05, 0.2, (count, 3)).astype(np.float32),
        rotations_wxyz=(turns / np.linalg.norm(turns, axis=1, keepdims=True)).astype(np.float32),
        harmonics=rng.normal(size=(count, 3, 4)).astype(np.float32),
        opacities=rng.uniform(0.1, 0.9, count).astype(np.float32),
        grid=grid,
    )
    features = {'feat_layer_5': rng.normal(size=(grid[0], 3, 4, 6)).astype(np.float32)}
    return replace(scene, stills=StillImages(features=features), gaussians=cloud)


WORLD_SIZE = ImageSize(18, 24)
WORLD_STAMPS_NS = (START_NS, START_NS + 1_234_567_891)


def synthetic_world() -> SyntheticWorld:
    """Return a small world with three cameras of 90 degrees."""
    return make_world(size=WORLD_SIZE)


def synthetic_scene(world: SyntheticWorld) -> ExportScene:
    """Return the truth about every camera at two instants; confidence falls with depth."""
    sets = []
    for stamp_ns in WORLD_STAMPS_NS:
        views = []
        for camera in world.rig.cameras:
            frame = world.frame(camera, stamp_ns)
            seen = world.render(camera, stamp_ns)
            views.append(
                PosedView(
                    id=frame.id,
                    depth=seen.depth,
                    image=seen.image,
                    camera=seen.camera,
                    is_calibrated=True,
                    world_from_camera=seen.world_from_camera,
                    confidence=(1 + 1 / seen.depth).astype(np.float32),
                    sky=None,
                )
            )
        sets.append(PosedSet(stamp_ns, tuple(views), world.world_from_base(stamp_ns)))
    return ExportScene.from_sets(sets, is_metric=True)


def true_points(world: SyntheticWorld, scene: ExportScene) -> FloatArray:
    """Return where the pixels of a synthetic scene lie in the world, (P, 3), view by view.

    The rig's cameras see 90 degrees, so that the image plane at depth 1 reaches from -1 to 1:
    this says where every pixel looks, and the renderer how far, without any K.
    """
    truth = []
    for view in scene.views:
        camera, stamp_ns = view.id.camera, view.id.stamp_ns
        height, width = view.depth.shape
        v, u = np.indices((height, width)) + 0.5
        plane = np.stack([u * 2 / width - 1, (v * 2 - height) / width, np.ones_like(u)], -1)
        in_view = (plane * world.depth(camera, stamp_ns)[..., None]).reshape(-1, 3)
        pose = world.world_from_camera(camera, stamp_ns)
        truth.append(in_view @ pose[:3, :3].T + pose[:3, 3])
    return np.concatenate(truth)


def view_of(depth: list[list[float]]) -> PosedView:
    """Return a view of this depth, without confidence."""
    values = np.array(depth, np.float32)
    return replace(make_view(7, ImageSize(*values.shape)), depth=values, confidence=None)


def scene_of(*views: PosedView) -> ExportScene:
    """Return a scene in metres."""
    return ExportScene(views, is_metric=True)
