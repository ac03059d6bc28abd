"""Compressed images are decoded when their set is used, and a broken one costs no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
import threading
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage

from da3_ros.errors import PipelineError
from da3_ros.geometry.camera import ImageSize, PinholeCamera
from da3_ros.options import NodeOptions, OutputOptions, StreamOptions
from da3_ros.options.camera_values import Crop
from da3_ros.pipeline.decoding import FrameDecoder
from da3_ros.pipeline.pipeline import Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.ros import compressed
from da3_ros.ros.compressed import compressed_to_rgb
from da3_ros.ros.conversions import fill_data
from da3_ros.ros.messages.geometry_messages import header
from da3_ros.ros.node.inputs import CameraInput
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.types import CameraFrame, FrameSet, RigCalibration, Window, WindowPrediction
from helpers.log_lines import Lines
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
Array = np.ndarray[Any, Any]
CAMERAS = ('front', 'left', 'rear')
OUTPUT = OutputOptions(image_transport='compressed')


def picture(number: int) -> Array:
    rows, columns = np.mgrid[0:48, 0:64]
    return np.stack([columns + number, rows * 2, 200 - columns], axis=-1).astype(np.uint8)


def jpeg(number: int = 0) -> bytes:
    return bytes(cv2.imencode('.jpg', picture(number))[1].tobytes())


def broken() -> bytes:
    """Return a JPEG with header and end, whose Huffman table cannot be one."""
    content = bytearray(jpeg())
    table = content.index(b'\xff\xc4') + 5
    content[table : table + 16] = b'\xff' * 16
    return bytes(content)


def message(content: bytes, stamp_ns: int) -> CompressedImage:
    made = CompressedImage(header=header(stamp_ns, 'optical'), format='rgb8; jpeg compressed bgr8')
    fill_data(made, np.frombuffer(content, np.uint8))
    return made


class Network:
    """Keeps what it sees, and answers nothing."""

    def __init__(self) -> None:
        self.seen: dict[str, Array] = {}

    def estimate(self, window: Window) -> WindowPrediction:
        self.seen = {frame.camera: frame.image for frame in window.views}
        raise RuntimeError('seen')


class Robot:
    """The inputs of all cameras and the pipeline behind them."""

    def __init__(self, node: Node, min_cameras: int = 0, crop: Crop | None = None) -> None:
        stream = StreamOptions(cameras=CAMERAS, window=1, min_cameras=min_cameras)
        self.network, self.log, self.frames = Network(), Lines(), list[CameraFrame]()
        options = NodeOptions(output=OUTPUT, stream=stream)
        self.pipeline = Pipeline(options, self.network, GivenRig(RigCalibration()), log=self.log)
        board = ReasonBoard(self.log)
        group = MutuallyExclusiveCallbackGroup()
        self.inputs = {
            camera: CameraInput(node, camera, OUTPUT, group, self._push, board, crop=crop)
            for camera in CAMERAS
        }

    def _push(self, frame: CameraFrame) -> None:
        self.frames.append(frame)
        self.pipeline.push(frame)

    def take(self, stamp_ns: int, contents: Mapping[str, bytes]) -> None:
        for camera, content in contents.items():
            self.inputs[camera].take_image(message(content, stamp_ns))

    def seen(self) -> dict[str, Array]:
        """Return what the network sees of the next set."""
        with pytest.raises(PipelineError, match='seen'):
            self.pipeline.step()
        return self.network.seen

    def close(self) -> None:
        self.pipeline.close()
        for camera in self.inputs.values():
            camera.destroy()


@pytest.fixture(scope='module', name='node')
def node_fixture() -> Iterator[Node]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        node = Node('inputs', context=context)
        yield node
        node.destroy_node()
        rclpy.shutdown(context=context)


@pytest.fixture(name='robots')
def robots_fixture(node: Node) -> Iterator[Any]:
    made: list[Robot] = []

    def make(**options: Any) -> Robot:
        made.append(Robot(node, **options))
        return made[-1]

    yield make
    for robot in made:
        robot.close()


@pytest.fixture(name='decoded')
def decoded_fixture(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Note what is decoded."""
    contents: list[bytes] = []
    decode = compressed._decode

    def noted(data: bytes, flags: int) -> Any:
        contents.append(data)
        return decode(data, flags)

    monkeypatch.setattr(compressed, '_decode', noted)
    return contents


