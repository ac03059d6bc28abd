"""When refused images, unused bits and cropped views are said, by a clock given by hand."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip('rclpy')
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.geometry.resample import PixelMap
from da3_ros.inference.preprocess import preprocess
from da3_ros.reasons import Reason
from da3_ros.ros.reading.image_reasons import BitUse, Refusals
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.stream.view_loss import lost_view
from da3_ros.types import PosedView, ViewId
from da3_ros.types.results import InputGeometry
from helpers.log_lines import Lines

pytestmark = pytest.mark.ros


class Given:
    """A board whose clock stands still."""

    def __init__(self) -> None:
        self.now_s = 50.0
        self.log = Lines()
        self.board = ReasonBoard(self.log, self.clock)
        self.refusals = Refusals('front', self.board, self.clock)

    def clock(self) -> float:
        return self.now_s

    def holds(self) -> list[Reason]:
        self.board.tick()
        return [active.reason for active in self.board.active('front')]

    def refuse(self, count: int = 1, period_s: float = 0.1) -> None:
        for _ in range(count):
            self.now_s += period_s
            self.refusals.refused('data', 'too few bytes')

    def use(self, count: int = 1, period_s: float = 0.1) -> None:
        for _ in range(count):
            self.now_s += period_s
            self.refusals.used()


def test_a_camera_that_never_gave_a_good_image_is_lost_after_a_few() -> None:
    given = Given()
    given.refuse(2)
    assert given.holds() == []
    given.refuse()
    assert given.holds() == [Reason.IMAGES_REFUSED]
    assert given.log.lines == ['too few bytes (none of the last 3 images could be used)']
    given.use()
    assert given.holds() == []
    assert given.refusals.total == 3


def test_one_bad_image_of_a_slow_camera_is_said_within_five_seconds() -> None:
    given = Given()
    given.refuse()
    given.now_s += 2.5
    given.refusals.look()
    assert given.holds() == [Reason.IMAGES_REFUSED]


def test_a_bad_image_among_good_ones_is_a_drop_with_its_share() -> None:
    given = Given()
    given.use(9)
    given.refuse()
    given.use(10)
    given.refuse()
    assert given.holds() == [Reason.IMAGES_DROPPED]
    (active,) = given.board.active('front')
    assert '2 of the last 21 images could not be used' in active.text
    given.use(60)
    assert given.holds() == []


def test_a_first_image_that_is_bad_is_said_with_the_good_one_that_follows() -> None:
    given = Given()
    given.refuse()
    given.use()
    assert given.holds() == [Reason.IMAGES_DROPPED]
    assert '1 of the last 2 images' in given.log.lines[0]


def test_a_camera_whose_images_become_bad_is_lost_after_two_seconds() -> None:
    given = Given()
    given.use(5)
    given.refuse(15)
    assert given.holds() == [Reason.IMAGES_DROPPED]
    given.refuse(10)
    assert given.holds() == [Reason.IMAGES_REFUSED]
    # One that then sends nothing at all has another reason.
    given.now_s += 6.0
    given.refusals.look()
    assert given.holds() == []


@pytest.mark.parametrize(
    ('bits', 'largest', 'reason', 'wanted'),
    [
        (16, 4095, Reason.IMAGE_DARK, 'set mono16_bits to 12'),
        (16, 1000, Reason.IMAGE_DARK, 'set mono16_bits to 10'),
        (16, 2000, Reason.IMAGE_DARK, 'set mono16_bits to 12'),
        (16, 16383, Reason.IMAGE_DARK, 'set mono16_bits to 14'),
        (16, 1, Reason.IMAGE_DARK, 'set mono16_bits to 8'),
        (16, 0, None, ''),
        (16, 16384, None, ''),
        (16, 65535, None, ''),
        (12, 4095, None, ''),
        (12, 1024, None, ''),
        (12, 1023, Reason.IMAGE_DARK, 'use 10 of 12 bits'),
        (12, 4096, Reason.IMAGE_BRIGHT, 'all above 4095 are white; set mono16_bits to 14'),
        (8, 10, None, ''),
        (8, 256, Reason.IMAGE_BRIGHT, 'set mono16_bits to 10'),
    ],
)
def test_bits_in_use(bits: int, largest: int, reason: Reason | None, wanted: str) -> None:
    given = Given()
    use = BitUse('front', bits, given.board, given.clock)
    for value in (0, largest, 0):
        use.see(value, 'mono16')
        given.now_s += 0.5
    assert given.holds() == []
    use.see(0, 'mono16')
    assert given.holds() == ([] if reason is None else [reason])
    if reason is not None:
        assert wanted in given.log.lines[0]
    # It ends with what it is about.
    use.see(None, 'mono8')
    assert given.holds() == []


def posed_views(sizes: list[ImageSize], method: str) -> list[PosedView]:
    images = [np.zeros((size.height, size.width, 3), np.uint8) for size in sizes]
    processed = preprocess(images, 84, method)
    views = []
    for size, image, placement in zip(sizes, processed.images, processed.placements, strict=True):
        camera = PinholeCamera.from_focal(50, 50, 30, 30, placement.size)
        views.append(
            PosedView(
                id=ViewId('front', 1, 'optical'),
                depth=np.ones(image.shape[:2], np.float32),
                image=image,
                camera=camera,
                is_calibrated=False,
                world_from_camera=np.eye(4),
                confidence=None,
                sky=None,
                input=InputGeometry(size, None, placement.pixel_map),
            )
        )
    return views


@pytest.mark.parametrize(
    ('sizes', 'method', 'percent'),
    [
        # 84x56 and 56x84 have 56x56 in common.
        ([ImageSize(100, 150), ImageSize(150, 100)], 'upper_bound_resize', 100 / 3),
        ([ImageSize(100, 150), ImageSize(200, 300)], 'upper_bound_resize', None),
        ([ImageSize(100, 150)], 'upper_bound_crop', None),
        # 84x63 becomes 84x56: whole patches, which is no loss by another camera.
        ([ImageSize(120, 160)], 'upper_bound_crop', None),
    ],
)
def test_views_that_lose_their_margins_to_others(
    sizes: list[ImageSize], method: str, percent: float | None
) -> None:
    for view in posed_views(sizes, method):
        loss = lost_view(view)
        if percent is None:
            assert loss is None
        else:
            assert loss is not None
            assert loss.percent == pytest.approx(percent)
            assert loss.kept == '56x56'


def test_a_view_without_an_input_has_lost_nothing() -> None:
    (view,) = posed_views([ImageSize(100, 150)], 'upper_bound_resize')
    assert view.input is not None
    whole = PixelMap.whole(view.input.size, view.input.size)
    assert lost_view(view) is None
    assert (whole.scale_u, whole.scale_v) == (1, 1)
