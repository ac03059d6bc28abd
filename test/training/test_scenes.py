"""Laws of the family of synthetic scenes."""

import numpy as np
from numpy.typing import NDArray
import pytest

from da3_ros.errors import ConfigError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.synthetic.family_scene import (
    MAX_BALLS,
    MAX_BOXES,
    TRAINED_KINDS,
    UNSEEN_KINDS,
    Kind,
    Split,
)
from helpers.family_scenes import distance_to_surfaces
from helpers.rounding import assert_equal_pictures, assert_equal_to_rounding
from tools.train_nano.scenes import FamilyBatch, make_batch, make_scene

# Where a ray touches a plane at a flat angle, depth hands on rounding many times larger.
GRAZING = 5e-5

SIZE = ImageSize(35, 49)
Points = NDArray[np.float64]


def world_rays(batch: FamilyBatch, scene: int, view: int) -> Points:
    """Directions (H, W, 3) in the world of the rays with z = 1 in the camera."""
    camera = PinholeCamera(batch.intrinsics[scene, view], batch.size)
    return np.asarray(camera.rays() @ batch.world_from_camera[scene, view, :3, :3].T)


@pytest.mark.parametrize('split', list(Split))
def test_depth_is_where_rays_first_meet_a_surface(split: Split) -> None:
    numbers = range(6)
    batch = make_batch(split, numbers, 2, SIZE)
    for number in numbers:
        scene, _ = make_scene(split, number, 2)
        for view in range(2):
            depth = batch.depth[number, view].astype(np.float64)
            hit = np.isfinite(depth)
            origin = batch.world_from_camera[number, view, :3, 3]
            rays = world_rays(batch, number, view)[hit]
            depth = depth[hit]
            ends = origin + depth[:, None] * rays
            assert np.abs(distance_to_surfaces(scene, ends)).max() < 2e-4
            # Grazed edges may be entered by less than the precision of float32.
            for share in np.linspace(0.02, 0.98, 25):
                on_the_way = origin + share * depth[:, None] * rays
                assert distance_to_surfaces(scene, on_the_way).min() > -1e-4


def test_sky_is_seen_only_above_open_walls() -> None:
    batch = make_batch(Split.UNSEEN, range(4), 2, SIZE)
    assert np.isinf(batch.depth).any()
    for number in range(4):
        scene, _ = make_scene(Split.UNSEEN, number, 2)
        for view in range(2):
            sky = np.isinf(batch.depth[number, view])
            origin = batch.world_from_camera[number, view, :3, 3]
            rays = world_rays(batch, number, view)[sky]
            slopes = rays[:, 2] / np.linalg.norm(rays[:, :2], axis=-1)
            assert np.all(slopes > 0)
            # At the height of the walls a ray to the sky is still inside of them.
            climbed = (scene.plan.height_m - origin[2]) / rays[:, 2]
            at_the_top = origin + climbed[:, None] * rays
            inside = np.abs(at_the_top[:, :2]) - (scene.plan.half_x_m, scene.plan.half_y_m)
            assert np.all(inside < 1e-3)


def test_views_of_a_scene_agree() -> None:
    batch = make_batch(Split.VALIDATION, range(12), 2, SIZE)
    compared, errors = 0, []
    for number in range(12):
        first, second = (
            PinholeCamera(batch.intrinsics[number, view], batch.size) for view in (0, 1)
        )
        depth = np.where(np.isfinite(batch.depth[number, 0]), batch.depth[number, 0], 0.0)
        local = depth[..., None] * first.rays()
        world_from_first, world_from_second = batch.world_from_camera[number]
        there = transform_points(
            invert(world_from_second) @ world_from_first, local.reshape(-1, 3)
        )
        there = there[(there[:, 2] > 0.1) & (depth.ravel() > 0)]
        pixels = second.project(there)
        inside = second.contains(pixels)
        column, row = np.round(pixels[inside]).astype(int).T
        off_centre = np.abs(pixels[inside] - np.round(pixels[inside])).max(axis=1)
        seen = batch.depth[number, 1][row, column]
        # Only points close to a pixel's centre are compared, and only where nothing is nearer.
        same = (off_centre < 0.1) & (seen > 0.97 * there[inside, 2])
        errors.append(np.abs(seen[same] / there[inside, 2][same] - 1))
        compared += int(same.sum())
    assert compared > 100
    assert np.median(np.concatenate(errors)) < 0.005


