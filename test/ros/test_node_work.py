"""How much work an image makes on its way through the node: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
import time
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
from nav_msgs.msg import Odometry
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from da3_ros.errors import PipelineError
from da3_ros.geometry.camera import ImageSize
from da3_ros.options import NodeOptions, OutputOptions, StreamOptions
from da3_ros.pipeline import shown_view
from da3_ros.pipeline.pipeline import Losses, Pipeline
from da3_ros.pipeline.rig import GivenRig
from da3_ros.ros.conversions import fill_data, image_message
from da3_ros.ros.messages.data_publisher import DataPublisher
from da3_ros.ros.messages.geometry_messages import header
from da3_ros.ros.messages.point_cloud import MergedPoints
from da3_ros.ros.node import camera_outputs
from da3_ros.ros.node.inputs import CameraInput
from da3_ros.ros.node.outputs import Outputs
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.listener import TfInput
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.types import CameraFrame, RigCalibration, Window, WindowPrediction, WindowResult
from helpers.allocations import most_memory
from helpers.log_lines import Lines
from helpers.posed_results import drive
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
WORLD = make_family_world()
CAMERAS = tuple(WORLD.rig.cameras)
SIZE = ImageSize(120, 160)
DEPTH_BYTES = 4 * SIZE.height * SIZE.width
OF_VIEWS = ('published_depth', 'points_depth', 'rgb_bits')


@pytest.fixture(scope='module', name='context')
def context_fixture() -> Iterator[Context]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        yield context
        rclpy.shutdown(context=context)


# ---- from topic to network


class Network:
    """Keeps what it sees, and answers nothing."""

    def __init__(self) -> None:
        self.images: list[np.ndarray[Any, Any]] = []

    def estimate(self, window: Window) -> WindowPrediction:
        self.images = [frame.image for frame in window.views]
        raise RuntimeError('seen')


def seen_by_network(context: Context, message: Any) -> np.ndarray[Any, Any]:
    """Return the image that the network sees of a message."""
    node, network = Node('inputs', context=context), Network()
    is_raw = isinstance(message, Image)
    output = OutputOptions(image_transport='raw' if is_raw else 'compressed')
    options = NodeOptions(output=output, stream=StreamOptions(cameras=('front',), window=1))
    pipeline = Pipeline(options, network, GivenRig(RigCalibration()))

    def push(frame: CameraFrame) -> None:
        pipeline.push(frame)

    camera = CameraInput(
        node,
        'front',
        output,
        MutuallyExclusiveCallbackGroup(),
        push,
        ReasonBoard(Lines()),
    )
    try:
        camera.take_image(message)
        with pytest.raises(PipelineError, match='seen'):
            pipeline.step()
    finally:
        camera.destroy()
        node.destroy_node()
    (image,) = network.images
    return image


def picture() -> np.ndarray[Any, Any]:
    return np.asarray(np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8))


def test_the_network_sees_the_bytes_of_an_rgb_message_themselves(context: Context) -> None:
    message = image_message(header(5, 'optical'), picture(), 'rgb8')
    image = seen_by_network(context, message)
    assert np.shares_memory(image, np.frombuffer(message.data, np.uint8))
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize('encoding', ['bgr8', 'jpeg'])
def test_other_images_are_copied_once_and_twice_at_most(context: Context, encoding: str) -> None:
    """Channels in another order make one copy; decoding makes another one."""
    if encoding == 'bgr8':
        message: Any = image_message(header(5, 'optical'), picture(), 'rgb8')
        message.encoding, copies = 'bgr8', 1
    else:
        message = CompressedImage(header=header(5, 'optical'), format='jpeg')
        fill_data(message, cv2.imencode('.jpg', cv2.blur(picture(), (9, 9)))[1])
        copies = 2
    seen_by_network(context, message)
    used = most_memory(lambda: seen_by_network(context, message))
    assert used < (copies + 0.5) * picture().nbytes


# ---- from network to topic


# What this node hears itself, too.
_OF_EVERY_NODE = {'/rosout', '/parameter_events', '/tf', '/tf_static'}


class Publishing:
    """The publishers of the node, with readers for some of the topics."""

    def __init__(self, context: Context) -> None:
        overrides = [Parameter('cameras', value=list(CAMERAS))]
        self.node = Node('outputs', context=context, parameter_overrides=overrides)
        self.reader = Node('reader', context=context)
        holder = OptionsHolder(self.node)
        tf = TfInput(self.node, holder.current.output, ReasonBoard(Lines()))
        self.outputs = Outputs(self.node, holder, tf)
        self.results = [
            replace(result, images={v.id: v.image for s in result.new_sets for v in s.views})
            for result in drive(WORLD, 8, SIZE)
        ]

    def read(self, topics: dict[str, type[Any]]) -> None:
        """Have these topics read, and no others."""
        for subscription in tuple(self.reader.subscriptions):
            self.reader.destroy_subscription(subscription)
        for topic, kind in topics.items():
            self.reader.create_subscription(kind, topic, lambda message: None, 1)
        deadline = time.monotonic() + 20.0
        while self._topics_read() != set(topics):
            assert time.monotonic() < deadline, f'read are {self._topics_read()}'
            time.sleep(0.02)

    def _topics_read(self) -> set[str]:
        read = {p.topic_name for p in self.node.publishers if p.get_subscription_count()}
        return {topic.removeprefix('/') for topic in read - _OF_EVERY_NODE}

    def publish(self, result: WindowResult) -> None:
        self.outputs.publish(result, Losses(0, 0, ()), RigCalibration())

    def close(self) -> None:
        self.reader.destroy_node()
        self.node.destroy_node()


@pytest.fixture(scope='module', name='publishing')
def publishing_fixture(context: Context) -> Iterator[Publishing]:
    publishing = Publishing(context)
    yield publishing
    publishing.close()


@pytest.fixture(name='calls')
def calls_fixture(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is made of views from here on."""
    calls: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        monkeypatch.setattr(owner, name, counted)

    for name in OF_VIEWS:
        count(shown_view, name)
    count(camera_outputs, 'pack_into')
    count(MergedPoints, 'of')
    count(DataPublisher, 'publish')
    count(DataPublisher, '_begin')
    return calls


