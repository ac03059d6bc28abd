"""Invariances of the unit of depth by parallax: what must not matter to it, and what must."""

from dataclasses import replace
import math

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.parallax import LARGEST_SIDE, REACH, Parallax, metres_by_parallax
from da3_ros.geometry.se3 import rigid
from helpers.seen_room import SeenRoom


class Seen(SeenRoom):
    """Images of a robot's cameras at some instants, and the truth about them."""

    def metres(self, log_guess: float = 0.1, *, is_vague: bool = False) -> Parallax | None:
        return metres_by_parallax(
            self.images,
            self.depth,
            self.cameras,
            self.camera_from_world,
            log_guess,
            is_vague=is_vague,
        )

    def some(self, views: list[int]) -> 'Seen':
        return Seen(
            self.images[views],
            self.depth[views],
            [self.cameras[view] for view in views],
            self.camera_from_world[views],
        )


def look(size: ImageSize, sets: int = 4, step_s: float = 0.3) -> Seen:
    return Seen.look(size, ['front', 'left'], sets, step_s)


@pytest.fixture(scope='module')
def drive() -> Seen:
    """Two cameras at four instants: more views than a view is compared with."""
    return look(ImageSize(70, 98))


def told(parallax: Parallax | None) -> Parallax:
    assert parallax is not None
    return parallax


def assert_same(got: Parallax | None, wanted: Parallax, shift: float = 0.0) -> None:
    """Same to the rounding of places in float32."""
    assert told(got).log_metres - shift == pytest.approx(wanted.log_metres, abs=1e-3)
    assert told(got).sigma == pytest.approx(wanted.sigma, rel=0.05)
    assert told(got).difference == pytest.approx(wanted.difference, rel=1e-2)


@pytest.mark.parametrize('factor', [0.01, 0.3, 40.0])
def test_a_larger_world_is_the_same_to_the_cameras(drive: Seen, factor: float) -> None:
    """Which views are compared depends on parallax, a ratio, and not on metres."""
    poses = drive.camera_from_world.copy()
    poses[:, :3, 3] *= factor
    large = replace(drive, camera_from_world=poses).metres(0.1 + math.log(factor))
    assert_same(large, told(drive.metres()), math.log(factor))


@pytest.mark.parametrize('factor', [0.01, 40.0])
def test_depth_in_another_unit_gives_another_number_only(drive: Seen, factor: float) -> None:
    other = replace(drive, depth=drive.depth * factor).metres(0.1 - math.log(factor))
    assert_same(other, told(drive.metres()), -math.log(factor))


def test_where_the_world_begins_and_the_order_of_views_do_not_matter(drive: Seen) -> None:
    turn = cv2.Rodrigues(np.array([0.4, -1.1, 2.0]))[0]
    world_from_other = rigid(turn, [30.0, -7.0, 2.0])
    wanted = told(drive.metres())
    moved = replace(drive, camera_from_world=drive.camera_from_world @ world_from_other)
    assert_same(moved.metres(), wanted)
    assert_same(drive.some([5, 2, 7, 0, 3, 6, 1, 4]).metres(), wanted)


def test_views_that_cannot_tell_anything_change_nothing(drive: Seen) -> None:
    """One that looks back from the same place, one that stands on another, one without depth."""
    wanted = told(drive.metres())
    back = rigid(np.diag([-1.0, 1.0, -1.0]), np.zeros(3)) @ drive.camera_from_world[:1]
    poses = np.concatenate([drive.camera_from_world, back])
    more = drive.some([*range(8), 0])
    assert_same(replace(more, camera_from_world=poses).metres(), wanted)
    # The same place twice: no parallax between the two, so neither takes a place of a partner.
    far = drive.camera_from_world[:1].copy()
    far[0, 2, 3] += 1e4
    poses = np.concatenate([drive.camera_from_world, far])
    assert_same(replace(more, camera_from_world=poses).metres(), wanted)


