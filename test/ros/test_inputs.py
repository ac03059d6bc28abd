"""One camera's input, fed by hand: calibration before images, silence explained, no escape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image

from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options import OutputOptions
from da3_ros.options.camera_values import Crop
from da3_ros.reasons import Reason
from da3_ros.ros.conversions import image_message
from da3_ros.ros.late_reasons import SILENT_AFTER_S
from da3_ros.ros.messages.geometry_messages import header, info_from_camera
from da3_ros.ros.node.inputs import CameraInput
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame
from helpers.log_lines import Lines
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
SIZE = ImageSize(6, 8)
CAMERA = PinholeCamera.from_focal(6.0, 6.0, 3.5, 2.5, SIZE)


class Given:
    """An input and all it gives: frames, log lines of faults."""

    def __init__(
        self,
        node: Node,
        options: OutputOptions,
        deliver: Callable[[CameraFrame], None] | None = None,
        crop: Crop | None = None,
    ) -> None:
        self.now_s = 100.0
        self.frames: list[CameraFrame] = []
        self.log = Lines()
        self.board = ReasonBoard(self.log, clock=lambda: self.now_s)
        self.input = CameraInput(
            node,
            'front',
            options,
            MutuallyExclusiveCallbackGroup(),
            deliver or self.frames.append,
            self.board,
            clock=lambda: self.now_s,
            crop=crop,
        )

    @property
    def lines(self) -> list[str]:
        return self.log.lines

    def reasons(self) -> list[Reason]:
        return [active.reason for active in self.board.active('front')]

    def image(
        self, stamp_ns: int = 5, frame_id: str = 'optical', size: tuple[int, int] = (6, 8)
    ) -> None:
        pixels = np.zeros((*size, 3), np.uint8)
        self.input.take_image(image_message(header(stamp_ns, frame_id), pixels, 'rgb8'))

    def info(self, **fields: Any) -> None:
        message = info_from_camera(CAMERA, header(5, 'optical'))
        for name, value in fields.items():
            setattr(message, name, value)
        self.input.take_info(message)


@pytest.fixture(scope='module', name='context')
def context_fixture() -> Iterator[Context]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        yield context
        rclpy.shutdown(context=context)


@pytest.fixture(name='node')
def node_fixture(context: Context) -> Iterator[Node]:
    node = Node('test_node', context=context)
    yield node
    node.destroy_node()


def test_frames_carry_stamp_frame_id_and_calibration(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.info()
    given.image(stamp_ns=1_700_000_000_123_456_789)
    (frame,) = given.frames
    assert (frame.camera, frame.frame_id) == ('front', 'optical')
    assert frame.stamp_ns == 1_700_000_000_123_456_789
    assert frame.calibration is not None
    np.testing.assert_array_equal(frame.calibration.K, CAMERA.K)


class EagerNode(Node):  # type: ignore[misc]  # rclpy has no types
    """Its executor is faster than whoever makes a subscription."""

    def create_subscription(
        self,
        msg_type: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        *args: Any,
        **more: Any,
    ) -> Any:
        subscription = super().create_subscription(msg_type, topic, callback, *args, **more)
        if msg_type is CameraInfo:
            callback(info_from_camera(CAMERA, header(5, 'optical')))
        if msg_type is Image:
            pixels = np.zeros((6, 8, 3), np.uint8)
            callback(serialize_message(image_message(header(5, 'optical'), pixels, 'rgb8')))
        return subscription


def test_what_comes_while_the_subscriptions_are_made_is_taken(context: Context) -> None:
    node = EagerNode('eager_node', context=context)
    try:
        given = Given(node, OutputOptions())
        (frame,) = given.frames
        assert frame.calibration is not None
        assert given.lines == []
    finally:
        node.destroy_node()


def test_images_go_uncalibrated_where_nobody_publishes_camera_info(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.image()
    assert [frame.calibration for frame in given.frames] == [None]


def test_the_first_image_waits_for_a_calibration_that_is_about_to_come(node: Node) -> None:
    node.create_publisher(CameraInfo, 'front/camera_info', 5)
    given = Given(node, OutputOptions())
    given.image()
    given.info()
    given.image()
    assert [frame.calibration is None for frame in given.frames] == [False]
    # But not for ever.
    forgotten = Given(node, OutputOptions())
    for _ in range(5):
        forgotten.image()
    assert len(forgotten.frames) == 2


def test_zeros_in_k_are_reported_and_the_image_is_used(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.info(k=[0.0] * 9, p=[0.0] * 12)
    given.image()
    assert [frame.calibration for frame in given.frames] == [None]
    assert 'camera front, topic /front/camera_info, field k' in given.lines[0]
    # Once, and again only when the calibration changes.
    given.info(k=[0.0] * 9, p=[0.0] * 12)
    given.image()
    assert len(given.lines) == 1
    given.info()
    given.image()
    assert given.frames[-1].calibration is not None
    assert given.reasons() == []


def test_a_calibration_that_is_no_number_does_not_repeat_itself(node: Node) -> None:
    given = Given(node, OutputOptions())
    for _ in range(3):
        given.info(k=[float('nan')] * 9, p=[float('nan')] * 12)
        given.image()
    assert len(given.lines) == 1
    assert len(given.frames) == 3


def test_a_calibration_of_another_size_is_not_used(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.info(width=16)
    given.image()
    assert [frame.calibration for frame in given.frames] == [None]
    assert given.reasons() == [Reason.CALIBRATION_SIZE]
    assert 'is for 16x6 pixels (no region, binning 1x1), but the image has 8x6' in given.lines[0]


def test_a_new_size_waits_for_its_calibration_but_not_for_ever(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.info()
    given.image()
    for _ in range(3):
        given.image(size=(12, 16))
    assert len(given.frames) == 1
    given.image()
    assert len(given.frames) == 2
    for _ in range(5):
        given.image(size=(12, 16))
    assert [frame.calibration is None for frame in given.frames] == [False, False, True, True]
    assert given.reasons() == [Reason.CALIBRATION_SIZE]


def test_a_crop_goes_into_image_and_calibration(node: Node) -> None:
    given = Given(node, OutputOptions(), crop=Crop(2, 1, ImageSize(4, 5)))
    given.info()
    given.image()
    (frame,) = given.frames
    assert frame.size == ImageSize(4, 5)
    assert frame.calibration is not None
    np.testing.assert_array_equal(frame.calibration.K[:2, 2], [1.5, 1.5])


@pytest.mark.parametrize('rectify', [False, True])
def test_distortion_is_undone_or_warned_of(node: Node, rectify: bool) -> None:
    given = Given(node, OutputOptions(rectify=rectify))
    ideal = [5.0, 0, 3.0, 0, 0, 5.5, 2.0, 0, 0, 0, 1, 0]
    for _ in range(2):
        given.info(d=[0.1, 0.0, 0.0, 0.0, 0.0], p=ideal)
        given.image()
    frame = given.frames[-1]
    assert frame.calibration is not None
    # Rectified it is the camera of P, else K stays and somebody is told.
    assert frame.calibration.K[0, 0] == (5 if rectify else 6)
    assert given.reasons() == ([] if rectify else [Reason.DISTORTION_LEFT])
    assert len(given.lines) == (0 if rectify else 1)
    assert all('camera_info_is to rectified' in text for text in given.lines)


@pytest.mark.parametrize(
    ('choice', 'topic', 'rectified'),
    [
        ('rectified', 'front/image_raw', True),
        ('auto', 'front/image_raw', False),
        ('auto', '/driver/image_rect_color', True),
        ('raw', '/driver/image_rect_color', False),
        ('auto', '/image_rect/mono', False),
    ],
)
def test_p_holds_for_rectified_images(
    context: Context, choice: Any, topic: str, rectified: bool
) -> None:
    arguments = ['--ros-args', '-r', f'front/image_raw:={topic}']
    node = Node('remapped', context=context, cli_args=arguments)
    try:
        given = Given(node, OutputOptions(camera_info_is=choice))
        p = [5.0, 0, 3.0, 0, 0, 5.5, 2.0, 0, 0, 0, 1, 0]
        given.info(d=[0.1, 0.0, 0.0, 0.0, 0.0], p=p)
        given.image()
        (frame,) = given.frames
        assert frame.calibration is not None
        assert frame.calibration.K[0, 0] == (5 if rectified else 6)
        assert given.reasons() == ([] if rectified else [Reason.DISTORTION_LEFT])
    finally:
        node.destroy_node()


def test_rectify_has_nothing_to_do_where_images_are_rectified(node: Node) -> None:
    given = Given(node, OutputOptions(rectify=True, camera_info_is='rectified'))
    assert given.reasons() == [Reason.NOTHING_TO_RECTIFY]
    given.input.destroy()
    assert given.reasons() == []


def test_a_distortion_that_cannot_be_undone_is_reported(node: Node) -> None:
    given = Given(node, OutputOptions(rectify=True))
    given.info(d=[0.1], distortion_model='mine')
    for _ in range(3):
        given.image()
    assert given.frames == []
    assert given.reasons() == [Reason.IMAGES_REFUSED]
    assert 'camera front, topic /front/camera_info, field distortion_model' in given.lines[0]


def test_missing_stamps_refuse_the_image_and_missing_frame_ids_do_not(node: Node) -> None:
    given = Given(node, OutputOptions())
    for _ in range(3):
        given.image(stamp_ns=0)
    assert given.frames == []
    assert 'header.stamp' in given.lines[-1]
    status = given.input.status()
    assert (status.images, status.refused, status.newest_stamp_ns) == (0, 3, None)
    given.image(frame_id='')
    assert len(given.frames) == 1
    assert given.reasons() == [Reason.FRAME_MISSING]
    given.image()
    assert given.reasons() == []
    status = given.input.status()
    assert (status.images, status.refused, status.newest_stamp_ns) == (2, 3, 5)


def test_how_long_ago_an_image_could_be_used(node: Node) -> None:
    given = Given(node, OutputOptions())
    assert given.input.status().unused_s == 0.0
    given.image(1)
    given.now_s += 3.0
    given.image(0)
    status = given.input.status()
    assert (status.silent_s, status.unused_s) == (0.0, 3.0)
    assert status.newest_stamp_ns == 1
    given.image(3)
    assert given.input.status().unused_s == 0.0


def test_images_over_the_limit_are_refused(node: Node) -> None:
    given = Given(node, OutputOptions(max_image_pixels=47))
    for _ in range(3):
        given.image()
    assert 'has 8x6 = 48 pixels, and max_image_pixels is 47' in given.lines[0]
    at_limit = Given(node, OutputOptions(max_image_pixels=48))
    at_limit.image()
    assert len(at_limit.frames) == 1


def test_a_calibration_that_never_comes_is_missed(node: Node) -> None:
    given = Given(node, OutputOptions())
    given.image()
    given.input.status()
    assert given.reasons() == []
    given.now_s += 2.5
    given.input.status()
    assert given.reasons() == [Reason.CALIBRATION_MISSING]
    assert 'no camera_info on /front/camera_info after 1 images in 2.5 s' in given.lines[0]
    assert 'nobody publishes it' in given.lines[0]
    given.info()
    assert given.reasons() == []


@pytest.mark.parametrize(
    ('reliability', 'why'), [('reliable', 'incompatible QoS'), ('best_effort', 'sent nothing')]
)
def test_why_a_calibration_is_missed(node: Node, reliability: Any, why: str) -> None:
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_publisher(CameraInfo, 'front/camera_info', best_effort)
    given = Given(node, OutputOptions(image_reliability=reliability))
    given.image()
    given.now_s += 2.5
    given.input.status()
    assert why in given.lines[0]


def test_bits_that_a_sensor_does_not_use_are_named(node: Node) -> None:
    given = Given(node, OutputOptions(mono16_bits=12))
    for largest in (1023, 1023):
        pixels = np.full((6, 8), largest, np.uint16)
        message = image_message(header(5, 'optical'), pixels, '16UC1')
        message.encoding = 'mono16'
        given.input.take_image(message)
        given.now_s += 2.0
    assert given.reasons() == [Reason.IMAGE_DARK]
    assert 'mono16 images use 10 of 12 bits (largest value 1023)' in given.lines[0]
    # Shifted by four bits, not by eight.
    assert given.frames[0].image.max() == 1023 >> 4


def test_bytes_that_are_no_image_are_refused_and_the_next_image_is_taken(node: Node) -> None:
    given = Given(node, OutputOptions())
    message = image_message(header(5, 'optical'), np.zeros((6, 8, 3), np.uint8), 'rgb8')
    data = serialize_message(message)
    # The second layout, as the first two bytes say, is left to rclpy.
    for number, content in enumerate((data, b'\x00\x09' + data[2:]), 1):
        given.input.take_bytes(content[:40])
        given.input.take_bytes(content)
        assert (given.input.status().refused, len(given.frames)) == (number, number)


def test_no_exception_leaves_the_callback(node: Node) -> None:
    def fail(frame: CameraFrame) -> None:
        raise RuntimeError(f'cannot take {frame.camera}')

    given = Given(node, OutputOptions(), deliver=fail)
    for _ in range(3):
        given.image()
    assert given.lines[0].startswith('camera front: RuntimeError: cannot take front')


def test_who_publishes_is_looked_at_when_nothing_comes(node: Node) -> None:
    given = Given(node, OutputOptions(image_reliability='reliable'))
    best_effort = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    node.create_publisher(Image, 'front/image_raw', best_effort)
    node.create_publisher(Image, 'front/image_raw', 5)
    assert given.input.status().senders == ()
    given.now_s += SILENT_AFTER_S + 1
    status = given.input.status()
    assert status.wants_reliable
    assert {(s.node, s.is_best_effort) for s in status.senders} == {
        ('test_node', True),
        ('test_node', False),
    }
    given.image(7)
    given.image(0)
    status = given.input.status()
    assert (status.images, status.refused, status.newest_stamp_ns) == (1, 1, 7)
    assert (status.senders, status.silent_s) == ((), 0.0)
