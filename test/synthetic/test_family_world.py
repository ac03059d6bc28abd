"""The drive through a room of the family: what it calls truth must be true."""

from dataclasses import replace

import numpy as np
import pytest

from da3_ros.errors import ConfigError, StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.se3 import invert, transform_points
from da3_ros.geometry.unproject import unproject
from da3_ros.synthetic import START_NS, FamilyWorld, TruthEstimator, make_family_world
from da3_ros.synthetic.family_scene import Kind
from da3_ros.synthetic.wheels import LENGTH_ERROR, odom_from_base
from da3_ros.types import FrameSet, Window
from helpers.family_scenes import distance_to_surfaces
from helpers.rounding import assert_equal_to_rounding

SIZE = ImageSize(60, 84)
SECOND_NS = 1_000_000_000
LOOP_S = 24


@pytest.fixture(scope='module', params=[0, 3])
def world(request: pytest.FixtureRequest) -> FamilyWorld:
    return make_family_world(request.param, SIZE)


def march(world: FamilyWorld, origin: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Return the ray parameters of the first surfaces, by marching along the distance field."""
    t = np.zeros(len(directions))
    lengths = np.linalg.norm(directions, axis=1)
    for _ in range(3000):
        gap = distance_to_surfaces(world.scene, origin + t[:, None] * directions)
        if np.abs(gap).max() < 1e-7:
            break
        t += gap / lengths
    return t


@pytest.mark.parametrize('camera', ['front', 'left', 'right'])
def test_depth_is_where_a_marched_ray_meets_the_distance_field(
    world: FamilyWorld, camera: str
) -> None:
    view = world.render(camera, START_NS + 7 * SECOND_NS)
    v, u = np.random.default_rng(1).integers(0, (SIZE.height, SIZE.width), (200, 2)).T
    rays = view.camera.rays()[v, u] @ view.world_from_camera[:3, :3].T
    marched = march(world, view.world_from_camera[:3, 3], rays)
    # Rays that graze an edge are decided by the last digits of single precision.
    assert np.quantile(np.abs(view.depth[v, u] / marched - 1), 0.99) < 2e-5


def test_every_depth_pixel_lies_on_a_surface(world: FamilyWorld) -> None:
    for seconds in range(0, LOOP_S, 5):
        view = world.render('left', START_NS + seconds * SECOND_NS)
        points = unproject(view.depth, view.camera).reshape(-1, 3)
        there = transform_points(view.world_from_camera, points)
        assert np.abs(distance_to_surfaces(world.scene, there)).max() < 1e-4


def test_a_landmark_seen_by_two_cameras_has_the_depth_of_its_projection() -> None:
    world = make_family_world(0, ImageSize(120, 168))
    stamp = START_NS + 3 * SECOND_NS
    for other, later_ns in (('left', 0), ('right', 0), ('front', SECOND_NS // 2)):
        a, b = world.render('front', stamp), world.render(other, stamp + later_ns)
        points = unproject(a.depth, a.camera).reshape(-1, 3)
        in_b = transform_points(invert(b.world_from_camera) @ a.world_from_camera, points)
        in_b = in_b[in_b[:, 2] > 0.1]
        pixels = b.camera.project(in_b)
        inside = b.camera.contains(pixels)
        u, v = np.round(pixels[inside]).astype(int).T
        ratio = b.depth[np.clip(v, 0, 119), np.clip(u, 0, 167)] / in_b[inside][:, 2]
        # The cameras of the fan see much in common: what the network needs.
        assert inside.mean() > 0.5
        assert np.median(np.abs(ratio - 1)) < 5e-3


def test_depth_does_not_depend_on_the_image_size_at_common_rays(world: FamilyWorld) -> None:
    large = world.depth('front', START_NS, ImageSize(3 * SIZE.height, 3 * SIZE.width))
    np.testing.assert_allclose(large[1::3, 1::3], world.depth('front', START_NS), rtol=1e-4)


def test_colour_may_be_smoothed_and_depth_stays(world: FamilyWorld) -> None:
    plain = world.render('front', START_NS)
    smooth = world.render('front', START_NS, supersample=2)
    assert_equal_to_rounding(plain.depth, smooth.depth)
    assert_equal_to_rounding(plain.depth, world.depth('front', START_NS))
    difference = np.abs(plain.image.astype(int) - smooth.image.astype(int)).mean()
    assert 0 < difference < 10


def test_motion_is_smooth_and_keeps_clear_of_everything(world: FamilyWorld) -> None:
    stamps = [START_NS + i * SECOND_NS // 50 for i in range(50 * LOOP_S + 1)]
    poses = np.stack([world.world_from_base(stamp) for stamp in stamps])
    velocity = np.diff(poses[:, :3, 3], axis=0) * 50
    speed = np.linalg.norm(velocity, axis=1)
    assert 0.1 < speed.min() < speed.max() < 0.8
    assert (np.linalg.norm(np.diff(velocity, axis=0), axis=1) * 50).max() < 0.5
    np.testing.assert_allclose(poses[0], poses[-1], atol=1e-9)
    for camera in world.rig.cameras:
        path = np.stack([world.world_from_camera(camera, s)[:3, 3] for s in stamps[::10]])
        assert distance_to_surfaces(world.scene, path).min() > 0.3


def test_the_room_is_furnished_and_none_of_the_scenes_of_batches() -> None:
    for number in range(8):
        world = make_family_world(number, SIZE)
        assert world.scene.plan.kind is Kind.ROOM
        assert len(world.scene.box_yaws_rad) >= 5
        heights = [world.world_from_camera(c, START_NS)[2, 3] for c in world.rig.cameras]
        assert 0.3 < min(heights) <= max(heights) < 1.3
        assert np.degrees(2 * np.arctan(SIZE.width / 2 / world.intrinsics('left').K[0, 0])) >= 58


def test_equal_numbers_give_equal_worlds_whatever_the_cameras() -> None:
    first, again = make_family_world(5, SIZE), make_family_world(5, SIZE, ('left',))
    a, b = (w.render('left', START_NS) for w in (first, again))
    np.testing.assert_array_equal(a.image, b.image)
    other = make_family_world(6, SIZE).render('left', START_NS)
    assert (a.image != other.image).mean() > 0.5


def test_wrong_orders_are_refused() -> None:
    with pytest.raises(ConfigError, match='number from 0'):
        make_family_world(-1, SIZE)
    with pytest.raises(ConfigError, match='periscope'):
        make_family_world(0, SIZE, ('front', 'periscope'))
    with pytest.raises(StreamError, match='periscope'):
        make_family_world(0, SIZE).render('periscope', START_NS)


def test_the_truth_estimator_answers_over_it() -> None:
    world = make_family_world(0, SIZE)
    frames = tuple(world.frame(camera, START_NS) for camera in world.rig.cameras)
    window = Window(0, (FrameSet(START_NS, frames),), 1)
    said = TruthEstimator(world, size=SIZE, random_gauge=False).estimate(window)
    for frame, view in zip(frames, said.views, strict=True):
        assert_equal_to_rounding(view.depth, world.depth(frame.camera, START_NS))


def test_wheels_are_right_for_a_window_and_wrong_after_a_minute(world: FamilyWorld) -> None:
    np.testing.assert_allclose(odom_from_base(world, START_NS), np.eye(4), atol=1e-12)
    start = START_NS + 20 * SECOND_NS

    def motions(seconds: float) -> tuple[np.ndarray, np.ndarray]:
        end = start + round(seconds * SECOND_NS)
        true = invert(world.world_from_base(start)) @ world.world_from_base(end)
        return true, invert(odom_from_base(world, start)) @ odom_from_base(world, end)

    true, told = motions(0.8)
    assert np.linalg.norm(told[:3, 3]) == pytest.approx(
        (1 + LENGTH_ERROR) * np.linalg.norm(true[:3, 3]), rel=1e-2
    )
    np.testing.assert_allclose(told[:3, :3], true[:3, :3], atol=2e-3)
    true, told = motions(60.0)
    assert np.abs(told[:3, :3] - true[:3, :3]).max() > 0.05


def test_other_cameras_may_be_put_in_the_world() -> None:
    world = make_family_world(0, SIZE)
    camera = world.intrinsics('front').resized(ImageSize(30, 42))
    pose = world.world_from_camera('front', START_NS)
    view = replace(world, rig=world.rig).renderer.render(camera, pose)
    assert view.image.shape == (30, 42, 3)
    assert view.depth.shape == (30, 42)