def test_large_images_are_compared_as_small_ones(drive: Seen) -> None:
    large = look(ImageSize(280, 392), sets=2)
    size = (LARGEST_SIDE, LARGEST_SIDE * 280 // 392)
    assert size == (196, 140)
    images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in large.images]
    small = Seen(
        np.stack(images),
        np.stack([cv2.resize(z, size, interpolation=cv2.INTER_NEAREST) for z in large.depth]),
        [camera.resized(ImageSize(140, 196)) for camera in large.cameras],
        large.camera_from_world,
    )
    assert_same(large.metres(), told(small.metres()))


def test_upright_images_do_as_well_as_wide_ones(drive: Seen) -> None:
    """The images lie on their side, and so do the cameras."""
    quarter = rigid([[0, -1, 0], [1, 0, 0], [0, 0, 1]], np.zeros(3))
    upright = Seen(
        np.stack([np.rot90(image, -1) for image in drive.images]),
        np.stack([np.rot90(z, -1) for z in drive.depth]),
        [camera.rotated(1) for camera in drive.cameras],
        quarter @ drive.camera_from_world,
    )
    assert told(upright.metres()).log_metres == pytest.approx(0.0, abs=0.01)
    assert told(upright.metres()).difference == pytest.approx(
        told(drive.metres()).difference, rel=0.05
    )


def test_brightness_and_contrast_do_not_matter(drive: Seen) -> None:
    darker = (drive.images * 0.6 + 20).astype(np.uint8)
    darker[1::2] = drive.images[1::2]
    assert told(replace(drive, images=darker).metres()).log_metres == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize('off', [-1.95, -1.6, -0.95, -0.7, 0.7, 0.95, 1.6, 1.95])
def test_a_vague_guess_reaches_all_that_lies_within_five_halves(drive: Seen, off: float) -> None:
    assert abs(off) < 2.5 * REACH
    vague = told(drive.metres(off, is_vague=True))
    assert vague.log_metres == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize(('far_share', 'is_far'), [(0.6, True), (0.47, False)])
def test_of_two_answers_to_a_vague_guess_the_images_choose(far_share: float, is_far: bool) -> None:
    """Two layers of glass, seen through one another, at two distances; one is stronger."""
    rng = np.random.default_rng(3)
    layers = [
        cv2.GaussianBlur(rng.uniform(0, 255, (140, 400)).astype(np.float32), (0, 0), 1.2)
        for _ in range(2)
    ]
    u, v = np.meshgrid(np.arange(196, dtype=np.float32), np.arange(140, dtype=np.float32))
    images, poses = [], []
    far_px, near_px = 2.5, 27.0  # per step of 0.1 m, at a focal length of 150 px
    for index in range(3):
        seen = np.full((140, 196), 128.0)
        for layer, share, px in zip(
            layers, (far_share, 1 - far_share), (far_px, near_px), strict=True
        ):
            even = (layer - layer.mean()) / layer.std() * 40
            seen += share * cv2.remap(even, u + 100 + px * index, v, cv2.INTER_LINEAR)
        images.append(np.repeat(np.clip(seen, 0, 255).astype(np.uint8)[..., None], 3, axis=2))
        poses.append(rigid(np.eye(3), [-0.1 * index, 0.0, 0.0]))
    camera = PinholeCamera.from_focal(150, 150, 97.5, 69.5, ImageSize(140, 196))
    far, near = math.log(15 / far_px), math.log(15 / near_px)
    both = Seen(np.stack(images), np.ones((3, 140, 196)), [camera] * 3, np.stack(poses))
    answer = told(both.metres((far + near) / 2, is_vague=True)).log_metres
    assert answer == pytest.approx(far if is_far else near, abs=0.05)


def test_the_difference_is_that_of_the_images(drive: Seen) -> None:
    """Noise makes them differ more; a sure finding differs by less than chance does."""
    rng = np.random.default_rng(0)
    noisy = np.clip(drive.images + rng.normal(0, 12, drive.images.shape), 0, 255).astype(np.uint8)
    clean = told(drive.metres()).difference
    assert 0 < clean < told(replace(drive, images=noisy).metres()).difference < 1
