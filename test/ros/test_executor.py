"""The node's executor where the middleware goes while it looks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.context import Context
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node

from da3_ros.ros.node.executor import NodeExecutor

pytestmark = pytest.mark.ros


@pytest.fixture(name='context')
def context_fixture(ros_domain_id: int) -> Iterator[Context]:
    context = Context()
    rclpy.init(context=context, domain_id=ros_domain_id)
    yield context
    rclpy.try_shutdown(context=context)


def test_a_shutdown_at_the_moment_of_waiting_ends_the_spin_quietly(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, executor = Node('waits', context=context), NodeExecutor(2, context=context)
    executor.add_node(node)
    made: list[bool] = []

    def wait_set(*arguments: Any) -> Any:
        # What a signal does between rclpy's look at the context and this.
        rclpy.shutdown(context=context)
        made.append(True)
        return original(*arguments)

    original = rclpy_implementation.WaitSet
    monkeypatch.setattr(rclpy_implementation, 'WaitSet', wait_set)
    executor.spin()
    assert made == [True]
    executor.shutdown(5.0)
    node.destroy_node()


def test_an_error_of_a_living_middleware_goes_through(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, executor = Node('waits', context=context), NodeExecutor(2, context=context)
    executor.add_node(node)

    def wait_set(*arguments: Any) -> Any:
        raise rclpy_implementation.RCLError('no memory')

    monkeypatch.setattr(rclpy_implementation, 'WaitSet', wait_set)
    with pytest.raises(RuntimeError, match='no memory'):
        executor.spin()
    monkeypatch.undo()
    executor.shutdown(5.0)
    node.destroy_node()
