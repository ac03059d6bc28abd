"""The node over real DDS and `da3 bag` say the same of the same recording, message by message.

The recording is played one instant after the other: the next one when the window of the one before
is out, so that nothing is dropped however slow this machine is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
import threading
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
from std_srvs.srv import Trigger

from da3_ros.ros.messages.message_types import message_class
from da3_ros.ros.node.executor import NodeExecutor
from da3_ros.ros.node.node import Da3Node
from da3_ros.sinks.definitions import shared_definitions
from da3_ros.sources.bag import BagReader, RawMessage
from helpers.cli import da3
from helpers.ros_process import reserved_domain_id
from helpers.ros_rig import LATCHED, RELIABLE
from helpers.spinning import Spinning

pytestmark = pytest.mark.ros
CAMERAS = ('front', 'left')
INSTANTS = 8
OPTIONS: Mapping[str, Any] = {
    'window': 3,
    'prior_frame': 'odom',
    'odom_frame': 'map',
    'publish_tf': True,
    'publish_map_tf': False,
    'tf_wait_s': 5.0,
    'max_depth_m': 4.0,
    'min_cameras': 2,
}
OF_THE_CLOCK = {'estimate_s', 'stamp_to_publish_s', 'dropped_sets', 'dropped_frames'}
TIMEOUT_S = 30.0
STORE = shared_definitions().typestore
Found = dict[tuple[str, int], bytes]


def stamp_ns(message: Any) -> int:
    head = message.transforms[0].header if hasattr(message, 'transforms') else message.header
    return int(head.stamp.sec) * 10**9 + int(head.stamp.nanosec)


def decoded(data: bytes, msgtype: str) -> Any:
    shared_definitions().require(msgtype)
    return STORE.deserialize_cdr(data, msgtype)


@pytest.fixture(scope='module', name='recording')
def recording_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('equal') / 'in.mcap'
    size = ('--size', '64x48', '--cameras', ','.join(CAMERAS), '--no-truth')
    da3('synthesize', path, '--seconds', str(INSTANTS / 5), '--rate', '5', *size)
    return path


def from_bag(recording: Path, out: Path, model: Sequence[str]) -> dict[str, str]:
    """Run `da3 bag` and return the types of the topics that it wrote."""
    given = [f'--{name.replace("_", "-")}={value}' for name, value in OPTIONS.items() if value]
    given.append('--copy=none')
    da3('bag', recording, out, *[text.replace('True', 'true') for text in given], *model)
    with BagReader(out) as reader:
        return {info.name: info.msgtype for info in reader.topics}


class Robot:
    """Plays a recording to a node of this process, and keeps the bytes of its answers."""

    def __init__(self, domain_id: int, topics: Mapping[str, str]) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._node = Node('robot', context=self._context)
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        self._changed = threading.Condition()
        self.found: Found = {}
        self._publishers: dict[str, Any] = {}
        for topic, msgtype in topics.items():
            self._listen(topic, msgtype)
        self._spinning = Spinning(executor)

    def close(self) -> None:
        self._spinning.end()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _listen(self, topic: str, msgtype: str) -> None:
        def take(data: bytes) -> None:
            with self._changed:
                self.found[topic, stamp_ns(decoded(data, msgtype))] = data
                self._changed.notify_all()

        kind = message_class(msgtype)
        self._node.create_subscription(kind, topic, take, QoSProfile(depth=100), raw=True)

    def publish(self, message: RawMessage) -> None:
        self.publisher(message.topic, message.msgtype).publish(message.data)

    def publisher(self, topic: str, msgtype: str) -> Any:
        if topic not in self._publishers:
            profile = LATCHED if topic == '/tf_static' else RELIABLE
            kind = message_class(msgtype)
            self._publishers[topic] = self._node.create_publisher(kind, topic, profile)
        return self._publishers[topic]

    def wait(self, condition: Any, what: str) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, TIMEOUT_S), (what, sorted(self.found))

    def begin(self, instants: Sequence[Sequence[RawMessage]], topics: Mapping[str, str]) -> None:
        """Send images of another time until all topics of the node are heard, then reset it."""
        for message in instants[0]:
            self.publisher(message.topic, message.msgtype)
        while not all(
            publisher.get_subscription_count() for publisher in self._publishers.values()
        ):
            with self._changed:
                self._changed.wait(0.02)
        for message in instants[0]:
            if message.topic == '/tf_static' or message.topic.endswith('camera_info'):
                self.publish(message)
        number = 0
        while {topic for topic, _ in self.found} != set(topics):
            number += 1
            assert number < 100, set(topics) - {topic for topic, _ in self.found}
            for message in instants[0]:
                if message.topic.endswith('image_raw'):
                    self.publish(earlier(message, 10 * 10**9 - number * 10**8))
            with self._changed:
                self._changed.wait(0.3)
        client = self._node.create_client(Trigger, '/da3_node/reset')
        assert client.wait_for_service(TIMEOUT_S)
        answer = client.call_async(Trigger.Request())
        answer.add_done_callback(lambda _: self._told())
        self.wait(answer.done, 'the answer of reset')

    def _told(self) -> None:
        with self._changed:
            self._changed.notify_all()


def earlier(message: RawMessage, by_ns: int) -> RawMessage:
    content = decoded(message.data, message.msgtype)
    seconds, rest = divmod(stamp_ns(content) - by_ns, 10**9)
    content.header.stamp = type(content.header.stamp)(sec=seconds, nanosec=rest)
    data = bytes(STORE.serialize_cdr(content, message.msgtype))
    return RawMessage(message.topic, message.msgtype, message.stamp_ns, data)


def from_node(recording: Path, topics: Mapping[str, str], model: Mapping[str, Any]) -> Found:
    """Play the recording into a node and return all that it published."""
    with BagReader(recording) as reader:
        messages = list(reader.messages())
    stamps = sorted({m.stamp_ns for m in messages})
    instants = [[m for m in messages if m.stamp_ns == at] for at in stamps]
    with reserved_domain_id() as domain_id, running_node(domain_id, model):
        robot = Robot(domain_id, topics)
        try:
            robot.begin(instants, topics)
            for at, instant in zip(stamps, instants, strict=True):
                for message in instant:
                    if message.topic != '/tf_static':
                        robot.publish(message)
                # It goes out last.
                robot.wait(lambda at=at: ('/window', at) in robot.found, f'window {at}')
            last = {(topic, stamps[-1]) for topic in topics}
            robot.wait(lambda: last <= set(robot.found), 'the last messages')
            return {key: data for key, data in robot.found.items() if key[1] >= stamps[0]}
        finally:
            robot.close()


class running_node:  # noqa: N801 - reads as what it does
    """A node of this process while it runs."""

    def __init__(self, domain_id: int, model: Mapping[str, Any]) -> None:
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self._executor = NodeExecutor(6, context=self._context)
        values = {**OPTIONS, **model, 'cameras': list(CAMERAS)}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self._node = Da3Node(context=self._context, parameter_overrides=overrides)
        self._executor.add_node(self._node)
        self._spinning = Spinning(self._executor)

    def __enter__(self) -> None:
        assert self._node.autostart()

    def __exit__(self, *of_error: object) -> None:
        self._spinning.end()
        self._node.close(1.0)
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)


def differences(one: Any, other: Any, place: str = '') -> Iterator[str]:
    """Yield where two messages differ, apart from what a clock says."""
    if is_dataclass(one):
        for field in fields(one):
            if field.name not in OF_THE_CLOCK:
                there = getattr(one, field.name), getattr(other, field.name)
                yield from differences(*there, f'{place}.{field.name}')
    elif isinstance(one, list):
        if len(one) != len(other):
            yield f'{place}: {len(one)} and {len(other)}'
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f'{place}[{number}]')
    elif not np.array_equal(one, other, equal_nan=isinstance(one, float)):
        yield f'{place}: {one} and {other}'


@pytest.mark.parametrize(
    'model',
    [{'model': 'truth'}, {'model': 'da3-nano', 'process_res': 56, 'runtime': 'torch'}],
    ids=lambda model: model['model'],
)
def test_node_and_bag_are_equal(recording: Path, tmp_path: Path, model: Mapping[str, Any]) -> None:
    out = tmp_path / 'out.mcap'
    given = [f'--{name.replace("_", "-")}={value}' for name, value in model.items()]
    topics = from_bag(recording, out, given)
    assert {'/tf', '/odometry', '/window', '/points', '/left/depth/image'} <= set(topics)
    live = from_node(recording, topics, model)
    compared = dict.fromkeys(topics, 0)
    with BagReader(out) as reader:
        for message in reader.messages():
            content = decoded(message.data, message.msgtype)
            there = decoded(live[message.topic, stamp_ns(content)], message.msgtype)
            assert list(differences(there, content, message.topic)) == []
            compared[message.topic] += 1
    assert set(compared.values()) == {INSTANTS}
