"""Laws of the unit of depth that is found by parallax, on images with exact depth and poses."""

from dataclasses import replace
import math

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.parallax import (
    REACH,
    Parallax,
    metres_between_cameras,
    metres_by_parallax,
)
from da3_ros.geometry.se3 import invert
from helpers.seen_room import SeenRoom

SIZE = ImageSize(70, 98)
FRONT = ['front']


class Seen(SeenRoom):
    """Images of a robot's cameras at some instants, and the truth about them."""

    def metres(
        self, units_per_metre: float = 1.0, log_guess: float = 0.0, *, is_vague: bool = False
    ) -> Parallax | None:
        """Return what is found when depth is in another unit."""
        return metres_by_parallax(
            self.images,
            self.depth * units_per_metre,
            self.cameras,
            self.camera_from_world,
            log_guess,
            is_vague=is_vague,
        )


def look(
    cameras: list[str] | None = None, sets: int = 2, step_s: float = 0.4, size: ImageSize = SIZE
) -> Seen:
    return Seen.look(size, cameras, sets, step_s)


@pytest.fixture(scope='module')
def rig() -> Seen:
    """Three cameras at two instants."""
    return look()


def found(parallax: Parallax | None) -> float:
    assert parallax is not None
    return parallax.log_metres


@pytest.mark.parametrize('factor', [0.2, 0.6, 1.0, 1.7, 30.0])
@pytest.mark.parametrize('off', [-0.55, 0.0, 0.3])
def test_the_unit_is_found_whatever_it_is_and_wherever_it_is_looked_for(
    rig: Seen, factor: float, off: float
) -> None:
    parallax = rig.metres(factor, log_guess=-math.log(factor) + off)
    assert parallax is not None
    assert parallax.log_metres == pytest.approx(-math.log(factor), abs=0.02)
    assert 0.004 < parallax.sigma < 0.03


@pytest.mark.parametrize(
    'seen',
    [
        pytest.param(look(['front'], sets=2, step_s=0.3), id='one camera that drives ahead'),
        pytest.param(look(['left'], sets=3), id='one that looks aside'),
        pytest.param(look(['front', 'left'], sets=1), id='two cameras at one instant'),
        pytest.param(look(sets=2, size=ImageSize(280, 392)), id='larger images'),
    ],
)
def test_few_views_and_large_ones_do(seen: Seen) -> None:
    assert found(seen.metres(log_guess=0.25)) == pytest.approx(0.0, abs=0.04)


def test_exposure_and_noise_do_not_matter(rig: Seen) -> None:
    rng = np.random.default_rng(3)
    gains = rng.uniform(0.6, 1.3, (len(rig.images), 1, 1, 1))
    levels = rig.images * gains + rng.normal(0.0, 4.0, rig.images.shape) + 10.0
    exposed = replace(rig, images=np.clip(levels, 0, 255).astype(np.uint8))
    assert found(exposed.metres(log_guess=0.3)) == pytest.approx(0.0, abs=0.03)


def test_what_moves_in_a_quarter_of_the_image_does_not_matter(rig: Seen) -> None:
    images = rig.images.copy()
    rng = np.random.default_rng(5)
    for image in images:
        blobs = cv2.resize(rng.integers(0, 256, (9, 12, 3), np.uint8), (49, 35))
        u, v = rng.integers(0, 49), rng.integers(0, 35)
        image[v : v + 35, u : u + 49] = blobs
    moving = replace(rig, images=images)
    assert found(moving.metres(log_guess=0.2)) == pytest.approx(0.0, abs=0.03)


def test_depth_that_is_not_known_is_left_out(rig: Seen) -> None:
    depth = rig.depth.copy()
    depth[:, :20] = np.nan
    depth[:, 20:25] = np.inf
    depth[:, 25:30] = -1.0
    assert found(replace(rig, depth=depth).metres(log_guess=0.2)) == pytest.approx(0.0, abs=0.03)
    assert replace(rig, depth=np.full_like(depth, np.nan)).metres() is None


def test_depth_with_errors_of_its_own_still_tells(rig: Seen) -> None:
    """Smooth ones of a tenth, as of a network."""
    rng = np.random.default_rng(7)
    waves = [cv2.resize(rng.normal(0.0, 0.1, (5, 7)), (98, 70)) for _ in rig.depth]
    wrong = replace(rig, depth=rig.depth * np.exp(np.stack(waves)))
    assert found(wrong.metres(log_guess=0.2)) == pytest.approx(0.0, abs=0.05)


def test_cameras_that_stand_say_nothing(rig: Seen) -> None:
    still = np.tile(rig.camera_from_world[:1], (len(rig.images), 1, 1))
    assert replace(rig, camera_from_world=still).metres() is None


def test_a_single_view_says_nothing() -> None:
    assert look(FRONT, sets=1).metres() is None


def test_images_without_texture_say_nothing(rig: Seen) -> None:
    assert replace(rig, images=np.full_like(rig.images, 128)).metres() is None


def test_images_of_other_places_say_nothing(rig: Seen) -> None:
    rng = np.random.default_rng(1)
    blobs = rng.integers(0, 256, (len(rig.images), 20, 28, 3), np.uint8)
    other = np.stack([cv2.resize(image, (98, 70)) for image in blobs])
    assert replace(rig, images=other).metres() is None


@pytest.mark.parametrize('off', [REACH + 0.5, -REACH - 0.5])
def test_a_unit_out_of_reach_is_not_made_up_and_found_from_a_vague_guess(
    rig: Seen, off: float
) -> None:
    assert rig.metres(log_guess=off) is None
    assert found(rig.metres(log_guess=off, is_vague=True)) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize('larger', [0.4, 1.0, 2.5])
@pytest.mark.parametrize('apart', [0.7, 1.0, 1.3])
def test_known_cameras_that_were_predicted_give_the_place_to_look_at(
    rig: Seen, larger: float, apart: float
) -> None:
    """The prediction may be wrong about distances relative to depth: images decide."""
    predicted = larger * apart * invert(rig.camera_from_world)[:, :3, 3] + 7.0
    found = metres_between_cameras(
        rig.images, larger * rig.depth, rig.cameras, rig.camera_from_world, predicted
    )
    assert found is not None
    assert found.log_metres == pytest.approx(-math.log(larger), abs=2 * found.sigma)


def test_a_unit_that_is_known_already_is_looked_for_there_alone(rig: Seen) -> None:
    predicted = invert(rig.camera_from_world)[:, :3, 3]
    arguments = (rig.images, rig.depth, rig.cameras, rig.camera_from_world)
    # Predicted distances that are far off do not matter then.
    found = metres_between_cameras(*arguments, 50 * predicted, 0.1)
    assert found == metres_by_parallax(*arguments, 0.1)
    assert metres_between_cameras(*arguments, 50 * predicted, 2.5 * REACH) is None


def test_cameras_in_one_place_have_no_distance_to_compare(rig: Seen) -> None:
    predicted = invert(rig.camera_from_world)[:, :3, 3]
    one_place = np.tile(rig.camera_from_world[:1], (len(predicted), 1, 1))
    arguments = (rig.images, rig.depth, rig.cameras)
    assert metres_between_cameras(*arguments, one_place, predicted, 0.0) is None
    nowhere = np.ones_like(predicted)
    assert metres_between_cameras(*arguments, rig.camera_from_world, nowhere, 0.0) is None
