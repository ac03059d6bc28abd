"""Messages of results made without ROS are those that the node sends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
import math
import time
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('da3_ros.msg')
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message

from da3_ros.errors import ConfigError, StreamError
from da3_ros.geometry.camera import ImageSize
from da3_ros.geometry.resample import PixelMap
from da3_ros.notes import Note
from da3_ros.options import NodeOptions, OutputOptions
from da3_ros.options.outputs import OUTPUTS, OutputChoice
from da3_ros.pipeline.pipeline import Losses
from da3_ros.ros.messages.message_types import message_class
from da3_ros.ros.node.outputs import Outputs
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.offline.result_messages import TF_STATIC_TOPIC, Message, ResultMessages
from da3_ros.ros.offline.tape_transforms import TapeTransforms
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.claims import TransformClaim, TransformClaims
from da3_ros.ros.tf.listener import TfInput
from da3_ros.sinks.data_bytes import DataTemplate
from da3_ros.sinks.messages import RecordedMessages
from da3_ros.synthetic.family_world import make_family_world
from da3_ros.types import InputGeometry, PosedView, RigCalibration, WindowResult
from helpers.allocations import most_memory
from helpers.log_lines import Lines
from helpers.posed_results import drive
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros
WORLD = make_family_world()
CAMERAS = tuple(WORLD.rig.cameras)
SIZE = ImageSize(24, 32)
LOSSES = Losses(3, 4, ('left',))
NOTES = (Note('caution', 'not for robots'),)
FRAME_IDS = {camera: WORLD.rig.frame_id(camera) for camera in CAMERAS}
OPTIONS: Mapping[str, OutputOptions] = {
    'metres': OutputOptions(publish_tf=True),
    'millimetres': OutputOptions(
        publish_tf=True,
        publish_map_tf=True,
        depth_encoding='16UC1',
        depth_size='input',
        min_depth_m=1.0,
        max_depth_m=4.0,
        min_confidence=1.5,
        edge_filter=0.0,
        voxel_size_m=0.0,
        odom_frame='world',
        base_frame='body',
    ),
}


def with_input(view: PosedView) -> PosedView:
    """Return a view made from an image of twice the size, with sky and varied confidence."""
    twice = ImageSize(2 * SIZE.height, 2 * SIZE.width)
    sky = np.zeros(view.depth.shape, bool)
    sky[:3] = True
    return replace(
        view,
        sky=sky,
        confidence=np.linspace(1, 3, sky.size, dtype=np.float32).reshape(sky.shape),
        input=InputGeometry(twice, None, PixelMap.whole(twice, SIZE)),
    )


def made_results() -> list[WindowResult]:
    """Return three windows: the last one begins another world."""
    found = []
    for index, result in enumerate(drive(WORLD, 4, SIZE)):
        sets = tuple(
            replace(posed, views=tuple(with_input(view) for view in posed.views))
            for posed in result.new_sets
        )
        images = {v.id: v.image.repeat(2, 0).repeat(2, 1) for s in sets for v in s.views}
        generation = int(index == 3)
        found.append(replace(result, new_sets=sets, images=images, generation=generation))
    return found


RESULTS = made_results()


def transforms(output: OutputOptions) -> TransformClaims:
    tf = TapeTransforms(
        output, ReasonBoard(Lines()), lambda: 0, lambda until_ns: False, has_moving=False
    )
    return TransformClaims(output, tf)


def maker(
    output: OutputOptions = OPTIONS['metres'], outputs: str = 'all', **changes: Any
) -> ResultMessages:
    options = NodeOptions(output=output)
    return ResultMessages(options, OutputChoice(outputs), transforms(output), **changes)


def messages_of(made: ResultMessages, results: Sequence[WindowResult]) -> list[Message]:
    return [
        message
        for result in results
        for message in made.of_window(result, LOSSES, RigCalibration())
    ]


# ---- beside the node


class Readers:
    """Takes everything that a node publishes of results."""

    def __init__(self, context: Context, kinds: Mapping[str, str]) -> None:
        self.node = Node('readers', context=context)
        self.came: dict[str, list[Any]] = defaultdict(list)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        for topic, msgtype in kinds.items():
            take = self.came[topic].append
            self.node.create_subscription(
                message_class(msgtype), topic, take, QoSProfile(depth=100)
            )

    def wait_for(self, counts: Mapping[str, int]) -> None:
        deadline = time.monotonic() + 60.0
        while any(len(self.came[topic]) < count for topic, count in counts.items()):
            assert time.monotonic() < deadline, {k: len(v) for k, v in self.came.items()}
            self.executor.spin_once(0.1)

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()


@pytest.fixture(name='context')
def context_fixture() -> Iterator[Context]:
    with reserved_domain_id() as domain_id:
        context = Context()
        rclpy.init(context=context, domain_id=domain_id)
        yield context
        rclpy.shutdown(context=context)


def published(context: Context, output: OutputOptions, made: Sequence[Message]) -> Any:
    """Return what readers get of the node's outputs, by topic."""
    given = {f.name: getattr(output, f.name) for f in fields(output)} | {'cameras': list(CAMERAS)}
    overrides = [
        Parameter(name, value=value)
        for name, value in given.items()
        if name == 'cameras' or value != getattr(OutputOptions(), name)
    ]
    node = Node('outputs', context=context, parameter_overrides=overrides)
    holder = OptionsHolder(node)
    tf = TfInput(node, holder.current.output, ReasonBoard(Lines()))
    outputs = Outputs(node, holder, tf, notes=NOTES)
    counts: dict[str, int] = defaultdict(int)
    for topic, _, _ in made:
        counts[topic] += 1
    readers = Readers(context, {topic: msgtype for topic, msgtype, _ in made})
    try:
        deadline = time.monotonic() + 60.0
        while any(node.count_subscribers(topic) < 1 for topic in counts) or any(
            p.get_subscription_count() < 1 for p in node.publishers if p.topic_name in counts
        ):
            assert time.monotonic() < deadline
            readers.executor.spin_once(0.05)
        for result in RESULTS:
            outputs.publish(result, LOSSES, RigCalibration())
        readers.wait_for(counts)
    finally:
        readers.close()
        node.destroy_node()
    return readers.came