def test_scenes_are_the_same_whenever_they_are_made() -> None:
    alone = make_batch(Split.TRAIN, [7], 2, SIZE)
    among = make_batch(Split.TRAIN, [3, 7, 5], 2, SIZE)
    assert_equal_pictures(alone.images[0], among.images[1])
    assert_equal_to_rounding(alone.depth[0], among.depth[1], GRAZING)
    assert_equal_to_rounding(alone.world_from_camera[0], among.world_from_camera[1])


def test_splits_never_share_a_scene() -> None:
    scenes = {
        (split, number): make_scene(split, number, 1)[0] for split in Split for number in range(60)
    }
    palettes = {scene.colours.tobytes() for scene in scenes.values()}
    assert len(palettes) == len(scenes)


def test_the_unseen_kind_is_in_no_other_split() -> None:
    kinds = {
        split: {make_scene(split, number, 1)[0].plan.kind for number in range(80)}
        for split in Split
    }
    assert kinds.pop(Split.UNSEEN) == set(UNSEEN_KINDS) == {Kind.COURTYARD}
    assert all(found == set(TRAINED_KINDS) for found in kinds.values())


@pytest.mark.parametrize('views', [1, 2, 4, 5])
def test_cameras_stand_free_at_the_height_of_a_robot(views: int) -> None:
    for number in range(60):
        scene, cameras = make_scene(Split.TRAIN, number, views)
        poses = cameras.world_from_camera
        assert poses.shape == (views, 4, 4)
        assert distance_to_surfaces(scene, poses[:, :3, 3]).min() > 0.2
        assert poses[:, 2, 3].min() >= 0.3
        assert poses[:, 2, 3].max() <= 1.3
        assert len(scene.box_yaws_rad) <= MAX_BOXES
        assert len(scene.ball_radii_m) <= MAX_BALLS
        np.testing.assert_allclose(np.linalg.det(poses[:, :3, :3]), 1.0, atol=1e-9)


def test_patterns_have_a_fixed_physical_size() -> None:
    """Light and dark tiles of the floor change where the world's grid of 0.5 m says."""
    batch = make_batch(Split.VALIDATION, range(8), 1, ImageSize(140, 196))
    agreement = []
    for number in range(8):
        origin = batch.world_from_camera[number, 0, :3, 3]
        rays = world_rays(batch, number, 0)
        points = origin + batch.depth[number, 0, ..., None] * rays
        near = (np.abs(points[..., 2]) < 1e-3) & (batch.depth[number, 0] < 2.0)
        if near.sum() < 500:
            continue
        parity = np.floor(points[near][:, :2] / 0.5).sum(axis=-1).astype(int) % 2
        bright = batch.images[number, 0].mean(axis=-1)[near]
        agreement.append(bright[parity == 0].mean() - bright[parity == 1].mean())
    assert len(agreement) >= 3
    assert min(agreement) > 15.0


def test_supersampling_leaves_depth_and_pose_alone() -> None:
    plain = make_batch(Split.TEST, [0], 2, SIZE)
    smooth = make_batch(Split.TEST, [0], 2, SIZE, supersample=2)
    assert_equal_to_rounding(plain.depth, smooth.depth, GRAZING)
    assert_equal_to_rounding(plain.world_from_camera, smooth.world_from_camera)
    difference = plain.images.astype(int) - smooth.images.astype(int)
    assert 0 < np.abs(difference).mean() < 8.0


def test_a_camera_of_another_size_sees_the_same() -> None:
    small = make_batch(Split.TEST, [4], 1, SIZE)
    large = make_batch(Split.TEST, [4], 1, ImageSize(SIZE.height * 3, SIZE.width * 3))
    # The middle of three pixels has the place of the one.
    np.testing.assert_allclose(large.depth[..., 1::3, 1::3], small.depth, rtol=1e-3)


@pytest.mark.parametrize(
    ('numbers', 'views', 'supersample'), [([-1], 1, 1), ([], 1, 1), ([0], 0, 1), ([0], 1, 0)]
)
def test_senseless_orders_are_refused(numbers: list[int], views: int, supersample: int) -> None:
    with pytest.raises(ConfigError, match='scene family'):
        make_batch(Split.TRAIN, numbers, views, SIZE, supersample=supersample)
