"""Every image of a recording is used once, with the calibration that comes behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from da3_ros.errors import MessageError
from da3_ros.options import OutputOptions
from da3_ros.reasons import Reason
from da3_ros.ros.reading.camera_reader import WAIT_FOR_INFO_IMAGES, CameraReader
from da3_ros.ros.reading.held import Held
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame
from helpers import camera_messages as made
from helpers.log_lines import Lines

SMALL, LARGE = (4, 6), (8, 12)
FOCAL_PX = {SMALL: 6.0, LARGE: 12.0}


def image_of(stamp_ns: int, size: tuple[int, int] = SMALL) -> Any:
    pixels = np.full((*size, 3), stamp_ns % 256, np.uint8)
    return made.image(made.header(stamp_ns), pixels, 'rgb8', size)


def info_of(size: tuple[int, int] = SMALL) -> Any:
    return made.info(made.header(1), size, FOCAL_PX[size])


class Given:
    """Images of one camera, and what comes of them."""

    def __init__(self, has_info_topic: bool = True) -> None:
        self.log = Lines()
        self.board = ReasonBoard(self.log)
        self.reader = CameraReader('front', OutputOptions(), self.board, '/f/image', '/f/info')
        self.held = Held(self.reader, has_info_topic)
        self.frames: list[CameraFrame] = []

    def images(self, *stamps_ns: int, size: tuple[int, int] = SMALL) -> None:
        for stamp_ns in stamps_ns:
            self.frames += self.held.push_image(image_of(stamp_ns, size))

    def info(self, size: tuple[int, int] = SMALL) -> None:
        self.frames += self.held.push_info(info_of(size))

    @property
    def stamps_ns(self) -> list[int]:
        return [frame.stamp_ns for frame in self.frames]

    @property
    def focal_px(self) -> list[float | None]:
        return [None if f.calibration is None else f.calibration.K[0, 0] for f in self.frames]


def test_the_first_images_wait_for_their_calibration() -> None:
    given = Given()
    given.images(1, 2, 3)
    assert (given.stamps_ns, len(given.held)) == ([], 3)
    given.info()
    given.images(4)
    assert given.stamps_ns == [1, 2, 3, 4]
    assert given.focal_px == [6.0] * 4
    assert given.log.lines == []


def test_they_do_not_wait_for_ever() -> None:
    given = Given()
    given.images(1, 2, 3, 4, 5)
    assert given.stamps_ns == [1, 2, 3, 4, 5]
    given.info()
    given.images(6)
    assert given.focal_px == [None] * 5 + [6.0]


def test_without_a_topic_of_calibrations_nothing_waits() -> None:
    given = Given(has_info_topic=False)
    given.images(1)
    assert given.stamps_ns == [1]


def test_images_of_a_new_size_wait_for_their_calibration() -> None:
    given = Given()
    given.info()
    given.images(1)
    given.images(2, 3, size=LARGE)
    # Not theirs either.
    given.info()
    assert given.stamps_ns == [1]
    given.info(LARGE)
    given.images(4, size=LARGE)
    assert given.stamps_ns == [1, 2, 3, 4]
    assert given.focal_px == [6.0, 12.0, 12.0, 12.0]
    # Nothing was wrong.
    assert given.log.lines == []


def test_an_image_of_the_old_size_keeps_its_calibration_and_its_place() -> None:
    given = Given()
    given.info()
    given.images(1)
    given.images(2, size=LARGE)
    given.images(3)
    assert given.stamps_ns == [1]
    given.info(LARGE)
    assert given.stamps_ns == [1, 2, 3]
    assert given.focal_px == [6.0, 12.0, 6.0]


def test_a_calibration_that_never_fitted_is_not_waited_for() -> None:
    given = Given()
    given.info(LARGE)
    given.images(1)
    assert given.focal_px == [None]


def test_a_new_size_without_calibration_goes_without() -> None:
    given = Given()
    given.info()
    given.images(1)
    given.images(2, 3, 4, 5, 6, size=LARGE)
    assert given.stamps_ns == [1, 2, 3, 4, 5, 6]
    assert given.focal_px == [6.0] + [None] * 5
    assert [active.reason for active in given.board.active()] == [Reason.CALIBRATION_SIZE]


def test_a_calibrated_image_ends_that_none_waits_any_longer() -> None:
    given = Given()
    given.images(1, 2, 3, 4)
    given.info()
    given.images(5)
    given.images(6, size=LARGE)
    assert given.stamps_ns == [1, 2, 3, 4, 5]
    given.info(LARGE)
    assert given.focal_px == [None] * 4 + [6.0, 12.0]


def test_what_waits_at_the_end_is_used() -> None:
    given = Given()
    given.images(1, 2)
    given.frames += given.held.flush()
    assert (given.stamps_ns, len(given.held)) == ([1, 2], 0)


@pytest.mark.parametrize('has_info_topic', [True, False])
def test_every_image_comes_out_once_in_order_or_is_refused(has_info_topic: bool) -> None:
    """Whatever comes between them."""
    rng = np.random.default_rng(5)
    sizes = (SMALL, LARGE, (4, 12))
    refused = 0
    for _ in range(150):
        given, good, bad, most = Given(has_info_topic), [], 0, 0
        for stamp_ns in range(1, int(rng.integers(2, 30))):
            kind = rng.choice(['image', 'image', 'image', 'info', 'no stamp', 'cut', 'no info'])
            size = sizes[rng.choice(3, p=[0.6, 0.3, 0.1])]
            if kind == 'image':
                good.append(stamp_ns)
                given.images(stamp_ns, size=size)
            elif kind == 'info':
                given.info(SMALL if size not in FOCAL_PX else size)
            elif kind == 'no info':
                data = made.cdr(info_of())[: stamp_ns * 10]
                given.frames += given.held.push_bytes(made.INFO, data)
            else:
                bad += 1
                data = made.cdr(image_of(0 if kind == 'no stamp' else stamp_ns, size))
                data = data if kind == 'no stamp' else data[:-1]
                given.frames += given.held.push_bytes(made.IMAGE, data)
            most = max(most, len(given.held))
        given.frames += given.held.flush()
        given.reader.finish('')
        counts = given.reader.counts()
        assert given.stamps_ns == good
        assert (counts.images, counts.refused) == (len(good), bad)
        assert counts.received == len(good) + bad
        assert most <= WAIT_FOR_INFO_IMAGES
        said = given.board.counts('front')
        assert any(name.startswith('images_') for name in said) == (bad > 0)
        refused += bad
    assert refused > 100


def test_what_the_node_uses_comes_out_with_the_same_calibration_or_one_that_the_node_lacked() -> (
    None
):
    rng = np.random.default_rng(6)
    more = 0
    for _ in range(150):
        given, node, used = Given(), Given(), {}
        for stamp_ns in range(1, 25):
            size = SMALL if rng.random() < 0.6 else LARGE
            if rng.random() < 0.4:
                given.info(size)
                node.reader.take_info(info_of(size))
                continue
            given.images(stamp_ns, size=size)
            # As the node does it.
            if not node.reader.waits_for_info(lambda: True):
                frame = node.reader.frame(image_of(stamp_ns, size))
                if not node.reader.waits_for_size():
                    used[stamp_ns] = frame
        given.frames += given.held.flush()
        found = {frame.stamp_ns: frame for frame in given.frames}
        for stamp_ns, frame in used.items():
            ours = found[stamp_ns].calibration
            if frame.calibration is not None:
                assert ours is not None
                np.testing.assert_array_equal(ours.K, frame.calibration.K)
            elif ours is not None:
                assert ours.size == frame.size
        more += len(found) - len(used)
    assert more > 100


def test_a_bag_hands_over_bytes() -> None:
    given = Given()
    given.frames += given.held.push_bytes(made.IMAGE, made.cdr(image_of(1)))
    given.frames += given.held.push_bytes(made.INFO, made.cdr(info_of()))
    assert (given.stamps_ns, given.focal_px) == ([1], [6.0])
    with pytest.raises(MessageError, match='got std_msgs/msg/String'):
        given.held.push_bytes('std_msgs/msg/String', b'')


def test_a_calibration_that_is_cut_is_said_and_the_one_before_it_stays() -> None:
    given = Given()
    given.info()
    given.frames += given.held.push_bytes(made.INFO, made.cdr(info_of(LARGE))[:100])
    given.images(1)
    assert given.focal_px == [6.0]
    (line,) = given.log.lines
    assert line.startswith('camera front, topic /f/info, field k: expected 72 bytes')
    assert 'the one before it stays' in line
