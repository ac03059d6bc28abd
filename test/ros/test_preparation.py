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
from da3_ros.ros.calibration import ImageKind
from da3_ros.ros.conversions import FieldError
from da3_ros.ros.reading import preparation
from da3_ros.ros.reading.preparation import Preparation
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame, ViewId
from helpers.log_lines import Lines

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

    def __init__(
        self, crop: Crop | None = None, rectify: bool = False, kind: ImageKind = 'raw'
    ) -> None:
        self.log = Lines()
        self.board = ReasonBoard(self.log)
        self.preparation = Preparation('front', crop, rectify, kind, self.board)

    @property
    def lines(self) -> list[str]:
        return self.log.lines

    def frame(self, image: np.ndarray[Any, Any] = IMAGE) -> CameraFrame:
        view = ViewId('front', 5, 'optical')
        frame = self.preparation.frame(view, image, 'the image', 'the info')
        self.preparation.say('the info')
        return frame

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
    given.preparation.take_info(info_of())
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


def test_a_calibration_of_another_size_than_the_uncropped_image_is_not_used() -> None:
    given = Given(CROP)
    given.preparation.take_info(info_of(height=30, width=40))
    assert given.prepare()[1] is None
    (line,) = given.lines
    assert 'the info, fields width, height: it is for 40x30 pixels' in line
    assert "but the image has 64x48; the network's own" in line
    given.preparation.take_info(info_of())
    assert given.prepare()[1] is not None
    assert given.lines[1].startswith('over after')


def test_what_is_said_of_a_calibration_follows_the_size_of_the_images() -> None:
    given = Given()
    given.preparation.take_info(info_of())
    half = IMAGE[::2, ::2]
    for image, problems in ((IMAGE, 0), (half, 1), (IMAGE, 0), (half, 1)):
        given.prepare(image)
        assert len(given.board.active('front')) == problems


def test_rectified_images_have_p_and_nothing_is_undone() -> None:
    given = Given(rectify=True, kind='rectified')
    p = [36.0, 0, 31.0, -4.0, 0, 37.0, 24.0, 0, 0, 0, 1, 0]
    given.preparation.take_info(info_of(d=[-0.2, 0.05, 0.001, 0.002, 0.0], p=p))
    image, camera = given.prepare()
    assert image is IMAGE
    assert camera is not None
    np.testing.assert_array_equal(camera.K, [[36, 0, 31], [0, 37, 24], [0, 0, 1]])
    assert given.lines == []


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
    given.preparation.take_info(info_of(d=[-0.1, *distortion[1:]]))
    given.prepare()
    assert len(calls) == 2
    p = [50.0, 0, 32, 0, 0, 50, 24, 0, 0, 0, 1, 0]
    given.preparation.take_info(info_of(d=distortion, p=p))
    given.prepare()
    assert len(calls) == 3


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


def test_without_a_usable_k_the_image_is_used_and_that_is_said_once() -> None:
    given = Given(rectify=True)
    assert given.prepare() == (IMAGE, None)
    for _ in range(3):
        given.preparation.take_info(info_of(k=[0.0] * 9, d=[0.1] * 5))
        assert given.prepare() == (IMAGE, None)
    assert len(given.lines) == 2
    assert 'the info, field k: focal length 0' in given.lines[0]
    assert 'rectify needs a K that is plausible' in given.lines[1]


def test_a_distortion_that_cannot_be_undone_stops_the_image() -> None:
    given = Given(rectify=True)
    given.preparation.take_info(info_of(d=[0.1], distortion_model='of my own'))
    for _ in range(2):
        with pytest.raises(FieldError, match=r"field distortion_model: .* got 'of my own'"):
            given.prepare()
