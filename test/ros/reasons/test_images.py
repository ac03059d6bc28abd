"""What is wrong with images and calibrations: in the log, on /diagnostics, and when it ends."""

from __future__ import annotations

import array
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from da3_ros.geometry.camera import ImageSize
from da3_ros.msg import WindowReport
from da3_ros.reasons import Reason
from da3_ros.ros.conversions import image_message
from da3_ros.ros.messages.geometry_messages import header
from helpers.fault_rig import NODE, send_until, start_node
from helpers.reason_place import CameraPlace
from helpers.ros_process import RosProcess, reserved_domain_id
from helpers.ros_rig import LATCHED, RELIABLE, SIZE, RosRobot

pytestmark = pytest.mark.ros


@pytest.fixture(name='place', scope='module')
def place_fixture() -> Iterator[CameraPlace]:
    with (
        reserved_domain_id() as domain_id,
        start_node(domain_id, ['front'], 'mono16_bits:=12') as node,
        RosRobot(domain_id, ['front']) as robot,
    ):
        yield CameraPlace(node, robot)
        assert node.stop() == 0
        assert 'Traceback' not in node.output


def sender(
    robot: RosRobot,
    image: Callable[[Image, int], Image | None] = lambda message, index: message,
    **info: Any,
) -> Callable[[], None]:
    """Return what sends an instant whose image and calibration are changed."""
    indices = count()

    def send() -> None:
        stamp_ns = robot.next_stamp()
        calibration = robot.info('front', stamp_ns)
        for name, value in info.items():
            setattr(calibration, name, value)
        robot.infos['front'].publish(calibration)
        changed = image(robot.image('front', stamp_ns), next(indices))
        if changed is not None:
            robot.images['front'].publish(changed)

    return send


def with_encoding(encoding: str, every: int) -> Callable[[Image, int], Image]:
    def change(message: Image, index: int) -> Image:
        if index % every == 0:
            message.encoding = encoding
        return message

    return change


def grey(value: int) -> Callable[[Image, int], Image]:
    def change(message: Image, index: int) -> Image:
        pixels = np.full((SIZE.height, SIZE.width), value, np.uint16)
        changed = image_message(message.header, pixels, '16UC1')
        changed.encoding = 'mono16'
        return changed

    return change


def nameless(message: Image, index: int) -> Image:
    message.header.frame_id = ''
    return message


def test_no_camera_info(place: CameraPlace) -> None:
    """First of all, before there is one."""
    robot = place.robot

    def send() -> None:
        robot.images['front'].publish(robot.image('front', robot.next_stamp()))

    text = place.reaches(Reason.CALIBRATION_MISSING, 'no camera_info on /front/camera_info', send)
    assert 'robot publishes it, and has sent nothing' in text
    place.leaves('no camera_info on', robot.send)


def test_all_images_are_refused_and_then_some(place: CameraPlace) -> None:
    robot = place.robot
    broken = sender(robot, with_encoding('of my own', 1))
    lost = 'none of the last'
    text = place.reaches(Reason.IMAGES_REFUSED, lost, broken)
    assert 'camera front, topic /front/image_raw, field encoding: expected one of rgb8' in text
    assert "got 'of my own'" in text
    place.leaves(lost, robot.send)
    some = sender(robot, with_encoding('of another', 4))
    place.reaches(Reason.IMAGES_DROPPED, "got 'of another'", some)
    place.leaves("got 'of another'", robot.send)