@pytest.mark.parametrize('kind', OPTIONS)
def test_readers_of_a_node_get_the_messages_that_are_recorded(context: Context, kind: str) -> None:
    """All of them, equal in every field; times that a clock gives are left out."""
    output = OPTIONS[kind]
    made = messages_of(maker(output, notes=NOTES), RESULTS)
    expected: dict[str, list[Any]] = defaultdict(list)
    for topic, msgtype, data in made:
        expected[topic].append(deserialize_message(data, message_class(msgtype)))
    came = published(context, output, made)
    for message in (*came['/window'], *expected['/window']):
        message.estimate_s = message.stamp_to_publish_s = 0.0
        for name in message.get_fields_and_field_types():
            if isinstance(getattr(message, name), float) and math.isnan(getattr(message, name)):
                setattr(message, name, -1.0)
    assert set(expected) == {
        *(f'/{c}/{name}' for c in CAMERAS for name in (
            'depth/image', 'depth/camera_info', 'depth/confidence', 'depth/sky_mask',
            'depth/debug', 'color/image', 'color/camera_info', 'points',
        )),
        '/tf', '/odometry', '/points', '/window',
    }  # fmt: skip
    for topic, messages in expected.items():
        assert len(messages) == len(RESULTS), topic
        assert came[topic] == messages, topic


# ---- bytes