def test_only_sets_that_are_used_are_decoded(robots: Any, decoded: list[bytes]) -> None:
    robot = robots()
    for number in range(5):
        robot.take(10**9 * (number + 1), dict.fromkeys(CAMERAS, jpeg(number)))
    assert not decoded
    assert robot.pipeline.dropped_sets == 4
    seen = robot.seen()
    assert decoded == [jpeg(4)] * len(CAMERAS)
    wanted = compressed_to_rgb(message(jpeg(4), 1), 'test')
    for camera in CAMERAS:
        np.testing.assert_array_equal(seen[camera], wanted)


def test_a_broken_image_is_named_and_costs_its_own_camera_only(robots: Any) -> None:
    robot = robots(min_cameras=2)
    robot.take(10**9, dict.fromkeys(CAMERAS, jpeg()))
    robot.seen()
    robot.take(2 * 10**9, {'front': jpeg(), 'left': broken(), 'rear': jpeg()})
    assert list(robot.seen()) == ['front', 'rear']
    assert robot.pipeline.dropped_sets == 0
    (line,) = [line for line in robot.log.lines if 'cannot' in line or 'can be decoded' in line]
    assert 'camera left' in line
    assert 'stamp 2000000000 ns' in line
    statuses = {camera: given.status() for camera, given in robot.inputs.items()}
    assert [statuses[c].refused for c in CAMERAS] == [0, 1, 0]
    assert [statuses[c].images for c in CAMERAS] == [2, 1, 2]


def test_a_set_that_needs_all_cameras_is_counted_as_dropped(robots: Any) -> None:
    robot = robots()
    robot.take(10**9, {'front': jpeg(), 'left': broken(), 'rear': jpeg()})
    assert robot.pipeline.step() is None
    assert robot.pipeline.dropped_sets == 1
    robot.take(2 * 10**9, dict.fromkeys(CAMERAS, jpeg()))
    assert list(robot.seen()) == list(CAMERAS)


def test_a_camera_all_of_whose_images_are_broken_is_lost_as_one(robots: Any) -> None:
    """Refused at the header or in the bits, it is refused; and none is counted as understood."""
    robot = robots(min_cameras=1)
    for number in range(4):
        robot.take(10**9 * (number + 1), {'front': jpeg(), 'left': broken(), 'rear': jpeg()})
        robot.seen()
    status = robot.inputs['left'].status()
    assert (status.images, status.refused) == (0, 4)


def test_undecoded_images_are_cropped_when_they_are_decoded(robots: Any) -> None:
    crop = Crop(10, 4, ImageSize(30, 40))
    robot = robots(crop=crop)
    robot.take(10**9, dict.fromkeys(CAMERAS, jpeg()))
    frame = robot.frames[0]
    assert frame.size == crop.size
    # Until then it takes no memory.
    assert frame.image.strides == (0, 0, 0)
    wanted = compressed_to_rgb(message(jpeg(), 1), 'test')[4:34, 10:50]
    np.testing.assert_array_equal(robot.seen()['front'], wanted)


def test_bytes_that_come_after_the_end_are_not_said_to_be_no_image(robots: Any) -> None:
    robot = robots()
    front = robot.inputs['front']
    front.take_bytes(b'no image')
    front.destroy()
    front.take_bytes(b'no image')
    assert front.status().refused == 1


def test_nothing_is_raised_when_the_pipeline_closes_in_the_middle_of_a_set() -> None:
    begun, let_go = threading.Semaphore(0), threading.Event()
    nothing = np.broadcast_to(np.uint8(0), (48, 64, 3))

    def pixels() -> Array:
        begun.release()
        let_go.wait()
        return picture(1)

    frames = [CameraFrame(f'c{i}', 5, 'optical', nothing, pending=pixels) for i in range(9)]
    frame_set, decoder = FrameSet(5, tuple(frames)), FrameDecoder()
    with ThreadPoolExecutor(1) as other:
        decoded = other.submit(decoder.decoded, frame_set, 1)
        begun.acquire()
        decoder.close()
        let_go.set()
        assert decoded.result().frame_set is None
    assert decoder.decoded(frame_set, 1).frame_set is None


def test_frames_have_their_pixels_or_a_way_to_them() -> None:
    camera = PinholeCamera.from_focal(40.0, 40.0, 31.5, 23.5, ImageSize(48, 64))
    nothing = np.broadcast_to(np.uint8(0), (48, 64, 3))
    assert CameraFrame('front', 5, 'optical', nothing, pending=lambda: None).decoded() is None
    found = picture(1)
    frame = CameraFrame('front', 5, 'optical', nothing, camera, pending=lambda: found)
    decoded = frame.decoded()
    assert decoded is not None
    assert decoded.pending is None
    assert decoded.image is found
    assert decoded.calibration is camera
    assert decoded.decoded() is decoded
