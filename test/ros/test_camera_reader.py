"""One frame of one image, whoever made its message; what a recording is said of at its end."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from da3_ros.geometry.camera import ImageSize
from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.reasons import Reason
from da3_ros.ros.encodings import LAYOUTS
from da3_ros.ros.reading.camera_reader import CameraReader
from da3_ros.ros.reading.raw import compressed_from_cdr, image_from_cdr, info_from_cdr
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame
from helpers import camera_messages as made
from helpers.log_lines import Lines

SIZE = (6, 8)
STAMP_NS = 1_700_000_000_123_456_789
READ = {
    made.IMAGE: image_from_cdr,
    made.COMPRESSED: compressed_from_cdr,
    made.INFO: info_from_cdr,
}


class Given:
    """A reader, its log and its clock."""

    def __init__(self, options: OutputOptions, crop: Crop | None = None) -> None:
        self.now_s = 100.0
        self.log = Lines()
        self.board = ReasonBoard(self.log, lambda: self.now_s)
        self.reader = CameraReader(
            'front', options, self.board, '/f/image', '/f/info', lambda: self.now_s, crop
        )

    def reasons(self) -> list[Reason]:
        return [active.reason for active in self.board.active('front')]


def by_rosbags(message: Any) -> Any:
    return message


def by_raw(message: Any) -> Any:
    read: Any = READ[message.__msgtype__]
    return read(made.cdr(message), 'front')


def by_raw_of_the_other_order(message: Any) -> Any:
    read: Any = READ[message.__msgtype__]
    return read(made.cdr(message, little_endian=False), 'front')


def by_rclpy(message: Any) -> Any:
    from rclpy.serialization import deserialize_message
    from sensor_msgs import msg

    kind = getattr(msg, message.__msgtype__.rpartition('/')[2])
    return deserialize_message(made.cdr(message), kind)


def raw_images() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    images = {}
    for encoding, layout in LAYOUTS.items():
        rows = SIZE[0] * 3 // 2 if layout.has_chroma_rows else SIZE[0]
        step = SIZE[1] * layout.channels * layout.depth + 3
        data = rng.integers(0, 256, (rows, step), dtype=np.uint8)
        for is_bigendian in {0, layout.depth - 1}:
            images[f'{encoding} {is_bigendian}'] = made.image(
                made.header(STAMP_NS), data, encoding, SIZE, step=step, is_bigendian=is_bigendian
            )
    return images


def compressed_images() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    eight = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    sixteen = rng.integers(0, 65536, SIZE, dtype=np.uint16)
    head = made.header(STAMP_NS)
    return {
        'jpeg': made.compressed(head, cv2.imencode('.jpg', eight)[1], 'rgb8; jpeg compressed'),
        'png': made.compressed(head, cv2.imencode('.png', eight[..., 0])[1], 'bayer_rggb8; png'),
        'png 16': made.compressed(head, cv2.imencode('.png', sixteen)[1], 'mono16; png'),
    }


IMAGES = {**raw_images(), **compressed_images()}
OPTIONS = OutputOptions(rectify=True, mono16_bits=12)
CROP = Crop(1, 1, ImageSize(4, 6))
INFO = made.info(made.header(STAMP_NS), SIZE, 9.0, d=np.array([0.05, 0.01, 0.0, 0.0, 0.0]))


def frame_by(maker: Any, message: Any, info: Any, options: OutputOptions) -> CameraFrame:
    given = Given(options, CROP)
    if info is not None:
        given.reader.take_info(maker(info))
    frame = given.reader.frame(maker(message)).decoded()
    assert frame is not None
    return frame


@pytest.mark.ros
@pytest.mark.parametrize('maker', [by_raw, by_raw_of_the_other_order, by_rosbags])
@pytest.mark.parametrize('calibration', ['rectified', 'kept', 'none'])
def test_the_frame_is_that_of_rclpys_message(maker: Any, calibration: str) -> None:
    options = OPTIONS if calibration == 'rectified' else OutputOptions(mono16_bits=12)
    info = None if calibration == 'none' else INFO
    for name, message in IMAGES.items():
        found = frame_by(maker, message, info, options)
        expected = frame_by(by_rclpy, message, info, options)
        assert found.id == expected.id, name
        np.testing.assert_array_equal(found.image, expected.image, name)
        assert (found.calibration is None) == (info is None)
        if found.calibration is not None and expected.calibration is not None:
            np.testing.assert_array_equal(found.calibration.K, expected.calibration.K)
            assert found.calibration.size == expected.calibration.size == CROP.size
        assert (found.valid is None) == (expected.valid is None)
        if found.valid is not None:
            np.testing.assert_array_equal(found.valid, expected.valid)


def test_pixels_of_rgb_are_those_of_the_bytes_themselves() -> None:
    data = made.cdr(IMAGES['rgb8 0'])
    frame = Given(OutputOptions()).reader.frame(image_from_cdr(data, 'front'))
    assert np.shares_memory(frame.image, np.frombuffer(data, np.uint8))


def test_a_recording_whose_only_image_is_bad_says_so_at_its_end() -> None:
    given = Given(OutputOptions())
    given.reader.arrived()
    given.reader.refused(ValueError('no good'))
    assert given.log.lines == []
    given.reader.finish('the bag has none')
    assert given.reasons() == [Reason.IMAGES_REFUSED, Reason.CALIBRATION_MISSING]
    assert 'camera front: ValueError: no good (none of the last 1 images' in given.log.lines[0]


def test_a_bad_image_behind_good_ones_is_said_at_the_end() -> None:
    given = Given(OPTIONS)
    given.reader.take_info(INFO)
    for name in ('rgb8 0', 'mono8 0'):
        given.reader.arrived()
        given.reader.used(given.reader.frame(IMAGES[name]))
    given.reader.refused(ValueError('no good'))
    given.reader.finish('')
    assert given.reasons() == [Reason.IMAGES_DROPPED]
    counts = given.reader.counts()
    assert (counts.received, counts.images, counts.refused, counts.calibrated) == (2, 2, 1, True)
    assert counts.newest_stamp_ns == STAMP_NS


def test_what_was_said_is_not_said_again_at_the_end() -> None:
    given = Given(OPTIONS)
    given.reader.take_info(INFO)
    for _ in range(3):
        given.reader.refused(ValueError('no good'))
    said = list(given.log.lines)
    given.reader.finish('')
    assert len(said) == 1
    assert given.log.lines == said


def test_a_recording_without_calibration_says_so_at_its_end_and_why() -> None:
    given = Given(OutputOptions())
    given.reader.finish('nobody')
    assert given.reasons() == []
    for _ in range(2):
        given.reader.arrived()
        given.reader.used(given.reader.frame(IMAGES['rgb8 0']))
        given.now_s += 0.5
    given.reader.finish('the bag has no such topic')
    assert given.reasons() == [Reason.CALIBRATION_MISSING]
    assert (
        'no camera_info on /f/info after 2 images in 0.5 s: the bag has no such topic'
        in (given.log.lines[0])
    )


def test_a_compressed_image_that_cannot_be_decoded_is_refused_when_it_is_wanted() -> None:
    data = cv2.imencode('.png', np.zeros((*SIZE, 3), np.uint8))[1].reshape(-1)
    # The lengths are right, the pixels are not.
    data[data.tobytes().index(b'IDAT') + 4 :][:8] = 0xFF
    given = Given(OutputOptions())
    given.reader.arrived()
    frame = given.reader.frame(made.compressed(made.header(5), data, 'png'))
    given.reader.used(frame)
    assert given.reader.counts().images == 1
    assert frame.decoded() is None
    given.reader.finish('')
    counts = given.reader.counts()
    assert (counts.images, counts.refused) == (0, 1)
    assert Reason.IMAGES_REFUSED in given.reasons()
