"""The synthetic world against independent geometry: what it calls truth must be true."""

import numpy as np
import pytest

from da3_ros.errors import ConfigError, StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.frames import BODY_FROM_OPTICAL
from da3_ros.geometry.se3 import invert, rigid, transform_points
from da3_ros.geometry.unproject import unproject
from da3_ros.synthetic import START_NS, RoomWorld, make_world
from helpers.rounding import assert_equal_pictures, assert_equal_to_rounding

SIZE = ImageSize(60, 80)
SECOND_NS = 1_000_000_000


@pytest.fixture(scope='module', params=[0, 3])
def world(request: pytest.FixtureRequest) -> RoomWorld:
    return make_world(request.param, SIZE)


def march(world: RoomWorld, origin: np.ndarray, direction: np.ndarray) -> float:
    """Return the ray parameter of the first surface, by sphere tracing the distance field."""
    t = 0.0
    length = float(np.linalg.norm(direction))
    for _ in range(20000):
        gap = float(world.scene.clearance_m((origin + t * direction)[None])[0])
        if gap < 1e-7:
            break
        t += gap / length
    return t


@pytest.mark.parametrize('camera', ['front', 'left', 'right'])
def test_depth_is_where_a_marched_ray_meets_the_distance_field(
    world: RoomWorld, camera: str
) -> None:
    stamp = START_NS + 7 * SECOND_NS
    view = world.render(camera, stamp)
    rng = np.random.default_rng(1)
    for v, u in rng.integers(0, (SIZE.height, SIZE.width), (40, 2)):
        ray = np.linalg.solve(view.camera.K, [u, v, 1.0])
        direction = view.world_from_camera[:3, :3] @ ray
        marched = march(world, view.world_from_camera[:3, 3], direction)
        assert view.depth[v, u] == pytest.approx(marched, rel=2e-5)


def test_every_depth_pixel_lies_on_a_surface(world: RoomWorld) -> None:
    for seconds in range(0, 40, 5):
        view = world.render('left', START_NS + seconds * SECOND_NS)
        points = unproject(view.depth, view.camera).reshape(-1, 3)
        clearance = world.scene.clearance_m(transform_points(view.world_from_camera, points))
        assert np.abs(clearance).max() < 1e-5


def test_room_corner_projects_to_where_walls_meet_in_the_depth_image() -> None:
    world = make_world(0, ImageSize(240, 320))
    half_x, half_y, height = np.array(world.scene.room_size_m) * (0.5, 0.5, 1.0)
    corners = np.array(
        [[sx * half_x, sy * half_y, z] for sx in (-1, 1) for sy in (-1, 1) for z in (0, height)]
    )
    seen = 0
    for seconds in range(0, 40, 2):
        for camera in world.rig.cameras:
            view = world.render(camera, START_NS + seconds * SECOND_NS)
            local = transform_points(invert(view.world_from_camera), corners)
            for pixel, z in zip(view.camera.project(local), local[:, 2], strict=True):
                if not view.camera.contains(pixel):
                    continue
                u, v = np.round(pixel).astype(int)
                # A corner is the farthest point of its surroundings; it may be hidden, never
                # nearer than what is seen.
                assert view.depth[v, u] < z + 0.1
                seen += abs(view.depth[v, u] - z) < 0.1
    assert seen >= 10