DEPTH: dict[str, type[Any]] = {f'{camera}/depth/image': Image for camera in CAMERAS}
EVERYTHING: dict[str, type[Any]] = {
    **DEPTH,
    **{f'{camera}/depth/camera_info': CameraInfo for camera in CAMERAS},
    **{f'{camera}/depth/confidence': Image for camera in CAMERAS},
    **{f'{camera}/color/image': Image for camera in CAMERAS},
    **{f'{camera}/points': PointCloud2 for camera in CAMERAS},
    'points': PointCloud2,
    'odometry': Odometry,
}


def test_nothing_is_made_for_nobody(publishing: Publishing, calls: Counter[str]) -> None:
    publishing.read({})
    for result in publishing.results:
        publishing.publish(result)
    assert calls == {}
    # No more than transforms and the path.
    assert most_memory(lambda: publishing.publish(publishing.results[-1])) < DEPTH_BYTES / 2


def test_depth_alone_makes_one_message_of_each_view(
    publishing: Publishing, calls: Counter[str]
) -> None:
    publishing.read(DEPTH)
    for result in publishing.results:
        publishing.publish(result)
    views = len(publishing.results) * len(CAMERAS)
    # The memory of a message is made for the first one of a camera only.
    assert calls == {'published_depth': views, 'publish': views, '_begin': len(CAMERAS)}
    # Depth is written into that of the message; nothing is left to take memory for.
    assert most_memory(lambda: publishing.publish(publishing.results[-1])) < DEPTH_BYTES / 2


def test_what_several_topics_need_is_made_once(
    publishing: Publishing, calls: Counter[str]
) -> None:
    """The edge filter and the colours serve the cloud of the camera and the merged one."""
    publishing.read(EVERYTHING)
    for result in publishing.results:
        publishing.publish(result)
    windows, views = len(publishing.results), len(publishing.results) * len(CAMERAS)
    # Of merged clouds each has another number of points; the rest is of one size.
    assert calls.pop('_begin') <= 3 * len(CAMERAS) + windows
    assert calls == {
        'published_depth': views,
        'points_depth': views,
        'rgb_bits': views,
        'pack_into': views,
        'of': windows,
        'publish': 4 * views + windows,
    }


def test_memory_in_use_at_a_time_is_that_of_few_clouds_and_stays(publishing: Publishing) -> None:
    publishing.read(EVERYTHING)
    used = [most_memory(partial(publishing.publish, result)) for result in publishing.results * 2]
    # Fields of a cloud; places, pixels and voxels of all views for the merged one, where every
    # point of so small an image is alone in its voxel.
    assert max(used) < 20 * len(CAMERAS) * DEPTH_BYTES
    early, late = used[len(used) // 4 : len(used) // 2], used[-len(used) // 4 :]
    assert max(late) < max(early) + DEPTH_BYTES
