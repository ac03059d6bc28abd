"""Crop and rectification in front of everything: K follows, maps are made once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip('sensor_msgs')
from sensor_msgs.msg import CameraInfo

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options.camera_values import Crop
from da3_ros.ros import rectification
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.faults import FaultLog
from da3_ros.ros.node import preparation
from da3_ros.ros.node.preparation import Preparation
from da3_ros.types import CameraFrame, ViewId

pytestmark = pytest.mark.ros
SIZE = ImageSize(48, 64)
CAMERA = PinholeCamera.from_focal(40.0, 42.0, 30.5, 25.25, SIZE)
CROP = Crop(10, 4, ImageSize(30, 40))
IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def info_of(**fields: Any) -> CameraInfo:
    info = CameraInfo(height=48, width=64, distortion_model='plumb_bob')
    info.k = CAMERA.K.reshape(-1)
    for name, value in fields.items():
        setattr(info, name, value)
    return info


class Given:
    """A preparation and what it reports."""

    def __init__(self, crop: Crop | None = None, rectify: bool = False) -> None:
        self.lines: list[str] = []
        faults = FaultLog(self.lines.append, period_s=0.0)
        self.preparation = Preparation('front', crop, rectify, faults)

    def frame(self, image: np.ndarray[Any, Any] = IMAGE) -> CameraFrame:
        view = ViewId('front', 5, 'optical')
        return self.preparation.frame(view, image, 'the image', 'the info')

    def prepare(
        self, image: np.ndarray[Any, Any] = IMAGE
    ) -> tuple[np.ndarray[Any, Any], PinholeCamera | None]:
        frame = self.frame(image)
        assert frame.id == ViewId('front', 5, 'optical')
        return frame.image, frame.calibration


def test_without_wishes_the_image_goes_through_untouched() -> None:
    given = Given()
    assert given.prepare()[0] is IMAGE
    given.preparation.take_info(info_of())
    image, camera = given.prepare()
    assert image is IMAGE
    assert camera is not None
    np.testing.assert_array_equal(camera.K, CAMERA.K)


def test_a_crop_shows_its_part_and_k_meets_the_same_points() -> None:
    given = Given(CROP)
    assert given.preparation.take_info(info_of())
    image, camera = given.prepare()
    np.testing.assert_array_equal(image, IMAGE[4:34, 10:50])
    assert np.shares_memory(image, IMAGE)
    assert camera is not None
    assert camera.size == CROP.size
    np.testing.assert_array_equal(camera.K, [[40, 0, 20.5], [0, 42, 21.25], [0, 0, 1]])


def test_a_crop_needs_no_calibration() -> None:
    image, camera = Given(CROP).prepare()
    assert (image.shape, camera) == ((30, 40, 3), None)


@pytest.mark.parametrize('crop', [Crop(30, 4, CROP.size), Crop(10, 20, CROP.size)])
def test_a_crop_outside_of_the_image_is_named(crop: Crop) -> None:
    with pytest.raises(FieldError, match='the image, field width, height: the image has 64x48'):
        Given(crop).prepare()


def test_a_calibration_of_another_size_than_the_uncropped_image_is_refused() -> None:
    given = Given(CROP)
    given.preparation.take_info(info_of(height=30, width=40))
    with pytest.raises(FieldError, match='is for 40x30 pixels, but the image has 64x48'):
        given.prepare()


def test_a_crop_is_a_part_of_the_rectified_image() -> None:
    whole, part = Given(rectify=True), Given(CROP, rectify=True)
    for given in (whole, part):
        given.preparation.take_info(info_of(d=[-0.2, 0.05, 0.001, 0.002, 0.0]))
    full, full_camera = whole.prepare()
    image, camera = part.prepare()
    assert camera is not None
    assert full_camera is not None
    np.testing.assert_array_equal(image, full[4:34, 10:50])
    assert np.abs(full.astype(int) - IMAGE).max() > 50
    np.testing.assert_array_equal(camera.K, full_camera.cropped(10, 4, CROP.size).K)
    assert part.lines == []


def test_maps_are_made_once_for_a_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    make = rectification.make_rectifier

    def counted(*args: Any) -> Any:
        calls.append('made')
        return make(*args)

    monkeypatch.setattr(preparation, 'make_rectifier', counted)
    given = Given(rectify=True)
    distortion = [-0.2, 0.05, 0.001, 0.002, 0.0]
    for _ in range(3):
        given.preparation.take_info(info_of(d=distortion))
        given.prepare()
    assert len(calls) == 1
    assert given.preparation.take_info(info_of(d=[-0.1, *distortion[1:]]))
    given.prepare()
    assert len(calls) == 2
    assert given.preparation.take_info(
        info_of(d=distortion, p=[*[50.0, 0, 32, 0] * 2, 0, 0, 1, 0])
    )


def test_an_image_without_distortion_is_not_resampled() -> None:
    given = Given(rectify=True)
    given.preparation.take_info(info_of(d=[0.0] * 5))
    assert given.prepare()[0] is IMAGE


def test_valid_masks_come_with_every_rectified_image() -> None:
    given = Given(rectify=True)
    # Pincushion: the rectified image reaches over the borders of the other one.
    given.preparation.take_info(info_of(d=[0.4, 0.0, 0.0, 0.0, 0.0]))
    for _ in range(2):
        valid = given.frame().valid
        assert valid is not None
        assert valid[24, 32]
        assert not valid[0, 0]
    given.preparation.take_info(info_of())
    assert given.frame().valid is None


def test_without_calibration_the_image_is_used_and_that_is_said_once() -> None:
    given = Given(rectify=True)
    for _ in range(3):
        assert given.prepare() == (IMAGE, None)
    assert len(given.lines) == 1
    assert 'there is no calibration' in given.lines[0]
    given.preparation.take_info(info_of(k=[0.0] * 9, d=[0.1] * 5))
    assert given.prepare() == (IMAGE, None)
    assert 'field k' in given.lines[1]


def test_a_distortion_that_cannot_be_undone_stops_the_image() -> None:
    given = Given(rectify=True)
    given.preparation.take_info(info_of(d=[0.1], distortion_model='of my own'))
    for _ in range(2):
        with pytest.raises(FieldError, match=r"field distortion_model: .* got 'of my own'"):
            given.prepare()
