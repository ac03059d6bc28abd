"""nvblox: depth and colour with their calibration, poses by TF."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from da3_ros.ros.launch.recipes import read_recipe
from helpers.consumer_rules import ExactTime, column, ns, pixels
from helpers.ros_process import ROOT

if TYPE_CHECKING:
    from helpers.taken_messages import Taken

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')
KINDS = ('depth', 'color')
QUEUE = 10


@pytest.mark.parametrize('kind', KINDS)
def test_image_and_calibration_are_exact_pairs(millimetres: Taken, kind: str) -> None:
    found: list[tuple[Any, ...]] = []
    exact = ExactTime(2, QUEUE, found.append)
    keys = [f'/front/{kind}/image', f'/front/{kind}/camera_info']
    for key, message in millimetres.arrived:
        if key in keys:
            exact.add(keys.index(key), message)
    stamps = [ns(image.header.stamp) for image, _ in found]
    assert tuple(s for s in stamps if s in millimetres.stamps) == millimetres.stamps


def test_its_recipe_asks_for_millimetres() -> None:
    # NaN is not "<= 0", so a float that is unknown would be cast as a ray.
    recipe = read_recipe(ROOT / 'config' / 'recipes' / 'nvblox.yaml')
    assert recipe.node['depth_encoding'] == '16UC1'


def test_nothing_but_0_is_unknown(millimetres: Taken) -> None:
    for image, cloud in zip(
        millimetres.of('/front/depth/image'), millimetres.of('/front/points'), strict=True
    ):
        mm, z = pixels(image), column(cloud, 'z')
        known = np.isfinite(z)
        assert known.any()
        assert not known.all()
        np.testing.assert_array_equal(mm > 0, known)
        np.testing.assert_allclose(mm[known] / 1000, z[known], atol=5.1e-4)


def test_pixels_follow_each_other_without_gaps(millimetres: Taken) -> None:
    # It copies height x width pixels and does not look at `step`.
    for camera in CAMERAS:
        for topic, size in (('depth/image', 2), ('color/image', 3)):
            for image in millimetres.of(f'/{camera}/{topic}'):
                assert len(image.data) == image.height * image.width * size


def test_sizes_are_even(millimetres: Taken) -> None:
    # Of odd sizes NITROS makes no image at all.
    for camera in CAMERAS:
        for topic in ('depth/image', 'color/image'):
            for image in millimetres.of(f'/{camera}/{topic}'):
                assert (image.width % 2, image.height % 2) == (0, 0)


def test_the_calibration_is_of_the_image_and_stays_bit_by_bit(millimetres: Taken) -> None:
    for camera in CAMERAS:
        for kind in KINDS:
            infos = millimetres.of(f'/{camera}/{kind}/camera_info')
            image = millimetres.of(f'/{camera}/{kind}/image')[0]
            (only,) = {(m.k[0], m.k[4], m.k[2], m.k[5], m.width, m.height) for m in infos}
            assert only[-2:] == (image.width, image.height)


def test_the_camera_has_a_place_in_the_world_at_its_stamp(millimetres: Taken) -> None:
    # It asks TF without waiting and without a tolerance, and asks again at the next tick.
    for camera in CAMERAS:
        for image in millimetres.of(f'/{camera}/depth/image'):
            millimetres.tree.a_from_b('odom', image.header.frame_id, ns(image.header.stamp))
