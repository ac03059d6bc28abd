"""The node's executor: where the middleware goes while it looks, and every callback once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
import threading
import time
from typing import Any

import pytest

pytest.importorskip('rclpy')
import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from da3_ros.ros.messages.qos import event_class
from da3_ros.ros.node.executor import NodeExecutor
from helpers.patience import PATIENCE_S, wait_until

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


def test_events_are_looked_at_once_per_second(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what rclpy waits for beside messages, two for every publisher."""
    node, executor = Node('waits', context=context), NodeExecutor(2, context=context)
    node.create_publisher(String, 'words', 1)
    executor.add_node(node)
    events = [entity for entity in node.waitables if isinstance(entity, event_class())]
    began_s = time.monotonic()
    looked_at = []
    for passed_s in (0.0, 0.9, 1.0, 1.1):
        monkeypatch.setattr(time, 'monotonic', lambda now_s=began_s + passed_s: now_s)
        assert executor.get_nodes() == [node]
        looked_at.append({executor.can_execute(event) for event in events})
    monkeypatch.undo()
    executor.shutdown(5.0)
    node.destroy_node()
    assert looked_at == [{True}, {False}, {True}, {False}]


# ---- every ready callback once

QUIET_S = 0.5
"""How long nothing happens while turns are counted; an executor without rest makes hundreds."""


class Turns:
    """Counts how often an executor begins to wait, and how many tasks its threads were given."""

    def __init__(self, patch: pytest.MonkeyPatch, executor: NodeExecutor) -> None:
        self.waits = 0
        self.given: list[Any] = []
        original, give = rclpy_implementation.WaitSet, executor._crew.give

        def wait_set(*arguments: Any) -> Any:
            self.waits += 1
            return original(*arguments)

        def counted(task: Any) -> None:
            self.given.append(task)
            give(task)

        patch.setattr(rclpy_implementation, 'WaitSet', wait_set)
        patch.setattr(executor._crew, 'give', counted)

    def in_a_quiet_time(self) -> int:
        """Return how many waits began while nothing happened."""
        before = self.waits
        time.sleep(QUIET_S)
        return self.waits - before


class Spun:
    """A node with an executor that a thread spins; a context manager."""

    def __init__(self, context: Context, threads: int) -> None:
        self.executor = NodeExecutor(threads, context=context)
        self.node = Node('spun', context=context)
        self.executor.add_node(self.node)
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def _spin(self) -> None:
        try:
            self.executor.spin()
        except Exception as error:
            self.error = error

    def hears(self, topic: str, callback: Callable[[Any], Any], group: Any) -> Any:
        """Subscribe, and return a publisher that is heard."""
        self.node.create_subscription(String, topic, callback, 50, callback_group=group)
        publisher = self.node.create_publisher(String, topic, 50)
        wait_until(lambda: publisher.get_subscription_count() > 0)
        return publisher

    def join(self) -> None:
        """Wait until the spin has ended by itself."""
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def __enter__(self) -> Spun:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.executor.shutdown(PATIENCE_S)
        self._thread.join(PATIENCE_S)
        self.node.destroy_node()