@pytest.mark.parametrize('frame_id', ['', 'o', 'odo', 'map_1', 'robot/front_optical', 'örtlich'])
@pytest.mark.parametrize('stamp_ns', [1, 1_700_000_000_999_999_999, -1])
def test_bytes_are_those_of_the_whole_message(frame_id: str, stamp_ns: int) -> None:
    """Names of every length: what follows them is aligned in another way each time."""
    make, rng = RecordedMessages(), np.random.default_rng(0)
    head = make.header(stamp_ns, frame_id)
    grey = rng.integers(0, 256, (3, 5), dtype=np.uint8)
    for pixels, encoding in (
        (grey, 'mono8'),
        (rng.random((4, 3), np.float32), '32FC1'),
        (rng.integers(0, 9, (2, 7), dtype=np.uint16), '16UC1'),
        # Not in one piece, as what is cut out of a picture.
        (rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)[1:4, 2:], 'rgb8'),
    ):
        size, step = pixels.shape[:2], pixels[0].nbytes
        empty = make.image_of_bytes(make.header(0, frame_id), size, encoding, step)
        data = DataTemplate.of(make.serialize(empty)).filled(stamp_ns, pixels)
        assert data == make.serialize(make.image(head, pixels, encoding))
        image = deserialize_message(data, message_class('sensor_msgs/msg/Image'))
        assert bytes(image.data) == pixels.tobytes()
    points = rng.random((2, 3, 5), np.float32)
    cloud = make.cloud(head, 'abcde', (2, 3), is_dense=True)
    cloud.header = make.header(0, frame_id)
    data = DataTemplate.of(make.serialize(cloud), 1).filled(stamp_ns, points)
    cloud.header, cloud.data = head, points.reshape(-1).view(np.uint8)
    assert data == make.serialize(cloud)


def test_equal_results_give_equal_bytes() -> None:
    first, second = (messages_of(maker(), RESULTS) for _ in range(2))
    assert first == second
    slower = [replace(result, estimate_s=9.0) for result in RESULTS]
    assert messages_of(maker(), slower) == first


def test_of_an_image_one_copy_is_made() -> None:
    """That is the message itself."""
    size = ImageSize(240, 320)
    [result] = drive(WORLD, 1, size)
    images = {v.id: v.image for s in result.new_sets for v in s.views}
    made = maker(outputs='depth,color,confidence')

    def largest() -> None:
        for _ in made.of_window(replace(result, images=images), LOSSES, RigCalibration()):
            pass

    largest()
    assert most_memory(largest) < 2.5 * 4 * size.height * size.width


# ---- what is asked for

OF_CAMERAS = {
    'depth': ('depth/image',),
    'camera_info': ('depth/camera_info',),
    'confidence': ('depth/confidence',),
    'color': ('color/image', 'color/camera_info'),
    'camera_points': ('points',),
    'debug': ('depth/debug',),
    'sky_mask': ('depth/sky_mask',),
}
OF_ALL = {'tf': '/tf', 'odometry': '/odometry', 'points': '/points', 'window': '/window'}


@pytest.mark.parametrize('output', OUTPUTS)
def test_an_output_is_written_where_it_is_asked_for_and_no_other(output: str) -> None:
    expected = {f'/{c}/{name}' for c in CAMERAS for name in OF_CAMERAS.get(output, ())}
    expected |= {OF_ALL[output]} if output in OF_ALL else set()
    everything = {m[:2]: m[2] for m in messages_of(maker(), RESULTS[:1])}
    alone = {m[:2]: m[2] for m in messages_of(maker(outputs=output), RESULTS[:1])}
    assert {topic for topic, _ in alone} == expected
    assert alone.items() <= everything.items()


def test_without_being_asked_clouds_of_cameras_and_pictures_are_left_out() -> None:
    names = OutputChoice().names
    assert set(OUTPUTS) - names == {'camera_points', 'debug', 'sky_mask'}
    assert OutputChoice('all').names == set(OUTPUTS)
    assert OutputChoice(' depth , tf').names == {'depth', 'tf'}
    for outputs in ('', ' , ', 'depth,dept', 'all,depth'):
        with pytest.raises(ConfigError, match='outputs: expected some of depth, camera_info'):
            OutputChoice(outputs)


