"""Messages of results made without ROS are those that the node sends."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
import math
import time
from typing import Any

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

from da3_ros.options import OutputOptions
from da3_ros.ros.messages.message_types import message_class
from da3_ros.ros.node.outputs import Outputs
from da3_ros.ros.node.params import OptionsHolder
from da3_ros.ros.offline.result_messages import Message
from da3_ros.ros.reason_board import ReasonBoard
from da3_ros.ros.tf.listener import TfInput
from da3_ros.types import RigCalibration
from helpers.log_lines import Lines
from helpers.recorded_results import (
    CAMERAS,
    LOSSES,
    NOTES,
    OPTIONS,
    RESULTS,
    maker,
    messages_of,
)
from helpers.ros_process import reserved_domain_id

pytestmark = pytest.mark.ros


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