def test_a_landmark_seen_by_two_cameras_has_the_depth_of_its_projection() -> None:
    world = make_world(0, ImageSize(120, 160))
    stamp = START_NS + 3 * SECOND_NS
    compared = 0
    for other, later_ns in (('left', 0), ('right', 0), ('front', SECOND_NS // 2)):
        a = world.render('front', stamp)
        b = world.render(other, stamp + later_ns)
        points = unproject(a.depth, a.camera).reshape(-1, 3)
        b_from_a = invert(b.world_from_camera) @ a.world_from_camera
        in_b = transform_points(b_from_a, points)
        pixels = b.camera.project(in_b)
        inside = b.camera.contains(pixels)
        u, v = np.round(pixels[inside]).astype(int).T
        seen = b.depth[np.clip(v, 0, 119), np.clip(u, 0, 159)]
        ratio = seen / in_b[inside][:, 2]
        # Rounding to a pixel and occlusion disturb some; most agree closely.
        assert np.median(np.abs(ratio - 1)) < 5e-3
        compared += int(inside.sum())
    assert compared > 10000


def test_shared_surfaces_have_the_same_colour_from_both_cameras() -> None:
    world = make_world(0, ImageSize(240, 320))
    a = world.render('front', START_NS, supersample=2)
    b = world.render('left', START_NS, supersample=2)
    in_b = transform_points(
        invert(b.world_from_camera) @ a.world_from_camera,
        unproject(a.depth, a.camera).reshape(-1, 3),
    )
    pixels = b.camera.project(in_b)
    inside = b.camera.contains(pixels)
    u, v = np.clip(np.round(pixels[inside]).astype(int).T, 0, [[319], [239]])
    visible = np.abs(b.depth[v, u] / in_b[inside][:, 2] - 1) < 0.01
    difference = (b.image[v, u].astype(float) - a.image.reshape(-1, 3)[inside].astype(float))[
        visible
    ]
    assert visible.sum() > 5000
    assert np.median(np.abs(difference)) < 12


def test_depth_does_not_depend_on_the_image_size_at_common_rays(world: RoomWorld) -> None:
    # Three times the size puts every third pixel centre on a small image's pixel centre.
    large = world.depth('front', START_NS, ImageSize(3 * SIZE.height, 3 * SIZE.width))
    small = world.depth('front', START_NS)
    np.testing.assert_allclose(large[1::3, 1::3], small, rtol=1e-6)


def test_rays_parallel_to_walls_are_no_exception() -> None:
    # An odd size puts a pixel on the optical axis; level cameras then look exactly along x.
    world = make_world(0, ImageSize(21, 21))
    pose = rigid(BODY_FROM_OPTICAL[:3, :3], [-1.0, 0.3, 2.4])
    depth = world.renderer.depth(world.intrinsics('front'), pose)
    for v, u in ((10, 10), (10, 3), (4, 10)):
        ray = np.linalg.solve(world.intrinsics('front').K, [u, v, 1.0])
        assert depth[v, u] == pytest.approx(
            march(world, pose[:3, 3], pose[:3, :3] @ ray), rel=1e-5
        )


def test_motion_is_smooth_and_keeps_clear_of_everything(world: RoomWorld) -> None:
    step_ns = 20_000_000
    stamps = [START_NS + i * step_ns for i in range(2001)]
    poses = np.stack([world.world_from_base(stamp) for stamp in stamps])
    velocity = np.diff(poses[:, :3, 3], axis=0) / 0.02
    speed = np.linalg.norm(velocity, axis=1)
    acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=1) / 0.02
    assert speed.min() > 0.2
    assert speed.max() < 0.6
    assert acceleration.max() < 0.5
    forward = (poses[:-1, :3, 0] * velocity).sum(axis=1) / speed
    assert forward.min() > 0.95
    np.testing.assert_allclose(poses[0], poses[-1], atol=1e-9)
    for camera in world.rig.cameras:
        path = np.stack([world.world_from_camera(camera, s)[:3, 3] for s in stamps[::10]])
        assert world.scene.clearance_m(path).min() > 0.25


def test_the_world_is_upright_and_the_cameras_look_where_their_names_say() -> None:
    world = make_world(0, SIZE)
    base_from_world = invert(world.world_from_base(START_NS))
    for camera, sign in (('front', 0), ('left', 1), ('right', -1)):
        base_from_camera = base_from_world @ world.world_from_camera(camera, START_NS)
        np.testing.assert_allclose(
            base_from_camera, world.rig.calibration.base_from_camera[camera], atol=1e-12
        )
        forward, down = base_from_camera[:3, 2], base_from_camera[:3, 1]
        assert forward[0] > 0.6
        assert np.sign(np.round(forward[1], 6)) == sign
        np.testing.assert_allclose(down, [0, 0, -1], atol=1e-12)


def test_floor_is_below_and_ceiling_above() -> None:
    world = make_world(0, SIZE)
    view = world.render('front', START_NS)
    points = transform_points(view.world_from_camera, unproject(view.depth, view.camera))
    assert points[-1, :, 2].max() < points[0, :, 2].min()


def test_the_horizontal_field_of_view_is_ninety_degrees() -> None:
    camera = make_world(0, ImageSize(480, 640)).intrinsics('front')
    left, right = (np.linalg.inv(camera.K) @ np.array([[-0.5, 639.5], [0, 0], [1, 1]]))[0]
    assert np.degrees(np.arctan(right) - np.arctan(left)) == pytest.approx(90.0)


def test_equal_seeds_give_equal_pictures_and_other_seeds_other_ones() -> None:
    pictures = [make_world(seed, SIZE).render('front', START_NS).image for seed in (5, 5, 6)]
    assert_equal_pictures(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).mean() > 0.5


def test_pictures_have_texture_and_the_range_of_a_photograph(world: RoomWorld) -> None:
    image = world.render('front', START_NS, ImageSize(240, 320)).image.astype(float)
    assert 60 < image.mean() < 200
    assert image.std() > 20


def test_later_loops_repeat_the_first(world: RoomWorld) -> None:
    period_ns = round(world.trajectory.period_s * 1e9)
    for loops in (-1, 1, 1000):
        assert_equal_to_rounding(
            world.world_from_base(START_NS + 123456789 + loops * period_ns),
            world.world_from_base(START_NS + 123456789),
        )


def test_unknown_cameras_are_named() -> None:
    with pytest.raises(ConfigError, match='periscope'):
        make_world(0, SIZE, ('front', 'periscope'))
    with pytest.raises(StreamError, match='periscope'):
        make_world(0, SIZE).render('periscope', START_NS)