class Blocked:
    """A callback that stays in the middle until it may go; notes what it was called with."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_go = threading.Event()

    def __call__(self, message: String) -> None:
        self.begun.append(message.data)
        assert self.may_go.wait(3 * PATIENCE_S)


def test_while_a_callback_blocks_its_group_waits_asleep_and_others_are_served(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, heard = Blocked(), list[str]()
    spun = Spun(context, 3)
    turns = Turns(monkeypatch, spun.executor)
    one = MutuallyExclusiveCallbackGroup()
    first = spun.hears('first', blocked, one)
    second = spun.hears('second', blocked, one)
    other = spun.hears('other', lambda m: heard.append(m.data), MutuallyExclusiveCallbackGroup())
    with spun:
        first.publish(String(data='0'))
        wait_until(lambda: blocked.begun == ['0'])
        for number in range(1, 11):
            (first if number % 2 else second).publish(String(data=str(number)))
        for number in range(20):
            other.publish(String(data=str(number)))
        wait_until(lambda: len(heard) == 20)
        assert turns.in_a_quiet_time() <= 2
        assert blocked.begun == ['0']
        blocked.may_go.set()
        wait_until(lambda: len(blocked.begun) == 11)
    assert heard == [str(number) for number in range(20)]
    assert sorted(blocked.begun, key=int) == [str(number) for number in range(11)]


def test_while_all_threads_are_busy_nothing_is_handed_out_twice(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = Blocked()
    spun = Spun(context, 2)
    turns = Turns(monkeypatch, spun.executor)
    groups = [MutuallyExclusiveCallbackGroup() for _ in range(5)]
    topics = [spun.hears(f'topic{n}', blocked, group) for n, group in enumerate(groups)]
    with spun:
        for number, topic in enumerate(topics):
            topic.publish(String(data=str(number)))
        wait_until(lambda: len(blocked.begun) == 2)
        assert turns.in_a_quiet_time() <= 2
        assert len(turns.given) <= 3
        blocked.may_go.set()
        wait_until(lambda: len(blocked.begun) == 5)
    assert sorted(blocked.begun) == list('01234')
    assert len(turns.given) == len(set(map(id, turns.given))) == 5


def test_a_shutdown_ends_the_spin_also_while_all_threads_are_busy(context: Context) -> None:
    blocked = Blocked()
    spun = Spun(context, 1)
    topic = spun.hears('topic', blocked, ReentrantCallbackGroup())
    with spun:
        topic.publish(String(data='0'))
        wait_until(lambda: blocked.begun == ['0'])
        rclpy.shutdown(context=context)
        spun.join()
        blocked.may_go.set()


@pytest.mark.parametrize('by', ['a callback', 'a thread'])
def test_a_coroutine_that_waits_costs_nothing_and_goes_on_when_it_may(
    context: Context, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    spun = Spun(context, 2)
    turns = Turns(monkeypatch, spun.executor)
    # More that wait than there are threads.
    futures = [Future() for _ in range(5)]
    begun, answers = list[int](), list[str]()

    async def wait(number: int) -> None:
        begun.append(number)
        answers.append(await futures[number])

    def complete(message: String) -> None:
        for number, future in enumerate(futures):
            future.set_result(f'{message.data}{number}')

    async def wait_for_message(message: String) -> None:
        await wait(int(message.data))

    reentrant = ReentrantCallbackGroup()
    asks = spun.hears('asks', wait_for_message, reentrant)
    ends = spun.hears('ends', complete, MutuallyExclusiveCallbackGroup())
    with spun:
        for number in range(4):
            asks.publish(String(data=str(number)))
        spun.executor.create_task(wait, 4)
        wait_until(lambda: sorted(begun) == [0, 1, 2, 3, 4])
        assert turns.in_a_quiet_time() <= 2
        assert not answers
        if by == 'a callback':
            ends.publish(String(data='done'))
        else:
            complete(String(data='done'))
            spun.executor.wake()
        wait_until(lambda: len(answers) == 5)
    assert sorted(answers) == [f'done{number}' for number in range(5)]
    # The callback that completes, and twice each one that waits: to begin and to go on.
    assert len(turns.given) <= 3 * (5 + 1)


def test_what_a_callback_raises_ends_the_spin_at_once(context: Context) -> None:
    spun = Spun(context, 2)

    def fail(message: String) -> None:
        raise ValueError(message.data)

    topic = spun.hears('topic', fail, MutuallyExclusiveCallbackGroup())
    with spun:
        topic.publish(String(data='broken'))
        # Nothing else happens that would make it look.
        wait_until(lambda: spun.error is not None)
    assert isinstance(spun.error, ValueError)
    assert str(spun.error) == 'broken'


def test_a_callback_that_finds_the_middleware_shut_down_ends_the_spin_quietly(
    context: Context,
) -> None:
    spun = Spun(context, 2)
    asked: list[str] = []

    def ask(message: String) -> None:
        # What a signal does in the middle of a callback.
        rclpy.shutdown(context=context)
        asked.append(message.data)
        spun.node.get_publishers_info_by_topic('topic')

    topic = spun.hears('topic', ask, MutuallyExclusiveCallbackGroup())
    with spun:
        topic.publish(String(data='now'))
        spun.join()
    assert asked == ['now']
    # As of a spin that is waiting at that moment.
    assert spun.error is None or isinstance(spun.error, ExternalShutdownException)


def test_the_answer_of_a_service_that_is_gone_ends_nothing(context: Context) -> None:
    spun = Spun(context, 2)
    heard: list[str] = []

    def answer(request: Any, response: Any) -> Any:
        # What a transition does on another thread.
        spun.node.destroy_service(service)
        return response

    service = spun.node.create_service(Trigger, 'trigger', answer)
    client = spun.node.create_client(Trigger, 'trigger')
    topic = spun.hears('topic', lambda m: heard.append(m.data), MutuallyExclusiveCallbackGroup())
    assert client.wait_for_service(PATIENCE_S)
    with spun:
        client.call_async(Trigger.Request())
        wait_until(lambda: service not in list(spun.node.services))
        topic.publish(String(data='alive'))
        wait_until(lambda: heard == ['alive'] or spun.error is not None)
        assert spun.error is None


def test_tasks_are_done_after_the_spin_until_the_shutdown(context: Context) -> None:
    executor = NodeExecutor(2, context=context)
    done: list[int] = []
    answer, may_go = Future(), threading.Event()

    async def wait() -> None:
        done.append(await answer)

    def late() -> None:
        assert may_go.wait(PATIENCE_S)
        done.append(2)

    executor.create_task(wait)
    executor.create_task(late)
    answer.set_result(1)
    executor.wake()
    threading.Timer(0.1, may_go.set).start()
    assert executor.shutdown(PATIENCE_S)
    executor.create_task(done.append, 3)
    assert sorted(done) == [1, 2]


def test_a_shutdown_does_not_wait_for_a_callback_that_hangs(context: Context) -> None:
    executor, begun, may_go = (
        NodeExecutor(2, context=context),
        threading.Event(),
        threading.Event(),
    )

    def hang() -> None:
        begun.set()
        may_go.wait()

    executor.create_task(hang)
    assert begun.wait(PATIENCE_S)
    assert not executor.shutdown(0.01)
    may_go.set()


def test_a_future_ends_the_spin_that_waits_for_it(context: Context) -> None:
    executor, node, future = NodeExecutor(2, context=context), Node('n', context=context), Future()
    executor.add_node(node)
    node.create_timer(0.05, lambda: future.done() or future.set_result('rang'))
    executor.spin_until_future_complete(future, PATIENCE_S)
    assert future.result() == 'rang'
    executor.spin_once(timeout_sec=0.0)
    executor.shutdown(PATIENCE_S)
    node.destroy_node()