def test_views_without_confidence_and_sky_have_no_such_images() -> None:
    [posed] = RESULTS[0].new_sets
    views = tuple(replace(view, confidence=None, sky=None) for view in posed.views)
    result = replace(RESULTS[0], new_sets=(replace(posed, views=views),))
    topics = {m[0] for m in messages_of(maker(outputs='confidence,sky_mask,depth'), [result])}
    assert topics == {f'/{camera}/depth/image' for camera in CAMERAS}


def test_a_camera_may_have_an_absolute_name() -> None:
    [posed] = RESULTS[0].new_sets
    view = posed.views[0]
    key = replace(view.id, camera='/robot/eye')
    result = replace(
        RESULTS[0],
        new_sets=(replace(posed, views=(replace(view, id=key),)),),
        images={key: RESULTS[0].images[view.id]},
    )
    assert messages_of(maker(outputs='depth'), [result])[0][0] == '/robot/eye/depth/image'


# ---- transforms


class Claims:
    """Claims one transform, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.found: list[TransformClaim] | None = [
            TransformClaim('odom', 'base', np.eye(4), 7, 'base', 'publish_tf', True)
        ]

    def of_set(self, *args: object) -> Any:
        self.asked.append('set')
        return self.found or []

    def of_rig(self, *args: object) -> Any:
        self.asked.append('rig')
        return self.found

    def tick(self) -> Any:
        self.asked.append('tick')
        return self.found


def test_what_goes_out_is_asked_before_messages_are_made() -> None:
    """Which depends on how far a recording has been read; messages are made by another thread."""
    claims: Any = Claims()
    made = ResultMessages(NodeOptions(), OutputChoice('tf'), claims)
    given = [
        made.of_window(RESULTS[0], LOSSES, RigCalibration()),
        made.of_rig(RigCalibration(), FRAME_IDS),
        made.of_tick(),
    ]
    assert claims.asked == ['set', 'rig', 'tick']
    claims.found = None
    assert [topic for one in given for topic, _, _ in one] == ['/tf', '/tf_static', '/tf_static']
    assert list(made.of_window(RESULTS[1], LOSSES, RigCalibration())) == []
    assert list(made.of_rig(RigCalibration(), FRAME_IDS)) == []
    # That nothing is latched any more is a message, too.
    claims.found = []
    [(topic, msgtype, data)] = made.of_tick()
    assert topic == TF_STATIC_TOPIC
    assert deserialize_message(data, message_class(msgtype)).transforms == []
    unwanted = ResultMessages(NodeOptions(), OutputChoice('depth'), claims)
    claims.asked.clear()
    assert [*unwanted.of_rig(RigCalibration(), FRAME_IDS), *unwanted.of_tick()] == []
    assert claims.asked == []


# ---- from one process to the next


@pytest.mark.parametrize('after', range(5))
def test_from_a_state_it_goes_on_with_the_same_bytes(after: int) -> None:
    results = RESULTS[:3] + drive_on(RESULTS[2:3]) + RESULTS[3:]
    whole, begun, resumed = (maker(outputs='odometry') for _ in range(3))
    expected = messages_of(whole, results)
    before = messages_of(begun, results[:after])
    resumed.restore(begun.state())
    assert before + messages_of(resumed, results[after:]) == expected
    assert resumed.state() == whole.state()
    with pytest.raises(StreamError):
        resumed.restore(begun.state()[:-1])


def drive_on(results: Sequence[WindowResult]) -> list[WindowResult]:
    """Return windows once more, a second later and placed with a residual."""
    found = []
    for result in results:
        sets = tuple(replace(s, stamp_ns=s.stamp_ns + 10**9) for s in result.new_sets)
        alignment = replace(result.alignment, translation_residual=0.1, rotation_residual_rad=0.02)
        found.append(replace(result, new_sets=sets, alignment=alignment))
    return found


def test_a_new_world_begins_without_velocity_and_uncertainty() -> None:
    made = messages_of(maker(outputs='odometry'), RESULTS)
    first, *_, last = (
        deserialize_message(data, message_class(msgtype)) for _, msgtype, data in made
    )
    assert last.twist.twist == first.twist.twist
    assert last.twist.covariance[0] == 1e6