IDENTITY = [1.0, 0, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ('reason', 'fragment', 'info'),
    [
        (Reason.CALIBRATION_SIZE, 'fields width, height: it is for 320x240', {
            'width': 320, 'height': 240,
        }),
        (Reason.CALIBRATION_IMPLAUSIBLE, 'field k: focal length fx 1 px (it is the identity)', {
            'k': IDENTITY,
        }),
        (Reason.DISTORTION_LEFT, "('plumb_bob' [-0.3, 0.1, 0, 0, 0]) is not undone", {
            'd': [-0.3, 0.1, 0.0, 0.0, 0.0],
        }),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else '',
)  # fmt: skip
def test_a_calibration_that_is_not_right(
    place: CameraPlace, reason: Reason, fragment: str, info: dict[str, Any]
) -> None:
    text = place.reaches(reason, fragment, sender(place.robot, **info))
    assert 'camera front, topic /front/camera_info' in text
    place.leaves(fragment, place.robot.send)


@pytest.mark.parametrize(
    ('reason', 'fragment', 'image'),
    [
        (Reason.IMAGE_DARK, 'mono16 images use 8 of 12 bits (largest value 255)', grey(255)),
        (Reason.IMAGE_BRIGHT, 'with mono16_bits 12 all above 4095 are white', grey(5000)),
        (Reason.FRAME_MISSING, 'field header.frame_id: it is empty', nameless),
    ],
    ids=lambda value: value.name if isinstance(value, Reason) else '',
)  # fmt: skip
def test_images_that_come_with_a_loss(
    place: CameraPlace, reason: Reason, fragment: str, image: Callable[[Image, int], Image]
) -> None:
    place.reaches(reason, fragment, sender(place.robot, image))
    place.leaves(fragment, place.robot.send)


def test_images_that_are_rectified_already(ros_domain_id: int) -> None:
    parameters = ('rectify:=true', 'camera_info_is:=auto')
    remapping = 'front/image_raw:=front/image_rect_color'
    with (
        start_node(ros_domain_id, ['front'], *parameters, remappings=[remapping]) as node,
        RosRobot(ros_domain_id, []) as robot,
    ):
        place = CameraPlace(node, robot)
        robot.images['front'] = robot.node.create_publisher(
            Image, 'front/image_rect_color', RELIABLE
        )
        robot.infos['front'] = robot.node.create_publisher(CameraInfo, 'front/camera_info', 10)
        robot.wait_for_node()
        robot.listen(WindowReport, 'window')
        robot.listen(CameraInfo, 'front/depth/camera_info')
        rectified = [70.0, 0, 75, 0, 0, 72, 57, 0, 0, 0, 1, 0]
        send = sender(robot, d=[-0.3, 0.1, 0.0, 0.0, 0.0], p=rectified)
        fragment = 'images on /front/image_rect_color are rectified already (camera_info_is: auto)'
        text = place.reaches(Reason.NOTHING_TO_RECTIFY, fragment, send)
        assert 'distortion' not in text
        # P holds: 70 at the whole width, of which the depth image has half.
        send_until(robot, 'front/depth/camera_info', lambda m: abs(m.k[0] - 35.0) < 1e-9, send)


def compressed(robot: RosRobot, end: int | None, suffix: str = '.jpg') -> Callable[[], None]:
    def send() -> None:
        stamp_ns = robot.next_stamp()
        frame = robot.world.frame('front', stamp_ns, SIZE)
        content = cv2.imencode(suffix, frame.image[..., ::-1])[1].tobytes()
        message = CompressedImage(header=header(stamp_ns, frame.frame_id), format='jpeg')
        message.data = array.array('B', content[:end])
        robot.compressed.publish(message)

    return send


def test_compressed_images_that_are_cut_or_too_large(ros_domain_id: int) -> None:
    parameters = ('image_transport:=compressed', 'max_image_pixels:=20000')
    with (
        start_node(ros_domain_id, ['front'], *parameters) as node,
        RosRobot(ros_domain_id, [], compressed='front') as robot,
    ):
        place = CameraPlace(node, robot)
        whole, lost = compressed(robot, None), 'none of the last'
        place.reaches(
            Reason.IMAGE_CUT,
            'has no end marker; all its 120 rows are there',
            compressed(robot, -2),
        )
        place.leaves('has no end marker', whole)
        text = place.reaches(Reason.IMAGES_REFUSED, lost, compressed(robot, -800))
        assert 'of its 120 rows are there: truncated' in text
        place.leaves(lost, whole)

        def large() -> None:
            message = CompressedImage(header=header(robot.next_stamp(), 'optical'), format='png')
            content = cv2.imencode('.png', np.zeros((200, 200), np.uint8))[1]
            message.data = array.array('B', content.tobytes())
            robot.compressed.publish(message)

        text = place.reaches(Reason.IMAGES_REFUSED, lost, large)
        assert '200x200 = 40000 pixels, and max_image_pixels is 20000' in text
        place.leaves(lost, whole)


def test_views_of_different_shapes(ros_domain_id: int) -> None:
    given = ('model:=da3-nano', 'cameras:=[front, left]', 'window:=1', 'process_res:=84')
    arguments = ['--ros-args', *(a for p in given for a in ('-p', p))]
    with (
        RosProcess(NODE, *arguments, domain_id=ros_domain_id) as node,
        RosRobot(ros_domain_id, ['front', 'left']) as robot,
    ):
        place = CameraPlace(node, robot)
        robot.listen(WindowReport, 'window')

        def send(left: ImageSize) -> None:
            stamp_ns = robot.next_stamp()
            for camera, size in (('front', SIZE), ('left', left)):
                robot.infos[camera].publish(robot.info(camera, stamp_ns, size))
                robot.images[camera].publish(robot.image(camera, stamp_ns, size))

        # 84x70 (with 14 pixels to a patch) and 70x84 have 70x70 in common.
        text = place.reaches(
            Reason.VIEW_CROPPED, 'of its view is cut off', lambda: send(ImageSize(160, 120))
        )
        assert 'camera front: 17 % of its view' in text
        assert '84x70 pixels for the network, 70x70' in text
        place.leaves('of its view is cut off', lambda: send(SIZE))


def test_a_calibration_that_was_sent_once_before(ros_domain_id: int) -> None:
    """By a publisher that keeps it, before the node is there; and by one that comes later."""
    with RosRobot(ros_domain_id, []) as robot:
        latched = robot.node.create_publisher(CameraInfo, 'front/camera_info', LATCHED)
        latched.publish(robot.info('front', robot.next_stamp()))
        # One that keeps nothing, and does not match a subscription that asks for it.
        robot.infos['front'] = robot.node.create_publisher(CameraInfo, 'front/camera_info', 5)
        with start_node(ros_domain_id, ['front', 'left']) as node:
            node.wait_for_line('ready')
            for camera in ('front', 'left'):
                topic = f'{camera}/image_raw'
                robot.images[camera] = robot.node.create_publisher(Image, topic, RELIABLE)
            robot.wait_for_node()
            robot.listen(WindowReport, 'window')

            def send() -> None:
                stamp_ns = robot.next_stamp()
                for camera in ('front', 'left'):
                    robot.images[camera].publish(robot.image(camera, stamp_ns))

            def sources(message: WindowReport) -> dict[str, str]:
                return {view.camera: view.k_source for view in message.views}

            first = send_until(robot, 'window', lambda m: len(sources(m)) == 2, send)
            assert sources(first)['left'] == 'predicted'
            send_until(robot, 'window', lambda m: sources(m).get('front') == 'calibrated', send)
            later = robot.node.create_publisher(CameraInfo, 'left/camera_info', LATCHED)
            later.publish(robot.info('left', robot.next_stamp()))
            send_until(robot, 'window', lambda m: sources(m).get('left') == 'calibrated', send)
            # Nobody warns of the subscription that hears the latched ones.
            assert 'incompatible QoS' not in node.output
